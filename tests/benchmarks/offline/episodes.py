"""Episodes that tell how good a policy is: the same for every library, in each library's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def returns(
    act: Callable[[Array], Array],
    env_id: str,
    episodes: int,
    seed: int,
    earned: Callable[[Array], None] = lambda rewards: None,
) -> list[float]:
    """Plays episodes to their end, side by side.

    Args:
        act: from observations (N, D) to actions, (N,) or (N, A), in the environment's own units. It is given rows for
            episodes that have ended too, and what it says of them is not heeded.
        env_id: of the environment.
        episodes: N.
        seed: of the first; the others have those that follow.
        earned: is told what the actions earned, (N,), after each step.

    Returns:
        what each episode earned.
    """
    envs = [gym.make(env_id) for _ in range(episodes)]
    seen = np.stack([env.reset(seed=seed + number)[0] for number, env in enumerate(envs)])
    totals, under_way = [0.0] * episodes, set(range(episodes))
    while under_way:
        actions, rewards = act(seen.copy()), np.zeros(episodes, np.float32)
        for number in sorted(under_way):
            seen[number], reward, terminated, truncated, _ = envs[number].step(actions[number])
            rewards[number] = reward
            totals[number] += float(reward)
            if terminated or truncated:
                under_way.discard(number)
        earned(rewards)
    return totals
