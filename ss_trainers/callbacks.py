"""What can be done after each iteration of a run: keep the best, stop in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ss_gym.agents.checkpoint import checkpoint_folder, read_manifest

if TYPE_CHECKING:
    from ss_trainers.trainer import Trainer

# Gets the trainer and the iteration's metrics; True ends the run.
Callback = Callable[["Trainer", Mapping[str, float]], bool | None]


class KeepBest:
    """Saves a checkpoint whenever a metric is better than ever.

    A run that is resumed goes on from the best so far, which the checkpoint tells.

    Args:
        folder: where; a checkpoint there is replaced by a better one.
        metric: what is compared, the greater the better; iterations without it are passed over.

    Raises:
        ValueError: from the call, for a metric of evaluations in a run without any.

    Attributes:
        best: the greatest so far; minus infinity before there was one.
        iteration: in which that was.
    """

    def __init__(self, folder: str | Path, metric: str = "eval/success") -> None:
        self._folder, self._metric = Path(folder), metric
        self.best, self.iteration = -math.inf, 0
        kept = checkpoint_folder(self._folder)
        if kept is not None:
            told = read_manifest(kept).provenance
            self.best, self.iteration = told.get("metrics", {}).get(metric, -math.inf), told["iteration"]

    def __call__(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        """Takes note of an iteration."""
        _check_evaluated(trainer, self._metric)
        value = metrics.get(self._metric, -math.inf)
        if value > self.best:
            self.best, self.iteration = value, trainer.iteration
            trainer.save(self._folder, {self._metric: value})


class StopOnRegression:
    """Ends a run once a metric has stayed below its best for some evaluations in a row.

    Args:
        metric: what is compared, the greater the better; iterations without it are passed over.
        margin: how far below its best it must be to count.
        patience: how often in a row.

    Raises:
        ValueError: for a negative margin, or less than one evaluation; from the call, for a metric of
            evaluations in a run without any.
    """

    def __init__(self, metric: str = "eval/success", margin: float = 0.05, patience: int = 2) -> None:
        if not margin >= 0 or patience < 1:
            raise ValueError(f"margin must not be negative and patience at least 1, got {margin} and {patience}")
        self._metric, self._margin, self._patience = metric, margin, patience
        self._best, self._below = -math.inf, 0

    def __call__(self, trainer: Trainer, metrics: Mapping[str, float]) -> bool:
        """Takes note of an iteration; whether to end the run."""
        _check_evaluated(trainer, self._metric)
        value = metrics.get(self._metric)
        if value is None:
            return False
        self._best = max(self._best, value)
        self._below = self._below + 1 if value < self._best - self._margin else 0
        return self._below >= self._patience


def _check_evaluated(trainer: Trainer, metric: str) -> None:
    if metric.startswith("eval/") and not trainer.training.eval_every:
        raise ValueError(f"there will be no {metric!r}: the run evaluates nothing, set eval_every")
