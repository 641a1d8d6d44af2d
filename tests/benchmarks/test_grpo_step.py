"""The comparison with TRL runs, with a small model; TRL's part where it is installed."""

import sys
from importlib.util import find_spec

import pytest
from rich.console import Console

from tests.benchmarks.grpo import run
from tests.benchmarks.grpo.setting import Setting, make_model

SMALL = {"vocabulary": 60, "policy": 20, "question": 4, "completion": 5, "prompts": 2, "group": 2, "steps": 1}


def test_our_steps_are_measured(tmp_path) -> None:
    setting = Setting(folder=str(tmp_path / "model"), width=32, layers=1, **SMALL)
    make_model(setting)
    setting.save(tmp_path / "setting.json")
    found = run.measured("ours", tmp_path / "setting.json", sys.executable)
    assert 4 <= found["tokens"] <= 20
    assert found["step"] == pytest.approx(found["sampling"] + found["training"]) and found["sampling"] > 0


def test_both_are_compared(tmp_path) -> None:
    if find_spec("trl") is None:
        pytest.skip("needs the extra trl")
    case = run.compared("no policy, vocabulary 8,192", 1, sys.executable, tmp_path, **SMALL, width=32, layers=1)
    assert case["trl"]["tokens"] > 0 and case["trl"]["step"] > case["trl"]["sampling"] > 0
    with (console := Console(width=120)).capture() as captured:
        console.print(run.table({"small": case}))
    assert "ratio" in captured.get()


def test_a_process_that_fails_is_told(tmp_path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho $3 is missing >&2\nexit 3\n")
    python.chmod(0o700)
    with pytest.raises(RuntimeError, match=r"ours failed: .*nowhere is missing"):
        run.measured("ours", tmp_path / "nowhere", str(python))
