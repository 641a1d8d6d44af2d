"""Checkpoints of offline training: all that a run needs to go on exactly, and a policy to act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents.checkpoint import MANIFEST, CheckpointError, locate
from ss_trainers.checkpoint import replaced_folder
from ss_trainers.config import config_from_mapping
from ss_trainers.offline.learner import Updating
from ss_trainers.offline.registry import make_config, name_of
from ss_trainers.offline.scaling import Scaling
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining
from ss_trainers.offline.transitions import Spaces

_SETTINGS, _TENSORS = "offline.json", "offline.safetensors"
_FORMAT = 1
_SCALING = ("shift", "spread", "action_low", "action_high")


@dataclass(frozen=True, slots=True)
class LearnerState:
    """What learns, as it stands on the disk.

    Attributes:
        tensors: networks, optimizers and the generator.
        plain: what optimizers hold that is no tensor.
        device: where it learnt.
    """

    tensors: Mapping[str, Tensor]
    plain: Mapping[str, Any]
    device: str

    @classmethod
    def of(cls, learner: Updating[Any], noise: torch.Generator) -> LearnerState:
        """What a checkpoint holds of it."""
        tensors = {f"module.{name}": value for name, value in learner.modules.state_dict().items()}
        tensors["noise"] = noise.get_state()
        plain = {}
        for name, optimizer in learner.optimizers.items():
            state = optimizer.state_dict()
            for index, entry in state["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{key}": value for key, value in entry.items()}
            plain[name] = state["param_groups"]
        return cls(tensors, plain, noise.device.type)

    def restore(self, learner: Updating[Any], noise: torch.Generator, folder: str | Path) -> None:
        """Brings what learns to where a checkpoint has it.

        Args:
            learner: made with the checkpoint's settings.
            noise: of the run that goes on. On another kind of device than the checkpoint's it stays as it is.
            folder: where the checkpoint lies.

        Raises:
            CheckpointError: if something is missing or does not fit.
        """
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "optimizer": {}}
        for name, tensor in self.tensors.items():
            kind, _, rest = name.partition(".")
            parts.setdefault(kind, {})[rest] = tensor
        try:
            learner.modules.load_state_dict(parts["module"])
            if noise.device.type == torch.device(self.device).type:
                noise.set_state(self.tensors["noise"])
            for name, optimizer in learner.optimizers.items():
                entries: dict[int, dict[str, Tensor]] = {}
                for key, tensor in parts["optimizer"].items():
                    of, index, entry = key.split(".", 2)
                    if of == name:
                        entries.setdefault(int(index), {})[entry] = tensor
                optimizer.load_state_dict({"state": entries, "param_groups": self.plain[name]})
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"the offline training in '{folder}' does not fit: {error!r:.300}") from error


@dataclass(frozen=True, slots=True)
class OfflineState:
    """A run as it stands on the disk.

    Attributes:
        config: the algorithm's settings.
        training: the engine's.
        spaces: of the log.
        scaling: of its numbers.
        updates: how many were done.
        log: a fingerprint of the log, so that a run goes on with the same one.
        learner: of the algorithm.
    """

    config: OfflineConfig
    training: OfflineTraining
    spaces: Spaces
    scaling: Scaling
    updates: int
    log: str
    learner: LearnerState


def write_offline(folder: str | Path, state: OfflineState) -> None:
    """Writes a checkpoint, replacing the folder as a whole.

    Raises:
        CheckpointError: if it can't be written, or something other than a checkpoint is there; what was there before
            is intact.
    """
    there = Path(folder)
    # An agent of a run on conversations has a file of that name, too.
    own = (there / _SETTINGS).is_file() and not (there / MANIFEST).exists()
    if there.exists() and not own and not (there.is_dir() and not any(there.iterdir())):
        raise CheckpointError(f"'{folder}' is no checkpoint, and what it holds would be lost: save to another folder")
    scaling = {name: getattr(state.scaling, name) for name in _SCALING}
    content = {
        "format": _FORMAT,
        "algorithm": name_of(state.config),
        "config": asdict(state.config),
        "training": asdict(state.training),
        "spaces": asdict(state.spaces),
        "scaling": {name: None if values is None else values.tolist() for name, values in scaling.items()},
        "updates": state.updates,
        "log": state.log,
        "optimizers": dict(state.learner.plain),
    }
    with replaced_folder(folder) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.learner.tensors.items()}, partial / _TENSORS)
        (partial / _SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_offline(path: str | Path) -> OfflineState:
    """Reads a checkpoint.

    Raises:
        CheckpointError: if it is missing, damaged, or an agent.
    """
    folder = locate(path)
    if (folder / MANIFEST).is_file():
        # What its critic is saved in has the names of the files here, and another content.
        raise CheckpointError(
            f"'{folder}' holds an agent, as a run on conversations saves it, and no offline training to go on with: "
            "such a run goes on where train(dataset) is called again, with the same settings and output_dir; "
            "load_agent_from_checkpoint reads the agent"
        )
    try:
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r:.40}, and this version reads {_FORMAT}")
        training = config_from_mapping(OfflineTraining, content["training"])
        arrays: dict[str, Any] = {
            name: None if values is None else np.asarray(values, np.float32)
            for name, values in content["scaling"].items()
        }
        return OfflineState(
            make_config(content["algorithm"], content["config"]),
            training,
            Spaces(**content["spaces"]),
            Scaling(reward_scale=training.reward_scale, **arrays),
            int(content["updates"]),
            str(content["log"]),
            LearnerState(load_file(folder / _TENSORS), content["optimizers"], training.device),
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"'{folder}' holds no offline training: {error.filename or error} is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"the offline training in '{folder}' is damaged: {error!r:.300}") from error
