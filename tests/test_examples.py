"""The examples, on a small scale: what they promise to write is there, and tasks of other packages can be learnt."""

from __future__ import annotations

import json
import random
import re
import runpy
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

from ss_gym.agents.checkpoint import read_manifest
from ss_gym.types import ConversationTurn
from tests.short_refunds import shorten

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "refund"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        shorten(patch)
        patch.syspath_prepend(str(EXAMPLES))
        import refund_demo

        patch.setattr(refund_demo, "GROUPS", 2)
        patch.setattr(refund_demo, "ATTEMPTS", 3)
        patch.setattr(sys, "argv", ["refund_demo", "--iterations", "2", "--episodes", "2", "--out", str(out)])
        refund_demo.main()
    return out, printed.getvalue()


def test_the_demonstration_writes_what_it_says(demo: tuple[Path, str]) -> None:
    out, _ = demo
    written = {path.name for path in out.iterdir()}
    assert {"README.md", "checkpoint", "curve.png", "metrics.jsonl", "results.json", "transcripts.md"} <= written
    assert read_manifest(out / "checkpoint")
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "| dev sampled |" in (out / "README.md").read_text(encoding="utf-8")


def test_the_demonstration_measures_the_same_figures_before_and_after(demo: tuple[Path, str]) -> None:
    out, printed = demo
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    names = ["dev sampled", "dev greedy", "test sampled"]
    assert list(results["success"]["before"]) == list(results["success"]["after"]) == names
    assert len(results["curve"]) == 2
    assert results["training_seconds"] > 0
    for name in names:
        assert printed.count(f"{name} ") >= 2


def test_the_study_reports_mean_interval_and_every_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import refund_study

    def cell(value: float) -> refund_study.Cell:
        before, after = (
            {name: {"value": share, "low": 0.0, "high": 1.0} for name, _, _ in refund_study.MEASURED}
            for share in (value - 0.3, value)
        )
        return {"success": {"before": before, "after": after}, "curve": [value, value]}

    monkeypatch.setattr(refund_study, "PLOT", tmp_path / "images" / "plot.png")
    results = {"grpo/0": cell(0.5), "grpo/1": cell(0.7), "shuffled/0": cell(0.1)}
    refund_study.draw(results)
    assert (tmp_path / "images" / "plot.png").exists()
    table = refund_study.report(results).splitlines()
    # The mean of 50 and 70 is 60; the interval is 12.706 * 14.142 / sqrt(2) = 127.06 wide on either side.
    assert "| before | 2 | 30.0 % (20.0, 40.0) |" in table[2]
    assert "| GRPO | 2 | 60.0 % ± 127.1 (50.0, 70.0) |" in table[3]
    assert "| GRPO, rewards shuffled | 1 | 10.0 % (10.0) |" in table[4]
    assert len(table) == 5


@pytest.mark.usefixtures("short")
def test_a_control_with_shuffled_rewards_runs_in_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import refund_demo
    import refund_study

    monkeypatch.setattr(refund_demo, "GROUPS", 2)
    monkeypatch.setattr(refund_demo, "ATTEMPTS", 2)
    cell = refund_study.run_shuffled(0, Namespace(iterations=2, episodes=2))
    assert len(cell["curve"]) == 2 and cell["minutes"] > 0
    assert set(cell["success"]["after"]) == {name for name, _, _ in refund_study.MEASURED}


def test_a_transcript_shows_thoughts_calls_and_what_was_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import refund_demo

    written = '<think>1 of 2</think><tool_call>{"name":"get_order","arguments":{"order_id":"12345"}}</tool_call>'
    lines = refund_demo.dialogue(
        [
            ConversationTurn("user", "Hello,\nmy lamp"),
            ConversationTurn("assistant", written),
            ConversationTurn("tool", '{"error":"unknown"}'),
            ConversationTurn("assistant", "One moment. <tool_call>{lamp}</tool_call>"),
        ]
    )
    assert lines == [
        "- **Customer**: Hello, my lamp",
        '- **Agent**: *(1 of 2)* `get_order({"order_id": "12345"})`',
        '- **Shop**: `{"error":"unknown"}`',
        "- **Agent**: `{lamp}` *(unsaid: One moment.)*",
    ]


# --- tasks of other packages ------------------------------------------------------------------------

