"""Runs of both libraries, each in a process and an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.offline.setting import Setting

ROOT = Path(__file__).parents[3]
# Where ``make d3rlpy`` puts d3rlpy and Stable-Baselines3.
PEER = ROOT / ".venv-d3rlpy" / "bin" / "python"
LIBRARIES = ("d3rlpy", "ours")
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
Figures = dict[str, Any]


def found(library: str, settings: list[Setting], peer: str | Path = PEER) -> list[Figures]:
    """What runs of one library give, one after the other in one process.

    Args:
        library: one of ``LIBRARIES``.
        settings: of the runs.
        peer: the interpreter of d3rlpy's environment.

    Raises:
        FileNotFoundError: if there is no such interpreter.
        RuntimeError: if the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.json" for number in range(len(settings))]
        for setting, path in zip(settings, paths, strict=True):
            setting.save(path)
        python = sys.executable if library == "ours" else peer
        lines = ran(python, f"tests.benchmarks.offline.{library}", *map(str, paths)).splitlines()
    return [json.loads(line) for line in lines[-len(settings) :]]


def ran(python: str | Path, module: str, *arguments: str) -> str:
    """What a module prints that runs on one thread.

    Raises:
        FileNotFoundError: if there is no such interpreter.
        RuntimeError: if the process fails.
    """
    if not Path(python).exists():
        raise FileNotFoundError(f"'{python}' is not there: make d3rlpy sets it up, or name another with --python")
    environment = {**os.environ, **_ALONE, "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()
