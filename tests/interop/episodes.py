"""Episodes as the environments play them by themselves: what every adapter's must be, byte for byte."""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.agents.reference import ReferenceAgent

REFUND, RETAIL = "StateSet/Refund-v0", "StateSet/Retail-v0"
REFUND_MENU, EXCHANGE_MENU = "StateSet/RefundDiscrete-v0", "StateSet/ExchangeDiscrete-v0"


class Episode(NamedTuple):
    """What was done and what came back.

    Attributes:
        opening: the first observation.
        prompt: the system prompt.
        actions: of the reference agent.
        steps: observation, reward, and the two ends of each step.
        messages: that came back after each action, its own left out.
        success: of the episode.
    """

    opening: str
    prompt: str
    actions: list[str]
    steps: list[tuple[str, float, bool, bool]]
    messages: list[list[dict[str, Any]]]
    success: bool


class NumericEpisode(NamedTuple):
    """What was chosen from a menu and what came back.

    Attributes:
        observations: features, before the first choice and after each.
        masks: what was available, likewise.
        actions: numbers of choices, drawn from all.
        steps: reward, and the two ends of each step.
        success: of the episode.
    """

    observations: list[np.ndarray]
    masks: list[np.ndarray]
    actions: list[int]
    steps: list[tuple[float, bool, bool]]
    success: bool


def native(env_id: str, seed: int, **kwargs: Any) -> Episode:
    """An episode of the reference agent."""
    env = gym.make(env_id, **kwargs)
    opening, info = env.reset(seed=seed)
    prompt = info["system_prompt"]
    conversation = [{"role": "system", "content": prompt}, *info["messages"]]
    agent, actions, steps, messages = ReferenceAgent(), [], [], []
    ended = False
    while not ended:
        actions.append(agent.act([conversation])[0].text)
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        steps.append((observation, float(reward), terminated, truncated))
        messages.append(info["messages"][1:])
        conversation += info["messages"]
        ended = terminated or truncated
    return Episode(opening, prompt, actions, steps, messages, info["success"])


def native_choices(env_id: str, seed: int, **kwargs: Any) -> NumericEpisode:
    """An episode of random choices."""
    env, rng = gym.make(env_id, **kwargs), np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    observations, masks, actions, steps = [observation], [info["action_mask"]], [], []
    ended = False
    while not ended:
        actions.append(int(rng.integers(env.action_space.n)))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        observations.append(observation)
        masks.append(info["action_mask"])
        steps.append((float(reward), terminated, truncated))
        ended = terminated or truncated
    return NumericEpisode(observations, masks, actions, steps, info["success"])
