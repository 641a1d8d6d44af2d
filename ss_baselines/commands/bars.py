"""Progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bars:
    """Bars that show with the first step that is made, so that what is refused at once is told in one line.

    Args:
        console: where they show.
    """

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console)

    def bar(self, name: str, total: int) -> Callable[[int], None]:
        """One more; what it gives is told how many more are done."""
        task = self._progress.add_task(name, total=total)

        def advance(more: int) -> None:
            self._progress.start()  # once more changes nothing
            self._progress.advance(task, more)

        return advance

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.live.is_started:
            self._progress.stop()
