"""Another process of this machine that does a part of the work, and the memory that is shared with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

_SHARED_MEMORY = Path("/dev/shm")
# How long one piece of work may take before the run is given up as hung.
_PATIENCE_SECONDS = 3600.0
# How long a process that is to end may take over it.
_GOODBYE_SECONDS = 10.0

# Importing torch and transformers takes seconds: one process does it, and the others are forked from it, before it
# computes anything or touches a GPU. What is read from the environment at import is as it was for the first of them.
# macOS does not let a process be forked that has loaded its frameworks.
_START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_IMPORTED_ONCE = ["ss_trainers.distributed", "ss_trainers.asynchronous"]

# Does a piece of work; the arguments and the result are sent as pickles.
Work = Callable[..., Any]


class WorkerError(RuntimeError):
    """A process that shares the work has failed or vanished."""


class WorkerProcess:
    """A process that does what it is asked, one thing after the other; it ends when this one does.

    Args:
        make: a class or function of a module; called there once, it gives what does the work.
        arguments: of ``make``; tensors among them are shared between the processes.
        advice: what to do if there is too little memory for the process.

    Raises:
        WorkerError: if the arguments can't be sent to another process.
    """

    def __init__(self, make: Callable[..., Work], arguments: tuple[Any, ...], advice: str) -> None:
        self._advice = advice
        self._connection, theirs = torch.multiprocessing.Pipe()
        given = (theirs, dict(os.environ), make, arguments)
        try:
            self._process = _started(given)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise WorkerError(
                f"what another process needs can't be sent to it ({error}): give the environment as an id, a spec, "
                "or a function that stands in a module"
            ) from error
        finally:
            theirs.close()

    def ask(self, *arguments: Any) -> None:
        """Starts a piece of work, or puts it behind those that were asked for before.

        Raises:
            WorkerError: if the process is lost.
        """
        try:
            # Plain pickles: torch would open a file in shared memory for each tensor sent.
            self._connection.send_bytes(pickle.dumps(arguments))
        except OSError as error:
            raise self._lost() from error

    def answer(self) -> Any:
        """Waits for the result of the first piece of work that has not been answered.

        Raises:
            WorkerError: if it failed, or the process is lost or hangs.
        """
        try:
            if not self._connection.poll(_PATIENCE_SECONDS):
                raise WorkerError(f"worker process {self._process.pid} has not answered for {_PATIENCE_SECONDS:.0f} s")
            good, result = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if not good:
            raise WorkerError(f"worker process {self._process.pid} failed:\n{result}")
        return result

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.terminate()
        self._process.join(_GOODBYE_SECONDS)
        if self._process.exitcode is None:  # something in it holds SIGTERM back
            self._process.kill()
            self._process.join()
        self._connection.close()

    def _lost(self) -> WorkerError:
        self._process.join(timeout=1)
        code = self._process.exitcode
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            hint = f"if the machine ran out of memory, {self._advice}"
        else:
            hint = (
                "what it printed may say why; in a script, the part that starts processes must stand under "
                'if __name__ == "__main__":'
            )
        return WorkerError(f"worker process {self._process.pid} has ended with exit code {code}; {hint}")


def _started(arguments: tuple[Any, ...]) -> Any:
    """A process that serves."""
    for method in (_START_METHOD, "spawn"):
        context: Any = torch.multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(_IMPORTED_ONCE)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            process.start()
        except ValueError as error:
            # A fork server takes some 250 files, and each tensor that is shared is one.
            if method == "spawn" or "fds" not in str(error):
                raise
        else:
            break
    return process


def _serve(
    connection: Connection, variables: dict[str, str], make: Callable[..., Work], arguments: tuple[Any, ...]
) -> None:
    """The life of another process."""
    os.environ.clear()  # the server's are those of the time when it was started
    os.environ.update(variables)
    # Ctrl-C reaches every process of the terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first_process, daemon=True).start()
    work = _made(make, arguments)
    # Answers may wait to be fetched while the next piece of work goes on.
    with ThreadPoolExecutor(1) as answers:
        while True:
            try:
                asked = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)
            try:
                answer = pickle.dumps((True, work(*asked)))
            except Exception:
                answer = pickle.dumps((False, traceback.format_exc()))
            answers.submit(_send, connection, answer)


def _made(make: Callable[..., Work], arguments: tuple[Any, ...]) -> Work:
    """What does the work; if it can't be made, what says so to whoever asks."""
    try:
        return make(*arguments)
    except Exception as error:
        reason = error

        def failing(*_: Any) -> Any:
            raise reason

        return failing


def _send(connection: Connection, answer: bytes) -> None:
    try:
        connection.send_bytes(answer)
    except Exception:
        # Nobody would ever learn of it, and wait.
        traceback.print_exc()
        os._exit(1)


def _end_with_the_first_process() -> None:
    """Killed, the first process can't stop the others: what they do is then for nobody."""
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os._exit(0)


def shared(tensor: Tensor) -> Tensor:
    """The tensor, in memory that it shares with the processes it is sent to."""
    tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def check_shared_memory(needed: int, who: str, advice: str) -> None:
    """Too little of it ends a process without a word, so it is checked beforehand.

    Args:
        needed: bytes.
        who: needs them, with the verb.
        advice: what to do about it.

    Raises:
        RuntimeError: if there is too little.
    """
    if not _SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if needed > free:
        raise RuntimeError(
            f"{who} {needed / 2**20:.0f} MiB of shared memory, but {_SHARED_MEMORY} has {free / 2**20:.0f} MiB free: "
            f"{advice}, or give the machine more shared memory"
        )


def parts(flat: Tensor, parameters: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each parameter with its part of a flat buffer."""
    parameters = list(parameters)
    sizes = [parameter.numel() for parameter in parameters]
    return [
        (parameter, part.view_as(parameter))
        for parameter, part in zip(parameters, torch.split(flat, sizes), strict=True)
    ]
