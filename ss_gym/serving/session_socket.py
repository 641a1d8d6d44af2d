"""A session over a WebSocket: one for each connection, and a JSON message for each request and answer.

The server speaks first and tells what it serves (``Description``). Then the client asks and the server answers, in
turn: ``{"do": "reset", "seed": …, "options": …}``, ``{"do": "step", "action": …}``, ``{"do": "restore", "state": …}``.
Answers are those of the HTTP paths of the same names, errors included. The session ends with the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from ss_gym.serving.access import ApiKeys
from ss_gym.serving.environment_api import Description, SessionLimits
from ss_gym.serving.errors import ServiceError, failure
from ss_gym.serving.session import Session
from ss_gym.serving.sessions import Lease, Reason, Sessions
from ss_gym.serving.wire import WireError, read, write

TOO_LARGE, SERVER_ERROR, ENDED = 1009, 1011, 4410
_FIELDS = {
    "reset": {"do", "seed", "options"},
    "step": {"do", "action", "step"},
    "restore": {"do", "state"},
}


class SessionSocket:
    """The ASGI application behind the path of the WebSocket.

    Args:
        sessions: where sessions are opened.
        description: what is told first.
        keys: who may use it.
        limits: of the messages.
    """

    def __init__(self, sessions: Sessions, description: Description, keys: ApiKeys, limits: SessionLimits) -> None:
        self._sessions, self._keys, self._limits = sessions, keys, limits
        self._greeting = description.model_dump_json()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        await receive()  # that somebody wants to connect

        async def hang_up(reason: Reason) -> None:
            await send({"type": "websocket.close", "code": ENDED, "reason": reason})

        try:
            _check_origin(scope)
            holder = self._keys.holder(_header(scope, b"authorization"))
            lease = await self._sessions.open(holder, "websocket", hang_up)
        except ServiceError as error:
            self._sessions.metrics.count(scope["path"], error.status)
            await error.response()(scope, receive, send)
            return
        try:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": self._greeting})
            await self._serve(lease, receive, send)
        except OSError:  # the client has gone, and does not wait for what was to be sent
            pass
        finally:
            self._sessions.end(lease, "closed")

    async def _serve(self, lease: Lease, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is not None and self._is_too_large(text):
                reason = f"a message has more than {self._limits.message_bytes} bytes"
                await send({"type": "websocket.close", "code": TOO_LARGE, "reason": reason})
                return
            try:
                with self._sessions.using(lease) as session:
                    answer = await self._answered(session, text)
                    await send({"type": "websocket.send", "text": answer})
            except ServiceError:  # it has ended, and the client was told when it did
                return
            if session.overdue:
                self._sessions.end(lease, "overdue")
                await send({"type": "websocket.close", "code": SERVER_ERROR, "reason": "overdue"})
                return

    async def _answered(self, session: Session, text: str | None) -> str:
        """The answer to a message, which may be an error."""
        try:
            return await _done(session, text)
        except ServiceError as error:
            told = error
        except Exception as error:
            told = failure(error)
        self._sessions.metrics.count("", told.status)
        return write(told.body)

    def _is_too_large(self, text: str) -> bool:
        most = self._limits.message_bytes
        return len(text) > most or (not text.isascii() and len(text.encode()) > most)


async def _done(session: Session, text: str | None) -> str:
    """Does what a message asks for.

    Raises:
        ServiceError: if it can't be done.
    """
    if text is None:
        raise ServiceError(400, "messages are text, and this one is binary", "invalid_json")
    try:
        asked = read(text)
    except WireError as error:
        raise ServiceError(400, str(error), "invalid_json") from error
    do = asked.get("do")
    known = _FIELDS.get(do) if isinstance(do, str) else None
    if known is None:
        raise ServiceError(400, f"do: one of {', '.join(_FIELDS)}, got {do!r:.40}", "invalid_value", "do")
    if not asked.keys() <= known:
        field = min(asked.keys() - known)
        raise ServiceError(400, f"unknown field '{field:.40}': leave it out", "unknown_field", field)
    if do == "step":
        return await session.step(_of_type(asked, "action", str), _of_type(asked, "step", int, None))
    if do == "reset":
        return await session.reset(_seed(asked), _of_type(asked, "options", dict, None))
    return await session.restore(_of_type(asked, "state", str))


def _check_origin(scope: Scope) -> None:
    """Refuses pages of other sites: a browser would let any page speak with a server on its user's own machine."""
    origin = _header(scope, b"origin")
    if origin and origin.partition("://")[2] != _header(scope, b"host"):
        raise ServiceError(403, "a page of another site may not open sessions here", "other_origin")


_NOTHING: Any = object()


def _of_type(asked: Mapping[str, Any], field: str, kind: type, default: Any = _NOTHING) -> Any:
    value = asked.get(field, default)
    if type(value) is not kind and (value is not None or default is _NOTHING):
        got = "nothing" if value is _NOTHING else f"{value!r:.40}"
        raise ServiceError(400, f"{field}: must be of the type {kind.__name__}, got {got}", "invalid_value", field)
    return value


def _seed(asked: Mapping[str, Any]) -> int | None:
    seed: int | None = _of_type(asked, "seed", int, None)
    if seed is not None and not 0 <= seed < 2**128:
        raise ServiceError(400, "seed: must be from 0 to 2**128 - 1", "invalid_value", "seed")
    return seed


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
