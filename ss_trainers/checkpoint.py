"""Checkpoints: everything a run needs to go on exactly where it was, replaced as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents import checkpoint
from ss_gym.agents.checkpoint import CheckpointError, locate

_TENSORS = "trainer.safetensors"
_SETTINGS = "trainer.json"
_EARLIER = "weights"


@dataclass(frozen=True)
class TrainerState:
    """What a trainer remembers besides the model.

    Scenarios, sampling noise and the learning rate follow from the seed and the iteration, so that
    no generator's state has to be kept.

    Attributes:
        iteration: iterations done.
        settings: how the run was set up, as plain JSON values.
        optimizer: the optimizer's ``state_dict``.
        algorithm: what the algorithm has adapted, by name.
        earlier: weights of earlier iterations, by their number, that batches under way are played with.
    """

    iteration: int
    settings: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    algorithm: Mapping[str, float] = field(default_factory=dict)
    earlier: Mapping[int, Tensor] = field(default_factory=dict)


@contextmanager
def replaced_folder(path: str | Path) -> Iterator[Path]:
    """A new folder that takes the place of ``path`` when the block ends well; tensors may be written in it.

    Raises:
        CheckpointError: see :func:`ss_gym.agents.checkpoint.replaced_folder`.
    """
    with checkpoint.replaced_folder(path) as partial, writing_tensors():
        yield partial


@contextmanager
def writing_tensors() -> Iterator[None]:
    """Raises what safetensors can't write, as to a full disk, as the ``OSError`` that it is."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error


def write_state(folder: Path, state: TrainerState) -> None:
    """Writes a trainer's state into a checkpoint folder."""
    tensors = {f"{_EARLIER}.{version}": weights for version, weights in state.earlier.items()}
    plain: dict[str, dict[str, Any]] = {}
    for index, entry in state.optimizer["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.contiguous()
            else:
                plain.setdefault(str(index), {})[name] = value
    save_file(tensors, folder / _TENSORS)
    content = {
        "iteration": state.iteration,
        "settings": dict(state.settings),
        "optimizer": {"param_groups": state.optimizer["param_groups"], "state": plain},
        "algorithm": dict(state.algorithm),
        "earlier": sorted(state.earlier),
    }
    (folder / _SETTINGS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_state(path: str | Path) -> TrainerState:
    """Reads a trainer's state from a checkpoint folder.

    Raises:
        CheckpointError: if the folder is missing, or holds no readable state.
    """
    folder = locate(path)
    with _reading(folder):
        content = _content(folder)
        entries: dict[int, dict[str, Any]] = {
            int(index): dict(entry) for index, entry in content["optimizer"]["state"].items()
        }
        tensors = load_file(folder / _TENSORS)
        earlier = {int(version): tensors.pop(f"{_EARLIER}.{version}") for version in content.get("earlier", [])}
        for key, tensor in tensors.items():
            index, name = key.split(".", 1)
            entries.setdefault(int(index), {})[name] = tensor
        optimizer = {"state": entries, "param_groups": content["optimizer"]["param_groups"]}
        adapted = dict(content.get("algorithm", {}))
        return TrainerState(int(content["iteration"]), dict(content["settings"]), optimizer, adapted, earlier)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads the settings of a trainer's state alone; raises as ``read_state``."""
    folder = locate(path)
    with _reading(folder):
        return dict(_content(folder)["settings"])


def _content(folder: Path) -> Any:
    return json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Says of which checkpoint something is missing or damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"training cannot go on from '{folder}': {error.filename or error} is missing") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"the training state in '{folder}' is damaged: {error}") from error
