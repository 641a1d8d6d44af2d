"""Shaping telescopes, penalties are for turns, and both are terms of the reward."""

from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.wrappers import PotentialShaping, RewardWrapper, TurnPenalty, WeightedReward
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, REFUND, characters

TEXTS = st.sampled_from(["Your e-mail, please?", LOOK_UP, "<tool_call>{", "", "I have refunded it."])


def played(env: gym.Env[Any, Any], said: list[str], seed: int = 3) -> list[tuple[Any, ...]]:
    env.reset(seed=seed)
    steps = []
    for text in [*said, CLOSE]:
        steps.append(env.step(text))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.integers(0, 50), st.sampled_from([3, 40]))
def test_shaping_sums_to_minus_the_first_potential(said: list[str], seed: int, max_steps: int) -> None:
    env = PotentialShaping(gym.make(REFUND, max_steps=max_steps), characters)
    env.reset(seed=seed)
    first = characters(env)
    steps = played(env, said, seed)
    assert steps[-1][2] or steps[-1][3]  # both ends are seen
    shaping = [step[4]["reward_terms"]["shaping"] for step in steps]
    assert sum(shaping) == pytest.approx(-first)
    assert steps[-1][4]["episode_terms"]["shaping"] == pytest.approx(-first)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.floats(0, 1))
def test_the_discounted_sum_is_minus_the_first_potential_at_any_discount(said: list[str], gamma: float) -> None:
    env = PotentialShaping(gym.make(REFUND), characters, gamma)
    env.reset(seed=3)
    first = characters(env)
    shaping = [step[4]["reward_terms"]["shaping"] for step in played(env, said)]
    assert sum(gamma**time * term for time, term in enumerate(shaping)) == pytest.approx(-first)


class Staircase(gym.Env[int, int]):
    """One step up at each action; ends on the third."""

    observation_space = gym.spaces.Discrete(4)
    action_space = gym.spaces.Discrete(1)
    truncates = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.height = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.height += 1
        ended = self.height == 3
        return self.height, 0.0, ended and not self.truncates, ended and self.truncates, {}

    def progress(self) -> float:
        return (1 + self.height) / 4


@pytest.mark.parametrize("truncates", [False, True])
def test_the_default_is_half_of_the_progress_and_nothing_at_the_end(truncates: bool) -> None:
    stairs = Staircase()
    stairs.truncates = truncates
    env = PotentialShaping(stairs, gamma=0.5)
    env.reset(seed=1)
    # Φ = 1/8, 2/8, 3/8 and then 0: F = 1/2 · 2/8 − 1/8, 1/2 · 3/8 − 2/8, 0 − 3/8.
    assert [env.step(0)[1] for _ in range(3)] == [0.0, -0.0625, -0.375]


def test_the_progress_of_customer_service_shapes_by_default() -> None:
    plain = gym.make(REFUND)
    if not hasattr(plain.unwrapped, "progress"):
        pytest.skip("this environment has no progress() yet")
    plain.reset(seed=3)
    first = 0.5 * plain.unwrapped.progress()
    steps = played(PotentialShaping(plain), ["Your e-mail, please?", LOOK_UP])
    assert sum(step[4]["reward_terms"]["shaping"] for step in steps) == pytest.approx(-first)


