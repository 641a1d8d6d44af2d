"""What the libraries that load models log, held back until it is known how the loading ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from logging.handlers import MemoryHandler

_LIBRARIES = ("huggingface_hub", "transformers")
_MOST_RECORDS = 10_000


@contextmanager
def held_back() -> Iterator[None]:
    """Shows what the libraries logged in the block once it has ended, and nothing of it if it raises.

    A failed look-up on a hub logs two lines for each of its many tries, and raises an error that
    says the same. On success what they say matters: that weights were missing, for instance.
    """
    loggers = [_logger(name) for name in _LIBRARIES if find_spec(name) is not None]
    earlier = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    memory = MemoryHandler(_MOST_RECORDS, flushLevel=logging.CRITICAL + 1)
    for logger in loggers:
        logger.handlers, logger.propagate = [memory], False
    try:
        yield
    finally:
        for logger, handlers, propagate in earlier:
            logger.handlers, logger.propagate = handlers, propagate
    for record in memory.buffer:
        logging.getLogger(record.name).handle(record)


def _logger(library: str) -> logging.Logger:
    """The library's logger, with the handlers that it gets when the library is imported."""
    import_module(f"{library}.utils.logging")
    return logging.getLogger(library)
