"""An episode as the environment plays it by itself: what every adapter's must be, byte for byte."""

from typing import Any, NamedTuple

import gymnasium as gym

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.agents.reference import ReferenceAgent

REFUND, RETAIL = "StateSet/Refund-v0", "StateSet/Retail-v0"


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
