"""Requests that wait for the threads of an engine, and where to tell what comes of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ss_gym.agents.backends import Sampling
from ss_gym.agents.conversation import Conversation
from ss_gym.types import Completion


class ClosedEngineError(RuntimeError):
    """The engine takes no more requests, or ended before it came to this one."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down: try again later, or another one")


@dataclass(eq=False)
class Reply:
    """A request that was made of an engine, and where to tell what comes of it.

    What is told are pieces of the text, if they are asked for, and in the end the completion or what went wrong:
    :class:`ss_gym.serving.engines.NoRoomError`, :class:`ClosedEngineError`, or what the backend raised.

    Attributes:
        conversation: what is answered.
        sampling: how.
        told: where it is told, together with the request; one queue may serve several.
        place: tells apart those that share a seed.
        listening: whether pieces are wanted.
        fitted: what of the conversation the model reads; all of it at first.
        prompt_tokens: of the conversation; None before it is begun, and where the backend does not tell.
        waited: seconds from the request until it was begun; None before.
        cancelled: set by whoever does not want it any more.
    """

    conversation: Conversation
    sampling: Sampling
    told: asyncio.Queue[tuple[Reply, str | Completion | Exception]]
    place: int = 0
    listening: bool = False
    fitted: Conversation = field(init=False)
    prompt_tokens: int | None = None
    waited: float | None = None
    cancelled: bool = False
    _made: float = field(default_factory=time.monotonic)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def __post_init__(self) -> None:
        """All of the conversation is read, unless the engine says otherwise."""
        self.fitted = self.conversation

    def begin(self) -> None:
        """Notes that it is being answered."""
        self.waited = time.monotonic() - self._made

    @staticmethod
    def tell(given: Sequence[tuple[Reply, str | Completion | Exception]]) -> None:
        """Tells what came of some requests, from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            for loop in {reply._loop for reply, _ in given}:
                loop.call_soon_threadsafe(_deliver, [each for each in given if each[0]._loop is loop])


def _deliver(given: Sequence[tuple[Reply, str | Completion | Exception]]) -> None:
    for reply, each in given:
        reply.told.put_nowait((reply, each))


class Inbox:
    """Requests that wait for the threads of an engine."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Reply] = deque()
        self.closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, reply: Reply) -> None:
        """Adds a request.

        Raises:
            ClosedEngineError: if it was closed.
        """
        with self._changed:
            if self.closed:
                raise ClosedEngineError
            self._waiting.append(reply)
            self._changed.notify()

    def close(self, *, dropping: bool) -> list[Reply]:
        """Takes no more; gives those that will not be answered any more."""
        with self._changed:
            self.closed = True
            dropped = list(self._waiting) if dropping else []
            if dropping:
                self._waiting.clear()
            self._changed.notify_all()
        return dropped

    def take(self, most: int, *, wait: bool, alike: bool = False) -> list[Reply]:
        """Up to so many requests that are still wanted, first come first; none only if it need not wait or is closed.

        Args:
            most: how many.
            wait: whether to wait until there is one.
            alike: only those that are sampled like the first, each wanted as a whole.
        """
        with self._changed:
            taken: list[Reply] = []
            while True:
                while self._waiting and len(taken) < most:
                    first = self._waiting[0]
                    if alike and taken and not _are_alike(taken[0], first):
                        break
                    self._waiting.popleft()
                    if not first.cancelled:
                        taken.append(first)
                if taken or not wait or self.closed:
                    return taken
                self._changed.wait()


def _are_alike(one: Reply, other: Reply) -> bool:
    return one.sampling == other.sampling and one.sampling.seed is None and not (one.listening or other.listening)
