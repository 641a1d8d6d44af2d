"""How the environment of a run is given, and how a checkpoint names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ss_trainers.rollout import TextEnv

Environment = str | EnvSpec | Callable[[], TextEnv]


def spec_of(env_id: str) -> EnvSpec:
    """The spec of an id, which may be written ``module:id`` as for ``gymnasium.make``."""
    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    return gym.spec(name)


def naming(env: Environment, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """How a checkpoint names an environment: the settings ``env`` and ``env_kwargs``.

    ``env`` is None where an id and keywords do not say which environment it is: for a function, a
    spec with wrappers or other changes than keywords, and keywords that JSON does not know.
    """
    name, keywords = (env if isinstance(env, str) else None), dict(env_kwargs)
    if isinstance(env, EnvSpec):
        registered = gym.registry.get(env.id)
        # Whether it checks its caller and the keywords are what a spec may differ in from the registered one.
        same = registered is not None and registered == replace(
            env,
            kwargs=registered.kwargs,
            order_enforce=registered.order_enforce,
            disable_env_checker=registered.disable_env_checker,
        )
        if same:
            name, keywords = env.id, {**env.kwargs, **keywords}
    try:
        json.dumps(keywords)
    except (TypeError, ValueError):
        return {"env": None, "env_kwargs": {}}
    return {"env": name, "env_kwargs": keywords}
