"""What can be done after each iteration of a run: keep the best, stop in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ss_trainers.trainer import Trainer

# Gets the trainer and the iteration's metrics; True ends the run.
Callback = Callable[["Trainer", Mapping[str, float]], bool | None]


class KeepBest:
    """Saves a checkpoint whenever a metric is better than ever.

    Args:
        folder: where; a checkpoint there is replaced.
        metric: what is compared, the greater the better; iterations without it are passed over.

    Attributes:
        best: the greatest so far; minus infinity before there was one.
        iteration: in which that was.
    """

    def __init__(self, folder: str | Path, metric: str = "eval/success") -> None:
        self._folder, self._metric = Path(folder), metric
        self.best, self.iteration = -math.inf, 0

    def __call__(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Takes note of an iteration."""
        value = metrics.get(self._metric, -math.inf)
        if value > self.best:
            self.best, self.iteration = value, trainer.iteration
            trainer.save(self._folder)


class StopOnRegression:
    """Ends a run once a metric has stayed below its best for some evaluations in a row.

    Args:
        metric: what is compared, the greater the better; iterations without it are passed over.
        margin: how far below its best it must be to count.
        patience: how often in a row.

    Raises:
        ValueError: for a negative margin, or less than one evaluation.
    """

    def __init__(self, metric: str = "eval/success", margin: float = 0.05, patience: int = 2) -> None:
        if not margin >= 0 or patience < 1:
            raise ValueError(f"margin must not be negative and patience at least 1, got {margin} and {patience}")
        self._metric, self._margin, self._patience = metric, margin, patience
        self._best, self._below = -math.inf, 0

    def __call__(self, trainer: Trainer, metrics: Mapping[str, float]) -> bool:
        """Takes note of an iteration; whether to end the run."""
        value = metrics.get(self._metric)
        if value is None:
            return False
        self._best = max(self._best, value)
        self._below = self._below + 1 if value < self._best - self._margin else 0
        return self._below >= self._patience
