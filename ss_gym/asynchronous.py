"""Coroutines inside synchronous code: the one place where that is done."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class Slots:
    """At most so many at once, in each event loop; copies and pickles begin with all of them free.

    Args:
        limit: how many.

    Raises:
        ValueError: if it is less than 1.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"at least 1 must be allowed at once, got {limit}")
        self.limit = limit
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Slots], tuple[int]]:
        return Slots, (self.limit,)

    @property
    def here(self) -> asyncio.Semaphore:
        """What to hold in the running loop: ``async with slots.here``."""
        return self._of_loop.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.limit))


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


async def side_by_side(calls: Sequence[Callable[[], Awaitable[T]]], limit: int) -> list[T]:
    """What several asynchronous calls give, in order; the first that raises ends the others.

    Args:
        calls: each begins something to be waited for.
        limit: how many may be under way at once.
    """
    slots = Slots(limit)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with slots.here:
            return await call()

    tasks = [asyncio.ensure_future(one(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def abandon(values: Iterable[object]) -> None:
    """Ends what was to be waited for and never will be, so that it holds nothing any longer."""
    for value in values:
        if inspect.iscoroutine(value):
            value.close()
        elif isinstance(value, asyncio.Future):
            value.cancel()


async def in_thread(function: Callable[[], T], timeout: float | None = None) -> T:
    """What a function that blocks gives.

    Nothing can end a thread: one that runs into its time-out goes on by itself, and what it gives in
    the end is dropped. It keeps neither the loop nor the interpreter from ending.

    Args:
        function: called in a thread of its own.
        timeout: most seconds to wait; no limit if None.

    Raises:
        TimeoutError: if it takes longer.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(give: Callable[[Any], None], value: object) -> None:
        if not future.done():
            give(value)

    def work() -> None:
        give: Callable[[Any], None] = future.set_result
        value: object
        try:
            value = function()
        except BaseException as error:  # raised where it is waited for
            give, value = future.set_exception, error
        with suppress(RuntimeError):  # the loop was closed since, so nobody waits any more
            loop.call_soon_threadsafe(deliver, give, value)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return await asyncio.wait_for(future, timeout)


async def finished(function: Callable[[], T]) -> T:
    """What a function that blocks gives, in a thread of its own; cancelled meanwhile, it is waited for all the same.

    For what must not be left half done, such as a lock that is being acquired or a generator that is running: what
    is to be undone is then known to whoever is cancelled, and stands still.
    """
    work, cancelled = asyncio.ensure_future(in_thread(function)), False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        work.exception()  # is for nobody now
        raise asyncio.CancelledError
    return work.result()
