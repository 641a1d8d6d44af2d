"""Ctrl-C at a certain moment."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest


def listen() -> None:
    """Has Ctrl-C raise KeyboardInterrupt, as at a terminal: what runs in the background of a script ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def press(monkeypatch: pytest.MonkeyPatch, kind: Any, method: str, number: int) -> None:
    """Presses Ctrl-C when a method of a class is called for the n-th time from now on."""
    listen()
    called, left = getattr(kind, method), iter(range(number - 1, -1, -1))

    def pressing(*arguments: Any, **keywords: Any) -> Any:
        if next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return called(*arguments, **keywords)

    monkeypatch.setattr(kind, method, pressing)
