"""Running an application: its socket, its signals, its log."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import uvicorn
from fastapi import FastAPI

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Clients of sessions read pings only while they wait for an answer, which may be minutes later; so an answer to a ping
# is not waited for. They are sent nevertheless: proxies cut connections on which nothing moves.
_PING_SECONDS = 20.0
# Of a server that lasts as long as a block.
_PATIENCE = 5


def bound_socket(host: str, port: int) -> socket.socket:
    """The socket of a server, taken before what is to be served is loaded: that may take long.

    Args:
        host: where to listen; ``0.0.0.0`` for every network.
        port: likewise; 0 for any that is free.

    Raises:
        OSError: if nothing can listen there.
    """
    own: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it, an answer would wait 40 ms for
        # the acknowledgement of its header.
        own = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((host, port))
    except OSError as error:
        if own is not None:
            own.close()
        error.filename = f"{host}:{port}"
        raise
    return own


def serve(
    app: FastAPI,
    own: socket.socket,
    *,
    patience: float = 30.0,
    ready: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> None:
    """Serves an application until SIGINT or SIGTERM; then requests under way are finished, and it returns.

    A second SIGINT ends it at once.

    Args:
        app: what is served.
        own: where; see :func:`bound_socket`. It is closed in the end.
        patience: seconds that requests under way may take in the end.
        ready: is told the address when requests are taken.
        **settings: others of ``uvicorn.Config``.
    """
    config = _config(app, timeout_graceful_shutdown=round(patience) + 1, **settings)
    with own, _signals_returned():
        own.listen(2048)
        ready(_address(own))
        uvicorn.Server(config).run(sockets=[own])


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves an application in a thread for the time of a block, on this machine: for notebooks and demonstrations.

    Args:
        app: what is served.

    Yields:
        The address; requests wait until the application has begun. At the end of the block, those under way have a few
        seconds to end.
    """
    server = uvicorn.Server(_config(app, timeout_graceful_shutdown=_PATIENCE))
    with bound_socket("127.0.0.1", 0) as own:
        own.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, name="server")
        thread.start()
        try:
            yield _address(own)
        finally:
            server.should_exit = True
            thread.join()


def _config(app: FastAPI, **settings: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,  # the application writes its own, which can be read by programs
        log_config=None,
        server_header=False,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        **settings,
    )


def _address(own: socket.socket) -> str:
    name = own.getsockname()
    shown = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{shown}:{name[1]}"


def log_as_json(stream: TextIO = sys.stderr) -> None:
    """Writes the lines of requests to a stream as they are, and warnings and errors of all else as text."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    requests = logging.getLogger("ss_gym.serving.requests")
    own = logging.StreamHandler(stream)
    own.setFormatter(logging.Formatter("%(message)s"))
    requests.handlers, requests.propagate = [own], False
    requests.setLevel(logging.INFO)


@contextmanager
def _signals_returned() -> Iterator[None]:
    """The server raises the signal that ended it once more when it has ended; here that ends nothing else."""
    earlier = {each: signal.signal(each, lambda *_: None) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)
