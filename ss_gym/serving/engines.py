"""What stands between the requests of a server and the one model that answers all of them.

Requests arrive one by one in an event loop; a model answers fastest in batches and must not be called from two
threads at once. An engine owns the model in threads of its own:

* :class:`SteppingEngine` for a backend that goes on a token at a time: requests join the batch and leave it between
  two steps, so none waits for another one's end.
* :class:`PoolEngine` for all others: as many calls at once as the backend allows; where that is one, those that wait
  and are to be sampled alike are answered together.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from ss_gym.agents.backends import Backend, ConcurrentBackend, MeasuringBackend, SteppingBackend, StreamingBackend
from ss_gym.agents.conversation import Conversation, UnanswerableError
from ss_gym.serving.inbox import ClosedEngineError, Inbox, Reply
from ss_gym.types import Completion

_LOGGER = logging.getLogger(__name__)


class NoRoomError(UnanswerableError):
    """A conversation leaves no room for a reply in the model's context."""


class Engine(Protocol):
    """Answers the requests of many callers with one model."""

    @property
    def waiting(self) -> int:
        """Requests that were made and not begun."""
        ...

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        ...

    def ask(self, reply: Reply) -> None:
        """Takes a request; to be called in the event loop that waits for it.

        Raises:
            ClosedEngineError: if the engine was closed.
        """
        ...

    async def close(self, patience: float) -> None:
        """Takes no more requests, finishes those there are within ``patience`` seconds, and ends its threads."""
        ...


def engine_of(
    backend: Backend, batch: int, fitted: Callable[[Conversation], Conversation] = lambda each: each
) -> Engine:
    """The engine for a backend.

    Args:
        backend: what answers; nobody else may call it meanwhile.
        batch: most conversations that are answered at once.
        fitted: what of a conversation the model reads, such as a trimmed one.
    """
    kind = SteppingEngine if isinstance(backend, SteppingBackend) else PoolEngine
    return kind(backend, batch, fitted)  # type: ignore[arg-type]


class SteppingEngine:
    """An engine for a backend that goes on with all conversations a token at a time.

    Requests are read in a second thread, where a tokenizer may take seconds for a long one, while the others go on.

    Args:
        backend: what answers.
        batch: most conversations under way.
        fitted: what of a conversation the model reads.
    """

    def __init__(
        self, backend: SteppingBackend, batch: int, fitted: Callable[[Conversation], Conversation] = lambda each: each
    ) -> None:
        self._backend, self._batch, self._fitted = backend, batch, fitted
        self._unread, self._ready = Inbox(), Inbox()
        self._reading = False
        self._under_way: dict[int, Reply] = {}  # by the conversation that the model reads
        self._impatient = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._started = False

    @property
    def waiting(self) -> int:
        """Requests that were made and not begun."""
        return len(self._unread) + self._reading + len(self._ready)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._under_way)

    def ask(self, reply: Reply) -> None:
        """See :class:`Engine`."""
        self._unread.put(reply)
        if not self._started:
            self._started = True
            self._reader.start()
            self._thread.start()

    async def close(self, patience: float) -> None:
        """See :class:`Engine`."""
        self._unread.close(dropping=False)
        if not self._started:
            return
        await asyncio.to_thread(self._thread.join, patience)
        self._impatient = True
        left = [*self._unread.close(dropping=True), *self._ready.close(dropping=True)]
        Reply.tell([(reply, ClosedEngineError()) for reply in left])
        for thread in (self._reader, self._thread):
            await asyncio.to_thread(thread.join)

    def _read(self) -> None:
        while replies := self._unread.take(1, wait=True):
            self._reading = True
            self._measure(replies.pop())
            self._reading = False
        self._ready.close(dropping=False)

    def _measure(self, reply: Reply) -> None:
        """Finds out whether there is room, for which backends encode what they then need not encode again."""
        try:
            reply.fitted = self._fitted(reply.conversation)
            reply.prompt_tokens = _prompt_tokens(self._backend, reply.fitted)
            self._ready.put(reply)
        except Exception as error:
            Reply.tell([(reply, _logged(error))])

    def _run(self) -> None:
        while True:
            room = self._batch - len(self._under_way)
            for reply in self._ready.take(room, wait=not self._under_way) if room else ():
                self._begin(reply)
            if not self._under_way:
                if self._ready.closed and not len(self._ready):
                    return
                continue
            self._drop_unwanted()
            if self._under_way:
                self._step()

    def _begin(self, reply: Reply) -> None:
        try:
            self._backend.submit(reply.fitted, reply.sampling, reply.place, listening=reply.listening)
        except Exception as error:
            Reply.tell([(reply, _logged(error))])
            return
        self._under_way[id(reply.fitted)] = reply
        reply.begin()

    def _step(self) -> None:
        try:
            progress = self._backend.step()
        except Exception as error:
            _LOGGER.exception("the model failed; %d requests with it", len(self._under_way))
            self._fail(error)
            return
        given: list[tuple[Reply, str | Completion | Exception]] = []
        for each in progress:
            reply = self._under_way[id(each.conversation)]
            if each.piece:
                given.append((reply, each.piece))
            if each.completion is not None:
                given.append((reply, each.completion))
                del self._under_way[id(each.conversation)]
        if given:
            Reply.tell(given)

    def _fail(self, error: Exception) -> None:
        for reply in self._under_way.values():
            self._backend.close(reply.fitted)
        Reply.tell([(reply, error) for reply in self._under_way.values()])
        self._under_way.clear()

    def _drop_unwanted(self) -> None:
        if self._impatient:
            self._fail(ClosedEngineError())
        for key, reply in list(self._under_way.items()):
            if reply.cancelled:
                self._backend.close(reply.fitted)
                del self._under_way[key]


