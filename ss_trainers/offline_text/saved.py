"""What is saved beside a language model: the critic that has a say in what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_trainers.offline.registry import make_config, name_of
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline_text.examples import FeatureScaling

_SETTINGS, _TENSORS = "offline.json", "offline.safetensors"


@dataclass(frozen=True, slots=True)
class SavedCritic:
    """A critic as it stands on the disk.

    Attributes:
        config: of the algorithm that made it.
        hidden: widths of its hidden layers.
        scaling: of hidden states.
        state: its networks' tensors by name.
        told: what else whoever asks it has to know.
    """

    config: OfflineConfig
    hidden: tuple[int, ...]
    scaling: FeatureScaling
    state: Mapping[str, Tensor]
    told: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Writes it beside a model.

        Args:
            folder: of the checkpoint that is being written.

        Raises:
            OSError: if it can't be written.
        """
        tensors = {f"critic.{name}": value.contiguous() for name, value in self.state.items()}
        tensors |= {"scaling.shift": self.scaling.shift, "scaling.spread": self.scaling.spread}
        save_file(tensors, folder / _TENSORS)
        made = {"algorithm": name_of(self.config), "config": asdict(self.config), "hidden": self.hidden}
        content = {**made, **self.told}
        (folder / _SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def read_critic(path: str | Path) -> Iterator[SavedCritic]:
    """A critic that was written; what can't be made of it within the block is damage, too.

    Args:
        path: the folder.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    folder = locate(path)
    with _damage_told(folder):
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        config = make_config(content["algorithm"], content["config"])
        hidden, tensors = tuple(content["hidden"]), load_file(folder / _TENSORS)
        scaling = FeatureScaling(tensors.pop("scaling.shift"), tensors.pop("scaling.spread"))
        state = {name.removeprefix("critic."): value for name, value in tensors.items()}
        yield SavedCritic(config, hidden, scaling, state, content)


def algorithm_of(path: str | Path) -> str:
    """The name of the offline algorithm that made what was saved.

    Args:
        path: the folder.

    Raises:
        CheckpointError: if it does not tell.
    """
    folder = locate(path)
    with _damage_told(folder):
        content = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        return name_of(make_config(content["algorithm"], content["config"]))


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"'{folder}' holds no critic: {error.filename or error} is missing") from error
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the critic in '{folder}' is damaged: {error!r:.300}") from error
