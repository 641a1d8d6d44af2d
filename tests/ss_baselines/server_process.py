"""``stateset-agents serve-env`` as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServerProcess:
    """A server.

    Attributes:
        process: its process.
        log: the file of what it says on standard error; a pipe that nobody reads would fill up and stop it.
        address: where it is.
    """

    process: subprocess.Popen[bytes]
    log: Path
    address: str


@contextmanager
def serving_env(*words: str, port: int = 0, **variables: str) -> Iterator[ServerProcess]:
    """A server that takes requests; it is killed in the end, if it has not ended."""
    command = [sys.executable, "-m", "ss_baselines.cli", "serve-env", "--port", str(port), *words]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, stderr=stream, env={**os.environ, **variables})
        try:
            while not (found := re.search(r" at (http://[\d.:]+),", log.read_text())):
                assert process.poll() is None, f"it ended before it served: {log.read_text()}"
                time.sleep(0.02)
            yield ServerProcess(process, log, found[1])
        finally:
            process.kill()
            process.wait()
