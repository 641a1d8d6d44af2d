"""How the environment of a run is given, and how a checkpoint names it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from ss_gym.families import import_packages
from ss_trainers.rollout import TextEnv

Environment = str | EnvSpec | Callable[[], TextEnv]

# A checkpoint may come from anybody: it can name these packages' wrappers, and nothing else that is called.
_WRAPPER_PACKAGES = ("gymnasium.wrappers", "ss_gym.wrappers")
# But for those that write files where their arguments tell them to.
_UNNAMED = ("RecordVideo", "RecordTrajectories")


def spec_of(env_id: str) -> EnvSpec:
    """The spec of an id, which may be written ``module:id`` as for ``gymnasium.make``.

    Raises:
        ImportError: if there is no such module.
        gymnasium.error.Error: if the id is not registered.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    else:
        import_packages()
    return gym.spec(name)


def wrapped(env: Environment, wrappers: Sequence[WrapperSpec]) -> EnvSpec | Callable[[], TextEnv]:
    """What environments are made from, with wrappers around those that it has.

    Raises:
        ValueError: if there are wrappers for a function.
    """
    env = spec_of(env) if isinstance(env, str) else env
    if not wrappers:
        return env
    if not isinstance(env, EnvSpec):
        raise ValueError("env_wrappers go with an id or a spec: a function can wrap its environment itself")
    return replace(env, additional_wrappers=(*env.additional_wrappers, *wrappers))


def naming(env: Environment, env_kwargs: Mapping[str, Any], env_wrappers: Sequence[WrapperSpec]) -> dict[str, Any]:
    """How a checkpoint names an environment: the settings ``env``, ``env_kwargs`` and ``env_wrappers``.

    ``env`` is None where these do not say which environment it is: for a function (unless its attribute
    ``names`` is a spec), a spec with other
    changes than keywords and more wrappers, wrappers of other packages than Gymnasium and this one, and
    arguments that JSON does not keep (tuples may become lists).
    """
    nameless: dict[str, Any] = {"env": None, "env_kwargs": {}, "env_wrappers": []}
    named = getattr(env, "names", None)
    env = named if isinstance(named, EnvSpec) else env
    name, keywords, wrappers = (env if isinstance(env, str) else None), dict(env_kwargs), list(env_wrappers)
    if isinstance(env, EnvSpec):
        registered = gym.registry.get(env.id)
        if registered is None:
            return nameless
        count = len(registered.additional_wrappers)
        # Whether it checks its caller, keywords and wrappers are what a spec may differ in from the registered one.
        same = registered == replace(
            env,
            kwargs=registered.kwargs,
            order_enforce=registered.order_enforce,
            disable_env_checker=registered.disable_env_checker,
            additional_wrappers=env.additional_wrappers[:count],
        )
        if same:
            name, keywords, wrappers = env.id, {**env.kwargs, **keywords}, [*env.additional_wrappers[count:], *wrappers]
    plain = [{"name": one.name, "entry_point": one.entry_point, "kwargs": one.kwargs} for one in wrappers]
    if name is None or not all(map(_can_be_named, wrappers)) or not (_survives(keywords) and _survives(plain)):
        return nameless
    return {"env": name, "env_kwargs": keywords, "env_wrappers": plain}


def recalled(
    settings: Mapping[str, Any], given: Environment | None = None
) -> tuple[Environment, dict[str, Any], tuple[WrapperSpec, ...]]:
    """The environment that a checkpoint's settings name, with its keywords and wrappers.

    Nothing is imported because a checkpoint says so, but wrappers of Gymnasium and this package.

    Args:
        settings: the checkpoint's.
        given: what is to be used instead. An id keeps the keywords and wrappers; a spec and a function
            bring their own.

    Raises:
        ValueError: if the settings do not say what is needed, the environment is not registered here, or
            a wrapper is malformed, another package's or can't be imported.
    """
    if given is not None and not isinstance(given, str):
        return given, {}, ()
    named: str | None = settings["env"]
    if named is None:
        unknown = "its environment" if given is None else "the keywords and wrappers of its environment"
        raise ValueError(f"it does not name {unknown}: give a spec or a function as env=…")
    if given is None:
        module, _, name = named.rpartition(":")
        try:
            gym.spec(name)
        except gym.error.Error:
            package = module or "the package that registers it"
            raise ValueError(f"its environment '{named}' is not known here: import {package} first") from None
        given = named if module in sys.modules else name
    return given, dict(settings["env_kwargs"]), wrappers_in(settings)


def wrappers_in(settings: Mapping[str, Any]) -> tuple[WrapperSpec, ...]:
    """The wrappers that a checkpoint's settings name.

    Raises:
        ValueError: if one of them is malformed, no wrapper of Gymnasium or this package, or can't be
            imported.
    """
    entries = settings.get("env_wrappers", [])
    if not isinstance(entries, list):
        raise ValueError(f"env_wrappers must be a list, got {entries!r:.200}")
    wrappers = []
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != {"name", "entry_point", "kwargs"}:
            raise ValueError(f"{entry!r:.200} does not describe a wrapper")
        wrapper = WrapperSpec(**entry)
        try:
            known = _can_be_named(wrapper)
        except ImportError as error:
            raise ValueError(f"{wrapper.entry_point!r:.200} can't be imported: {error}") from error
        if not known:
            raise ValueError(f"{wrapper.entry_point!r:.200} is no wrapper of {' or '.join(_WRAPPER_PACKAGES)}")
        wrappers.append(wrapper)
    return tuple(wrappers)


def _can_be_named(wrapper: WrapperSpec) -> bool:
    """Whether a wrapper can be made again from its record: it keeps its arguments, and its package is known.

    Raises:
        ImportError: if it is said to be of a known package, and can't be imported.
    """
    if not isinstance(wrapper.kwargs, dict) or not isinstance(wrapper.entry_point, str):
        return False
    module, _, attribute = wrapper.entry_point.partition(":")
    if not any(module == package or module.startswith(f"{package}.") for package in _WRAPPER_PACKAGES):
        return False  # before anything is imported
    kind = getattr(import_module(module), attribute, None)
    return isinstance(kind, type) and issubclass(kind, gym.Wrapper) and kind.__name__ not in _UNNAMED


def _survives(value: Any) -> bool:
    """Whether a value comes back from JSON; tuples may come back as lists."""
    try:
        return bool(json.loads(json.dumps(value)) == _with_lists(value))
    except (TypeError, ValueError):
        return False


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value
