"""Checkpoint folders: a model's files and a manifest that says what they must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.agents.config import AgentConfig

MANIFEST = "agent.json"
_FORMAT = 1
# Where the folder of a run has its checkpoint.
CHECKPOINT = "checkpoint"
# A folder is replaced by two renames; between them the old one has this suffix.
PREVIOUS_SUFFIX = ".previous"


class CheckpointError(Exception):
    """A checkpoint is missing, damaged or cannot be written; the message says which and where."""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        agent: the agent; its ``model_name`` is the folder.
        provenance: how it came to be, such as the algorithm and the training steps.
    """

    agent: AgentConfig
    provenance: Mapping[str, Any]


def write_manifest(folder: Path, agent: AgentConfig, provenance: Mapping[str, Any]) -> None:
    """Writes the manifest of the files that are in ``folder``: their sizes and SHA-256 sums."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    settings = {name: value for name, value in asdict(agent).items() if name != "model_name"}
    content = {"format": _FORMAT, "agent": settings, "provenance": dict(provenance), "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def locate(path: str | Path) -> Path:
    """The checkpoint's folder: ``path``, or the one it was to replace if that was interrupted.

    Raises:
        CheckpointError: if there is neither.
    """
    folder = Path(path)
    if folder.is_dir():
        return folder
    previous = folder.with_name(folder.name + PREVIOUS_SUFFIX)
    if previous.is_dir():
        return previous
    raise CheckpointError(f"no checkpoint at '{folder}': there is no such folder")


def checkpoint_folder(path: str | Path) -> Path | None:
    """The checkpoint that a folder is, or that of the run whose folder it is; None if neither."""
    candidates = (Path(path), Path(path) / CHECKPOINT)
    return next((folder for folder in candidates if (folder / MANIFEST).is_file()), None)


def read_manifest(path: str | Path) -> Manifest:
    """Reads a checkpoint's manifest and checks every file against it.

    Raises:
        CheckpointError: if the folder or its manifest is missing, or a file is missing or damaged.
    """
    folder = locate(path)
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, settings, provenance = content["files"], content["agent"], content["provenance"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"'{folder}' is not a checkpoint: it has no {MANIFEST}. "
            f"To use a plain model folder give it as AgentConfig(model_name='{folder}')"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the checkpoint '{folder}' is damaged: {MANIFEST} cannot be read ({error})") from error
    if content["format"] != _FORMAT:
        raise CheckpointError(f"the checkpoint '{folder}' has format {content['format']}; this version reads {_FORMAT}")
    for name, expected in files.items():
        _check_file(folder, name, expected)
    known = {field.name for field in fields(AgentConfig)} - {"model_name"}
    if not known.issuperset(settings):
        unknown = ", ".join(sorted(set(settings) - known))
        raise CheckpointError(
            f"the checkpoint '{folder}' has agent settings that this version does not know: {unknown}"
        )
    return Manifest(AgentConfig(model_name=str(folder), **settings), provenance)


async def load_agent_from_checkpoint(path: str | Path) -> MultiTurnAgent:
    """The agent that a trainer saved, ready to answer.

    Args:
        path: of the checkpoint, or of the folder of its run.

    Raises:
        CheckpointError: if the checkpoint is missing or damaged.
        ImportError: if the packages that run its model are not installed.
    """
    agent = MultiTurnAgent(read_manifest(checkpoint_folder(path) or path).agent)
    await agent.initialize()
    return agent


def _check_file(folder: Path, name: str, expected: Mapping[str, Any]) -> None:
    file = folder / name
    damaged = f"the checkpoint '{folder}' is damaged: "
    if not file.is_file():
        raise CheckpointError(f"{damaged}the file {name} is missing")
    size = file.stat().st_size
    if size != expected["bytes"]:
        raise CheckpointError(f"{damaged}{name} has {size} bytes instead of {expected['bytes']}")
    if _sha256(file) != expected["sha256"]:
        raise CheckpointError(f"{damaged}the content of {name} has changed since it was saved")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
