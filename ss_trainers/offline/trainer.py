"""The offline loop: take a batch of the log, take a step, again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console
from torch import Tensor

from ss_gym.agents.checkpoint import CHECKPOINT
from ss_trainers.interruption import undisturbed
from ss_trainers.offline.learner import Examples, Learner, Setup
from ss_trainers.offline.policies import NumericPolicy
from ss_trainers.offline.registry import make_learner
from ss_trainers.offline.saved import OfflineState, read_offline, restore, tensors_of, write_offline
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining, hidden_sizes
from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions
from ss_trainers.reporter import Reporter


class OfflineTrainer:
    """Trains an offline algorithm on a log.

    The whole log lies on the device. In each epoch its examples come in another order, which follows from the seed and
    the epoch, all of them: the last batch of an epoch has those that are left. A run that is resumed goes on exactly
    (on a processor) where the checkpoint was made.

    Args:
        config: of the algorithm, such as ``CQLConfig()``.
        training: the engine's settings.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint of the same algorithm to go on from, with the same log.

    Attributes:
        config: as above.
        training: as above.
        updates: how many were done.

    Raises:
        CheckpointError: if ``resume_from`` is missing or damaged.
        ValueError: if it is another algorithm's, or was made with other settings of the algorithm.
    """

    def __init__(
        self,
        config: OfflineConfig,
        training: OfflineTraining | None = None,
        *,
        console: Console | None = None,
        resume_from: str | Path | None = None,
    ) -> None:
        self.config, self.training, self.updates = config, training or OfflineTraining(), 0
        self._console, self._resume_from = console, resume_from
        self._state = read_offline(resume_from) if resume_from is not None else None
        if self._state is not None:
            if self._state.config != config:
                raise ValueError(f"the run in '{resume_from}' has {self._state.config}, not {config}")
            self.updates = self._state.updates
        self._device = torch.device(self.training.device)
        self._noise = torch.Generator(self._device).manual_seed(self.training.seed)
        self._learner: Learner[Any] | None = None
        self._spaces: Spaces | None = None
        self._scaling: Scaling | None = None
        self._log = ""

    @classmethod
    def resume(cls, path: str | Path, console: Console | None = None) -> OfflineTrainer:
        """A run as a checkpoint has it; ``train`` with the same log goes on.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        state = read_offline(path)
        return OfflineTrainer(state.config, state.training, console=console, resume_from=path)

    def train(self, log: Transitions) -> Self:
        """Goes through the log until the epochs are done; Ctrl-C saves what there is, where there is an ``output_dir``.

        Args:
            log: what to learn from.

        Raises:
            FloatingPointError: if a metric is not finite any more.
            ValueError: if the algorithm can't learn from such a log, or it is not the one that the run began with.
        """
        learner, whole = self._begin(log)
        examples = learner.examples(whole, log)
        total = self._total(len(examples))
        directory = self.training.output_dir
        with Reporter(
            directory, total=total, iteration=self.updates, console=self._console, shown=("loss", "critic_loss")
        ) as reporter:
            try:
                self._run(learner, examples, total, reporter)
            finally:
                if directory is not None:
                    self.save(Path(directory) / CHECKPOINT)
        return self

    def policy(self) -> NumericPolicy:
        """What has been learnt.

        Raises:
            RuntimeError: if nothing was.
        """
        if self._learner is None and self._state is not None:
            self._take_up(self._state)
        if self._learner is None or self._scaling is None or self._spaces is None:
            raise RuntimeError("there is no policy yet: call train(log) first")
        return NumericPolicy(self._learner, self._scaling, self._spaces, self._device)

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint, replacing the folder as a whole.

        Raises:
            CheckpointError: if it can't be written; what was there before is intact.
            RuntimeError: if there is nothing to save.
        """
        self.policy()
        assert self._learner is not None and self._scaling is not None and self._spaces is not None
        tensors, plain = tensors_of(self._learner, self._noise)
        about = (self.config, self.training, self._spaces, self._scaling, self.updates, self._log)
        write_offline(folder, OfflineState(*about, tensors, plain))

    def _begin(self, log: Transitions) -> tuple[Learner[Any], TransitionBatch]:
        """The algorithm for a log, and the log on the device."""
        fingerprint = _fingerprint(log)
        if self._learner is None and self._state is not None:
            self._take_up(self._state)
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
        return Setup(spaces, hidden_sizes(self.config, self.training), initial, self._noise, self._device)

    def _take_up(self, state: OfflineState) -> None:
        """Brings the run to where a checkpoint has it."""
        self._spaces, self._scaling, self._log = state.spaces, state.scaling, state.log
        self._learner = make_learner(self.config, self._setup(state.spaces))
        restore(self._learner, self._noise, state, str(self._resume_from))

    def _total(self, examples: int) -> int:
        whole = self.config.num_epochs * -(-examples // self.training.batch_size)
        return whole if self.training.max_updates is None else min(whole, self.training.max_updates)

    def _run(self, learner: Learner[Any], examples: Examples, total: int, reporter: Reporter) -> None:
        sums = _Sums()
        for batch in self._batches(examples, total):
            with undisturbed():
                sums.add(learner.update(batch, self.updates))
                self.updates += 1
            if self.updates % self.training.report_every == 0 or self.updates == total:
                reporter.report(self.updates, sums.means())
                sums = _Sums()
            every, directory = self.training.save_every, self.training.output_dir
            if every is not None and directory is not None and self.updates % every == 0 and self.updates < total:
                self.save(Path(directory) / CHECKPOINT)

    def _batches(self, examples: Examples, total: int) -> Iterator[Examples]:
        """The examples of the updates that are left, epoch after epoch."""
        size = self.training.batch_size
        per_epoch = -(-len(examples) // size)
        while self.updates < total:
            epoch, first = divmod(self.updates, per_epoch)
            order = torch.randperm(len(examples), generator=self._order(epoch)).to(self._device)
            for start in range(first * size, len(examples), size):
                yield examples.at(order[start : start + size])
                if self.updates >= total:
                    return

    def _order(self, epoch: int) -> torch.Generator:
        digest = hashlib.blake2b(f"{self.training.seed}/order/{epoch}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


class _Sums:
    """Metrics of some updates; they stay on the device until their means are asked for."""

    def __init__(self) -> None:
        self._count, self._sums = 0, dict[str, Tensor]()

    def add(self, metrics: Any) -> None:
        """Adds those of an update."""
        self._count += 1
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def means(self) -> dict[str, float]:
        """The means.

        Raises:
            FloatingPointError: if one is not finite.
        """
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        wrong = [name for name, value in means.items() if not abs(value) < float("inf")]
        if wrong:
            raise FloatingPointError(f"{', '.join(wrong)} are not finite any more: lower the learning rate or rewards")
        return means


def _fingerprint(log: Transitions) -> str:
    """Tells logs apart."""
    digest = hashlib.blake2b(digest_size=16)
    for column in (log.observations, log.actions, log.rewards, log.terminals, log.timeouts):
        digest.update(column.tobytes())
    return digest.hexdigest()
