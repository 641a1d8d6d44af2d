"""What continual learning asks of a run between iterations: episodes of each task, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ss_gym.streams import Stream
from ss_trainers.config import TrainingConfig
from ss_trainers.distributed import Workers
from ss_trainers.ranks import Ranks
from ss_trainers.rollout import Episode, EpisodesFailedError, Rollouts
from ss_trainers.sampling import evaluation_episodes


class RunningTasks:
    """Plays tasks with the policy as it is.

    Args:
        training: the engine's settings.
        workers: compute.
        play: plays episodes at a temperature; the text goes into the sampling noise.
    """

    def __init__(
        self,
        training: TrainingConfig,
        workers: Workers | Ranks,
        play: Callable[[Sequence[Episode], float, str], Rollouts],
    ) -> None:
        self._training, self._workers, self._play = training, workers, play

    def success(self, options: Mapping[str, Any]) -> float:
        """The share of successes, or the mean return where there are none, in ``eval_episodes`` of a task.

        Args:
            options: which task, beside ``eval_options``.

        Raises:
            EpisodesFailedError: if the environment raised in all of them.
        """
        metrics = self._played(evaluation_episodes(self._training, options), "evaluate 0").metrics
        return metrics.get("success", metrics["return"])

    def fisher(self, episodes: int, options: Mapping[str, Any]) -> list[Tensor]:
        """How much each weight matters to a task: the diagonal of the Fisher information.

        Args:
            episodes: that are played for it.
            options: which task, beside ``train_options``.

        Raises:
            EpisodesFailedError: if the environment raised in all of them.
        """
        config = self._training
        asked, seeds = {**config.train_options, **options}, Stream(config.seed, "fisher", repr(sorted(options.items())))
        played = self._played([Episode(seeds.below(2**31), asked, number) for number in range(episodes)], "fisher")
        return self._workers.fisher(played.trajectories, config.temperature)

    def hold(self, weights: Tensor) -> None:
        """Keeps a policy with these weights, in each process, that the present one is held to."""
        self._workers.hold(weights)

    def _played(self, episodes: Sequence[Episode], purpose: str) -> Rollouts:
        rollouts = self._play(episodes, self._training.temperature, purpose)
        if not rollouts.trajectories:
            raise EpisodesFailedError(f"the environment raised in all {len(episodes)} episodes: {rollouts.dropped[0]}")
        return rollouts
