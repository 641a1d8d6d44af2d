"""``stateset-agents envs``: what can be made, with limits and splits."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from rich.console import Console
from rich.table import Column, Table

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.environment import TextEnvironment
from ss_gym.families import import_packages
from ss_gym.families.splits import split_size
from ss_gym.registration import REMOTE
from ss_gym.spelling import nearest

NAMESPACE = "StateSet/"


def own_ids() -> list[str]:
    """The ids that this package registers, and those of families that other packages bring, sorted.

    What a server has is none of them: nobody knows what it is before it is asked.
    """
    import_packages()
    known = gym.registry.items()
    return sorted(
        env_id for env_id, spec in known if env_id != REMOTE and (env_id.startswith(NAMESPACE) or _is_family(spec))
    )


def _is_family(spec: EnvSpec) -> bool:
    """Whether an id stands for the customers of a family."""
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith("ss_gym.") and "family" in spec.kwargs


def text_ids() -> list[str]:
    """Those of them whose observations and actions are text."""
    return [env_id for env_id in own_ids() if not env_id.partition("-v")[0].endswith("Discrete")]


def check_environment_id(env_id: str) -> None:
    """Makes sure that an id can be made, before anything expensive is done for it.

    Raises:
        ValueError: if it is not registered; names the nearest of ours. Ids of other packages
            are written ``module:id``, and Gymnasium judges those itself.
    """
    if ":" in env_id or env_id in gym.registry:
        return
    ids = own_ids()
    if env_id in ids:
        return
    near = get_close_matches(env_id, ids, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ids)}"
    raise ValueError(f"no environment '{env_id}'; {hint}")


def environment_keywords(
    env_id: str, prompt: str, accustomed: str = "", user: str = "", persona: str = ""
) -> dict[str, Any]:
    """The keywords of an environment that follow from the options; none if nothing is to be said.

    Args:
        env_id: the environment.
        prompt: as it was given; empty if it was not.
        accustomed: what the model was trained with, taken instead where the environment has prompts.
        user: who plays the customer, as it was given; empty if it was not.
        persona: how the customers are, likewise.

    Raises:
        ValueError: if there is no such environment.
    """
    if not prompt and accustomed and "prompt" in (keyword_names(env_id) or ()):
        prompt = accustomed
    given = {"prompt": prompt, "user": user, "persona": persona}
    return {name: value for name, value in given.items() if value}


def keyword_names(env_id: str) -> list[str] | None:
    """The keywords that an environment is made with; None if that can't be told.

    Raises:
        ValueError: if there is no such environment.
    """
    check_environment_id(env_id)
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            import_module(module)
        except ImportError as error:
            raise ValueError(
                f"no environment '{env_id}': the module '{module}' cannot be imported ({error})"
            ) from error
    creator = gym.spec(name).entry_point
    try:
        parameters = signature(load_env_creator(creator) if isinstance(creator, str) else creator).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not Parameter.VAR_POSITIONAL]


def make_environment(env_id: str, **keywords: Any) -> gym.Env[str, str]:
    """Makes a text environment with its keywords.

    Raises:
        ValueError: if there is none of that id, its observations or actions are no text, or it does
            not take the keywords; names the nearest that it takes.
    """
    _check_keywords(env_id, keywords)
    try:
        env: gym.Env[str, str] = gym.make(env_id, **keywords)
    except TypeError as error:
        if not keywords:
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in keywords.items())
        raise ValueError(f"{env_id} cannot be made with {given}: {error.__cause__ or error}") from error
    spaces = (env.observation_space, env.action_space)
    if not all(isinstance(space, gym.spaces.Text) for space in spaces):
        env.close()
        seen, done = (type(space).__name__ for space in spaces)
        raise ValueError(
            f"{env_id} is no text environment: its observations are of {seen}, its actions of {done}; "
            f"agents here read and write text, as in {', '.join(text_ids())}"
        )
    return env


def _check_keywords(env_id: str, keywords: Mapping[str, Any]) -> None:
    known = keyword_names(env_id)
    if known is None:
        return
    of_make = [name for name in signature(gym.make).parameters if name not in ("id", "kwargs")]
    for name in keywords:
        if name not in known and name not in of_make:
            raise ValueError(f"{env_id} takes no keyword '{name}'; {nearest(name, known)}")


def list_environments() -> None:
    """Prints the environments."""
    table = Table(Column("environment", no_wrap=True), "turns", "steps", "train", "dev", "test")
    for env_id in own_ids():
        env: gym.Env[Any, Any] = gym.make(env_id)
        table.add_row(env_id, *_limits_and_splits(env.unwrapped))
        env.close()
    Console().print(table)


def _limits_and_splits(env: gym.Env[str, str]) -> tuple[str, ...]:
    """Most turns and steps, and how many scenarios each split has, if there are splits."""
    if not isinstance(env, TextEnvironment):
        return ()
    if not isinstance(env, CustomerServiceEnvironment):
        return str(env.max_turns), str(env.max_steps)
    sizes = (f"{split_size(env.family, split):,}" for split in ("dev", "test"))
    return str(env.max_turns), str(env.max_steps), "endless", *sizes
