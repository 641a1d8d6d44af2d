"""Checkpoint folders: a model's files, a card for readers, and a manifest that says what the files must be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ss_gym.agents.backends import Backend, SavingBackend, split_model_name
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.model_card import model_card

MANIFEST = "agent.json"
_CARD = "README.md"
_FORMAT = 1
# Where the folder of a run has its checkpoint.
CHECKPOINT = "checkpoint"
# A folder is replaced by two renames; between them the old one has this suffix.
PREVIOUS_SUFFIX = ".previous"
_PARTIAL_SUFFIX = ".partial"
# Schemes of what runs a folder that is named without one.
_FOLDER_SCHEMES = ("hf", "tiny")


class CheckpointError(Exception):
    """A checkpoint is missing, damaged or cannot be written; the message says which and where."""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        agent: the agent; its ``model_name`` is the folder, or what was saved without weights, such as ``stub://demo``.
        provenance: how it came to be, such as the algorithm and the training steps.
    """

    agent: AgentConfig
    provenance: Mapping[str, Any]


def write_agent(
    folder: str | Path, agent: AgentConfig, backend: Backend, provenance: Mapping[str, Any] | None = None
) -> None:
    """Writes an agent as a checkpoint, replacing the folder as a whole.

    Args:
        folder: the checkpoint's.
        agent: how the model is used.
        backend: the model, whose files are written if it is a :class:`ss_gym.agents.backends.SavingBackend`; else
            its name is.
        provenance: how it came to be.

    Raises:
        CheckpointError: if it can't be written, or something other than a checkpoint is there; what was there before
            is intact.
    """
    there = Path(folder)
    if there.exists() and not (there / MANIFEST).is_file() and not (there.is_dir() and not any(there.iterdir())):
        raise CheckpointError(f"'{folder}' is no checkpoint, and what it holds would be lost: save to another folder")
    with replaced_folder(folder) as partial:
        told = dict(provenance or {})
        saved = backend.save(partial) if isinstance(backend, SavingBackend) else None
        if saved is not None:
            if "base_model" in saved and Path(saved["base_model"]).resolve() == there.resolve():
                raise CheckpointError(f"'{folder}' holds the model that the adapters are for: save to another folder")
            told = {"base_model": _lasting(agent.model_name), **told, **saved}
            agent = replace(agent, adapter=None)  # it is among the files
        write_manifest(partial, agent, told)


def _lasting(model_name: str) -> str:
    """What a model name names, by a name that holds in any working directory."""
    scheme, location = split_model_name(model_name)
    return str(Path(location).resolve()) if location and Path(location).exists() else location or scheme


def write_manifest(folder: Path, agent: AgentConfig, provenance: Mapping[str, Any]) -> None:
    """Writes the card and the manifest of the files that are in ``folder``: their sizes and SHA-256 sums.

    Raises:
        CheckpointError: if a setting of the agent, or what there is to tell of it, is nothing that JSON has.
    """
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    (folder / _CARD).write_text(model_card(agent, provenance, weights), encoding="utf-8")
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    settings = asdict(agent)
    scheme, _ = split_model_name(agent.model_name)
    if weights and scheme in _FOLDER_SCHEMES:
        del settings["model_name"]  # it is wherever the folder is
    elif weights:
        settings["model_name"] = f"{scheme}://"
    content = {"format": _FORMAT, "agent": settings, "provenance": dict(provenance), "files": files}
    try:
        text = json.dumps(content, indent=2)
    except TypeError as error:
        raise CheckpointError(f"the agent can't be saved: JSON does not have one of its settings ({error})") from error
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


