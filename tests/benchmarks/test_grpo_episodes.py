"""The comparison with TRL on whole episodes runs, with a small model; TRL's part where it is installed."""

import json
import sys
from importlib.util import find_spec

import pytest
from rich.console import Console

from tests.benchmarks.grpo import episodes, our_episodes
from tests.benchmarks.grpo.episode_setting import EpisodeSetting, make_model

SMALL = {"scripted": True, "completion": 2, "scenarios": 1, "group": 2, "steps": 1}


def test_our_steps_are_measured(tmp_path, monkeypatch, capsys) -> None:
    setting = EpisodeSetting(folder=str(tmp_path / "model"), **SMALL)
    make_model(setting, width=32, layers=1)
    setting.save(tmp_path / "setting.json")
    # In this process, which has torch already: that it runs in one of its own is tested with a step.
    monkeypatch.setattr(sys, "argv", ["our_episodes", str(tmp_path / "setting.json")])
    our_episodes.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["episodes"] == 2 and found["replies"] >= 4
    assert found["replies"] <= found["tokens"] <= 2 * found["replies"]
    assert found["groups_left_out"] == 0
    assert found["read_and_written"] > 2 * 2_000
    assert found["step"] == pytest.approx(found["sampling"] + found["training"]) and found["sampling"] > 0


def test_both_play_the_same_scenarios(tmp_path) -> None:
    if find_spec("trl") is None:
        pytest.skip("needs the extra trl")
    case = episodes.compared("width 256, the reference agent acts", 1, sys.executable, tmp_path, **SMALL)
    assert case["trl"]["replies"] == case["ours"]["replies"]
    assert case["trl"]["step"] > case["trl"]["sampling"] > 0


def test_the_table_has_both_and_their_ratio() -> None:
    one = {"step": 4.0, "sampling": 3.0, "training": 1.0, "peak_mb": 900.0}
    one |= {"episodes": 4.0, "replies": 20.0, "tokens": 400.0, "read_and_written": 9_000.0}
    case = {"trl": {**one, "step": 12.0}, "ours": one}
    with (console := Console(width=140)).capture() as captured:
        console.print(episodes.table({"small": case}))
    assert "3.0 ×" in captured.get() and "2,250" in captured.get()


def test_the_reference_agent_acts_in_the_place_of_a_model() -> None:
    setting = EpisodeSetting(folder="", scripted=True)
    lengths = []
    for word in ("noise", "other noise"):
        env, ended, steps = setting.environment(), False, 0
        env.reset(seed=setting.seeds()[0])
        while not ended:
            _, _, terminated, truncated, info = env.step(word)
            ended, steps = terminated or truncated, steps + 1
        assert info["success"]
        lengths.append(steps)
    assert lengths[0] == lengths[1] > 2
