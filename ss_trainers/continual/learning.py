"""What a run of the online loop does about tasks that come one after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.config import TrainingConfig
from ss_trainers.continual.consolidation import Consolidation
from ss_trainers.continual.memory import ReplayMemory
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.continual.tasks import Accuracies, TaskSchedule
from ss_trainers.types import TokenBatch

_STATE, _TENSORS = "continual.json", "continual.safetensors"


class Running(Protocol):
    """What plays and computes for a run."""

    def success(self, options: Mapping[str, Any]) -> float:
        """The share of successes, or the mean return where there are none, with the customers of an evaluation."""
        ...

    def fisher(self, episodes: int, options: Mapping[str, Any]) -> list[Tensor]:
        """How much each weight matters to what is said in fresh episodes."""
        ...

    def hold(self, weights: Tensor) -> None:
        """Keeps a copy of the policy, with these weights, that the policy is held to from now on."""
        ...


@dataclass(frozen=True, slots=True)
class _Past:
    """What is known of the tasks that are over.

    Attributes:
        accuracies: how well each task goes.
        previous: float32 (N,); the policy's weights after the last task, where it is held to what it said.
        consolidation: where weights are held; None without.
    """

    accuracies: Accuracies
    previous: Tensor | None = None
    consolidation: Consolidation | None = None


class ContinualLearning:
    """Chooses the task of each iteration, and keeps what earlier tasks have left.

    When a task is over, each task is played with the customers of an evaluation, which gives a row of the matrix that
    average accuracy, transfer and forgetting are read from; and what the strategy needs of the policy as it is then is
    taken. Nothing of that changes the policy, so it can be done again by a run that was interrupted in it.

    Args:
        config: the tasks and the strategy; no tasks and none if None.
        training: the engine's settings.
        algorithm: what is minimised.
        parameters: the policy's, that are trained.

    Attributes:
        config: as above.
        training: as above, with weights for what is replayed.

    Raises:
        ValueError: if the schedule needs more iterations than there are, or the strategy does not go with the algorithm
            or the settings.
    """

    def __init__(
        self,
        config: ContinualConfig | None,
        training: TrainingConfig,
        algorithm: PolicyOptimization,
        parameters: Sequence[Tensor],
    ) -> None:
        self.config = config = config or ContinualConfig()
        self._parameters = list(parameters)
        self.training = _checked(config, training, algorithm)
        self._schedule = TaskSchedule(config.task_schedule, training.iterations, config.task_switch_steps)
        self._memory = ReplayMemory(config, training.seed) if "replay" in config.parts else None
        self._past = _Past(Accuracies(self._schedule.tasks))
        self._batch: list[MultiTurnTrajectory] = []
        self._task: str | None = None

    @property
    def active(self) -> bool:
        """Whether there is a schedule or a strategy."""
        return bool(self.config.task_schedule or self.config.parts)

    @property
    def accuracies(self) -> Accuracies:
        """How well each task went before training, and after each task that is over."""
        return self._past.accuracies

    @property
    def previous(self) -> Tensor | None:
        """The weights of the policy that this one is held to; None if it is held to none."""
        return self._past.previous

    # --- in an iteration -------------------------------------------------------------------------

    def options_at(self, iteration: int) -> dict[str, Any]:
        """The reset options of an iteration's episodes."""
        return self._options(self._task_at(iteration))

    def batch_of(self, iteration: int, fresh: Sequence[MultiTurnTrajectory]) -> list[MultiTurnTrajectory]:
        """What an iteration learns from: what was played, and attempts at other tasks beside it."""
        self._task = self._task_at(iteration)
        replayed = () if self._memory is None else self._memory.draw(len(fresh), self._task)
        self._batch = [*fresh, *replayed]
        return self._batch

    def learnt(self, batch: TokenBatch) -> TokenBatch:
        """The batch in which what is replayed has its own advantages; what is fresh may be replayed later.

        Args:
            batch: of what ``batch_of`` gave last, but for what has a return that is no number; with the algorithm's
                advantages.
        """
        if self._memory is None:
            return batch
        batch = self._memory.with_advantages(batch)
        rows = [trajectory for trajectory in self._batch if math.isfinite(trajectory.total_reward)]
        self._memory.keep(rows, batch, [self._task_of(trajectory) for trajectory in rows])
        return batch

    def pull(self) -> dict[str, float]:
        """Adds the gradient of EWC's penalty to that of the parameters; tells the penalty."""
        held = self._past.consolidation
        return {} if held is None else {"ewc_penalty": held.pull(self._parameters, self.config.ewc_lambda)}

    def told(self) -> dict[str, float]:
        """Figures of the memory and the schedule for the log."""
        known = {} if self._memory is None else self._memory.counts
        figures = {f"replay/{task}": float(count) for task, count in known.items()}
        if self._memory is not None:
            figures["replayed"] = float(sum(trajectory.group_id < 0 for trajectory in self._batch))
        if self._task in self._schedule.tasks:
            figures["task"] = float(self._schedule.tasks.index(self._task))
        return figures

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Forgets what the block has added to the memory, and drawn from it, if it fails: it is done again then."""
        before = None if self._memory is None else self._memory.snapshot()
        try:
            yield
        except BaseException:
            if self._memory is not None and before is not None:
                self._memory.restore(before)
            raise

    # --- between iterations ----------------------------------------------------------------------

    def due(self, iteration: int) -> bool:
        """Whether something is to be done before another iteration, or at the end."""
        measured = self._past.accuracies
        return bool(self._schedule.tasks) and (
            measured.untrained is None or self._schedule.finished(iteration) > len(measured.rows)
        )

    def settle(self, iteration: int, running: Running) -> dict[str, float]:
        """Does what is due between two iterations; tells what was measured.

        Args:
            iteration: iterations done.
            running: plays and computes.
        """
        accuracies, tasks = self._past.accuracies, self._schedule.tasks
        if not self.due(iteration):
            return {}
        if accuracies.untrained is None:
            measured = self._measured(running)
            self._past = replace(self._past, accuracies=replace(accuracies, untrained=measured))
            return {}
        over = len(accuracies.rows)
        rows = (*accuracies.rows, self._measured(running))
        past = replace(self._past, accuracies=replace(accuracies, rows=rows))
        if over + 1 < len(tasks):
            past = self._consolidated(past, self._options(tasks[over]), running)
        self._past = past
        if past.previous is not None:
            running.hold(past.previous)
        figures = {f"success/{task}": value for task, value in zip(tasks, rows[-1], strict=True)}
        return {f"continual/{name}": value for name, value in {**figures, **past.accuracies.figures}.items()}

    def _consolidated(self, past: _Past, options: Mapping[str, Any], running: Running) -> _Past:
        """What the strategy needs of the policy at the end of a task."""
        config = self.config
        if "lwf" in config.parts:
            past = replace(past, previous=_flat(self._parameters))
        if "ewc" in config.parts:
            fisher = running.fisher(config.ewc_episodes, options)
            held = Consolidation.after(past.consolidation, self._parameters, fisher, config.ewc_decay)
            past = replace(past, consolidation=held)
        return past

    def _measured(self, running: Running) -> tuple[float, ...]:
        """How well each task goes now."""
        return tuple(running.success(self._options(task)) for task in self._schedule.tasks)

    # --- on the disk -----------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Writes all that there is into a checkpoint; nothing without a schedule or a strategy."""
        if not self.active:
            return
        accuracies, held = self._past.accuracies, self._past.consolidation
        ends = self._schedule.ends[: len(accuracies.rows)]
        told = {"tasks": accuracies.tasks, "untrained": accuracies.untrained, "rows": accuracies.rows, "ends": ends}
        (folder / _STATE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        tensors = {} if self._past.previous is None else {"previous": self._past.previous}
        if held is not None:
            tensors |= {"anchors": _flat(held.anchors), "fisher": _flat(held.fisher)}
        if tensors:
            save_file(tensors, folder / _TENSORS)
        if self._memory is not None:
            self._memory.write(folder)

    def read(self, checkpoint: str, iteration: int) -> None:
        """Takes up what a checkpoint has.

        Args:
            checkpoint: the folder.
            iteration: iterations done.

        Raises:
            CheckpointError: if something is missing or does not fit.
        """
        if not self.active:
            return
        folder = locate(checkpoint)
        try:
            told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            if tuple(told["tasks"]) != self._schedule.tasks:
                raise ValueError(f"it is of the tasks {told['tasks']}")
            untrained = told["untrained"] and tuple(map(float, told["untrained"]))
            rows = tuple(tuple(map(float, row)) for row in told["rows"])
            if len(rows) == len(self._schedule.tasks) == self._schedule.finished(iteration) + 1:
                rows = rows[:-1]  # The run was made longer, and so was its last task.
            # That of a task under way is not known to the checkpoint; its place is.
            ended = [*told["ends"][: len(rows)]]
            if ended != self._schedule.ends[: len(rows)] or self._schedule.finished(iteration) > len(rows) + 1:
                raise ValueError(
                    f"its tasks ended after {ended} iterations, and would now have after "
                    f"{self._schedule.ends[: max(len(rows), self._schedule.finished(iteration))]}: a run whose "
                    "iterations change needs task_switch_steps from the beginning"
                )
            file = folder / _TENSORS
            tensors = load_file(file) if file.exists() else {}
            self._past = _Past(
                Accuracies(self._schedule.tasks, untrained, rows),
                tensors.get("previous"),
                self._held(tensors) if "fisher" in tensors else None,
            )
            if self._memory is not None:
                self._memory.read(folder)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"what '{checkpoint}' has of earlier tasks does not fit: {error!r:.300}") from error

    def _held(self, tensors: Mapping[str, Tensor]) -> Consolidation:
        def parts(flat: Tensor) -> tuple[Tensor, ...]:
            sizes = [parameter.numel() for parameter in self._parameters]
            pieces = zip(torch.split(flat, sizes), self._parameters, strict=True)
            return tuple(piece.view_as(parameter).to(parameter.device) for piece, parameter in pieces)

        return Consolidation(parts(tensors["anchors"]), parts(tensors["fisher"]))

    def _task_at(self, iteration: int) -> str | None:
        tasks = self._schedule.tasks
        return tasks[self._schedule.place_at(iteration)] if tasks else None

    def _options(self, task: str | None) -> dict[str, Any]:
        return {} if task is None else {self.config.task_id_key: task}

    def _task_of(self, trajectory: MultiTurnTrajectory) -> str:
        told = trajectory.info.get(self.config.task_id_key, trajectory.scenario_id.partition("/")[0])
        return str(told) if self._task is None else self._task


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Float32 (N,), a copy on the processor."""
    return torch.cat([each.detach().float().flatten().cpu() for each in tensors])


def _checked(config: ContinualConfig, training: TrainingConfig, algorithm: PolicyOptimization) -> TrainingConfig:
    """The engine's settings with weights for what is replayed.

    Raises:
        ValueError: if the strategy does not go with them, or with the algorithm.
    """
    if training.rollout_lag and (config.parts or config.task_schedule):
        raise ValueError("continual learning plays each iteration when it comes: set rollout_lag to 0")
    if "replay" not in config.parts:
        return training
    if algorithm.needs_critic:
        raise ValueError(
            f"replayed attempts keep the advantages that they had, and the critic of {algorithm.name} would learn from "
            "them as well: take an algorithm without one, such as 'grpo', or another strategy"
        )
    if algorithm.mixes_groups:
        raise ValueError(
            f"{algorithm.name} compares an attempt with those of other groups, or with a partner, and replayed ones "
            "would be among them: take an algorithm of single groups, such as 'grpo', or another strategy"
        )
    if training.mismatch == "mask":
        raise ValueError("replayed attempts are weighed by how likely they still are: set mismatch to 'truncate'")
    return training.changed(mismatch="truncate")
