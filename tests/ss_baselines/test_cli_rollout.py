"""``stateset-agents rollout``: the file it writes, how it is interrupted, and how it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from ss_gym.agents.backends import StubBackend
from ss_gym.agents.checkpoint import write_manifest
from ss_gym.agents.config import AgentConfig
from ss_gym.wrappers import read_trajectories
from ss_trainers.backends.huggingface import HuggingFaceBackend
from tests.ss_baselines.interruption import press
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register


def rollout(out: Path, *words: str, agent: str = "stub://demo", episodes: int = 12) -> Result:
    sizes = ["--episodes", str(episodes), "--batch", "3"]
    return invoke("rollout", "--env", register(), "--agent", agent, *sizes, "--out", str(out), *words)


def test_the_episodes_of_a_split_are_written_and_summed_up(tmp_path: Path) -> None:
    out = tmp_path / "new" / "episodes.jsonl"
    result = invoke("rollout", "--agent", "reference", "--split", "dev", "--episodes", "5", "--out", str(out))
    assert result.exit_code == 0, result.output
    episodes = list(read_trajectories(out))
    assert [episode.scenario_id for episode in episodes] == [f"refund/dev/{number:04d}" for number in range(5)]
    table = dict(line.strip("│ ").split(" │ ") for line in result.stdout.splitlines() if " │ " in line)
    table = {name.strip(): value.strip() for name, value in table.items()}
    assert table["episodes"] == "5" and table["success"] == "1.000" and table["sampled tokens"] == "-"
    assert table["steps"] == f"{sum(len(episode.actions) for episode in episodes) / 5:.2f}"
    assert "5/5" in result.stderr and str(out) in result.stderr
    assert list(out.parent.iterdir()) == [out]


def test_ctrl_c_keeps_what_is_done_and_resume_makes_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rollout(tmp_path / "whole.jsonl").exit_code == 0
    out = tmp_path / "parts.jsonl"
    press(monkeypatch, StubBackend, "generate", 4)  # three lanes, two steps an episode: three episodes are done
    stopped = rollout(out)
    assert stopped.exit_code == 130
    told = " ".join(stopped.stderr.split())
    assert f"3 of 12 episodes are in '{out}.partial'" in told and "--resume" in told
    assert told.endswith("stopped") and "Traceback" not in stopped.output
    assert not out.exists()
    assert len(list(read_trajectories(f"{out}.partial"))) == 3
    assert_one_line_error(rollout(out), "was stopped", "--resume", "delete it")
    press(monkeypatch, StubBackend, "generate", 1)  # nothing new: what was there stays
    assert rollout(out, "--resume").exit_code == 130
    assert rollout(out, "--resume").exit_code == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.jsonl", "whole.jsonl"]
    assert_one_line_error(rollout(out), "is there already", "choose another file")
    assert_one_line_error(rollout(out, "--resume"), "no run to go on with", "is complete")


def test_ctrl_c_before_the_first_episode_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    press(monkeypatch, StubBackend, "generate", 1)
    assert rollout(tmp_path / "episodes.jsonl").exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [1, 0, 40])
def test_after_a_kill_a_line_that_was_cut_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    assert rollout(tmp_path / "whole.jsonl").exit_code == 0
    whole = (tmp_path / "whole.jsonl").read_bytes()
    out, partial = tmp_path / "parts.jsonl", tmp_path / "parts.jsonl.partial"
    press(monkeypatch, StubBackend, "generate", 4)
    assert rollout(out).exit_code == 130
    lines = partial.read_bytes().splitlines(keepends=True)
    partial.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) - 1 if left == 1 else left])
    result = rollout(out, "--resume")
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == whole


def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "episodes.jsonl"
    press(monkeypatch, StubBackend, "generate", 4)
    assert rollout(out).exit_code == 130
    kept = Path(f"{out}.partial").read_bytes()
    for words, fragments in (
        (("--seed", "5"), ("seed differs", "0, not 5", "ask for the same")),
        (("--episodes", "20"), ("episodes differs", "12, not 20")),
        (("--attempts", "2"), ("attempts differs",)),
        (("--temperature", "0.5"), ("temperature differs", "None, not 0.5")),
    ):
        assert_one_line_error(rollout(out, "--resume", *words), *fragments)
    assert_one_line_error(rollout(out, "--resume", agent="stub://other"), "agent differs")
    (tmp_path / "episodes.jsonl.settings.json").write_text("{", encoding="utf-8")
    assert_one_line_error(rollout(out, "--resume"), "can't be read", "begin anew")
    assert Path(f"{out}.partial").read_bytes() == kept


def test_an_error_on_the_way_keeps_what_is_done_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, calls = StubBackend.generate, iter(range(100))

    def failing(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise OSError("the server is gone")
        return generate(*arguments)

    monkeypatch.setattr(StubBackend, "generate", failing)
    result = rollout(tmp_path / "episodes.jsonl")
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert "3 of 12 episodes are in" in told and told.endswith("error: the server is gone")


def test_a_checkpoint_that_has_changed_is_another_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = save_tiny(tmp_path / "model"), tmp_path / "episodes.jsonl"
    write_manifest(model, AgentConfig(str(model), max_new_tokens=4), {})
    press(monkeypatch, HuggingFaceBackend, "generate", 4)
    assert rollout(out, "--attempts", "2", agent=str(model), episodes=3).exit_code == 130
    (first, *_) = read_trajectories(f"{out}.partial")
    assert first.tokens is not None and first.tokens.logprobs[0]
    write_manifest(model, AgentConfig(str(model), max_new_tokens=4), {"iteration": 7})
    assert_one_line_error(
        rollout(out, "--attempts", "2", "--resume", agent=str(model), episodes=3), "the checkpoint has changed"
    )
    write_manifest(model, AgentConfig(str(model), max_new_tokens=4), {})
    result = rollout(out, "--attempts", "2", "--resume", agent=str(model), episodes=3)
    assert result.exit_code == 0, result.output
    assert len(list(read_trajectories(out))) == 6


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["--agent", "reference"], ["--out"]),
        (["--out", "x.jsonl"], ["--agent"]),
        (["--agent", "refrence", "--out", "x.jsonl"], ["refrence", "reference"]),
        (["--agent", "reference", "--out", "x.jsonl", "--split", "devv"], ["devv"]),
        (["--agent", "reference", "--out", "x.jsonl", "--split", "dev", "--episodes", "601"], ["dev has 600"]),
        (["--agent", "reference", "--out", "x.jsonl", "--attempts", "4"], ["would all be the same"]),
        (["--agent", "tiny", "--out", "x.jsonl", "--attempts", "4", "--temperature", "0"], ["would all be the same"]),
        (["--agent", "reference", "--out", "x.jsonl", "--resume"], ["no run to go on with", "leave out --resume"]),
        (["--agent", "reference", "--out", "."], ["is a folder"]),
        (["--agent", "reference", "--out", "/proc/x/e.jsonl"], ["cannot be written"]),
        (["--agent", "reference", "--out", "x.jsonl", "--env", "CartPole-v1"], ["no text environment"]),
    ],
)
def test_a_rollout_that_can_not_be_is_one_line_and_leaves_nothing(
    words: list[str], fragments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line_error(invoke("rollout", *words), *fragments)
    assert list(tmp_path.iterdir()) == []
