"""The example that imports runs of tau-bench: what it counts, what its critic is judged on, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.ss_gym.datasets.logs import call, chat, real_log

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import tau_bench_log

    return tau_bench_log


def run_of(task: int, trial: int, reward: float | None, tool: str = "look") -> dict[str, Any]:
    """A run whose agent calls a tool and says goodbye; two tasks have the same customer."""
    messages = [
        {"role": "system", "content": "Be just."},
        {"role": "user", "content": f"Hello, it is about task {task}."},
        {"role": "assistant", "content": None, "tool_calls": [call(tool)]},
        {"role": "tool", "tool_call_id": "c1", "content": "{}"},
        {"role": "assistant", "content": "Goodbye."},
        {"role": "user", "content": "###STOP###"},
    ]
    told = {} if reward is None else {"reward": reward}
    info = {"task": {"user_id": f"customer_{task // 2}", "instruction": "…"}}
    return {"task_id": task, "trial": trial, "info": info, "traj": messages, **told}


def told_by_tools() -> list[dict[str, Any]]:
    """Of two attempts at each of forty tasks, the one that refunds succeeds."""
    return [run_of(task, trial, float(trial), ("deny", "refund")[trial]) for task in range(40) for trial in range(2)]


def printed(example: ModuleType, capsys: pytest.CaptureFixture[str], file: Path, *words: str) -> str:
    example.main([str(file), *words])
    return capsys.readouterr().out


def row_of(out: str, name: str) -> str:
    """What a table says beside a name."""
    found = re.search(rf"^ {re.escape(name)}  +(.*?) *$", out, re.MULTILINE)
    assert found is not None, (name, out)
    return found[1]


def figures(out: str, name: str) -> list[float]:
    """The numbers with decimals that a table says beside a name."""
    return [float(figure) for figure in re.findall(r"\d\.\d+", row_of(out, name))]


def written(folder: Path, runs: Any, name: str = "runs.json") -> Path:
    (folder / name).write_text(json.dumps(runs), encoding="utf-8")
    return folder / name


def test_real_runs_are_counted_and_their_success_is_foretold_better_than_by_chance(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "EARLY", ())
    out = printed(example, capsys, real_log("tau_bench_gpt4o_airline.json.gz"))
    assert row_of(out, "runs") == "200" and row_of(out, "tasks") == "50, with 4 attempts (50)"
    assert row_of(out, "rewards told") == "0 (116), 1 (84)" and row_of(out, "reward").startswith("0.420 [")
    assert row_of(out, "tasks done always, at times, never") == "10, 26, 14"
    value, low, high = figures(out, "the whole conversation")[:3]
    assert 0.6 < low < value < high < 0.9
    page = (EXAMPLES.parent / "pages" / "datasets.md").read_text(encoding="utf-8")
    for name in ("reward", "number of steps", "tools called", "the whole conversation"):
        # The page shows what is printed; the last digits may be others on another machine.
        assert figures(page, name) == pytest.approx(figures(out, name), abs=0.02)


def test_what_tells_success_is_found_in_what_the_agent_did_and_nowhere_before(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(example, capsys, written(tmp_path, told_by_tools()), "--folds", "4", "--size", "64")
    assert figures(out, "the whole conversation")[::3] == figures(out, "tools called")[::3] == [1, 1]
    assert figures(out, "number of steps")[::3] == [0.5, 0.5] and figures(out, "before the first action")[3] == 0.5
    assert row_of(out, "groups that share one of these") == "20" and "40 pairs of a success and a failure" in out
    assert re.search(r"ahead of number of steps by \+0\.500 \[\+0\.500, \+0\.500\]", out)
    assert row_of(out, "refund").startswith("40    40  1.000 [")
    assert printed(example, capsys, written(tmp_path, told_by_tools()), "--folds", "4", "--size", "64") == out


def test_outcomes_that_are_dealt_to_other_tasks_can_not_be_foretold(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each task has one end, which its tool tells.
    runs = [run_of(task, trial, task % 2, ("deny", "refund")[task % 2]) for task in range(40) for trial in range(2)]
    out = printed(example, capsys, written(tmp_path, runs), "--folds", "4", "--size", "64", "--shuffles", "9")
    mean, _, _, most = figures(out, "AUC")
    assert mean < 0.7 and most < 1 and figures(out, "the whole conversation")[0] == 1
    assert figures(out, "p of what was found") == [0.1]


def test_runs_without_a_reward_are_left_out_and_counted(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, [*told_by_tools(), run_of(40, 0, None)])
    assert "80, and 1 without a reward" in printed(example, capsys, file, "--folds", "4", "--size", "64")


def test_a_log_in_which_no_task_has_both_ends_has_nothing_to_tell_within_tasks(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [run_of(task, 0, task % 2) for task in range(40)]
    out = printed(example, capsys, written(tmp_path, runs), "--folds", "2", "--size", "64")
    assert row_of(out, "the whole conversation").split()[-1] == "-" and "0 pairs" in out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([run_of(3, trial, trial % 2) for trial in range(4)], "are attempts at one task"),
        ([run_of(task, 0, 0) for task in range(4)], "all runs of .* failed"),
        ([run_of(task, 0, 1) for task in range(4)], "all runs of .* succeeded"),
        ([run_of(task, 0, None) for task in range(4)], "tells no rewards"),
        ([{"messages_display": "user: Hi\nassistant: Hello"}], "tells no rewards"),
        ([run_of(task, 0, task % 2) for task in range(4)], "2 groups .* too few for 10 parts"),
        ([{**run_of(task, 0, task % 2), "task_id": None} for task in range(4)], "runs without a task_id"),
        ([chat()], "'traj'"),
        ([], "no conversation"),
    ],
)
def test_logs_that_no_critic_can_be_judged_on_are_refused_in_a_sentence(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, says: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        example.main([str(written(tmp_path, content))])
    error = capsys.readouterr().err.splitlines()[-1]
    assert refused.value.code == 2 and re.search(says, error), error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["text.json"], "text.json, line 1: a document with conversations begins with [ or {"),
        (["text.json", "--folds", "1"], "folds must be a whole number from 2 up"),
        (["text.json", "--size", "100"], "multiple of 8"),
        (["text.json", "--seed", "-1"], "seed"),
        (["text.json", "--shuffles", "-1"], "shuffles must be a whole number from 0 up"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    example: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.json").write_text("no JSON", encoding="utf-8")
    with pytest.raises(SystemExit) as refused:
        example.main(words)
    error = capsys.readouterr().err.splitlines()[-1]
    assert refused.value.code == 2 and says in error, error
