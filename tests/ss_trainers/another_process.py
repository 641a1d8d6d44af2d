"""Another process, for what is to be killed, interrupted or short of something.

Importing torch and transformers takes seconds: it is forked from the server that trainers fork theirs from, which has
done that and nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch.multiprocessing

from ss_trainers.processes import _IMPORTED_ONCE, _START_METHOD


class AnotherProcess:
    """A process that calls a function of a module and ends.

    Args:
        errors: a file for what it writes to stderr.
        work: the function.
        arguments: of the function.
    """

    def __init__(self, errors: Path, work: Callable[..., object], *arguments: object) -> None:
        self._errors = errors
        context = torch.multiprocessing.get_context(_START_METHOD)
        if _START_METHOD == "forkserver":
            context.set_forkserver_preload(_IMPORTED_ONCE)
        self._process = context.Process(target=_call, args=(errors, work, arguments))
        self._process.start()

    def wait_for(self, path: Path) -> None:
        """Until a file or folder is there, or the process has ended."""
        deadline = time.monotonic() + 300
        while not path.exists() and self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Does what Ctrl-C does."""
        os.kill(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def ended(self) -> tuple[int | None, str]:
        """Its exit code, once it has ended, and what it wrote to stderr."""
        self._process.join(300)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError("the other process does not end")
        return self._process.exitcode, self._errors.read_text()


def _call(errors: Path, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        sys.__stderr__.flush()
        os._exit(1)
