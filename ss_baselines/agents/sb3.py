"""Models of Stable-Baselines3 as agents: ``sb3://ALGORITHM/FOLDER``, with a model for each family."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

from ss_baselines.agents.menu import MenuAgent, MostLikely
from ss_gym.spelling import nearest

SCHEME = "sb3://"
ALGORITHMS = {
    "ppo": "stable_baselines3:PPO",
    "dqn": "stable_baselines3:DQN",
    "recurrent_ppo": "sb3_contrib:RecurrentPPO",
    "maskable_ppo": "sb3_contrib:MaskablePPO",
}


def algorithm_class(algorithm: str) -> Any:
    """The class of an algorithm.

    Raises:
        ValueError: if it is not known.
        ImportError: if its library is not installed.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"no algorithm '{algorithm}' of Stable-Baselines3; {nearest(algorithm, ALGORITHMS)}")
    module, _, attribute = ALGORITHMS[algorithm].partition(":")
    return getattr(import_module(module), attribute)


def model_hash(name: str) -> str:
    """A hash of the files that ``load_sb3`` reads."""
    path = Path(name.removeprefix(SCHEME).partition("/")[2])
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.zip")) if path.is_dir() else [path]:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def load_sb3(name: str) -> MenuAgent:
    """Models that were trained on Discrete ids, as an agent of the families' text environments.

    Args:
        name: ``sb3://ppo/FOLDER``; the folder has ``refund.zip`` and so on, or is such a file, for any family.

    Raises:
        ValueError: if it names no algorithm; in an episode, if there is no model for its family.
        FileNotFoundError: if there is no such folder or file.
        ImportError: if the library is not installed.
    """
    algorithm, _, location = name.removeprefix(SCHEME).partition("/")
    path = Path(location)
    if not location:
        raise ValueError(f"'{name}' must be {SCHEME}ALGORITHM/FOLDER, with an algorithm of {', '.join(ALGORITHMS)}")
    kind = algorithm_class(algorithm) if algorithm not in ALGORITHMS or path.exists() else None
    if kind is None:
        raise FileNotFoundError(f"no model '{location}': there is no such folder or file")
    models: dict[str, Any] = {}

    def begin(family: str) -> MostLikely:
        if family not in models:
            file = path / f"{family}.zip" if path.is_dir() else path
            if not file.is_file():
                raise ValueError(f"'{location}' has no model for the family {family}: {file.name} is not there")
            models[family] = kind.load(file, device="cpu")
        return MostLikely(models[family], algorithm == "maskable_ppo")

    return MenuAgent(begin)
