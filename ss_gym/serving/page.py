"""The page at ``/``: talk to the agent, or play an episode, in a browser."""

from __future__ import annotations

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
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def install_page(app: FastAPI) -> None:
    """Serves the page, which does whatever the app offers: ``/v1/models``, ``/v1/environment``, or both."""
    for path, (name, kind) in _FILES.items():
        app.router.routes.append(Route(path, _sending((files(__package__) / name).read_bytes(), kind)))


def _sending(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return send
