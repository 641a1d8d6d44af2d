"""Ctrl-C at the right moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def undisturbed() -> Iterator[None]:
    """Holds Ctrl-C back until the block is done, so that nothing is left half changed.

    Signals reach the main thread alone: elsewhere there is nothing to hold back.
    """
    with postponed():
        yield


@contextmanager
def postponed() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C back until the block is done, or the function that it gives is called.

    For loops with many short turns: to call a function costs less than to begin a block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    caught: list[tuple[int, FrameType | None]] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))

    def let_in() -> None:
        if caught and callable(previous):
            first = caught[0]
            caught.clear()
            previous(*first)

    try:
        yield let_in
    finally:
        signal.signal(signal.SIGINT, previous)
    let_in()
