"""``stateset-agents envs``: what can be made, with limits and splits."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.table import Table

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families.splits import split_size

NAMESPACE = "StateSet/"


def own_ids() -> list[str]:
    """The ids that this package registers, sorted."""
    return sorted(env_id for env_id in gym.registry if env_id.startswith(NAMESPACE))


def check_environment_id(env_id: str) -> None:
    """Makes sure that an id can be made, before anything expensive is done for it.

    Raises:
        ValueError: if it is not registered; names the nearest of ours. Ids of other packages
            are written ``module:id``, and Gymnasium judges those itself.
    """
    if ":" in env_id or env_id in gym.registry:
        return
    ids = own_ids()
    near = get_close_matches(env_id, ids, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ids)}"
    raise ValueError(f"no environment '{env_id}'; {hint}")


def environment_keywords(prompt: str) -> dict[str, Any]:
    """The keywords of an environment that follow from ``--prompt``; none if it was not given."""
    return {"prompt": prompt} if prompt else {}


def make_environment(env_id: str, **keywords: Any) -> gym.Env[str, str]:
    """Makes an environment with its keywords.

    Raises:
        ValueError: if there is none of that id.
    """
    check_environment_id(env_id)
    env: gym.Env[str, str] = gym.make(env_id, **keywords)
    return env


def list_environments() -> None:
    """Prints the environments."""
    table = Table("environment", "turns", "steps", "train", "dev", "test")
    for env_id in own_ids():
        env = make_environment(env_id)
        table.add_row(env_id, *_limits_and_splits(env.unwrapped))
        env.close()
    Console().print(table)


def _limits_and_splits(env: gym.Env[str, str]) -> tuple[str, ...]:
    """Most turns and steps, and how many scenarios each split has."""
    if not isinstance(env, CustomerServiceEnvironment):
        return ()
    sizes = (f"{split_size(env.family, split):,} scenarios" for split in ("dev", "test"))
    return str(env.max_turns), str(env.max_steps), "endless", *sizes
