"""``stateset-agents doctor``: what is installed, what it runs on, and whether an episode works."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import existing_part, obstacle

DISTRIBUTION = "stateset-gym"
_VERSIONS_OF = ("gymnasium", "numpy", "pydantic", "torch", "transformers", "peft")
_SELF_TEST_EPISODES = 100


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; ``advice`` says what to do and is empty where all is well."""

    name: str
    found: str
    advice: str = ""


def package_version() -> str:
    """The installed version of this distribution."""
    return distribution_version(DISTRIBUTION)


def run_doctor(env_id: str) -> None:
    """Prints the report.

    Raises:
        ValueError: if a check found something that has to be mended.
    """
    table = Table(title=f"{DISTRIBUTION} {package_version()}", title_justify="left")
    for column in ("check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    problems = 0
    for check in _checks(env_id):
        problems += bool(check.advice)
        table.add_row(check.name, check.found, check.advice or "[green]fine[/green]")
    Console().print(table)
    if problems:
        raise ValueError(f"checks that need attention, see above: {problems}")


def _checks(env_id: str) -> Iterator[Check]:
    yield Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Check("versions", ", ".join(f"{name} {_version_or_dash(name)}" for name in _VERSIONS_OF))
    yield Check("extras", _extras())
    yield Check("devices", _devices())
    yield _threads()
    for name, folder in _folders().items():
        yield _writable(name, folder)
    yield _self_test(env_id)


def _version_or_dash(name: str) -> str:
    try:
        return distribution_version(name)
    except PackageNotFoundError:
        return "-"


def _extras() -> str:
    """Each extra of the distribution and whether all its packages are here."""
    needed: dict[str, list[str]] = {}
    for requirement in requires(DISTRIBUTION) or ():
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if extra and name:
            needed.setdefault(extra[1], []).append(name[0])
    return ", ".join(f"{extra}: {_completeness(names)}" for extra, names in sorted(needed.items()))


def _completeness(names: list[str]) -> str:
    """Whether all of the distributions are installed, none, or which are missing."""
    missing = [name for name in names if _version_or_dash(name) == "-"]
    if len(missing) == len(names):
        return "no"
    return f"lacks {' '.join(missing)}" if missing else "yes"


def _devices() -> str:
    if find_spec("torch") is None:
        return "CPU (the extra 'train' is not installed)"
    import torch

    devices = [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        # ss_trainers refuses it.
        devices.append("mps (of no use here: sampling needs double precision, which it lacks)")
    return ", ".join(["cpu", *devices])


def _threads() -> Check:
    threads, policy = os.environ.get("OMP_NUM_THREADS", "-"), os.environ.get("OMP_WAIT_POLICY", "-")
    found = f"{os.cpu_count()} cores, OMP_NUM_THREADS={threads}, OMP_WAIT_POLICY={policy}"
    spinning = policy.upper() == "ACTIVE"
    return Check("threads", found, "unset OMP_WAIT_POLICY: threads that spin slow each other down" if spinning else "")


def _folders() -> dict[str, Path]:
    hub = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    folders = {
        "this folder": Path.cwd(),
        "temporary files": Path(tempfile.gettempdir()),
        "downloaded models": Path(hub),
    }
    with suppress(ImportError):  # without the extra 'train' no models are converted
        from ss_trainers.backends.gguf_files import cache_folder

        folders["converted models"] = cache_folder()
    return folders


def _writable(name: str, folder: Path) -> Check:
    """Whether a file can be written in the folder, or in the nearest one above that exists."""
    reason = obstacle(folder)
    if not reason:
        return Check(name, f"{folder} can be written")
    return Check(name, f"{folder}: {reason}", f"give yourself the right to write in {existing_part(folder)}")


def _self_test(env_id: str) -> Check:
    """Plays scenarios that the reference agent is known to solve."""
    from ss_baselines.evaluate import evaluate

    result = evaluate("reference", env_id, "train", episodes=_SELF_TEST_EPISODES)
    solved = sum(episode.success for episode in result.episodes)
    found = f"{solved} of {_SELF_TEST_EPISODES} episodes solved, {result.steps_per_second:,.0f} steps/s"
    advice = "" if solved == _SELF_TEST_EPISODES else "install the package again: the reference agent solves all"
    return Check("self-test", found, advice)
