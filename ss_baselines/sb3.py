"""Trains algorithms of Stable-Baselines3 on the Discrete ids, as baselines: ``python -m ss_baselines.sb3``.

    python -m ss_baselines.sb3 --algorithm ppo                        # a model for each family
    python -m ss_baselines.sb3 --algorithm dqn --family Refund        # one
    stateset-agents submit --agent sb3://ppo/outputs/sb3/ppo --env StateSet/Refund-v0 --name "SB3 PPO" --out ppo

It needs ``stateset-gym[sb3]``. Everything but what is set here is the library's default.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console

from ss_baselines.agents.sb3 import ALGORITHMS, algorithm_class

FAMILIES = ("Refund", "Exchange", "Cancel", "OrderStatus", "AddressChange", "Warranty", "Subscription", "Adversarial")
# Without its bonus PPO settles for what it finds first; DQN's own exploration ends before it has seen a success.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"policy": "MlpPolicy", "ent_coef": 0.03},
    "maskable_ppo": {"policy": "MlpPolicy", "ent_coef": 0.03},
    "recurrent_ppo": {"policy": "MlpLstmPolicy", "ent_coef": 0.03},
    "dqn": {"policy": "MlpPolicy", "exploration_fraction": 0.5},
}


def train(algorithm: str, family: str, steps: int, seed: int, folder: Path) -> Path:
    """Trains one model.

    Args:
        algorithm: one of ``ALGORITHMS``.
        family: as in the id, such as ``"Refund"``.
        steps: of the environment.
        seed: of everything that is drawn.
        folder: where it goes, under the family's name.

    Returns:
        The file.

    Raises:
        ImportError: if the library is not installed.
    """
    model = algorithm_class(algorithm)(env=_menu_of(family), seed=seed, device="cpu", **SETTINGS[algorithm])
    model.learn(steps)
    file = folder / file_of(family)
    partial = file.with_name(f"{file.stem}.partial.zip")
    folder.mkdir(parents=True, exist_ok=True)
    model.save(partial)
    partial.replace(file)
    return file


def file_of(family: str) -> str:
    """The name of a family's model in the folder of its algorithm, as ``sb3://`` looks for it.

    Args:
        family: as in the id, such as ``"Refund"``.
    """
    return f"{gym.spec(_menu_of(family)).kwargs['family']}.zip"


def _menu_of(family: str) -> str:
    return f"StateSet/{family}Discrete-v0"


def main(words: Sequence[str] | None = None) -> None:
    """Trains what is asked for and is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=[*ALGORITHMS], required=True)
    parser.add_argument("--family", choices=FAMILIES, nargs="+", default=FAMILIES)
    parser.add_argument("--steps", type=int, default=300_000, help="of the environment, for each family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder; outputs/sb3/ALGORITHM by default")
    options = parser.parse_args(words)
    folder, console = options.out or Path("outputs") / "sb3" / options.algorithm, Console()
    for family in options.family:
        file = folder / file_of(family)
        if file.exists():
            console.print(f"{file} is there", markup=False)
            continue
        with console.status(f"{options.algorithm} on {family}, {options.steps:,} steps …"):
            train(options.algorithm, family, options.steps, options.seed, folder)
        console.print(f"written: {file}", markup=False)


if __name__ == "__main__":
    main()
