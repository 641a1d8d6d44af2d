"""What an offline algorithm has learnt of a numeric environment, and how well it does there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from ss_trainers.offline.learner import Actor, Learner
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.transitions import Array, Spaces


class NumericPolicy:
    """Acts in numeric environments, in many at once.

    Args:
        learner: what has been trained.
        scaling: of what it sees and does.
        spaces: of the log that it was trained on.
        device: where it is.
    """

    def __init__(self, learner: Learner[Any], scaling: Scaling, spaces: Spaces, device: torch.device) -> None:
        self._learner, self._scaling, self.spaces, self._device = learner, scaling, spaces, device

    def begin(self, rows: int = 1) -> NumericEpisodes:
        """So many episodes from their beginning, side by side."""
        return NumericEpisodes(self._learner.actor(rows), self._scaling, self._device)

    def evaluate(
        self, env_id: str, episodes: int = 20, seed: int = 0, env_kwargs: Mapping[str, Any] | None = None
    ) -> Array:
        """Plays episodes to their end, all at once.

        Args:
            env_id: of a registered environment.
            episodes: how many.
            seed: of the first; the others have those that follow.
            env_kwargs: keyword arguments of the environment.

        Returns:
            float64 (episodes,), what each earned.

        Raises:
            ValueError: if observations or actions are not those of the log.
        """
        mode = gym.vector.AutoresetMode.DISABLED
        envs = gym.make_vec(
            env_id, episodes, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **(env_kwargs or {})
        )
        try:
            self._check(env_id, envs.single_observation_space, envs.single_action_space)
            observations, _ = envs.reset(seed=seed)
            under_way, earned = self.begin(episodes), np.zeros(episodes)
            ended = np.zeros(episodes, np.bool_)
            while not ended.all():
                observations, rewards, terminated, truncated, _ = envs.step(under_way.act(observations))
                under_way.earned(rewards)
                earned += np.where(ended, 0.0, rewards)
                ended |= terminated | truncated
        finally:
            envs.close()
        return earned

    def _check(self, env_id: str, seen: gym.Space[Any], done: gym.Space[Any]) -> None:
        discrete = isinstance(done, gym.spaces.Discrete)
        size = int(done.n) if isinstance(done, gym.spaces.Discrete) else gym.spaces.flatdim(done)
        found = Spaces(gym.spaces.flatdim(seen), size, discrete)
        if found != self.spaces:
            raise ValueError(f"'{env_id}' has {found}, and the policy was trained on {self.spaces}")


class NumericEpisodes:
    """Episodes that a policy plays side by side.

    Args:
        actor: the policy in them.
        scaling: of what it sees, does and earns.
        device: where it is.
    """

    def __init__(self, actor: Actor, scaling: Scaling, device: torch.device) -> None:
        self._actor, self._scaling, self._device = actor, scaling, device

    def act(self, observations: Any) -> Array:
        """What to do next.

        Args:
            observations: (N, …), as the environments show them.

        Returns:
            int64 (N,), or float32 (N, A) within the bounds of the log's actions.
        """
        return self._scaling.actions(self._actor.act(self._scaling.observations(observations, self._device)))

    def earned(self, rewards: Any) -> None:
        """What the last actions earned, (N,), which a policy that is conditioned on returns has to know."""
        values = torch.as_tensor(np.asarray(rewards, np.float32), device=self._device)
        self._actor.earned(values * self._scaling.reward_scale)
