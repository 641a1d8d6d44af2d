"""A virtual environment for each peer, with the versions of its list, made once and kept outside the repository."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

VERSIONS = Path(__file__).parent / "versions"
DEFAULT_FOLDER = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "stateset-gym" / "peers"


class Failed(Exception):
    """A peer that could not be installed or run; the message is what it said last."""


def pins(package: str) -> dict[str, str]:
    """The versions of a list by name, the peer's own first."""
    lines = (VERSIONS / f"{package}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line.strip() and not line.startswith("#"))


def python_of(package: str, folder: Path = DEFAULT_FOLDER) -> str:
    """The interpreter of a peer's environment, which is made if it is not there.

    Raises:
        Failed: if the environment can't be made or a package can't be installed.
    """
    listed = VERSIONS / f"{package}.txt"
    key = hashlib.sha256(listed.read_bytes() + sys.version.encode()).hexdigest()[:10]
    place = folder / f"{package}-{key}"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = place / ".installed"
    if not done.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        # The lists are complete, so nothing is resolved and nothing unlisted (such as a CUDA torch) can come along.
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        _run([*pip, "-r", str(listed)])
        done.touch()
    return str(python)


def _run(command: list[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Failed(last_line(run.stderr) or f"{command[0]} ended with {run.returncode}")


def last_line(text: str) -> str:
    """The last line with anything in it; of errors, that is the one that tells what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1]
