"""Running an application: its socket, its signals, its log."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import uvicorn
from fastapi import FastAPI

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    app: FastAPI, host: str, port: int, *, patience: float = 30.0, ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serves an application until SIGINT or SIGTERM; then requests under way are finished, and it returns.

    A second SIGINT ends it at once.

    Args:
        app: what is served.
        host: where to listen; ``0.0.0.0`` for every network.
        port: likewise; 0 for any that is free.
        patience: seconds that requests under way may take in the end.
        ready: is told the address when requests are taken.

    Raises:
        OSError: if nothing can listen there.
    """
    listening = _listening(host, port)
    settings = uvicorn.Config(
        app,
        access_log=False,  # the application writes its own, which can be read by programs
        log_config=None,
        timeout_graceful_shutdown=round(patience) + 1,
        server_header=False,
    )
    with listening, _signals_returned():
        name = listening.getsockname()
        shown = f"[{name[0]}]" if ":" in name[0] else name[0]
        ready(f"http://{shown}:{name[1]}")
        uvicorn.Server(settings).run(sockets=[listening])


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


def _listening(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        error.filename = f"{host}:{port}"
        raise
    return listening


@contextmanager
def _signals_returned() -> Iterator[None]:
    """The server raises the signal that ended it once more when it has ended; here that ends nothing else."""
    earlier = {each: signal.signal(each, lambda *_: None) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)
