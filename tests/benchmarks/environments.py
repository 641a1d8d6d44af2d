"""How fast and how large the environments are.

Actions are recorded beforehand, in another process, by the reference agent with wordings that
never repeat; where one does after all (a tool call, or the end of a conversation), blanks at its end
tell it apart. So no cache of this process has seen any of them, and the agent's own time is not
measured, except in the row that says so. Replaying them on the same seeds gives the same episodes,
tools, customer and reward included.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from ss_gym.registration import ENVIRONMENTS

ENV_ID = "StateSet/Refund-v0"
# Opens the scenario's world, which a reset leaves to the first tool call.
_FIRST_CALL = '<tool_call>{"name": "list_orders", "arguments": {"customer_id": "C1"}}</tool_call>'
_BLANKS = str.maketrans("01", " \n")  # a number in binary, as blanks


class Script(NamedTuple):
    """An episode's seed, its actions, and whether they succeeded."""

    seed: int
    actions: tuple[str, ...]
    success: bool


class Recording(NamedTuple):
    """Episodes, and the CPU seconds that they took with the agent."""

    scripts: list[Script]
    seconds: float


def rows(episodes: int) -> Iterator[tuple[str, str]]:
    """What is measured, and the figure with its unit."""
    scripts, with_agent = recorded(episodes)
    yield "this machine: a million additions in a loop", f"{1e3 * additions():,.1f} CPU ms"
    steps = sum(len(script.actions) for script in scripts)
    solved = sum(script.success for script in scripts)
    yield "episodes, solved, steps, distinct actions", f"{episodes:,}, {solved:,}, {steps:,}, {distinct(scripts):.1%}"
    rates = sorted(sum(len(script.actions) for script in part) / single(part) for part in rounds(scripts))
    yield "gym.make, resets included", f"{median(rates):,.0f} steps per CPU second"
    yield "the same: the slowest and the fastest of five rounds", f"{rates[0]:,.0f}, {rates[-1]:,.0f}"
    yield "gym.make, resets and the agent included", f"{steps / with_agent:,.0f} steps per CPU second"
    yield "gym.make_vec of 64, resets included", f"{batched(scripts, 64):,.0f} steps per CPU second"
    seeds = range(10**6, 10**6 + episodes)
    yield "reset with a seed and a new scenario", f"{1e6 * resets(seeds):,.0f} CPU µs"
    yield "the same and a first tool call", f"{1e6 * resets(seeds, [_FIRST_CALL]):,.0f} CPU µs"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield "memory of an environment, of 1,000", f"{pool.submit(memory, 1_000).result() / 1e3:,.0f} kB"
    yield "import gymnasium", f"{import_seconds('gymnasium'):.2f} s"
    yield "import ss_gym, gymnasium included", f"{import_seconds('ss_gym'):.2f} s"


def of_every_family(episodes: int) -> Iterator[tuple[str, ...]]:
    """Of each text id: episodes solved, steps of an episode, and steps per CPU second alone and of vectors."""
    for env_id, registration in ENVIRONMENTS.items():
        if "family" not in registration.kwargs or not registration.vector_entry_point:
            continue
        scripts = recorded(episodes, env_id).scripts
        steps = sum(len(script.actions) for script in scripts)
        rates = sorted(sum(len(script.actions) for script in part) / single(part, env_id) for part in rounds(scripts))
        yield (
            env_id,
            f"{sum(script.success for script in scripts):,} of {episodes:,}",
            f"{steps / episodes:.1f}",
            f"{median(rates):,.0f}",
            f"{rates[0]:,.0f} to {rates[-1]:,.0f}",
            *(f"{batched(scripts, width, env_id):,.0f}" for width in (64, 256)),
        )


