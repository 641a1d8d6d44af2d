"""What randomised customers cost: steps per CPU second with ``DomainRandomization`` and without, in turn.

    python -m tests.benchmarks.randomization                   # 2,000 episodes of either
    python -m tests.benchmarks.randomization --episodes 500

The reference agent's actions are recorded in another process, of the usual customers and of randomised ones, with
wordings that never repeat; this process replays both, a part of the one and a part of the other in turn, so that what
else the machine does falls on both. Resets, the draw of φ and everything else are in the time.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.table import Table

from ss_gym.sim2real import AutomaticRandomizer, DomainRandomizationConfig, DomainRandomizer
from ss_gym.wrappers import DomainRandomization
from tests.benchmarks.environments import ENV_ID, Script, rounds

KINDS = ("usual", "randomised", "automatic")


def made(kind: str) -> gym.Env[Any, Any]:
    """An environment with customers of a kind."""
    env: gym.Env[Any, Any] = gym.make(ENV_ID)
    if kind == "usual":
        return env
    wide = DomainRandomizationConfig(persona_variation=0.5, style_variation=0.5)
    return DomainRandomization(env, DomainRandomizer(wide) if kind == "randomised" else AutomaticRandomizer())


def record(kind: str, episodes: int) -> list[Script]:
    """Plays the first seeds with the reference agent."""
    from ss_baselines.agents.reference import ReferenceAgent

    agent, env = ReferenceAgent(never_repeat=True), made(kind)
    scripts = []
    for seed in range(episodes):
        _, info = env.reset(seed=seed)
        conversation = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
        actions: list[str] = []
        ended = False
        while not ended:
            actions.append(agent.act([conversation])[0].text)
            _, _, terminated, truncated, info = env.step(actions[-1])
            conversation += info["messages"]
            ended = terminated or truncated
        scripts.append(Script(seed, tuple(actions), info["success"]))
    return scripts


def replayed(env: gym.Env[Any, Any], scripts: list[Script]) -> float:
    """Steps per CPU second of some episodes.

    Raises:
        RuntimeError: if one ends otherwise than it did.
    """
    start = time.process_time()
    for script in scripts:
        env.reset(seed=script.seed)
        for action in script.actions:
            _, _, terminated, truncated, info = env.step(action)
        if not (terminated or truncated) or info["success"] != script.success:
            raise RuntimeError(f"the episode of seed {script.seed} does not end as it did when it was recorded")
    return sum(len(script.actions) for script in scripts) / (time.process_time() - start)


def measured(episodes: int) -> dict[str, dict[str, float]]:
    """For each kind of customers the median rate, the least and the greatest of five parts, and steps an episode."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        scripts = {kind: pool.submit(record, kind, episodes).result() for kind in KINDS}
    environments = {kind: made(kind) for kind in KINDS}
    for kind, env in environments.items():
        replayed(env, scripts[kind][:5])
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for parts in zip(*(rounds(scripts[kind]) for kind in KINDS), strict=True):
        for kind, part in zip(KINDS, parts, strict=True):
            rates[kind].append(replayed(environments[kind], list(part)))
    return {
        kind: {
            "rate": median(rates[kind]),
            "least": min(rates[kind]),
            "most": max(rates[kind]),
            "steps": sum(len(script.actions) for script in scripts[kind]) / episodes,
            "ratio": median(own / usual for own, usual in zip(rates[kind], rates["usual"], strict=True)),
        }
        for kind in KINDS
    }


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=2000)
    options = parser.parse_args()
    table = Table("customers", "steps an episode", "steps per CPU s", "five parts", "of the usual")
    for kind, found in measured(options.episodes).items():
        table.add_row(
            kind,
            f"{found['steps']:.1f}",
            f"{found['rate']:,.0f}",
            f"{found['least']:,.0f} to {found['most']:,.0f}",
            f"{found['ratio']:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