OTHERS = {"reasoning_gym_task": "reasoning_gym", "textarena_game": "textarena"}


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of an example; skips where the package whose task it is about is not installed."""
    if (package := OTHERS.get(name)) is not None:
        pytest.importorskip(package, reason=f"pip install {package.replace('_', '-')}")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return __import__(name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_task_of_another_package_is_an_environment_that_its_seed_decides(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = gym.make(example(name, monkeypatch).ENV_ID).unwrapped
    check_env(env, skip_render_check=True)
    state = random.getstate()

    def played(seed: int) -> list[object]:
        return [env.reset(seed=seed), env.step("7"), env.action_space.contains("")]

    assert played(1) == played(1)
    assert len({str(played(seed)) for seed in range(10)}) > 1
    assert random.getstate() == state


@pytest.mark.parametrize("name", OTHERS)
def test_a_task_of_another_package_is_trained_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example(name, monkeypatch)
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--iterations", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "return: " in done.stdout and "after 1 iterations" in done.stdout


def test_a_guess_is_answered_and_a_game_is_paid_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gym.make(example("textarena_game", monkeypatch).ENV_ID)
    asked, _ = env.reset(seed=3)
    assert "between 1 and 20" in asked
    low, high, answers = 1, 20, []
    for _ in range(6):
        guess = (low + high) // 2
        answer, reward, over, _, info = env.step(f"I say {guess}, please")
        answers.append(answer)
        if over:
            break
        assert reward == 0
        low, high = (guess + 1, high) if answer.endswith("higher.") else (low, guess - 1)
    assert over and reward == 1 and info["success"] is True
    assert all("please" not in answer for answer in answers)
    # Two replies without a guess end a game: by then the last guess was worth something, or there was none.
    env.reset(seed=3)
    assert env.step("hello")[:3][2] is False
    _, reward, over, _, info = env.step("hello")
    assert over and reward == 0 and info["success"] is False


# --- every algorithm on refunds ---------------------------------------------------------------------


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return example("algorithm_study", monkeypatch)


def test_the_table_of_the_study_is_that_of_its_results(study: ModuleType) -> None:
    cells, page = study.read(), (EXAMPLES.parent / "pages" / "algorithms.md").read_text(encoding="utf-8")
    for family in study.FAMILIES:
        assert study.markdown(cells, family) in page
    known = {*study.CELLS, *(f"{cell}/retail" for cell in study.CELLS)}
    for key, cell in cells.items():
        assert key in known and cell["steps"] >= study.BUDGET
        # A cell of other settings would have to be run again.
        assert cell["settings"] == study.SETTINGS.get(key.split("/")[0], {}), key


def test_the_interquartile_mean_is_that_of_the_middle_half(study: ModuleType) -> None:
    numbers = study.np.array
    assert study.interquartile_mean(numbers([0.0, 1.0, 2.0, 100.0])) == pytest.approx(1.5)
    # Of three, the middle one whole and a quarter of each of the others.
    assert study.interquartile_mean(numbers([0.0, 3.0, 12.0])) == pytest.approx((3 + 0.25 * 12) / 1.5)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", ["rlaif", "behavior_cloning"])
def test_a_cell_of_the_study_can_be_run(name: str, study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in (("BUDGET", 60), ("EPISODES", 4), ("GROUPS", 2), ("ATTEMPTS", 3)):
        monkeypatch.setattr(study, constant, value)
    cell = study.run(name, 0)
    assert cell["steps"] >= 60 and 0 <= cell["after"] <= 1 and cell["iterations"] >= 1


# --- from hello, world to a service -----------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs an example as a script; what it prints."""

    def running(name: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return running


def test_hello_world_needs_no_torch_nor_anything_else_that_is_slow_to_load() -> None:
    script = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); print(*sys.modules)"
    command = [sys.executable, "-c", script, str(EXAMPLES / "hello_world.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *lines, modules = done.stdout.splitlines()
    assert lines[0] == "Customer: Hello! Are you open on Saturdays?" and lines[-1] == "Reward: 1.00"
    loaded = {*modules.split()}
    assert not loaded & {"torch", "transformers", "pydantic", "rich", "httpx", "openai", "fastapi", "pettingzoo"}
    assert len(loaded) <= 500  # Gymnasium's own are 300


@pytest.mark.usefixtures("short")
def test_the_quick_start_compares_before_and_after(run: Callable[..., str]) -> None:
    printed = run("quick_start", "--iterations", "1", "--groups", "1", "--customers", "2", "--workers", "1")
    lines = printed.splitlines()
    assert [line.partition(":")[0] for line in lines[-3:-1]] in (["assistant", "tool"], ["assistant", "user"])
    assert re.fullmatch(r"success with 2 customers: \d\.\d\d before, \d\.\d\d after", lines[-1])


@pytest.mark.usefixtures("short")
def test_the_complete_training_keeps_goes_on_and_answers(run: Callable[..., str], tmp_path: Path) -> None:
    sizes = ("--iterations", "1", "--groups", "1", "--customers", "2")
    printed = run("complete_grpo_training", *sizes, "--out", str(tmp_path)).splitlines()
    assert printed[0].startswith("iteration 1: success 0.") and ", on dev " in printed[1]
    assert [line.partition(":")[0] for line in printed][2:] == ["Customer", "Agent"]
    assert read_manifest(tmp_path / "checkpoint").provenance["iteration"] == 2
    assert "eval/success" in read_manifest(tmp_path / "best").provenance["metrics"]
    served = run("production_ready_customer_service", "--checkpoint", str(tmp_path / "best"), "--customers", "1")
    refused, ended = served.splitlines()
    assert "401" in refused and "this server wants a key" in refused
    assert ended.startswith("customer 0: ")


def test_gspo_is_one_awaited_call(run: Callable[..., str]) -> None:
    before, after = run("train_with_gspo", "--iterations", "1").splitlines()[-2:]
    assert 0 < float(before[8:12]) < 1 and 0 <= float(after[7:11]) <= 1


def test_an_environment_of_ones_own_can_be_done_and_is_tried(run: Callable[..., str]) -> None:
    printed = run("custom_environment")
    assert 'Answer: "until Monday", reward 0.0' in printed and "Answer: -, reward 1.0" in printed
    assert printed.splitlines()[-1].startswith("tiny: success 0.00")


def test_a_reward_of_ones_own_passes_the_battery_where_nice_words_do_not(run: Callable[..., str]) -> None:
    honest, flattery, refused, passed, terms = run("custom_reward").splitlines()
    assert float(honest.partition(" ")[0]) > 2 * float(flattery.partition(" ")[0])
    assert refused.startswith("courtesy: refused: ") and passed == "composite: passed"
    assert "'composite'" in terms
