"""Coroutines inside synchronous code: the one place where that is done."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def settled(value: T | Awaitable[T]) -> T:
    """The value itself, or what it gives once it was waited for."""

    async def waited(awaitable: Awaitable[T]) -> T:
        return await awaitable

    return run(waited(value)) if inspect.isawaitable(value) else value


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, waited for here.

    Each call has an event loop of its own, in a thread of its own where a loop runs in this one
    already, as in a notebook. So nothing that belongs to a loop, such as an open connection, may be
    kept from one call to the next.

    Args:
        coroutine: what to wait for; what it raises is raised here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()
