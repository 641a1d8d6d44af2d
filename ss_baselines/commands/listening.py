"""What the commands that serve something have in common: what they say, and how they listen."""

from __future__ import annotations

import socket

from fastapi import FastAPI
from rich.console import Console

from ss_gym.serving.access import ApiKeys
from ss_gym.serving.server import log_as_json, serve

_LOCAL = ("127.0.0.1", "localhost", "::1")


def serve_and_tell(
    app: FastAPI,
    own: socket.socket,
    console: Console,
    *,
    name: str,
    path: str = "",
    host: str,
    keys: ApiKeys,
    patience: float,
    message_bytes: int,
) -> None:
    """Serves an application until it is told to end, and says on the console where it is.

    Args:
        app: what is served.
        own: where; it is closed in the end.
        console: gets the warnings and the address.
        name: what is served, in words.
        path: of its API, below the address.
        host: as it was given: beyond this machine, whoever has no keys is warned.
        keys: that are asked for.
        patience: seconds that requests under way have to end.
        message_bytes: the largest message of a WebSocket that is read.
    """
    if not keys.wanted and host not in _LOCAL:
        console.print("anybody who reaches this port may use it: --api-keys FILE asks for a key", style="yellow")
    log_as_json()

    def ready(address: str) -> None:
        console.print(f"{name} at {address}{path}, its documentation at {address}/docs; Ctrl-C ends it", soft_wrap=True)

    # A byte more, so that what is too long is refused by the application, which says so.
    serve(app, own, patience=patience, ready=ready, ws_max_size=message_bytes + 1)
    console.print("stopped")
