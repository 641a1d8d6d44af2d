"""The page at ``/``: talk to the agent, or play an episode, in a browser."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.routing import Route

_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
# Nothing is loaded from elsewhere, and no other site can put the page into its own.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def install_page(app: FastAPI, *, model: str | None = None, environment: str | None = None, key: bool = False) -> None:
    """Serves the page.

    Args:
        app: which has the paths that the page asks: ``/v1/chat/completions``, ``/v1/sessions``, or both.
        model: the name of the agent's; None if there is none to talk to.
        environment: the id; None if there is none to play in.
        key: whether a key is wanted.
    """
    offered = json.dumps({"model": model, "environment": environment, "key": key}).encode()
    contents = {path: ((files(__package__) / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}
    for path, (content, kind) in {**contents, "/page.json": (offered, "application/json")}.items():
        app.router.routes.append(Route(path, _sending(content, kind)))


def _sending(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return send
