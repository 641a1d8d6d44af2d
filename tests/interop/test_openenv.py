"""Environments in OpenEnv, in the process and on a server."""

import json
import urllib.request

import pytest

from tests.interop.episodes import REFUND, RETAIL, native

pytest.importorskip("openenv", reason="openenv is in an environment of its own: make test-interop")

from openenv.core.generic_client import GenericEnvClient

from ss_gym.interop.openenv import OpenEnvClient, OpenEnvEnvironment, SaidAction, create_server
from ss_gym.serving.server import served


@pytest.fixture(scope="module")
def address():
    """A server of refunds."""
    with served(create_server(REFUND)) as started:
        yield started


def answered(address, path):
    with urllib.request.urlopen(f"{address}{path}", timeout=10) as reply:
        return json.load(reply)


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    env = OpenEnvEnvironment(env_id)
    for seed in range(8):
        ours = native(env_id, seed)
        seen = env.reset(seed=seed, episode_id=f"episode {seed}")
        assert (seen.text, seen.system_prompt, seen.done, seen.reward) == (ours.opening, ours.prompt, False, None)
        assert seen.tools and env.state.episode_id == f"episode {seed}"
        for action, (text, reward, terminated, truncated), came in zip(
            ours.actions, ours.steps, ours.messages, strict=True
        ):
            seen = env.step(SaidAction(text=action))
            assert (seen.text, seen.reward, seen.done) == (text, reward, terminated or truncated)
            assert seen.messages[1:] == came
            assert (seen.metadata["terminated"], seen.metadata["truncated"]) == (terminated, truncated)
        assert seen.metadata["success"] == ours.success and seen.metadata["audit"]
        assert env.state.step_count == len(ours.actions) and env.state.done
    env.close()


def test_an_episode_over_the_line_is_the_same(address) -> None:
    with OpenEnvClient(base_url=address).sync() as env:
        for seed in (3, 4):
            ours = native(REFUND, seed)
            result = env.reset(seed=seed)
            assert (result.observation.text, result.observation.system_prompt) == (ours.opening, ours.prompt)
            for action, (text, reward, *ends) in zip(ours.actions, ours.steps, strict=True):
                result = env.step(SaidAction(text=action))
                assert (result.observation.text, result.reward, result.done) == (text, reward, any(ends))
            assert result.metadata["success"] == ours.success
            assert env.state().scenario_id == result.metadata.get("scenario_id", env.state().scenario_id) != ""


def test_sessions_do_not_meet(address) -> None:
    first, second = native(REFUND, 1), native(REFUND, 2)
    with GenericEnvClient(base_url=address).sync() as one, GenericEnvClient(base_url=address).sync() as other:
        for env, seed, expected in ((one, 1, first), (other, 2, second)):
            assert env.reset(seed=seed).observation["text"] == expected.opening
        for place in range(min(len(first.actions), len(second.actions))):
            for env, expected in ((one, first), (other, second)):
                told = env.step({"text": expected.actions[place]})
                assert told.observation["text"] == expected.steps[place][0]


def test_tasks_are_scenarios(address) -> None:
    env = OpenEnvEnvironment(REFUND)
    assert env.list_splits() == ["train", "dev", "test"] and env.num_tasks("test") >= 600
    task = env.get_task("dev", 4)
    assert task["id"] == "refund/dev/0004" and env.get_task_range("dev", 3, 6)[1] == task
    chosen = env.reset(split="dev", index=4)
    assert chosen.metadata["scenario_id"] == "refund/dev/0004" == env.state.scenario_id
    assert chosen.text == env.reset(scenario_id="refund/dev/0004").text
    with pytest.raises(IndexError, match="and no number 99999999"):
        env.get_task("dev", 99_999_999)
    with pytest.raises(ValueError, match="scenario"):
        env.reset(scenario="refund/dev/0004")
    assert env.get_metadata().name == "StateSet/Refund" and env.get_metadata().version == "0"
    assert answered(address, "/health")["status"] == "healthy"
    assert set(answered(address, "/schema")["action"]["properties"]) == {"text", "metadata"}
