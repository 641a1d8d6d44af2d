"""What an offline algorithm has learnt of a numeric environment, and how well it does there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from ss_trainers.offline.columns import Array
from ss_trainers.offline.learner import Actor, Learner, ReturnConditioned
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.transitions import Spaces


class NumericPolicy:
    """Acts in numeric environments, in many at once.

    Args:
        learner: what has been trained.
        scaling: of what it sees and does.
        spaces: of the log that it was trained on.
        device: where it is.
        actor: the policy at the beginning of so many episodes; the learner's if None.
    """

    def __init__(
        self,
        learner: Learner[Any],
        scaling: Scaling,
        spaces: Spaces,
        device: torch.device,
        actor: Callable[[int], Actor] | None = None,
    ) -> None:
        self._learner, self._scaling, self.spaces, self._device = learner, scaling, spaces, device
        self._actor = actor or learner.actor

    def with_target(self, target_return: float) -> NumericPolicy:
        """The same, asked for another return; the weights are shared.

        Args:
            target_return: what is to be earned in an episode, in the units of the log's and the environment's rewards,
                whatever they were multiplied by for training. It may be more than any episode of the log earned.

        Raises:
            TypeError: if the algorithm does not ask for a return.
            ValueError: if the target is not finite.
        """
        if not isinstance(self._learner, ReturnConditioned):
            raise TypeError(f"the policy of a {type(self._learner).__name__} can't be asked for a return")
        if not math.isfinite(target_return):
            raise ValueError(f"the target return must be finite, not {target_return}")
        towards = partial(self._learner.actor_towards, target_return * self._scaling.reward_scale)
        return NumericPolicy(self._learner, self._scaling, self.spaces, self._device, towards)

    def begin(self, rows: int = 1) -> NumericEpisodes:
        """So many episodes from their beginning, side by side."""
        return NumericEpisodes(self._actor(rows), self._scaling, self._device)

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
            ValueError: if observations or actions are not those of the log, or there are no episodes.
        """
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, not {episodes}")
        # Not as a vector: those that have ended must not be stepped on.
        envs = [gym.make(env_id, disable_env_checker=True, **(env_kwargs or {})) for _ in range(episodes)]
        try:
            action_space = envs[0].action_space
            self._check(env_id, envs[0].observation_space, action_space)
            observations = [env.reset(seed=seed + number)[0] for number, env in enumerate(envs)]
            under_way, earned = self.begin(episodes), np.zeros(episodes)
            left = list(range(episodes))
            while left:
                chosen, rewards, going = under_way.act(observations), np.zeros(episodes), []
                # Of a log they are flat, whatever their shape in the environment.
                chosen = chosen.reshape(episodes, *(action_space.shape or ()))
                for number in left:
                    observations[number], reward, terminated, truncated, _ = envs[number].step(chosen[number])
                    rewards[number] = float(reward)
                    if not terminated and not truncated:
                        going.append(number)
                under_way.earned(rewards)
                earned += rewards
                left = going
        finally:
            for env in envs:
                env.close()
        return earned

    def _check(self, env_id: str, seen: gym.Space[Any], done: gym.Space[Any]) -> None:
        low, high = self._scaling.action_low, self._scaling.action_high
        found = None
        if seen.shape is not None and isinstance(done, gym.spaces.Discrete) and done.start == 0:
            found = Spaces(math.prod(seen.shape), int(done.n), True)
        elif seen.shape is not None and isinstance(done, gym.spaces.Box):
            found = Spaces(math.prod(seen.shape), math.prod(done.shape), False)
        if found != self.spaces:
            environment = f"the observations of '{env_id}' are {seen} and its actions {done}"
            raise ValueError(f"{environment}, and the policy was trained on {self.spaces}")
        if isinstance(done, gym.spaces.Box) and not ((done.low.ravel() <= low) & (high <= done.high.ravel())).all():
            raise ValueError(f"the actions of '{env_id}' are {done}, and those of the policy are from {low} to {high}")


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
            int64 (N,), or float32 (N, A) within the bounds of the log's actions: flat, as the log has them. An
            environment whose actions have another shape takes ``actions.reshape(N, *action_space.shape)``.
        """
        return self._scaling.actions(self._actor.act(self._scaling.observations(observations, self._device)))

    def earned(self, rewards: Any) -> None:
        """What the last actions earned, (N,), which a policy that is conditioned on returns has to know."""
        values = torch.as_tensor(np.asarray(rewards, np.float32), device=self._device)
        self._actor.earned(values * self._scaling.reward_scale)
