"""The page and the example on continual learning, on a small scale."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.short_refunds import shorten

DOCS = Path(__file__).parents[1] / "docs"
LESS = {
    "iterations=80, max_new_tokens=160": "iterations=2, groups_per_iteration=1, group_size=2, eval_episodes=2, "
    "max_new_tokens=8",
}


def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shorten(monkeypatch, "StateSet/Cancel-v0")
    names: dict[str, Any] = {}
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "pages/continual-learning.md").read_text("utf-8"), re.DOTALL)
    for whole, less in LESS.items():
        assert whole in block
        block = block.replace(whole, less)
    exec(compile(block, "continual-learning.md", "exec", dont_inherit=True), names)
    assert len(names["trainer"].continual.accuracies.rows) == 2
    assert "'average_accuracy': " in capsys.readouterr().out


def test_the_example_tells_what_is_left_of_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    shorten(monkeypatch, "StateSet/Cancel-v0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    sizes = ["--iterations", "2", "--demonstrations", "2", "--customers", "2"]
    monkeypatch.setattr(sys, "argv", ["continual_learning", *sizes, "--strategy", "replay_lwf"])
    import continual_learning

    continual_learning.main()
    told = capsys.readouterr().out
    assert "after cancel" in told and "forgetting: " in told
    assert (tmp_path / "outputs/continual/accuracies.png").stat().st_size > 5000
    assert (tmp_path / "outputs/continual/checkpoint/replay.jsonl").exists()


def test_the_example_on_real_customers_fits_measures_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shorten(monkeypatch)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    sizes = ["--draws", "160", "--dialogues", "2", "--most", "24", "--iterations", "1"]
    monkeypatch.setattr(sys, "argv", ["sim_to_real", *sizes, "--out", str(tmp_path)])
    import sim_to_real

    from ss_trainers import TrainingConfig

    small = {"groups_per_iteration": 1, "group_size": 2, "eval_episodes": 2, "max_new_tokens": 8}
    monkeypatch.setattr("ss_trainers.TrainingConfig", lambda **settings: TrainingConfig(**{**settings, **small}))
    sim_to_real.main()
    told = capsys.readouterr().out
    assert "noise" in told and "after" in told and "success of the last iteration" in told
    for name in ("customers.npz", "gap-before.html", "gap-after.html", "training/checkpoint/population.json"):
        assert (tmp_path / name).exists(), name


def test_the_study_runs_its_cells_and_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shorten(monkeypatch, "StateSet/Exchange-v0", "StateSet/Cancel-v0", "StateSet/Warranty-v0")
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    import continual_study as study

    small = {
        "iterations": 4,
        "warmup_iterations": 0,
        "groups_per_iteration": 1,
        "eval_episodes": 1,
        "max_new_tokens": 8,
    }
    monkeypatch.setattr(study, "TRAINING", study.TRAINING | small)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "continual.json")
    study.main(["--only", "replay/0", "joint/0"])
    cells = study.read()
    assert [len(cells[name]["rows"]) for name in ("joint/0", "replay/0")] == [1, 4]
    capsys.readouterr()
    study.main(["--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| replay", "| joint"]
    assert study.interval([0.1, 0.2, 0.3]) == "0.200 ± 0.248"