def recorded(episodes: int, env_id: str = ENV_ID) -> Recording:
    """What another process records, so that this one has seen none of it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(record, episodes, env_id).result()


def record(episodes: int, env_id: str = ENV_ID) -> Recording:
    """Plays the first seeds with the reference agent."""
    from ss_baselines.agents.reference import ReferenceAgent

    agent, env = ReferenceAgent(never_repeat=True), gym.make(env_id)
    env.reset(seed=10**9)
    said: Counter[str] = Counter()
    scripts = []
    start = time.process_time()
    for seed in range(episodes):
        _, info = env.reset(seed=seed)
        conversation = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
        actions: list[str] = []
        ended = False
        while not ended:
            action = agent.act([conversation])[0].text
            # Nobody sees the blanks at the end of an action; they count how often it was there before.
            actions.append(action + f"{said[action]:b}".translate(_BLANKS) if said[action] else action)
            said[action] += 1
            _, _, terminated, truncated, info = env.step(actions[-1])
            conversation += info["messages"]
            ended = terminated or truncated
        scripts.append(Script(seed, tuple(actions), info["success"]))
    return Recording(scripts, time.process_time() - start)


def rounds(scripts: Sequence[Script]) -> list[Sequence[Script]]:
    """Five parts, each with episodes of its own: how much the machine's speed varies, without any action seen twice."""
    size = max(1, len(scripts) // 5)
    return [scripts[start : start + size] for start in range(0, size * min(5, len(scripts)), size)]


def additions() -> float:
    """CPU seconds of a million integer additions in a loop: how fast this machine is right now."""
    total, best = 0, float("inf")
    for _ in range(5):
        start = time.process_time()
        for number in range(1_000_000):
            total += number
        best = min(best, time.process_time() - start)
    return best


def distinct(scripts: Sequence[Script]) -> float:
    """Number of different actions over number of actions."""
    actions = [action for script in scripts for action in script.actions]
    return len(set(actions)) / len(actions)


def single(scripts: Sequence[Script], env_id: str = ENV_ID) -> float:
    """CPU seconds to play the scripts one after the other.

    Raises:
        RuntimeError: if an episode did not end as it did when it was recorded.
    """
    env = gym.make(env_id)
    for seed in range(10**9, 10**9 + 30):  # what each kind of wish builds once a process
        env.reset(seed=seed)
        env.step("Hello")
    ends = []
    start = time.process_time()
    for script in scripts:
        env.reset(seed=script.seed)
        for action in script.actions:
            _, _, _, _, info = env.step(action)
        ends.append(info["success"])
    seconds = time.process_time() - start
    if ends != [script.success for script in scripts]:
        raise RuntimeError("a replayed episode ended otherwise than when it was recorded")
    return seconds


def batched(scripts: Sequence[Script], num_envs: int, env_id: str = ENV_ID) -> float:
    """Steps per CPU second in a vector environment that resets what has finished.

    The first third of the scripts is not measured: each environment has a database of its own, and prepares its
    statements once.
    """
    envs = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=10**9)
    third = len(scripts) // 3
    _play(envs, scripts[:third])
    start = time.process_time()
    _play(envs, scripts[third:])
    seconds = time.process_time() - start
    return sum(len(script.actions) for script in scripts[third:]) / seconds


def _play(envs: VectorEnv, scripts: Sequence[Script]) -> None:
    """Plays scripts, as many side by side as there are environments."""
    waiting = deque(scripts)
    left: list[deque[str]] = [deque() for _ in range(envs.num_envs)]
    while waiting or any(left):
        idle = np.array([not actions for actions in left])
        seeds: list[int | None] = [None] * envs.num_envs
        for row in np.flatnonzero(idle):
            if waiting:
                script = waiting.popleft()
                seeds[row] = script.seed
                left[row].extend(script.actions)
        mask = np.array([seed is not None for seed in seeds])
        if mask.any():
            envs.reset(seed=seeds, options={"reset_mask": mask})
        envs.step([actions.popleft() if actions else "" for actions in left])


def resets(seeds: Sequence[int], actions: Sequence[str] = ()) -> float:
    """CPU seconds of a reset and the actions after it, on average."""
    env = gym.make(ENV_ID)
    env.reset(seed=10**9)
    start = time.process_time()
    for seed in seeds:
        env.reset(seed=seed)
        for action in actions:
            env.step(action)
    return (time.process_time() - start) / len(seeds)


def memory(count: int) -> float:
    """Bytes that one of ``count`` environments takes, each in an episode; of a fresh process."""
    first = gym.make(ENV_ID)
    first.reset(seed=0)
    first.step(_FIRST_CALL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    envs = [gym.make(ENV_ID) for _ in range(count)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
        env.step(_FIRST_CALL)
    unit = 1 if sys.platform == "darwin" else 1024
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / count


def import_seconds(module: str) -> float:
    """Seconds to import a module in a fresh process: the best of five."""
    script = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    times = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    return min(times)
