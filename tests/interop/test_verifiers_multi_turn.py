"""Environments in verifiers up to 0.1."""

import asyncio

import pytest

from tests.interop.episodes import REFUND, RETAIL, native
from tests.interop.scripted_model import served

vf = pytest.importorskip("verifiers", reason="verifiers is in an environment of its own: make test-interop")
if not hasattr(vf, "MultiTurnEnv"):
    pytest.skip("this verifiers is a newer one", allow_module_level=True)

from verifiers.types import ClientConfig  # noqa: E402

MODULE = "ss_gym.interop.verifiers_multi_turn"


def played(env, address, episodes):
    client = ClientConfig(api_base_url=address, api_key_var="NO_KEY")
    return asyncio.run(
        env.evaluate(client, "scripted", num_examples=episodes, on_progress=[], state_columns=["rewards", "success"])
    )["outputs"]


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id) -> None:
    env = vf.load_environment(MODULE, environment=env_id, eval_split="", episodes=1, eval_episodes=8)
    expected = [native(env_id, seed) for seed in range(8)]
    with served(expected) as (address, asked):
        outputs = sorted(played(env, address, 8), key=lambda output: output["example_id"])
    heard = {(each[0]["content"], each[1]["content"]): each for each in sorted(asked, key=len)}
    for output, ours in zip(outputs, expected, strict=True):
        assert output["error"] is None
        turns = [text for action, step in zip(ours.actions, ours.steps, strict=True) for text in (action, step[0])]
        assert [each["content"] for each in output["prompt"]] == [ours.prompt, ours.opening]
        assert [each["content"] for each in output["completion"]] == turns
        whole = [ours.prompt, ours.opening, *turns[:-2]]
        assert [each["content"] for each in heard[ours.prompt, ours.opening]] == whole
        assert output["rewards"] == [step[1] for step in ours.steps]
        assert output["reward"] == sum(step[1] for step in ours.steps)
        assert output["success"] == ours.success and output["metrics"]["steps"] == len(ours.actions)
    assert not env._playing


def test_rows_are_the_scenarios_of_splits() -> None:
    env = vf.load_environment(MODULE, split="train", episodes=3, eval_episodes=2, prompt="compact")
    assert env.get_dataset()["name"] == ["refund/train/0000", "refund/train/0001", "refund/train/0002"]
    assert env.get_eval_dataset()["name"] == ["refund/dev/0000", "refund/dev/0001"]
    assert isinstance(env, vf.MultiTurnEnv) and len(env.get_dataset()[0]["prompt"][0]["content"]) < 500
