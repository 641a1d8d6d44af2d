"""The example of plans, its page, and the study: that it goes on where it was, and that its page tells its results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ss_gym.families.splits import load_scenario

ROOT = Path(__file__).parents[1]
EXAMPLES, PAGE = ROOT / "docs" / "examples", ROOT / "docs" / "pages" / "planning.md"


def test_the_example_shows_a_plan_that_advances_and_needs_no_torch() -> None:
    script = "import runpy, sys\nrunpy.run_path(sys.argv[1], run_name='__main__')\nassert 'torch' not in sys.modules"
    command = [sys.executable, "-c", script, str(EXAMPLES / "planning.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "1. now: Please refund my lamp\n2. open: cancel my tea subscription" in printed
    assert (
        "1. done: Please refund my lamp\n2. failed: cancel my tea subscription\n3. now: where is order 66?" in printed
    )
    assert printed.count("Observation: ") == 3 and printed.count("\nPlan: active") == 2


def test_the_blocks_of_the_page_run_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```(?:python|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    agent, read, wrapper = blocks
    exec(compile(agent, "agent", "exec"), {})
    assert capsys.readouterr().out in read
    names: dict[str, Any] = {}
    exec(compile(wrapper, "wrapper", "exec"), names)
    assert names["observation"].endswith("</plan>") and names["info"]["plan"]["status"] == "active"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import planning_study

    return planning_study


def test_the_table_of_the_study_is_that_of_its_results(study: ModuleType) -> None:
    known, page = study.read(), PAGE.read_text(encoding="utf-8")
    cells = known.get("cells", {})
    assert (study.markdown(cells) in page) == bool(cells)
    assert (" | ".join(study.HEADINGS) in page) == bool(cells)
    for key, cell in cells.items():
        # A cell of other settings would have to be run again.
        assert key in study.CELLS and cell["settings"] == ({} if study.ZERO_SHOT in key else study.SETTINGS), key
        assert len(cell["success"]) == len(cell["wishes"]) == 2 * study.HELD_OUT


def test_the_customers_of_the_study_want_two_refunds_and_nobody_is_both_taught_and_measured(study: ModuleType) -> None:
    held_out, taught = study.pairs()
    assert (len(held_out), len(taught)) == (study.HELD_OUT, study.TAUGHT)
    assert not {*held_out} & {*taught}
    for pair in (*held_out[:5], *taught[-5:]):
        for member in (0, 1):
            parts = load_scenario("retail", "train", 2 * pair + member).parts
            assert [part.family for part in parts] == ["refund", "refund"]


def test_the_study_goes_on_with_the_cells_that_are_missing(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [*study.pairs()[0][:1], *study.pairs()[1][:1]]
    for name, value in (
        ("RESULTS", tmp_path / "planning.json"),
        ("HELD_OUT", 1),
        ("SETTINGS", {"iterations": 1, "demonstrations": 1, "minibatches": 1, "learning_rate": 5e-4}),
        ("CELLS", ["plain/0", "plan/0"]),
    ):
        monkeypatch.setattr(study, name, value)
    study.write({"pairs": pairs})
    study.main(["--only", "plain/0"])
    assert "| cloned | without | 1 |" in capsys.readouterr().out
    first = study.read()["cells"]["plain/0"]
    study.main([])
    assert "| cloned | difference | 1 |" in capsys.readouterr().out
    cells = study.read()["cells"]
    assert cells["plain/0"] == first and list(cells) == ["plain/0", "plan/0"]
    assert all(len(cell["success"]) == 2 and cell["settings"] == study.SETTINGS for cell in cells.values())
    written = study.RESULTS.read_bytes()
    study.main([])
    study.main(["--report"])
    assert study.RESULTS.read_bytes() == written


def test_the_demonstrator_does_the_same_whether_there_is_a_plan_or_not(study: ModuleType) -> None:
    _, taught = study.pairs()
    actions: dict[str, list[str]] = {}
    for arm in study.ARMS:
        env, agent, said = study.environment(arm, taught), study.Clerk(), list[str]()
        observation, info = env.reset(seed=3)
        conversation, ended = study.Conversation.begin(observation, info), False
        while not ended:
            (completion,) = agent.act([conversation])
            observation, _, terminated, truncated, info = env.step(completion.text)
            conversation.record(completion, observation, info)
            said.append(completion.text)
            ended = terminated or truncated
        assert info["success"] and ("<plan>" in json.dumps(conversation)) == (arm == "plan")
        actions[arm] = said
    assert actions["plain"] == actions["plan"]


def test_the_figures_of_the_table_are_those_of_the_customers(study: ModuleType) -> None:
    cells = {
        f"{arm}/{seed}": {"success": success, "wishes": wishes, "training_cpu_seconds": 3, "evaluation_cpu_seconds": 4}
        for arm, seed, success, wishes in (
            ("plain", 0, "0000", "1100"),
            ("plan", 0, "1100", "2210"),
            ("plain", 1, "0011", "1122"),
            ("plan", 1, "1111", "2222"),
        )
    }
    without, with_plan, gain = study.markdown(cells).splitlines()[2:]
    assert (
        without.startswith("| cloned | without | 2 | 25.0 % [") and "50.0 % [" in without and without.endswith("| 7 |")
    )
    assert with_plan.startswith("| cloned | with a plan | 2 | 75.0 % [")
    # Both runs gain two of four: the difference is 50 points and has no spread over runs.
    assert gain.startswith("| cloned | difference | 2 | +50.0 % [") and "; ± 0.0 over runs" in gain
