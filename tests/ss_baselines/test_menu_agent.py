"""A policy over a menu plays the text environment as it plays the Discrete id."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.agents.menu import MenuAgent, MostLikely
from ss_baselines.agents.sb3 import load_sb3
from ss_baselines.evaluate import evaluate
from tests.ss_baselines.invocation import assert_one_line_error, invoke


class Sums:
    """A choice that follows from all that was seen, available or not."""

    def __init__(self) -> None:
        self.seen = 0.0

    def __call__(self, features: Any, mask: Any) -> int:
        self.seen += float(features.sum()) + float(mask.sum())
        return int(self.seen * 7) % len(mask)


@pytest.mark.parametrize("family", ["Refund", "Warranty"])
def test_episodes_are_those_of_the_discrete_id(family: str) -> None:
    played = evaluate(
        MenuAgent(lambda family: Sums()), f"StateSet/{family}-v0", "dev", episodes=12, env_kwargs={"prompt": "compact"}
    )
    env = gym.make(f"StateSet/{family}Discrete-v0", shaping=0)
    for record in played.episodes:
        observation, info = env.reset(options={"scenario_id": record.scenario_id})
        chooser, reward, ended = Sums(), 0.0, False
        while not ended:
            observation, step, terminated, truncated, info = env.step(chooser(observation, env.action_masks()))
            reward += float(step)
            ended = terminated or truncated
        assert (reward, info["success"], info["step"]) == (record.reward, record.success, record.steps)


def test_models_are_asked_for_their_likeliest_choice_with_what_they_remember() -> None:
    asked: list[dict[str, Any]] = []

    class Model:  # Stable-Baselines3 itself is in an environment of its own: make test-interop
        def predict(self, features: Any, **given: Any) -> tuple[Any, Any]:
            asked.append(given)
            return np.array(3), len(asked)

    chooser = MostLikely(Model(), masked=True)
    mask = np.ones(5, dtype=bool)
    assert [chooser(np.zeros(2, np.float32), mask) for _ in range(2)] == [3, 3]
    assert [(given["state"], bool(given["episode_start"][0])) for given in asked] == [(None, True), (1, False)]
    assert all(given["deterministic"] and given["action_masks"] is mask for given in asked)


def test_what_names_no_model_is_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'ppo'"):
        load_sb3("sb3://pppo/x.zip")
    with pytest.raises(FileNotFoundError, match=r"no model .x\.zip."):
        load_sb3("sb3://ppo/x.zip")
    assert_one_line_error(invoke("evaluate", "--agent", "sb3://ppo/x.zip"), "no model 'x.zip'")
