"""Where the time of an episode goes, part by part.

Each part is some functions with a clock around them. What a part calls of another part is that
part's time, not its own, so the shares add up to the whole. The clocks themselves cost about half a
microsecond a call, and belong to whoever calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gymnasium as gym
from gymnasium.utils import seeding

from ss_gym import customer_service, environment
from ss_gym.commerce.store import Store
from ss_gym.commerce.toolkit import CommerceToolkit
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.environment import TextEnvironment
from ss_gym.families.generator import Generator
from ss_gym.rewards.outcome import OutcomeAudit
from ss_gym.users.scripted import ScriptedUser
from ss_gym.users.told import Told
from ss_gym.users.understanding import Understanding
from ss_gym.users.wording import Wording
from tests.benchmarks.environments import ENV_ID, Script

# Part -> the functions that belong to it, as (owner, name).
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "understanding of what the agent says": ((Understanding, "read"),),
    "draw of the scenario": ((customer_service, "load_scenario"),),
    "database: opening a world": ((Store, "open"),),
    "database: reads": ((Store, "order_facts"), (Store, "row"), (Store, "rows")),
    "database: writes and what changed": ((Store, "atomically"), (Store, "record_consent"), (Store, "effects")),
    "tools, without the database": ((CommerceToolkit, "call"),),
    "action grammar": ((environment, "parse_action"), (environment, "action_message")),
    "customer: wording and typing": ((Wording, "say"),),
    "customer: agenda": ((ScriptedUser, "__init__"), (ScriptedUser, "open"), (ScriptedUser, "respond")),
    "customer: persona, inventory": ((customer_service, "draw_persona"), (Generator, "inventory")),
    "audit and what was told": (
        *((Told, name) for name in ("__init__", "hear")),
        *((OutcomeAudit, name) for name in ("__init__", "hear", "write", "conclude")),
    ),
    "environment: reset": ((TextEnvironment, "reset"), (CustomerServiceEnvironment, "begin")),
    "environment: step": ((TextEnvironment, "step"), (CustomerServiceEnvironment, "respond")),
    "Gymnasium: seeding": ((seeding, "np_random"),),
}
REST = "Gymnasium: wrappers"


@dataclass
class Clock:
    """The time spent in each part so far, in nanoseconds, and the calls."""

    spent: dict[str, int]
    calls: dict[str, int]
    inner: list[int]  # a running function each: the time of the parts that it has called

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def timed(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter_ns()
            self.inner.append(0)
            try:
                return function(*arguments, **keywords)
            finally:
                elapsed = time.perf_counter_ns() - start
                self.spent[part] += elapsed - self.inner.pop()
                self.calls[part] += 1
                if self.inner:
                    self.inner[-1] += elapsed

        return timed


def rows(scripts: Sequence[Script]) -> Iterator[tuple[str, str, str, str]]:
    """Part, share of the time, µs of a step and µs of a call; the largest share first.

    It puts clocks into the packages, so nothing else should be measured in this process.
    """
    clock = Clock(dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0), [])
    for part, functions in PARTS.items():
        for owner, name in functions:
            setattr(owner, name, clock.around(part, getattr(owner, name)))
    env = gym.make(ENV_ID)
    _play(env, scripts[: len(scripts) // 2])  # warms up
    clock.spent, clock.calls = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    scripts = scripts[len(scripts) // 2 :]
    total = _play(env, scripts)
    steps = sum(len(script.actions) for script in scripts)
    clock.spent[REST], clock.calls[REST] = total - sum(clock.spent.values()), steps + len(scripts)
    for part, spent in sorted(clock.spent.items(), key=lambda entry: -entry[1]):
        yield part, f"{spent / total:.1%}", f"{spent / steps / 1e3:.1f}", f"{spent / clock.calls[part] / 1e3:.1f}"
    yield "all", "100.0%", f"{total / steps / 1e3:.1f}", ""


def _play(env: gym.Env[str, str], scripts: Sequence[Script]) -> int:
    start = time.perf_counter_ns()
    for script in scripts:
        env.reset(seed=script.seed)
        for action in script.actions:
            env.step(action)
    return time.perf_counter_ns() - start
