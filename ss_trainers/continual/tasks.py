"""Which task comes when, and how well each goes after each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ss_trainers.functional.continual import average_accuracy, backward_transfer, forgetting, forward_transfer


class TaskSchedule:
    """The tasks of a run, one after the other.

    Args:
        tasks: their names, in order.
        iterations: of the run.
        switch_steps: iterations of each but the last; if None, all have the same, the first ones one more.

    Attributes:
        tasks: as above.
        ends: iterations after which each is over.

    Raises:
        ValueError: if there are fewer iterations than the tasks need.

    >>> schedule = TaskSchedule(["refund", "cancel"], 5)
    >>> [schedule.tasks[schedule.place_at(iteration)] for iteration in range(6)]
    ['refund', 'refund', 'refund', 'cancel', 'cancel', 'cancel']
    >>> [schedule.finished(iterations) for iterations in range(6)]
    [0, 0, 0, 1, 1, 2]
    """

    def __init__(self, tasks: Sequence[str], iterations: int, switch_steps: int | None = None) -> None:
        self.tasks = tuple(tasks)
        count = len(self.tasks)
        needed = count if switch_steps is None else switch_steps * (count - 1) + 1
        if count and iterations < needed:
            raise ValueError(f"{count} tasks need {needed} iterations or more, and the run has {iterations}")
        if switch_steps is None:
            self.ends = [math.ceil(iterations * (place + 1) / count) for place in range(count)]
        else:
            self.ends = [*(switch_steps * (place + 1) for place in range(count - 1)), iterations][:count]

    def place_at(self, iteration: int) -> int:
        """The place of the task of an iteration, counted from 0; the last one's beyond the run."""
        return min(self.finished(iteration), len(self.tasks) - 1)

    def finished(self, iterations: int) -> int:
        """How many tasks are over after so many iterations."""
        return sum(end <= iterations for end in self.ends)


@dataclass(frozen=True, slots=True)
class Accuracies:
    """How well each task went before training and after each task: shares of successes, or mean returns.

    Attributes:
        tasks: their names, in order.
        untrained: a figure for each task; None before it was measured.
        rows: for each task that is over, a figure for each task.
    """

    tasks: tuple[str, ...]
    untrained: tuple[float, ...] | None = None
    rows: tuple[tuple[float, ...], ...] = ()

    @property
    def figures(self) -> dict[str, float]:
        """Average accuracy, backward and forward transfer and forgetting; nothing before the last task is over."""
        if len(self.rows) < len(self.tasks) or len(self.tasks) < 2:
            return {}
        matrix = torch.tensor(self.rows, dtype=torch.float64)
        measured = {
            "average_accuracy": average_accuracy(matrix),
            "backward_transfer": backward_transfer(matrix),
            "forgetting": forgetting(matrix),
        }
        if self.untrained is not None:
            measured["forward_transfer"] = forward_transfer(matrix, torch.tensor(self.untrained, dtype=torch.float64))
        return {name: figure.item() for name, figure in measured.items()}
