"""``stateset-agents submit`` and ``verify``, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import pytest
from typer.testing import Result

from ss_baselines.agents.scripted import ScriptedAgent
from ss_baselines.leaderboard import Protocol, read_manifest, verify
from ss_gym.agents import Conversation
from ss_gym.wrappers import RecordTrajectories
from tests.ss_baselines.interruption import press
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_baselines.leaderboard.played import REFUND

SIZES = ("--env", REFUND, "--pairs", "3", "--trials", "2")


def submit(out: Path, *words: str, agent: str = "rule_bot") -> Result:
    return invoke("submit", "--agent", agent, *SIZES, "--out", str(out), *words)


def test_a_scripted_agent_is_played_packed_and_verified(tmp_path: Path) -> None:
    result = submit(tmp_path / "sub")
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [tmp_path / "sub"]  # what it was made of is gone
    manifest = read_manifest(tmp_path / "sub")
    assert manifest.agent.kind == "scripted" and manifest.agent.trained_on_env is None
    assert manifest.run.command == "stateset-agents submit --agent rule_bot --out sub " + " ".join(SIZES)
    checked = invoke("verify", str(tmp_path / "sub"))
    assert checked.exit_code == 0 and "rule_bot: verified, 12 episodes" in checked.stdout
    again = submit(tmp_path / "again")
    assert again.exit_code == 0
    assert (tmp_path / "again" / "actions.jsonl.gz").read_bytes() == (
        tmp_path / "sub" / "actions.jsonl.gz"
    ).read_bytes()


def test_a_model_tells_what_it_is_and_how_it_was_sampled(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    result = invoke(
        *("submit", "--agent", "tiny", "--env", REFUND, "--pairs", "1", "--trials", "1", "--temperature", "0"),
        *("--name", "Tiny, greedy", "--cost", "0.25", "--out", str(tmp_path / "tiny")),
    )
    assert result.exit_code == 0, result.output
    told = verify(tmp_path / "tiny").manifest
    assert told.agent.name == "Tiny, greedy" and told.agent.kind == "model" and told.agent.prompt == "compact"
    assert told.agent.decoding == {"temperature": 0.0, "seed": 0} and len(told.agent.model_hash) == 64
    assert told.agent.trained_on_env is True and told.run.cost_usd == 0.25
    assert told.run.completion_tokens and told.run.prompt_tokens and told.run.prompt_tokens > told.run.completion_tokens


def test_what_tokens_cost_is_worked_out(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    words = ("--env", REFUND, "--pairs", "1", "--trials", "1", "--prices", "3", "15", "--out", str(tmp_path / "tiny"))
    assert invoke("submit", "--agent", "tiny", *words).exit_code == 0
    run = read_manifest(tmp_path / "tiny").run
    assert run.prompt_tokens and run.completion_tokens
    assert run.cost_usd == (3 * run.prompt_tokens + 15 * run.completion_tokens) / 1e6


def test_a_run_that_was_stopped_goes_on_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    press(monkeypatch, ScriptedAgent, "act", 12)
    stopped = submit(tmp_path / "sub", "--batch", "2")
    assert stopped.exit_code == 130
    assert not (tmp_path / "sub").exists() and (tmp_path / "sub.episodes").is_dir()
    monkeypatch.undo()
    assert_one_line_error(submit(tmp_path / "sub", "--batch", "2"), "go on with --resume")
    assert_one_line_error(submit(tmp_path / "sub", "--batch", "2", "--resume", agent="silent"), "agent differs")
    resumed = submit(tmp_path / "sub", "--batch", "2", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert submit(tmp_path / "whole").exit_code == 0
    for name in ("episodes.jsonl.gz", "actions.jsonl.gz"):
        assert (tmp_path / "sub" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_episodes_that_were_played_elsewhere_are_handed_in(tmp_path: Path) -> None:
    """Somebody's own loop, with the recording wrapper around the environment."""
    env = RecordTrajectories(gym.make(REFUND), tmp_path / "mine.jsonl")
    for key in Protocol((REFUND,), 3, 2):
        observation, info = env.reset(options=key.options)
        conversation, ended = Conversation.begin(observation, info), False
        while not ended:
            observation, _, terminated, truncated, info = env.step("I am sorry, that is not possible.")
            ended = terminated or truncated
    env.close()
    assert conversation
    words = ("--episodes", str(tmp_path / "mine.jsonl"), *SIZES)
    assert_one_line_error(invoke("submit", *words, "--out", str(tmp_path / "sub")), "--name")
    result = invoke("submit", *words, "--name", "Mine", "--kind", "other", "--out", str(tmp_path / "sub"))
    assert result.exit_code == 0, result.output
    assert not any(score.success for score in verify(tmp_path / "sub").scores)
    few = (*words[:2], "--env", REFUND, "--pairs", "4", "--trials", "2")
    result = invoke("submit", *few, "--name", "Mine", "--out", str(tmp_path / "other"))
    assert_one_line_error(result, "4 of 16 episodes are missing", "refund/test/0006, trial 0")
    assert not (tmp_path / "other").exists()


def test_what_is_typed_wrong_is_told_before_anything_is_played(tmp_path: Path) -> None:
    out = tmp_path / "sub"
    assert_one_line_error(invoke("submit", "--out", str(out)), "--agent", "--episodes")
    assert_one_line_error(submit(out, "--kind", "best"), "no kind of agent is called 'best'")
    assert_one_line_error(submit(out, "--cost", "inf"), "inf")
    assert_one_line_error(submit(out, "--name", "a\x1b[31m"), "agent.name")
    assert_one_line_error(submit(out, "--split", "train"), "not on 'train'")
    assert_one_line_error(submit(out, agent="rule_bt"), "did you mean 'rule_bot'")
    assert_one_line_error(
        invoke("submit", "--agent", "silent", "--env", "StateSet/Refnd-v0", "--out", str(out)), "Refnd"
    )
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert_one_line_error(submit(out), "is there already")
    assert (out / "mine.txt").read_text() == "kept" and json.dumps([str(each) for each in tmp_path.iterdir()])
