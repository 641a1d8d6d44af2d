"""The offline loop: take a batch of the log, take a step, again."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from ss_gym.agents.checkpoint import CHECKPOINT
from ss_trainers.config import config_from_mapping
from ss_trainers.interruption import postponed, undisturbed
from ss_trainers.offline.learner import Examples, Learner, Setup
from ss_trainers.offline.memory import keep_freed_memory
from ss_trainers.offline.policies import NumericPolicy
from ss_trainers.offline.registry import make_config, make_learner, name_of
from ss_trainers.offline.saved import OfflineState, read_offline, restore, tensors_of, write_offline
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining, hidden_sizes
from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions
from ss_trainers.reporter import Reporter

_LOGGER = logging.getLogger(__name__)

# Settings that may be others where a run goes on: how long, and what is written and where. Not how it learns.
_FREE = ("max_updates", "report_every", "save_every", "output_dir", "device")


class OfflineTrainer:
    """Trains an offline algorithm on a log.

    The whole log lies on the device. In each epoch its examples come in another order, which follows from the seed and
    the epoch, all of them: the last batch of an epoch has those that are left. A run that is resumed goes on exactly
    (on a processor) where the checkpoint was made.

    Args:
        config: of the algorithm, such as ``CQLConfig()``.
        training: the engine's settings; if None, those of the run that goes on, or the defaults.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint of the same algorithm to go on from, with the same log. ``num_epochs``,
            ``max_updates``, ``report_every``, ``save_every``, ``output_dir`` and ``device`` may be others than there.

    Attributes:
        config: as above.
        training: as above.
        updates: how many were done.

    Raises:
        CheckpointError: if ``resume_from`` is missing or damaged.
        TypeError: if ``config`` is not that of an offline algorithm.
        ValueError: if ``resume_from`` is another algorithm's, or was made with other settings than those above; if a
            setting is of the wrong type, or there is no such device.
    """

    def __init__(
        self,
        config: OfflineConfig,
        training: OfflineTraining | None = None,
        *,
        console: Console | None = None,
        resume_from: str | Path | None = None,
    ) -> None:
        state = read_offline(resume_from) if resume_from is not None else None
        if training is None:
            training = state.training if state is not None else OfflineTraining()
        # Of plain types, which checkpoints can hold.
        self.config = make_config(name_of(config), asdict(config))
        self.training = config_from_mapping(OfflineTraining, asdict(training))
        self.updates, self._console = 0, console
        self._device, self._noise = _device_and_noise(self.training)
        self._learner: Learner[Any] | None = None
        self._spaces: Spaces | None = None
        self._scaling: Scaling | None = None
        self._log = ""
        if state is not None:
            self._take_up(state, str(resume_from))

    @classmethod
    def resume(
        cls, path: str | Path, *, training: Mapping[str, Any] | None = None, console: Console | None = None
    ) -> Self:
        """A run as a checkpoint has it; ``train`` with the same log goes on.

        Args:
            path: the checkpoint.
            training: settings of the engine that are to be others, such as ``{"device": "cpu"}``.
            console: where the progress bar is drawn; none if None.

        Raises:
            CheckpointError: if it is missing, damaged or another algorithm's.
            ValueError: if a setting is unknown, wrong, or may not be another.
        """
        state = read_offline(path)
        cls._check_algorithm(state.config, path)
        changed = config_from_mapping(OfflineTraining, {**asdict(state.training), **(training or {})})
        trainer = cls(state.config, changed, console=console)
        trainer._take_up(state, str(path))
        return trainer

    @classmethod
    def _check_algorithm(cls, config: OfflineConfig, path: str | Path) -> None:
        """Refuses a checkpoint that this class does not go on with."""

    def train(self, log: Transitions) -> Self:
        """Goes through the log until the epochs are done; Ctrl-C saves what there is, where there is an ``output_dir``.

        Args:
            log: what to learn from.

        Raises:
            CheckpointError: if a checkpoint could not be saved; the earlier one is intact.
            FloatingPointError: if a metric is not finite any more; the earlier checkpoint is left as it is.
            KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
            TypeError: if the log is something else.
            ValueError: if the algorithm can't learn from such a log, or it is not the one that the run began with.
        """
        keep_freed_memory()
        learner, whole = self._begin(log)
        examples = learner.examples(whole, log)
        total = self._total(len(examples))
        directory = self.training.output_dir
        with Reporter(
            directory, total=total, iteration=self.updates, console=self._console, shown=("loss", "critic_loss")
        ) as reporter:
            try:
                self._run(learner, examples, total, reporter)
            except KeyboardInterrupt:
                if directory is not None:
                    self.save(Path(directory) / CHECKPOINT)
                    _LOGGER.warning("interrupted after update %d; saved %s", self.updates, Path(directory) / CHECKPOINT)
                raise
            if directory is not None:
                self.save(Path(directory) / CHECKPOINT)
        return self

    def policy(self) -> NumericPolicy:
        """What has been learnt.

        Raises:
            RuntimeError: if nothing was.
        """
        if self._learner is None or self._scaling is None or self._spaces is None:
            raise RuntimeError("there is no policy yet: call train(log) first")
        return NumericPolicy(self._learner, self._scaling, self._spaces, self._device)

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint, replacing the folder as a whole.

        Raises:
            CheckpointError: if it can't be written, or something other than a checkpoint is there; what was there
                before is intact.
            RuntimeError: if there is nothing to save.
        """
        self.policy()
        assert self._learner is not None and self._scaling is not None and self._spaces is not None
        tensors, plain = tensors_of(self._learner, self._noise)
        about = (self.config, self.training, self._spaces, self._scaling, self.updates, self._log)
        with undisturbed():
            write_offline(folder, OfflineState(*about, tensors, plain))

    def _begin(self, log: Transitions) -> tuple[Learner[Any], TransitionBatch]:
        """The algorithm for a log, and the log on the device."""
        if not isinstance(log, Transitions):
            raise TypeError(f"a log must be Transitions, such as Transitions.from_arrays makes, not a {type(log)}")
        fingerprint = _fingerprint(log)
        if self._learner is None:
            self._log, self._spaces = fingerprint, log.spaces
            self._scaling = Scaling.of(log, self.training)
            self._learner = make_learner(self.config, self._setup(log.spaces))
        elif fingerprint != self._log:
            raise ValueError(
                "this is not the log that the run began with: its order and scales would be others; train anew"
            )
        assert self._scaling is not None
        return self._learner, self._scaling.batch(log, self._device)

    def _setup(self, spaces: Spaces) -> Setup:
        initial = torch.Generator().manual_seed(self.training.seed)
        hidden, scale = hidden_sizes(self.config, self.training), self.training.reward_scale
        return Setup(spaces, hidden, initial, self._noise, self._device, scale)

    def _take_up(self, state: OfflineState, path: str) -> None:
        """Brings the run to where a checkpoint has it."""
        if replace(state.config, num_epochs=self.config.num_epochs) != self.config:
            raise ValueError(f"the run in '{path}' has {state.config}, not {self.config}")
        if replace(state.training, **{name: getattr(self.training, name) for name in _FREE}) != self.training:
            free = ", ".join(_FREE)
            raise ValueError(f"the run in '{path}' has {state.training}, of which only {free} may be others")
        self._spaces, self._scaling, self._log, self.updates = state.spaces, state.scaling, state.log, state.updates
        self._learner = make_learner(self.config, self._setup(state.spaces))
        restore(self._learner, self._noise, state, path)

    def _total(self, examples: int) -> int:
        whole = self.config.num_epochs * -(-examples // self.training.batch_size)
        return whole if self.training.max_updates is None else min(whole, self.training.max_updates)

    def _run(self, learner: Learner[Any], examples: Examples[Any], total: int, reporter: Reporter) -> None:
        sums, training = _Sums(), self.training
        folder = Path(training.output_dir) / CHECKPOINT if training.output_dir is not None else None
        with postponed() as interrupted:
            for batch in self._batches(examples, total):
                sums.add(learner.update(batch, self.updates))
                self.updates += 1
                if self.updates % training.report_every == 0 or self.updates == total:
                    reporter.report(self.updates, sums.means())
                    sums = _Sums()
                due = training.save_every and self.updates % training.save_every == 0 and self.updates < total
                if due and folder is not None:
                    # Where a metric is not finite, weights are not either: the earlier checkpoint is the better one.
                    sums.means()
                    self.save(folder)
                interrupted()

    def _batches(self, examples: Examples[Any], total: int) -> Iterator[Any]:
        """The examples of the updates that are left, epoch after epoch."""
        size = self.training.batch_size
        per_epoch = -(-len(examples) // size)
        while self.updates < total:
            epoch, first = divmod(self.updates, per_epoch)
            order = torch.randperm(len(examples), generator=self._order(epoch)).to(self._device)
            yield from examples.batches(order[first * size : (first + total - self.updates) * size], size)

    def _order(self, epoch: int) -> torch.Generator:
        digest = hashlib.blake2b(f"{self.training.seed}/order/{epoch}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def _device_and_noise(training: OfflineTraining) -> tuple[torch.device, torch.Generator]:
    try:
        device = torch.device(training.device)
        return device, torch.Generator(device).manual_seed(training.seed)
    except RuntimeError as error:
        raise ValueError(f"this machine has no device {training.device!r:.80}: {str(error).splitlines()[0]}") from error


class _Sums:
    """Metrics of some updates, not all of which need have the same; on the device until their means are asked for."""

    def __init__(self) -> None:
        self._counts, self._sums = Counter[tuple[str, ...]](), dict[tuple[str, ...], Tensor]()

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Adds those of an update."""
        names, values = tuple(metrics), torch.stack([*metrics.values()])
        self._counts[names] += 1
        self._sums[names] = self._sums[names] + values if names in self._sums else values

    def means(self) -> dict[str, float]:
        """The means.

        Raises:
            FloatingPointError: if one is not finite.
        """
        counts, sums = Counter[str](), dict[str, float]()
        for names, values in self._sums.items():
            for name, value in zip(names, values.tolist(), strict=True):
                counts[name] += self._counts[names]
                sums[name] = sums.get(name, 0.0) + value
        wrong = [name for name, value in sums.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(f"not finite any more: {', '.join(wrong)}; lower learning_rate or reward_scale")
        return {name: value / counts[name] for name, value in sums.items()}


def _fingerprint(log: Transitions) -> str:
    """Tells logs apart."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in fields(log):
        column = np.asarray(getattr(log, entry.name))
        digest.update(f"{entry.name} {column.dtype} {column.shape} ".encode())
        digest.update(repr(column.item()).encode() if column.ndim == 0 else np.ascontiguousarray(column).data)
    return digest.hexdigest()