def test_shaping_is_a_term_that_sums_with_the_others_and_leaves_success() -> None:
    said = ["Your e-mail, please?", "<tool_call>{", LOOK_UP]
    plain, shaped = played(gym.make(REFUND), said), played(PotentialShaping(gym.make(REFUND), characters), said)
    for before, after in zip(plain, shaped, strict=True):
        assert sum(after[4]["reward_terms"].values()) == pytest.approx(after[1])
        assert after[1] == pytest.approx(before[1] + after[4]["reward_terms"]["shaping"])
        rest = {name: value for name, value in after[4]["reward_terms"].items() if name != "shaping"}
        assert rest == before[4]["reward_terms"]
    last = shaped[-1][4]
    assert (last["success"], last["audit"]) == (plain[-1][4]["success"], plain[-1][4]["audit"])
    assert sum(last["episode_terms"].values()) == pytest.approx(sum(step[1] for step in shaped))
    off = WeightedReward(PotentialShaping(gym.make(REFUND), characters), {"shaping": 0.0})
    assert [step[1] for step in played(off, said)] == pytest.approx([step[1] for step in plain])


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan"), True, "1"])
def test_a_discount_that_is_none_is_refused(gamma: Any) -> None:
    with pytest.raises(ValueError, match=r"gamma must be a number in \[0, 1\]"):
        PotentialShaping(gym.make(REFUND), characters, gamma)


def test_wrong_potentials_are_told() -> None:
    with pytest.raises(TypeError, match=r"CartPoleEnv has no progress\(\): pass potential="):
        PotentialShaping(gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match="a potential is a function of the environment"):
        PotentialShaping(gym.make(REFUND), 0.5)  # type: ignore[arg-type]
    for value in (float("nan"), float("inf"), "high", None):
        with pytest.raises(ValueError, match="a potential must be a finite number"):
            PotentialShaping(gym.make(REFUND), lambda env, value=value: value).reset(seed=1)  # type: ignore[misc]


def test_a_term_is_not_added_twice() -> None:
    with pytest.raises(ValueError, match="a reward term 'shaping' already"):
        PotentialShaping(PotentialShaping(gym.make(REFUND), characters), characters)
    with pytest.raises(ValueError, match="a reward term 'turn_penalty' already"):
        TurnPenalty(RewardWrapper(TurnPenalty(gym.make(REFUND)), lambda turns, context: 0.0))
    silent = PotentialShaping(PotentialShaping(Staircase()))  # it does not tell its terms
    silent.reset(seed=1)
    with pytest.raises(ValueError, match="a reward term 'shaping' already"):
        silent.step(0)


def test_turns_beyond_the_free_ones_cost_and_tools_do_not() -> None:
    said = ["Your e-mail, please?", LOOK_UP, "One moment.", "<tool_call>{", "", "And your name?"]
    plain = played(gym.make(REFUND), said)
    paid = played(TurnPenalty(gym.make(REFUND), 0.25, free_turns=1), said)
    # The first turn is free; a tool, a broken call and the closing tool are no turns, silence is one.
    costs = [0.0, 0.0, -0.25, 0.0, -0.25, -0.25, 0.0][: len(paid)]
    assert [after[1] - before[1] for before, after in zip(plain, paid, strict=True)] == pytest.approx(costs)
    for (*_, info), cost in zip(paid, costs, strict=True):
        assert info["reward_terms"].get("turn_penalty", 0.0) == cost
    assert paid[-1][4]["episode_terms"]["turn_penalty"] == pytest.approx(sum(costs))
    assert paid[-1][4]["success"] == plain[-1][4]["success"]


def test_nothing_is_said_of_a_penalty_that_was_not_paid() -> None:
    steps = played(TurnPenalty(gym.make(REFUND), free_turns=5), ["Your e-mail, please?"])
    assert all("turn_penalty" not in info["reward_terms"] for *_, info in steps)
    assert "turn_penalty" not in steps[-1][4]["episode_terms"]


@pytest.mark.parametrize(
    "settings", [{"penalty": -1}, {"penalty": float("nan")}, {"penalty": True}, {"free_turns": -1}, {"free_turns": 1.5}]
)
def test_wrong_penalties_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        TurnPenalty(gym.make(REFUND), **settings)


def test_terms_are_told_to_the_wrappers_outside() -> None:
    known = gym.make(REFUND).unwrapped.term_names  # type: ignore[attr-defined]
    assert PotentialShaping(TurnPenalty(gym.make(REFUND)), characters).term_names == known | {"shaping", "turn_penalty"}
    assert PotentialShaping(Staircase()).term_names == frozenset()
