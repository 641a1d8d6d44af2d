"""What every request of a server goes through: a limit on its size, and a line of the log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ss_gym.serving.errors import ServiceError, failure

_LOGGER = logging.getLogger("ss_gym.serving.requests")
# What a client may name its request; anything else could forge lines of a log.
_REQUEST_ID = re.compile(rb"[\w.:-]{1,64}\Z")


class BodyLimit:
    """Reads the body of each request, and refuses one that is too long or does not come to its end.

    Args:
        app: what is behind it.
        most: bytes of a body.
        patience: seconds that it may take to arrive.
    """

    def __init__(self, app: ASGIApp, most: int, patience: float = 30.0) -> None:
        self._app, self._most, self._patience = app, most, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers 413 or 408."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._patience):
                waiting = [await self._whole(scope, receive)]
        except TimeoutError:
            await ServiceError(408, "the body did not arrive in time: send it again", "body_timeout").response()(
                scope, receive, send
            )
            return
        except ServiceError as error:
            await error.response()(scope, receive, send)
            return

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replayed, send)

    async def _whole(self, scope: Scope, receive: Receive) -> Message:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        body = bytearray()
        while True:
            if len(body) > self._most or (declared.isdigit() and int(declared[:20]) > self._most):
                raise ServiceError(413, f"the body has more than {self._most} bytes: send less", "body_too_large")
            message = await receive()
            body += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body"):
                if len(body) <= self._most:
                    return {**message, "body": bytes(body)} if message["type"] == "http.request" else message


class RequestLog:
    """Writes a line of JSON for each request, without its body: to the logger ``ss_gym.serving.requests``.

    What else is to be in the line is put into ``scope["state"]["logged"]`` by whoever answers. Each answer has the
    header ``X-Request-Id``, which is the request's own if it brings one. What is raised behind it is answered with 500.

    Args:
        app: what is behind it.
        count: is told the path and status of each answer.
    """

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None] = lambda _path, _status: None) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and logs it when it has been answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        own = given.decode() if _REQUEST_ID.match(given) else uuid.uuid4().hex
        logged: dict[str, Any] = {}
        scope.setdefault("state", {}).update(logged=logged, request_id=own)
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", own.encode())]}
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if status:
                raise  # the answer has begun, so nothing else can be told
            await failure(error).response()(scope, receive, noted)
        finally:
            self._count(scope["path"], status)
            line = {
                "request": own,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(time.monotonic() - began, 4),
                **logged,
            }
            _LOGGER.info("%s", json.dumps(line, ensure_ascii=True))
