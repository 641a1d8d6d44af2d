"""Models of Stable-Baselines3 as agents: ``sb3://ALGORITHM/FILE``."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

from ss_baselines.agents.menu import MenuAgent, MostLikely
from ss_gym.spelling import nearest

SCHEME = "sb3://"
ALGORITHMS = {
    "ppo": "stable_baselines3:PPO",
    "a2c": "stable_baselines3:A2C",
    "dqn": "stable_baselines3:DQN",
    "recurrent_ppo": "sb3_contrib:RecurrentPPO",
    "maskable_ppo": "sb3_contrib:MaskablePPO",
}


def load_sb3(name: str) -> MenuAgent:
    """A model that was trained on a Discrete id, as an agent of the family's text environment.

    Args:
        name: ``sb3://ppo/outputs/refund.zip``.

    Raises:
        ValueError: if it names no algorithm.
        FileNotFoundError: if there is no such file.
        ImportError: if the library is not installed.
    """
    algorithm, _, path = name.removeprefix(SCHEME).partition("/")
    if algorithm not in ALGORITHMS or not path:
        raise ValueError(f"'{name}' must be {SCHEME}ALGORITHM/FILE; {nearest(algorithm, ALGORITHMS)}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model '{path}': there is no such file")
    module, _, attribute = ALGORITHMS[algorithm].partition(":")
    model = getattr(import_module(module), attribute).load(path, device="cpu")
    return MenuAgent(partial(MostLikely, model, algorithm == "maskable_ppo"))