@contextmanager
def replaced_folder(path: str | Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends well.

    The files are written beside it and flushed to the disk first, so that whatever happens, a full
    disk or a lost process, either the old folder or the new one is there and complete. Only
    between the two renames it is under the name that ``locate`` also looks for.

    Raises:
        CheckpointError: if the files cannot be written or take the place of the others; what was at
            ``path`` is still there.
    """
    target = Path(path).absolute()
    partial = target.with_name(target.name + _PARTIAL_SUFFIX)
    previous = _previous(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        _flush(partial)
        _put_in_place(partial, target, previous)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        earlier = "; the earlier checkpoint is as it was" if target.exists() or previous.exists() else ""
        raise CheckpointError(f"could not save the checkpoint '{path}': {error}{earlier}") from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(previous, ignore_errors=True)
    try:
        _flush_one(target.parent)
    except OSError as error:
        raise CheckpointError(f"the checkpoint '{path}' is written, but may be lost in a crash: {error}") from error


def _put_in_place(partial: Path, target: Path, previous: Path) -> None:
    """Gives the new folder its name and the old one, if there is one, that of the previous."""
    if target.exists():
        # A folder of that name is what an interrupted replacement left; the target is newer.
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    try:
        partial.rename(target)
    except OSError:
        if previous.exists():
            previous.rename(target)
        raise


def _flush(folder: Path) -> None:
    """Makes sure that the folder's content is on the disk before it takes its name."""
    for path in sorted(folder.rglob("*"), reverse=True):
        _flush_one(path)
    _flush_one(folder)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def locate(path: str | Path) -> Path:
    """The checkpoint's folder: ``path``, or the one it was to replace if that was interrupted.

    Raises:
        CheckpointError: if there is neither.
    """
    folder, previous = Path(path), _previous(path)
    if folder.is_dir():
        return folder
    if previous.is_dir():
        return previous
    raise CheckpointError(f"no checkpoint at '{folder}': there is no such folder")


def checkpoint_folder(path: str | Path) -> Path | None:
    """The checkpoint that a folder is, or that of the run whose folder it is; None if neither.

    It is the name that ``locate`` takes: of one whose replacement was interrupted there is no such folder.
    """
    for folder in (Path(path), Path(path) / CHECKPOINT):
        place = folder if folder.is_dir() else _previous(folder)
        if (place / MANIFEST).is_file():
            return folder
    return None


def _previous(path: str | Path) -> Path:
    """Where a checkpoint is while another takes its place."""
    return Path(f"{Path(path)}{PREVIOUS_SUFFIX}")


def saved_agent(path: str | Path, changes: Mapping[str, Any]) -> Manifest:
    """The manifest of a checkpoint, or of that in a run's folder, with other settings of the agent.

    Where it comes from is not told of another model.

    Args:
        path: the folder.
        changes: settings that are to be others, by name.

    Raises:
        CheckpointError: if it is missing or damaged.
        TypeError: for a setting that no agent has.
        ValueError: for one that it can't have.
    """
    manifest = read_manifest(checkpoint_folder(path) or path)
    provenance = {} if changes.keys() & {"model_name", "adapter"} else manifest.provenance
    return Manifest(replace(manifest.agent, **changes), provenance)


def read_manifest(path: str | Path) -> Manifest:
    """Reads a checkpoint's manifest and checks every file against it.

    Raises:
        CheckpointError: if the folder or its manifest is missing, a file is missing or damaged, or the manifest has
            a setting that no agent can have.
    """
    folder = locate(path)
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise CheckpointError(
                f"the checkpoint '{folder}' has format {content['format']!r:.80}; this version reads {_FORMAT}"
            )
        files, settings, provenance = (_mapping(content, name) for name in ("files", "agent", "provenance"))
        sums = {name: (_mapping(files, name)["bytes"], files[name]["sha256"]) for name in files}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"'{folder}' is not a checkpoint: it has no {MANIFEST}. "
            f"To use a plain model folder give it as AgentConfig(model_name='{folder}')"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the checkpoint '{folder}' is damaged: {MANIFEST} cannot be read ({error})") from error
    for name, (size, digest) in sums.items():
        _check_file(folder, name, size, digest)
    known = {field.name for field in fields(AgentConfig)}
    if not known.issuperset(settings):
        unknown = ", ".join(sorted(set(settings) - known))
        raise CheckpointError(
            f"the checkpoint '{folder}' has agent settings that this version does not know: {unknown}"
        )
    # A scheme alone is of what runs the model in the folder.
    name = settings.get("model_name", "")
    named = f"{name}{folder}" if not name or name.endswith("://") else name
    try:
        return Manifest(AgentConfig(**{**settings, "model_name": named}), provenance)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"no agent can have the settings in '{folder / MANIFEST}': {error}") from error


def _mapping(content: Any, name: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = content[name]
    if not isinstance(value, Mapping):
        raise TypeError(f"'{name}' is no object")
    return value


def _check_file(folder: Path, name: str, size: int, digest: str) -> None:
    file = folder / name
    damaged = f"the checkpoint '{folder}' is damaged: "
    if not file.is_file():
        raise CheckpointError(f"{damaged}the file {name} is missing")
    if (found := file.stat().st_size) != size:
        raise CheckpointError(f"{damaged}{name} has {found} bytes instead of {size}")
    if _sha256(file) != digest:
        raise CheckpointError(f"{damaged}the content of {name} has changed since it was saved")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