class PoolEngine:
    """An engine for a backend that is called once for each request, or for some together.

    Args:
        backend: what answers; called from as many threads as it allows.
        batch: most conversations that are answered at once.
        fitted: what of a conversation the model reads.
    """

    def __init__(
        self, backend: Backend, batch: int, fitted: Callable[[Conversation], Conversation] = lambda each: each
    ) -> None:
        self._backend, self._batch, self._fitted = backend, batch, fitted
        self._inbox = Inbox()
        self._threads_left = min(batch, backend.concurrency if isinstance(backend, ConcurrentBackend) else 1)
        self._together = self._threads_left == 1
        self._threads: list[threading.Thread] = []
        self._running: set[Reply] = set()

    @property
    def waiting(self) -> int:
        """Requests that were made and not begun."""
        return len(self._inbox)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    def ask(self, reply: Reply) -> None:
        """See :class:`Engine`."""
        self._inbox.put(reply)
        # Also where one may be idle: which are can't be known for certain from here, and nobody is to wait for nothing.
        if self._threads_left:
            self._threads_left -= 1
            self._threads.append(threading.Thread(target=self._run, name="engine", daemon=True))
            self._threads[-1].start()

    async def close(self, patience: float) -> None:
        """See :class:`Engine`; a call that is under way after that long is left to itself."""
        self._inbox.close(dropping=False)
        until = time.monotonic() + patience
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, until - time.monotonic()))
        left = [*self._inbox.close(dropping=True), *self._running]
        Reply.tell([(reply, ClosedEngineError()) for reply in left])

    def _run(self) -> None:
        most = self._batch if self._together else 1
        while replies := self._inbox.take(most, wait=True, alike=True):
            self._running.update(replies)
            for reply in replies:
                reply.begin()
            try:
                self._answer(replies)
            except Exception as error:
                if len(replies) == 1:
                    Reply.tell([(replies[0], _logged(error))])
                else:
                    self._answer_each(replies)
            self._running.difference_update(replies)

    def _answer_each(self, replies: Sequence[Reply]) -> None:
        """One after the other, so that the one that can't be answered is alone with it."""
        for reply in replies:
            try:
                self._answer([reply])
            except Exception as error:
                Reply.tell([(reply, _logged(error))])

    def _answer(self, replies: Sequence[Reply]) -> None:
        for reply in replies:
            reply.fitted = self._fitted(reply.conversation)
            reply.prompt_tokens = _prompt_tokens(self._backend, reply.fitted)
        conversations = [reply.fitted for reply in replies]
        first = replies[0]
        sampling = first.sampling
        if sampling.seed is not None:
            sampling = replace(sampling, seed=sampling.seed + first.place)
        if not (first.listening and isinstance(self._backend, StreamingBackend)):
            completions = self._backend.generate(conversations, sampling)
            # Who listens is alone, see ``_are_alike``, and hears all at once.
            heard = [(first, completions[0].text)] if first.listening else []
            Reply.tell([*heard, *zip(replies, completions, strict=True)])
            return
        with closing(self._backend.stream(conversations[0], sampling)) as pieces:
            while not first.cancelled:
                try:
                    Reply.tell([(first, next(pieces))])
                except StopIteration as end:
                    Reply.tell([(first, end.value)])
                    return


def _prompt_tokens(backend: Backend, conversation: Conversation) -> int | None:
    """How many tokens the model reads; None where the backend does not tell.

    Raises:
        NoRoomError: if there is no room for a reply.
    """
    if not isinstance(backend, MeasuringBackend):
        return None
    room = backend.room(conversation)
    if room < 1:
        raise NoRoomError(
            f"the conversation has at least {backend.max_context - room} tokens, and the model's context "
            f"{backend.max_context} with the reply: send a shorter one"
        )
    return backend.max_context - room


def _logged(error: Exception) -> Exception:
    """An error of one request, which is logged unless the request is to blame, or the end of the server."""
    if not isinstance(error, UnanswerableError | ClosedEngineError):
        _LOGGER.error("a request failed", exc_info=error)
    return error
