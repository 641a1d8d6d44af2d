"""The parts of a run, one after the other: each is kept when it is done, and goes on where it was left."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_trainers.checkpoint import replaced_folder
from ss_trainers.interruption import undisturbed
from ss_trainers.offline.learner import Examples, Updating
from ss_trainers.offline.loop import Updates
from ss_trainers.offline.saved import LearnerState
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.reporter import Reporter

_LOGGER = logging.getLogger(__name__)

_ABOUT, _TENSORS = "stage.json", "stage.safetensors"
BatchT = TypeVar("BatchT")


class Stages:
    """Runs the stages of a run, in the folder of which each has one of its own.

    Args:
        training: the engine's settings.
        console: where progress bars are drawn; none if None.
    """

    def __init__(self, training: OfflineTraining, console: Console | None = None) -> None:
        self._training, self._console = training, console
        self._folder = None if training.output_dir is None else Path(training.output_dir)

    def learnt(
        self,
        name: str,
        about: Mapping[str, Any],
        learner: Updating[BatchT],
        examples: Examples[BatchT],
        updates: Updates,
        total: int,
        noise: torch.Generator,
    ) -> None:
        """Does the updates of a stage that are left; Ctrl-C keeps those that were done.

        Args:
            name: of the stage.
            about: all that what it learns depends on.
            learner: takes the steps.
            examples: what it learns from.
            updates: counts them.
            total: updates of the stage.
            noise: what the learner draws from.

        Raises:
            CheckpointError: if what is kept is damaged, or it can't be written.
            FloatingPointError: if a metric is not finite any more.
            KeyboardInterrupt: after Ctrl-C.
            ValueError: if what is kept is of another log or other settings.
        """
        kept = self._read(name, about)
        if kept is not None:
            content, tensors = kept
            state = LearnerState(tensors, content["optimizers"], content["device"])
            state.restore(learner, noise, self._place(name))
            updates.done = int(content["updates"])

        def save() -> None:
            state = LearnerState.of(learner, noise)
            told = {"updates": updates.done, "optimizers": dict(state.plain), "device": state.device}
            self._write(name, about, told, state.tensors)

        if updates.done >= total:
            return
        with Reporter(
            self._metrics(name),
            total=total,
            iteration=updates.done,
            console=self._console,
            shown=("loss", "critic_loss"),
            title=name,
        ) as reporter:
            training = self._training
            try:
                updates.run(learner, examples, total, reporter, save, training.report_every, training.save_every)
            except KeyboardInterrupt:
                save()
                if self._folder is not None:
                    _LOGGER.warning("interrupted in '%s' after update %d; kept in %s", name, updates.done, self._folder)
                raise
            save()

    def made(self, name: str, about: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What a stage makes, or what it made before.

        Args:
            name: of the stage.
            about: all that it depends on.
            make: makes the tensors, by name.

        Raises:
            CheckpointError: if what is kept is damaged, or it can't be written.
            ValueError: if what is kept is of another log or other settings.
        """
        kept = self._read(name, about)
        if kept is not None:
            return kept[1]
        tensors = make()
        self._write(name, about, {}, tensors)
        return tensors

    @contextmanager
    def progress(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar, for what is no training; gives what is told how many more are done."""
        if self._console is None:
            yield lambda count: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(name, total=total)
            yield lambda count: bar.advance(task, count)

    def _place(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / name

    def _metrics(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / "metrics" / name

    def _write(
        self, name: str, about: Mapping[str, Any], told: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> None:
        if self._folder is None:
            return
        content = {"key": _key(about), "about": dict(about), **told}
        with undisturbed(), replaced_folder(self._place(name)) as partial:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial / _TENSORS)
            (partial / _ABOUT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _read(self, name: str, about: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        if self._folder is None:
            return None
        try:
            folder = locate(self._place(name))
        except CheckpointError:  # there is none yet
            return None
        try:
            content = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            before, key = content["about"], content["key"]
            tensors = load_file(folder / _TENSORS) if key == _key(about) else {}
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"the stage in '{folder}' is damaged: {error!r:.300}; remove it, and it runs anew"
            ) from error
        if key != _key(about):
            now = json.loads(json.dumps(dict(about)))
            changed = sorted(entry for entry in {*before, *now} if before.get(entry) != now.get(entry))
            raise ValueError(
                f"'{folder}' was made with another {', '.join(changed)}: take another output_dir, or the same settings "
                "and log"
            )
        return content, tensors


def _key(about: Mapping[str, Any]) -> str:
    text = json.dumps(dict(about), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
