"""Trains an offline algorithm on a log of numbers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from rich.console import Console

from ss_gym.agents.checkpoint import CHECKPOINT
from ss_gym.datasets import ConversationDataset
from ss_trainers.config import config_from_mapping
from ss_trainers.interruption import undisturbed
from ss_trainers.offline.learner import Forewarning, Learner, Setup
from ss_trainers.offline.loop import Updates
from ss_trainers.offline.memory import keep_freed_memory
from ss_trainers.offline.policies import NumericPolicy
from ss_trainers.offline.registry import make_config, make_learner, name_of
from ss_trainers.offline.saved import LearnerState, OfflineState, read_offline, write_offline
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining, hidden_sizes
from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions
from ss_trainers.reporter import Reporter

if TYPE_CHECKING:
    from ss_trainers.offline_text.settings import TextTraining
    from ss_trainers.offline_text.trainer import ConversationTrainer

_LOGGER = logging.getLogger(__name__)

# Settings that may be others where a run goes on: how long, and what is written and where. Not how it learns.
_FREE = ("max_updates", "report_every", "save_every", "output_dir", "device")


class OfflineTrainer:
    """Trains an offline algorithm on a log, of numbers or of conversations.

    Of conversations see :class:`ss_trainers.offline_text.trainer.ConversationTrainer`, which does that. Of numbers, the
    whole log lies on the device. In each epoch its examples come in another order, which follows from the seed and
    the epoch, all of them: the last batch of an epoch has those that are left. A run that is resumed goes on exactly
    (on a processor) where the checkpoint was made.

    Args:
        config: of the algorithm, such as ``CQLConfig()``; that of the run that goes on if None.
        training: the engine's settings; if None, those of the run that goes on, or the defaults.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint of the same algorithm to go on from, with the same log. ``num_epochs``,
            ``max_updates``, ``report_every``, ``save_every``, ``output_dir`` and ``device`` may be others than there.
            A run on conversations is none of these: it goes on where ``train`` is called with the same settings and
            ``output_dir``.
        text: the language model that learns from conversations; the defaults if None.

    Attributes:
        config: as above.
        training: as above.

    Raises:
        CheckpointError: if ``resume_from`` is missing, damaged, or of a run on conversations; without a ``config``, if
            it is another algorithm's.
        TypeError: if ``config`` is not that of an offline algorithm, or there is neither that nor a run that goes on.
        ValueError: if ``resume_from`` is another algorithm's, or was made with other settings than those above; if a
            setting is of the wrong type, or there is no such device.
    """

    def __init__(
        self,
        config: OfflineConfig | None = None,
        training: OfflineTraining | None = None,
        *,
        console: Console | None = None,
        resume_from: str | Path | None = None,
        text: TextTraining | None = None,
    ) -> None:
        state = read_offline(resume_from) if resume_from is not None else None
        if config is None and state is not None:
            self._check_algorithm(state.config, str(resume_from))
            config = state.config
        elif config is None:
            config = self._default_config()
        if training is None:
            training = state.training if state is not None else OfflineTraining()
        # Of plain types, which checkpoints can hold.
        self.config = make_config(name_of(config), asdict(config))
        self.training = config_from_mapping(OfflineTraining, asdict(training))
        self._console, self._text = console, text
        self._speaking: ConversationTrainer | None = None
        self._device, self._noise = _device_and_noise(self.training)
        self._updates = Updates(self.training.seed, self.training.batch_size, self._device)
        self._learner: Learner[Any] | None = None
        self._spaces: Spaces | None = None
        self._scaling: Scaling | None = None
        self._log = ""
        if state is not None:
            self._take_up(state, str(resume_from))

    @property
    def updates(self) -> int:
        """How many were done; of a run on conversations, in its last part.

        Each of its parts counts its own in ``metrics`` of the ``output_dir``.
        """
        return self._updates.done if self._speaking is None else self._speaking.updates

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
            CheckpointError: if it is missing, damaged, another algorithm's, or of a run on conversations.
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

    @classmethod
    def _default_config(cls) -> OfflineConfig:
        """The settings where none are given, and no run goes on."""
        raise TypeError("give the config of an algorithm, such as CQLConfig(), or a run to go on with as resume_from")

    def train(self, log: Transitions | ConversationDataset) -> Self:
        """Goes through the log until the epochs are done; Ctrl-C saves what there is, where there is an ``output_dir``.

        Args:
            log: what to learn from; numbers or conversations.

        Raises:
            CheckpointError: if a checkpoint could not be saved; the earlier one is intact.
            FloatingPointError: if a metric or a weight is not finite any more, also where Ctrl-C comes then; the
                earlier checkpoint is left as it is.
            KeyboardInterrupt: after Ctrl-C, once the checkpoint is saved.
            TypeError: if the log is something else, or the trainer has learnt from one of the other kind.
            ValueError: if the algorithm can't learn from such a log, or it is not the one that the run began with.
        """
        keep_freed_memory()
        if isinstance(log, ConversationDataset):
            return self._train_on_conversations(log)
        learner, whole = self._begin(log)
        examples = learner.examples(whole, log)
        total = self._updates.of_epochs(len(examples), self.config.num_epochs, self.training.max_updates)
        self._forewarn(learner, total)
        training, directory = self.training, self.training.output_dir
        with Reporter(
            directory, total=total, iteration=self.updates, console=self._console, shown=("loss", "critic_loss")
        ) as reporter:
            try:
                every = training.report_every, training.save_every
                self._updates.run(learner, examples, total, reporter, self._keep, *every)
            except KeyboardInterrupt:
                self._keep()
                if directory is not None:
                    _LOGGER.warning("interrupted after update %d; saved %s", self.updates, Path(directory) / CHECKPOINT)
                raise
            self._keep()
        return self

    def policy(self) -> Any:
        """What has been learnt: a :class:`NumericPolicy` of numbers, a :class:`MultiTurnAgent` of conversations.

        Raises:
            RuntimeError: if nothing was.
        """
        return self._numeric() if self._speaking is None else self._speaking.agent()

    def _numeric(self) -> NumericPolicy:
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
        if self._speaking is not None:
            self._speaking.agent().save(folder)
            return
        self._numeric()
        assert self._learner is not None and self._scaling is not None and self._spaces is not None
        about = (self.config, self.training, self._spaces, self._scaling, self.updates, self._log)
        with undisturbed():
            write_offline(folder, OfflineState(*about, LearnerState.of(self._learner, self._noise)))

    def _train_on_conversations(self, log: ConversationDataset) -> Self:
        # Late, so that numbers need no language model.
        from ss_trainers.offline_text.trainer import ConversationTrainer

        if self._learner is not None:
            raise TypeError("this run has begun with numbers, and can't go on with conversations: make a new trainer")
        speaking = ConversationTrainer(self.config, self.training, self._text, self._console)
        self._speaking = speaking.train(log)
        return self

    def _keep(self) -> None:
        """Saves a run that goes on, where it is kept at all."""
        if self.training.output_dir is not None:
            self.save(Path(self.training.output_dir) / CHECKPOINT)

    def _begin(self, log: Transitions) -> tuple[Learner[Any], TransitionBatch]:
        """The algorithm for a log, and the log on the device."""
        if not isinstance(log, Transitions):
            raise TypeError(
                f"a log must be Transitions, such as Transitions.from_arrays makes, or a ConversationDataset, not a "
                f"{type(log)}"
            )
        if self._speaking is not None:
            raise TypeError("this run has begun with conversations, and can't go on with numbers: make a new trainer")
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
        self._spaces, self._scaling, self._log = state.spaces, state.scaling, state.log
        self._updates.done = state.updates
        self._learner = make_learner(self.config, self._setup(state.spaces))
        state.learner.restore(self._learner, self._noise, path)

    def _forewarn(self, learner: Learner[Any], total: int) -> None:
        """Tells of a run that would end before it has begun with what it is for."""
        told = learner.too_short(total) if isinstance(learner, Forewarning) and self.updates < total else None
        if told is not None:
            _LOGGER.warning("%s", told)


def _device_and_noise(training: OfflineTraining) -> tuple[torch.device, torch.Generator]:
    try:
        device = torch.device(training.device)
        return device, torch.Generator(device).manual_seed(training.seed)
    except RuntimeError as error:
        raise ValueError(f"this machine has no device {training.device!r:.80}: {str(error).splitlines()[0]}") from error


def _fingerprint(log: Transitions) -> str:
    """Tells logs apart."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in fields(log):
        column = np.asarray(getattr(log, entry.name))
        digest.update(f"{entry.name} {column.dtype} {column.shape} ".encode())
        digest.update(repr(column.item()).encode() if column.ndim == 0 else np.ascontiguousarray(column).data)
    return digest.hexdigest()
