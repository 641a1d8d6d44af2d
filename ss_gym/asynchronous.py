"""Coroutines inside synchronous code: the one place where that is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, waited for here.

    Where an event loop runs in this thread already, as in a notebook, the coroutine gets a loop in a
    thread of its own: it must not need the other one.

    Args:
        coroutine: what to wait for; what it raises is raised here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
