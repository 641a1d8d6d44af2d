"""Sessions: who uses an environment of a server, and how long it is kept for them."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.errors import ServiceError
from ss_gym.serving.served_environment import ServedEnvironment
from ss_gym.serving.session import Session
from ss_gym.serving.session_metrics import SessionMetrics

Transport = Literal["http", "websocket"]
Reason = Literal["closed", "idle", "old", "overdue", "shutdown"]
HangUp = Callable[[Reason], Awaitable[None]]

_REQUESTS = logging.getLogger("ss_gym.serving.requests")
_REMEMBERED = 4096
_ENDED: dict[Reason, str] = {
    "closed": "it was closed",
    "idle": "nothing was asked of it for too long",
    "old": "it had been open for too long",
    "overdue": "its environment did not answer",
    "shutdown": "the server is shutting down",
}


@dataclass(eq=False, slots=True)
class Lease:
    """A session, and how it is held.

    Attributes:
        session: what is held.
        holder: who opened it.
        transport: how it is talked to.
        hang_up: ends the connection, if the session is that connection's alone.
        opened: when, by the clock of ``Sessions``.
        used: when it was last.
        ended: why it is held no longer; None while it is.
    """

    session: Session
    holder: str
    transport: Transport
    hang_up: HangUp | None
    opened: float
    used: float
    ended: Reason | None = None


class Sessions:
    """All sessions of a server.

    Args:
        served: makes their environments.
        limits: how many there are, and for how long.
        clock: tells seconds.

    Attributes:
        metrics: what is counted.
        closed: whether no more are opened.
    """

    def __init__(
        self, served: ServedEnvironment, limits: SessionLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._served, self._limits, self._clock = served, limits, clock
        self._open: dict[str, Lease] = {}
        # Who held them, and why they ended; their environments are not kept.
        self._ended: OrderedDict[str, tuple[str, Reason]] = OrderedDict()
        self.metrics = SessionMetrics(lambda: len(self._open))
        self.closed = False

    async def open(self, holder: str, transport: Transport, hang_up: HangUp | None = None) -> Lease:
        """A new session.

        Args:
            holder: who opens it.
            transport: how it will be talked to.
            hang_up: ends the connection, if the session is that connection's alone.

        Raises:
            ServiceError: 503 if there are too many, or the server is shutting down.
        """
        if self.closed:
            raise ServiceError(503, "the server is shutting down", "shutting_down", retry_after=5)
        most = self._limits.sessions
        if len(self._open) >= most:
            await self.sweep()
        if len(self._open) >= most:
            raise ServiceError(
                503, f"all {most} sessions are taken: try again later", "too_many_sessions", retry_after=5
            )
        session = Session(secrets.token_urlsafe(16), self._served, self._limits.answer_seconds, self.metrics)
        lease = Lease(session, holder, transport, hang_up, self._clock(), self._clock())
        self._open[session.id] = lease
        self.metrics.opened.labels(transport).inc()
        try:
            with self.using(lease):
                await session.begin()
        except BaseException:
            self.end(lease, "closed")
            raise
        return lease

    def find(self, session_id: str, holder: str) -> Lease:
        """A session that was opened over HTTP.

        Raises:
            ServiceError: 404 if there is none of that id that the holder opened, 410 if it has ended.
        """
        held_by, ended = self._ended.get(session_id, ("", None))
        if ended is not None and held_by == holder:
            raise _gone(ended)
        lease = self._open.get(session_id)
        if lease is None or lease.holder != holder or lease.transport != "http":
            raise ServiceError(404, f"there is no session '{session_id:.40}': open one", "no_session")
        reason = self._due(lease)
        if reason is not None:
            self.end(lease, reason)
        self._check(lease)
        return lease

    @contextmanager
    def using(self, lease: Lease) -> Iterator[Session]:
        """A session, for the time that a request takes until its answer is sent.

        Raises:
            ServiceError: 409 if it has another request to answer, 410 if it has ended.
        """
        self._check(lease)
        session = lease.session
        if session.busy:
            raise ServiceError(409, "the session has not answered the last request yet: wait for its answer", "busy")
        session.busy, lease.used = True, self._clock()
        try:
            yield session
        finally:
            session.busy, lease.used = False, self._clock()

    def end(self, lease: Lease, reason: Reason) -> None:
        """Ends a session, if it has not ended already."""
        session = lease.session
        if self._open.pop(session.id, None) is None:
            return
        lease.ended = reason
        session.close()
        if lease.transport == "http":
            self._ended[session.id] = lease.holder, reason
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
        self.metrics.ended.labels(reason).inc()
        line = {
            "session": session.id[:8],  # no more than tells them apart: whoever knows it all may use it
            "key": lease.holder,
            "transport": lease.transport,
            "ended": reason,
            "episodes": session.episodes,
            "steps": session.total_steps,
            "seconds": round(self._clock() - lease.opened, 3),
        }
        _REQUESTS.info("%s", json.dumps(line))

    async def sweep(self) -> None:
        """Ends the sessions whose time is over."""
        for lease in list(self._open.values()):
            reason = self._due(lease)
            if reason is None:
                continue
            self.end(lease, reason)
            if lease.hang_up is not None:
                # Its client has gone already, or it is choked (TimeoutError is an OSError): what is asked on it later
                # is refused.
                with suppress(OSError):
                    async with asyncio.timeout(1.0):
                        await lease.hang_up(reason)

    async def keep_sweeping(self) -> None:
        """Sweeps again and again, often enough for the limits."""
        pause = min(5.0, self._limits.idle_seconds / 4, self._limits.life_seconds / 4)
        while True:
            await asyncio.sleep(pause)
            await self.sweep()

    def close(self) -> None:
        """Ends all sessions, and opens no more."""
        self.closed = True
        for lease in list(self._open.values()):
            self.end(lease, "shutdown")

    def _check(self, lease: Lease) -> None:
        if lease.ended is not None:
            raise _gone(lease.ended)

    def _due(self, lease: Lease) -> Reason | None:
        """Why a session is to end now; None if it is not, or is in use."""
        if lease.session.busy:
            return None
        if lease.session.overdue:
            return "overdue"
        now = self._clock()
        if now - lease.used > self._limits.idle_seconds:
            return "idle"
        return "old" if now - lease.opened > self._limits.life_seconds else None


def _gone(reason: Reason) -> ServiceError:
    return ServiceError(410, f"the session has ended, because {_ENDED[reason]}: open another", f"ended_{reason}")
