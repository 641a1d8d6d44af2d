"""Environments in verifiers."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.episodes import REFUND, RETAIL, native
from tests.interop.scripted_model import served

# Older ones have a ``verifiers.v1`` as well, without this.
pytest.importorskip("verifiers.v1.dialects", reason="verifiers is in an environment of its own: make test-interop")

import verifiers.v1 as vf

from ss_gym.interop.verifiers import TASKSET, ConversationEnv, load_environment

PAGE = Path(__file__).parents[2] / "docs" / "pages"


def played(env, tasks, address, **sampling):
    """Episodes of tasks, all at once, by a model at an address."""
    client = vf.EvalClientConfig(base_url=address, api_key_var="NO_KEY")
    context = vf.ModelContext(model="scripted", client=client, sampling=vf.SamplingConfig(**sampling))

    async def together():
        async with env.serving():
            return await asyncio.gather(*(env.run_episode(task, context) for task in tasks))

    return asyncio.run(together())


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    env, expected = load_environment(env_id), [native(env_id, seed) for seed in range(8)]
    with served(expected) as (address, asked):
        episodes = played(env, env.taskset.take(8), address)
    longest = {(each[0]["content"], each[1]["content"]): each for each in sorted(asked, key=len)}
    for seed, (episode, ours) in enumerate(zip(episodes, expected, strict=True)):
        assert episode.ok and not episode.errors and episode.task.key == f"{env_id}:seed-{seed}"
        (trace,) = episode.traces
        said = [message.content for message in trace.branches[-1].messages]
        observed = [ours.opening, *(step[0] for step in ours.steps[:-1])]
        turns = [text for pair in zip(observed, ours.actions, strict=True) for text in pair]
        assert said == [ours.prompt, *turns]
        assert [each["content"] for each in longest[ours.prompt, ours.opening]] == [ours.prompt, *turns[:-1]]
        total = 0.0
        for step in ours.steps:
            total += step[1]
        assert trace.reward == total and trace.metrics["success"] == ours.success
        assert trace.metrics["steps"] == len(ours.actions)


def test_the_scenarios_of_a_split_are_tasks() -> None:
    env = load_environment(REFUND, split="dev", prompt="compact")
    tasks = list(env.taskset.take(3))
    assert [task.data.id for task in tasks] == [f"refund/dev/{number:04d}" for number in range(3)]
    assert env.taskset.bounded and not load_environment(REFUND).taskset.bounded
    assert [task.data.idx for task in env.taskset.shuffle(seed=1).take(2)] != [0, 1]
    assert len({task.key for task in tasks}) == 3
    with pytest.raises(ValueError, match="has no scenarios"):
        next(iter(load_environment("StateSet/Conversation-v0", split="dev").taskset))


def test_a_conversation_that_is_cut_short_keeps_what_it_earned() -> None:
    ours = native(REFUND, 0)
    config = {"taskset": {"id": TASKSET, "environment": REFUND}, "player": {"max_turns": 2}}
    env = vf.load_environment(vf.resolve_env_config(config))
    assert isinstance(env, ConversationEnv)
    with served([ours]) as (address, asked):
        ((trace,),) = (episode.traces for episode in played(env, env.taskset.take(1), address))
    assert len(asked) == 2 and trace.metrics["steps"] == 2 and trace.metrics["success"] == 0
    assert trace.reward == ours.steps[0][1] + ours.steps[1][1]


@pytest.fixture
def run(tmp_path):
    """Runs a command of verifiers where it finds the module that the page on other libraries tells of; its results."""
    told = (PAGE / "other-libraries.md").read_text(encoding="utf-8").partition("as `stateset_gym.py`:\n\n```\n")[2]
    (tmp_path / "stateset_gym.py").write_text(told.partition("```")[0])

    def ran(command, *options):
        path = Path(sys.executable).parent / command
        whole = [path, "stateset-gym", *options, "--output-dir", tmp_path / "out"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NO_KEY": ""}
        done = subprocess.run(whole, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        return [path for path in (tmp_path / "out").rglob("*.jsonl")]

    return ran


def test_its_own_validation_finds_nothing(run) -> None:
    options = ("--taskset.environment", REFUND, "--taskset.split", "test", "--select.limit", "5")
    (results,) = run("vf-validate", *options, "--runtime.type", "subprocess", "--rich", "false")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(row["name"] for row in rows) == [f"refund/test/{number:04d}" for number in range(5)]
    # There is nothing to score where no agent has played.
    assert {(row["gold"]["reason"], row["noop"]["reason"], row["error"]) for row in rows} == {
        ("valid", "unchecked", None)
    }


def test_its_own_evaluation_plays_the_episodes(run) -> None:
    expected = [native(RETAIL, seed) for seed in range(3)]
    options = ("--env.taskset.environment", RETAIL, "--select.limit", "3", "--model", "scripted", "--push", "false")
    with served(expected) as (address, _):
        found = run("vf-eval", *options, "--client.base-url", address, "--client.api-key-var", "NO_KEY")
    (results,) = (path for path in found if path.stem == "traces")
    episodes = {each["task"]["data"]["seed"]: each for each in map(json.loads, results.read_text().splitlines())}
    for seed, ours in enumerate(expected):
        (trace,) = episodes[seed]["traces"]
        observed = [ours.opening, *(step[0] for step in ours.steps[:-1])]
        turns = [text for pair in zip(observed, ours.actions, strict=True) for text in pair]
        assert [node["message"]["content"] for node in trace["nodes"]] == [ours.prompt, *turns]
        assert episodes[seed]["ok"] and trace["metrics"]["success"] == ours.success
