"""What a run reports: a line of JSON and TensorBoard scalars an iteration, trackers, and a progress bar."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from ss_trainers.trackers import TRACKERS, TrackedRun, Tracker

_LOGGER = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"


class Reporter:
    """Writes the metrics of a run where they can be looked at; a context manager.

    Args:
        directory: folder of ``metrics.jsonl`` and the TensorBoard files; nothing is written if
            None. What an earlier run wrote there after ``iteration`` is dropped, so that a resumed
            run continues the lines of the one that was interrupted.
        total: iterations of the whole run, for the progress bar.
        iteration: iterations that were done before.
        console: where the progress bar goes; no bar if None.
        shown: names of the metrics that stand beside the bar.
        trackers: names of experiment trackers, as in :data:`ss_trainers.trackers.TRACKERS`. One that fails
            in the middle of a run is given up with a warning; training goes on.
        settings: how the run was set up, for the trackers.
        title: what the progress bar is called.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        total: int = 0,
        iteration: int = 0,
        console: Console | None = None,
        shown: Sequence[str] = ("success", "return", "eval/success"),
        trackers: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        title: str = "training",
    ) -> None:
        self._title = title
        self._directory = Path(directory) if directory is not None else None
        self._total = total
        self._iteration = iteration
        self._console = console
        self._shown = {name: math.nan for name in shown}
        self._names = tuple(trackers)
        self._settings = dict(settings or {})
        self._writer: SummaryWriter | None = None
        self._trackers: dict[str, Tracker] = {}
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._opened = ExitStack()
        self._failed = False

    def __enter__(self) -> Reporter:
        with ExitStack() as opened:
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._drop_later_lines(self._directory / METRICS_FILE)
                self._writer = SummaryWriter(str(self._directory / "tensorboard"), purge_step=self._iteration + 1)
                opened.callback(self._writer.close)
            if self._names:
                run = TrackedRun.begun(self._directory, self._iteration, self._settings)
                for name in self._names:
                    self._trackers[name] = TRACKERS[name](run)
                    opened.callback(self._close, name)
            # Last: trackers print where they can be looked at.
            if self._console is not None:
                self._progress = self._bar(self._console)
                opened.callback(self._progress.stop)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failed = kind is not None
        self._opened.close()

    def report(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Records the metrics of an iteration, counted from 1.

        A metric that is not a finite number is written as null, and left out of TensorBoard and trackers.
        """
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        if self._directory is not None:
            line = {"iteration": iteration, **{name: finite.get(name) for name in metrics}}
            with (self._directory / METRICS_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, value in finite.items():
                self._writer.add_scalar(name, value, iteration)
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.report(iteration, finite)
            except Exception as error:  # Whatever someone's service raises must not end the training.
                _LOGGER.warning(
                    "the tracker '%s' gets no more metrics from iteration %d on: %r", name, iteration, error
                )
                self._close(name)
        if self._progress is not None:
            self._shown.update((name, value) for name, value in finite.items() if name in self._shown)
            text = "  ".join(f"{name} {value:.3g}" for name, value in self._shown.items() if math.isfinite(value))
            self._progress.update(self._task, completed=iteration, metrics=text)

    def _bar(self, console: Console) -> Progress:
        """The progress bar, which begins where the run does."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, TextColumn("{task.fields[metrics]}"), console=console)
        progress.start()
        self._task = progress.add_task(self._title, total=self._total, completed=self._iteration, metrics="")
        return progress

    def _close(self, name: str) -> None:
        """Ends what a tracker shows, if it has not been given up."""
        tracker = self._trackers.pop(name, None)
        try:
            if tracker is not None:
                tracker.close(self._failed)
        except Exception as error:  # As above: the last checkpoint is still to be saved.
            _LOGGER.warning("the tracker '%s' could not be closed: %r", name, error)

    def _drop_later_lines(self, file: Path) -> None:
        if not file.exists():
            return
        kept = [line for line in file.read_text(encoding="utf-8").splitlines() if self._is_earlier(line)]
        file.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _is_earlier(self, line: str) -> bool:
        try:
            return bool(json.loads(line)["iteration"] <= self._iteration)
        except (ValueError, KeyError):
            # The run was killed while it wrote this line.
            return False
