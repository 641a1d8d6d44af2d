"""How the environment of a run is given, and how a checkpoint names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from ss_trainers.rollout import TextEnv

Environment = str | EnvSpec | Callable[[], TextEnv]


def spec_of(env_id: str) -> EnvSpec:
    """The spec of an id, which may be written ``module:id`` as for ``gymnasium.make``."""
    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    return gym.spec(name)


def naming(env: Environment, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """How a checkpoint names an environment: the settings ``env``, ``env_kwargs`` and ``env_wrappers``.

    ``env`` is None where an id, keywords and recorded wrappers do not say which environment it is:
    for a function, a spec with other changes, and keywords that JSON does not know.
    """
    name, keywords, wrappers = (env if isinstance(env, str) else None), dict(env_kwargs), list[WrapperSpec]()
    if isinstance(env, EnvSpec):
        registered = gym.registry.get(env.id)
        # Whether it checks its caller, keywords and wrappers are what a spec may differ in from the registered one.
        same = registered is not None and registered == replace(
            env,
            kwargs=registered.kwargs,
            order_enforce=registered.order_enforce,
            disable_env_checker=registered.disable_env_checker,
            additional_wrappers=registered.additional_wrappers,
        )
        if same:
            name, keywords, wrappers = env.id, {**env.kwargs, **keywords}, list(env.additional_wrappers)
    settings = {"env": name, "env_kwargs": keywords, "env_wrappers": [asdict(wrapper) for wrapper in wrappers]}
    try:
        json.dumps(settings)
    except (TypeError, ValueError):
        settings = {}
    # A wrapper that does not record its arguments can't be built again.
    if not settings or any(wrapper.kwargs is None for wrapper in wrappers):
        return {"env": None, "env_kwargs": {}, "env_wrappers": []}
    return settings


def named(settings: Mapping[str, Any]) -> str | EnvSpec | None:
    """The environment that a checkpoint's settings name, without ``env_kwargs``; None if they name none.

    Raises:
        ValueError: if a wrapper is none: a checkpoint must not be able to run any function.
        ImportError: if a wrapper is not installed.
    """
    wrappers = [WrapperSpec(**wrapper) for wrapper in settings.get("env_wrappers", ())]
    name: str | None = settings["env"]
    if name is None or not wrappers:
        return name
    for wrapper in wrappers:
        module, _, attribute = wrapper.entry_point.partition(":")
        kind = getattr(import_module(module), attribute, None)
        if not (isinstance(kind, type) and issubclass(kind, gym.Wrapper)):
            raise ValueError(f"'{wrapper.entry_point}' is no wrapper of an environment")
    return replace(spec_of(name), additional_wrappers=tuple(wrappers))
