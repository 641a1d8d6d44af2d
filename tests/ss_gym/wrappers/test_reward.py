"""The weighted reward counts the terms that it is told to, and is rebuilt from its spec."""

from typing import Any

import gymnasium as gym
import pytest

from ss_gym.wrappers import WeightedReward

REFUND_AT_ONCE = (
    '<tool_call>{"name":"issue_refund","arguments":{"order_id":"1","item_ids":["1-1"],"amount":"1.00",'
    '"payment_id":"1-P1","reason":"changed_mind"}}</tool_call>'
)
CLOSE = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'


def play(env: gym.Env[str, str]) -> tuple[list[float], list[dict[str, float]]]:
    env.reset(seed=3)
    rewards, terms = [], []
    for action in (REFUND_AT_ONCE, CLOSE):
        _, reward, _, _, info = env.step(action)
        rewards.append(float(reward))
        terms.append(info["reward_terms"])
    return rewards, terms


def test_terms_are_weighted_by_name_and_the_rest_by_default() -> None:
    plain, terms = play(gym.make("StateSet/Refund-v0"))
    assert terms == [{"tool_error": -0.02}, {"no_outcome": -0.3}]
    assert plain == [-0.02, -0.3]
    weighted, same = play(WeightedReward(gym.make("StateSet/Refund-v0"), {"tool_error": 10.0}, default=0.5))
    assert weighted == pytest.approx([-0.2, -0.15])
    assert same == terms


def test_it_is_rebuilt_from_its_spec() -> None:
    env = WeightedReward(gym.make("StateSet/Refund-v0", prompt="compact"), {"success": 1.0}, default=0.0)
    again = gym.make(env.spec, disable_env_checker=True)
    assert play(again) == play(env)
    assert again.unwrapped.prompt == "compact"


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True, "1", None])
def test_a_weight_that_is_no_number_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight of 'success' must be a finite number"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {"success": weight})
    with pytest.raises(ValueError, match="weight of 'default' must be a finite number"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {}, default=weight)


def test_a_term_that_the_environment_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no reward term 'sucess'; did you mean 'success'"):
        WeightedReward(gym.make("StateSet/Refund-v0"), {"sucess": 1.0})


def test_every_term_of_an_episode_is_among_those_that_the_environment_tells() -> None:
    env = gym.make("StateSet/Refund-v0")
    _, terms = play(env)
    assert {name for step in terms for name in step} <= env.unwrapped.term_names  # type: ignore[attr-defined]
