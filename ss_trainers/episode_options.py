"""What the episodes of an iteration are reset with: the settings' options, the task's, and the population's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.config import TrainingConfig
from ss_trainers.populations import Customers, as_population, lasting_settings

_STATE = "population.json"


class EpisodeOptions:
    """Gives each group of attempts its reset options, and tells the population how they went.

    Args:
        training: the engine's settings, whose ``train_options`` come before what a population draws.
        of_task: options of the iteration's task, beside those of the settings.
        population: whom the agent meets, or its settings; whoever the seed draws if None.

    Attributes:
        settings: those of the population, as a checkpoint keeps them; None if it was made elsewhere.

    Raises:
        ValueError: if a population is to be met by rollouts that run ahead, or its settings are wrong.
    """

    def __init__(
        self,
        training: TrainingConfig,
        of_task: Callable[[int], Mapping[str, Any]] = lambda iteration: {},
        population: Customers | None = None,
    ) -> None:
        if population is not None and training.rollout_lag:
            raise ValueError("a population draws its customers when an iteration comes: set rollout_lag to 0")
        self._training, self._of_task, self._population = training, of_task, as_population(population)
        self.settings = lasting_settings(population) if isinstance(population, Mapping) else None
        self._given: dict[int, Mapping[str, Any]] = {}
        self._evaluated = 0

    def of_round(self, iteration: int, round_number: int, count: int) -> list[Mapping[str, Any]]:
        """The options of each group of a round.

        Args:
            iteration: iterations done.
            round_number: counted from 0.
            count: groups.
        """
        asked = {**self._training.train_options, **self._of_task(iteration)}
        drawn: Sequence[Mapping[str, Any]] = [{}] * count
        if self._population is not None:
            seed = Stream(self._training.seed, "population", iteration, round_number).bits() >> 1
            drawn = self._population.draw(iteration, count, np.random.default_rng(seed))
        options: list[Mapping[str, Any]] = [{**each, **asked} for each in drawn]
        if not round_number:
            self._given.clear()
        self._given |= {round_number * count + group: each for group, each in enumerate(options)}
        return options

    def learn(self, iteration: int, played: Sequence[MultiTurnTrajectory]) -> dict[str, float]:
        """Tells the population of an iteration's episodes; figures for the log.

        Args:
            iteration: iterations done before.
            played: all of them.
        """
        if self._population is None:
            return {}
        outcomes = [
            (self._given[each.group_id], each.success)
            for each in played
            if each.success is not None and each.group_id in self._given
        ]
        return dict(self._population.learn(iteration, outcomes))

    def evaluated(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Tells the population of an evaluation, where there is success."""
        self._evaluated = iteration
        if self._population is not None and "success" in metrics:
            self._population.evaluated(iteration, metrics["success"], self._training.eval_episodes)

    def due(self, iteration: int) -> bool:
        """Whether a population waits for the evaluation that follows an iteration, since a run was interrupted in it.

        Args:
            iteration: iterations done.
        """
        every = self._training.eval_every
        return (
            bool(self._population is not None and every and iteration and not iteration % every)
            and self._evaluated < iteration
        )

    def write(self, folder: Path) -> None:
        """Writes the population's state into a checkpoint."""
        if self._population is not None:
            state: dict[str, Any] = {
                "kind": type(self._population).__qualname__,
                "state": self._population.state_dict(),
            }
            state["evaluated"] = self._evaluated
            (folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")

    def read(self, checkpoint: str) -> None:
        """Takes up the population's state.

        Raises:
            CheckpointError: if it is missing or damaged, or there is one and no population here.
        """
        file = locate(checkpoint) / _STATE
        if self._population is None:
            if file.exists():
                raise CheckpointError(f"'{checkpoint}' is of a run that met a population: give it as population=…")
            return
        if not file.exists():
            raise CheckpointError(f"'{checkpoint}' is of a run without a population: leave out population=…")
        try:
            told, kind = json.loads(file.read_text(encoding="utf-8")), type(self._population).__qualname__
            if told["kind"] != kind:
                raise ValueError(f"it is of a {told['kind']}, and this is a {kind}")
            self._population.load_state_dict(told["state"])
            self._evaluated = int(told["evaluated"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"what '{checkpoint}' has of its population does not fit: {error!r:.300}") from error
