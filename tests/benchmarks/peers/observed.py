"""Facts about an environment, seen by trying it."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import random
import warnings
from collections.abc import Callable
from typing import Any

_ALIKE = 11  # for runs that are to find the process's generator alike
_OTHERS = range(12, 18)


def gymnasium_check(subject: Any) -> str:
    """Whether ``gymnasium``'s own ``check_env`` passes."""
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    env = subject.environment(subject.make())
    if not isinstance(getattr(env, "unwrapped", env), gymnasium.Env):
        return "no: not a gymnasium.Env"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check_env(env.unwrapped)
        except Exception as error:
            return f"no: {str(error).splitlines()[0]}"
    return "yes"


def step_form(subject: Any) -> str:
    """What a step gives, in words."""
    value = subject.raw_step(subject.make())
    if inspect.isawaitable(value):
        return f"an awaitable of {form(asyncio.run(_awaited(value)))}"
    return form(value)


async def _awaited(value: Any) -> Any:
    return await value


def form(value: Any) -> str:
    """A value's outer form: its type, and how many values or which keys it has."""
    if isinstance(value, tuple):
        return f"{len(value)} values ({', '.join(type(part).__name__ for part in value)})"
    if isinstance(value, dict):
        return f"a mapping ({', '.join(map(str, value)) if len(value) <= 4 else f'{len(value)} keys'})"
    return type(value).__name__


def seeding(subject: Any) -> str:
    """Whether one seed gives one episode, and whose generator decides."""
    episode = subject.episodes(1)[0]

    def run(global_seed: int, seed: int = episode.seed) -> list[Any]:
        random.seed(global_seed)
        return subject.trace(subject.make(), episode._replace(seed=seed))

    takes_seed = "seed" in inspect.signature(subject.reset_method(subject.make())).parameters
    expected = run(_ALIKE)
    if any(run(other) != expected for other in _OTHERS):
        own = "no: the process's generator decides"
        return own if run(_ALIKE) == expected else "no: two runs differ"
    if not takes_seed:
        return "nothing is drawn: the caller gives the case"
    if all(run(_ALIKE, episode.seed + more) == expected for more in (1, 2, 3)):
        return "no: four seeds gave the same episode"
    handle = subject.make()
    before = random.getstate()
    subject.trace(handle, episode, 0, 1)
    touched = random.getstate() != before
    return "yes, by setting the process's generator" if touched else "yes, with a generator of its own"


def reuse(subject: Any) -> str:
    """Whether an environment that has played an episode gives the next as a new one would."""
    episode, other = subject.episodes(2)
    seen = []
    for used in (True, False):
        handle = subject.make()
        if used:
            subject.trace(handle, other)
        random.seed(_ALIKE)
        seen.append(subject.trace(handle, episode))
    return "yes" if seen[0] == seen[1] else "no: it answers otherwise than a new one"


def saving(subject: Any) -> str:
    """The ways in which an episode could be kept in its middle and went on as the original did."""
    ways: dict[str, Callable[[Any], Any]] = {
        "get_state": lambda handle: _through_state(subject, handle),
        "pickle": lambda handle: pickle.loads(pickle.dumps(handle)),
        "deepcopy": copy.deepcopy,
    }
    episode = subject.episodes(1)[0]
    middle = max(1, len(episode.actions) // 2)
    worked = []
    for name, keep in ways.items():
        handle = subject.make()
        random.seed(_ALIKE)
        subject.trace(handle, episode, 0, middle)
        try:
            kept = keep(handle)
        except Exception:
            continue
        rests = []
        for one in (handle, kept):
            random.seed(_ALIKE)  # what is drawn from the process's generator is no part of an environment
            rests.append(subject.trace(one, episode, middle))
        if rests[0] == rests[1]:
            worked.append(name)
    return ", ".join(worked) or "no"


def _through_state(subject: Any, handle: Any) -> Any:
    env = subject.environment(handle)
    fresh = subject.make()
    getattr(subject.environment(fresh), "unwrapped", None).set_state(env.unwrapped.get_state())
    return fresh
