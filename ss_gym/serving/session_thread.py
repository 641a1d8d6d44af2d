"""A thread of a session's own, for environments that wait for something."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class OverdueError(Exception):
    """A call takes longer than anybody waits for it."""


class SessionThread:
    """Calls functions one after the other in a thread of its own.

    What belongs to a thread, such as most database connections, may so be made by one call and used by the next.
    The thread keeps no interpreter from ending.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="session", daemon=True).start()

    async def call(self, function: Callable[[], T], patience: float) -> T:
        """What a function gives.

        Args:
            function: called in the thread.
            patience: most seconds to wait; the call goes on without anybody who waits.

        Raises:
            OverdueError: if it takes longer.
        """
        loop = asyncio.get_running_loop()
        given: asyncio.Future[T] = loop.create_future()

        def deliver(give: Callable[[Any], None], value: object) -> None:
            if not given.done():
                give(value)

        def work() -> None:
            give: Callable[[Any], None] = given.set_result
            value: object
            try:
                value = function()
            except BaseException as error:  # raised where it is waited for
                give, value = given.set_exception, error
            with suppress(RuntimeError):  # the loop was closed since, so nobody waits any more
                loop.call_soon_threadsafe(deliver, give, value)

        self._asked.put(work)
        await asyncio.wait([given], timeout=patience)
        if not given.done():
            given.cancel()
            raise OverdueError(f"no answer within {patience:g} s")
        return given.result()

    def end(self, function: Callable[[], None]) -> None:
        """Ends the thread after the calls that were asked for, and a last one that nobody waits for."""
        self._asked.put(function)
        self._asked.put(None)

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            work()
