"""Options are drawn before each reset, follow from its seed, and give way to those of the caller."""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.vector import TextVectorEnv
from ss_gym.wrappers import DomainRandomization
from tests.ss_gym.wrappers.samples import REFUND, anybody


def drawn(env: gym.Env[Any, Any], **keywords: Any) -> dict[str, Any]:
    options: dict[str, Any] = env.reset(**keywords)[1]["drawn_options"]
    return options


def test_the_draw_follows_from_the_seed() -> None:
    env, other = DomainRandomization(gym.make(REFUND), anybody), DomainRandomization(gym.make(REFUND), anybody)
    sequence = [drawn(env, seed=4), drawn(env), drawn(env)]
    assert [drawn(other, seed=4), drawn(other), drawn(other)] == sequence
    assert len({options["user_seed"] for options in sequence}) == 3
    assert drawn(env, seed=5) != sequence[0]
    # Attempts of one group share the seed, and so the domain and the scenario.
    first, again = env.reset(seed=4), other.reset(seed=4)
    assert first == again


def test_the_environment_gets_what_was_drawn_under_what_is_given() -> None:
    plain = gym.make(REFUND)

    def somewhere(rng: np.random.Generator) -> dict[str, Any]:
        return {"user_seed": int(rng.integers(1000)), "split": "dev"}

    env = DomainRandomization(gym.make(REFUND), somewhere)
    observation, info = env.reset(seed=4)
    assert info["scenario_id"].startswith("refund/dev/")
    assert plain.reset(seed=4, options=info["drawn_options"])[0] == observation
    observation, info = env.reset(seed=4, options={"user_seed": 7, "scenario_id": "refund/test/0001"})
    assert info["scenario_id"] == "refund/test/0001" and info["drawn_options"] == {"split": "dev"}
    assert plain.reset(options={"user_seed": 7, "scenario_id": "refund/test/0001"})[0] == observation


def test_the_generator_goes_on_in_a_copy() -> None:
    env = DomainRandomization(gym.make(REFUND), anybody)
    env.reset(seed=4)
    other = pickle.loads(pickle.dumps(env))
    assert [drawn(other), drawn(other)] == [drawn(env), drawn(env)]


def test_it_goes_into_batches() -> None:
    envs = TextVectorEnv([lambda: DomainRandomization(gym.make(REFUND), anybody)] * 3)
    _, infos = envs.reset(seed=[1, 1, 2])
    seeds = infos["drawn_options"]["user_seed"]
    assert seeds[0] == seeds[1] != seeds[2]


def test_wrong_samplers_and_what_they_give_are_told() -> None:
    with pytest.raises(TypeError, match="sample must be a function from a generator"):
        DomainRandomization(gym.make(REFUND), {"user_seed": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sample must give a mapping of reset options, got int"):
        DomainRandomization(gym.make(REFUND), lambda rng: 3).reset(seed=1)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="unknown reset option 'user_sed'; did you mean 'user_seed'"):
        DomainRandomization(gym.make(REFUND), lambda rng: {"user_sed": 1}).reset(seed=1)
