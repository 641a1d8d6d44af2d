"""A week of simulated use: a million episodes in one vector environment, and what they do to its memory.

    python -m tests.benchmarks.endurance --episodes 1000000 [--family refund]

Every batch mixes what agents do: they verify, read, write with right and wrong values, ask, refuse, send
broken calls, close or fall silent. Rows begin again in another split each time. Memory must be flat
from the warm-up on: whatever is kept of an episode or of its words has a bound, and the bounds are
reached there.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from rich.console import Console

import ss_gym  # noqa: F401  (registers the ids)
from ss_gym.families import FAMILIES, load_family
from ss_gym.scenarios import SPLITS, Scenario
from ss_gym.streams import Stream
from tests.adversary.values import Values, argument

WIDTH = 64
READINGS = 20
_ROW = "{:>12}{:>14}{:>12}{:>10}{:>8}"  # a line at a time: a run takes a while
_WORDS = (
    "Hello! Could you tell me your e-mail address and postal code?",
    "What is your order number?",
    "Why would you like that?",
    "One moment, please.",
    "I can't find such an order on your account.",
    "I'm sorry, but I can't do that: the window of {days} days has passed.",
    "I'm sorry, the {title} was a final sale, so I can't do that.",
    "Shall I refund ${amount} for the {title} to how you paid?",
    "I can do that for order {order_id}. Shall I go ahead?",
    "I have refunded ${amount}. It takes {days} business days.",
    "Done. Is there anything else?",
    "",
)
_BROKEN = ("<tool_call>", '<tool_call>{"name": "get_ordr", "arguments": {}}</tool_call>', "\x00\ud800")


class Reading(NamedTuple):
    """Memory and time after some episodes."""

    episodes: int
    steps: int
    successes: int
    resident: int  # bytes
    seconds: float  # of CPU time


def resident_bytes() -> int:
    """The memory of this process, after what nobody holds was freed."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Office:
    """What the rows do: cheap to draw, different each time, and the same for the same seed."""

    def __init__(self, family: str, seed: int) -> None:
        self._stream = Stream("endurance", family, seed)
        self._tools = {
            name: tool.schema["function"]["parameters"]["properties"]
            for name, tool in load_family(family).tools.items()
        }
        self._names = sorted(self._tools)

    def action(self, scenario: Scenario, values: Values) -> str:
        """What one row does next."""
        stream = self._stream
        if stream.chance(0.02):
            return stream.choice(_BROKEN)
        if stream.chance(0.35):
            return stream.choice(_WORDS).format_map({kind: stream.choice(known) for kind, known in values.items()})
        if stream.chance(0.1):
            return _call("end_conversation")
        if stream.chance(0.25):
            customer = scenario.customer
            return _call("verify_identity", email=customer.email, postal_code=customer.postal_code)
        name = stream.choice(self._names)
        return _call(name, **{key: argument(key, schema, values, stream) for key, schema in self._tools[name].items()})


def _call(tool: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


def _known(scenario: Scenario) -> Values:
    """What the office knows of a case; a few values of each kind are enough here."""
    goal, world, cents = scenario.goal, scenario.world, scenario.goal.paid_cents
    orders = (goal.true_order_id or goal.order_id or "12345", world.orders[-1][0] if world.orders else "12345")
    return {
        "order_id": orders,
        "subscription_id": (*(row[0] for row in world.subscriptions), "12345"),
        "item_id": goal.items or ("12345-1",),
        "payment_id": tuple(row[0] for row in world.payments) or ("12345-P1",),
        "customer_id": (scenario.customer.customer_id,),
        "variant_id": (goal.exchange_variant or "V1",),
        "amount": (f"{cents // 100}.{cents % 100:02d}", "5.00"),
        "title": goal.titles or ("order",),
        "days": ("14", "30"),
    }


def endure(family: str, episodes: int, seed: int = 0, width: int = WIDTH) -> Iterator[Reading]:
    """Plays episodes side by side; gives a reading twenty times on the way.

    Args:
        family: the family of tasks.
        episodes: how many episodes are begun, all in all.
        seed: of the episodes and of what is done in them.
        width: how many run side by side.
    """
    env_id = f"StateSet/{family.title().replace('_', '')}-v0"
    envs = gymnasium.make_vec(env_id, num_envs=width, autoreset_mode=AutoresetMode.DISABLED)
    office = _Office(family, seed)
    splits = np.array([row % len(SPLITS) for row in range(width)])
    envs.reset(seed=seed)
    begun, steps, successes = width, 0, 0
    scenarios = [env.scenario for env in envs.envs]  # type: ignore[attr-defined]
    values = [_known(scenario) for scenario in scenarios]
    start, due = time.process_time(), episodes / READINGS
    while begun < episodes:
        actions = [office.action(scenario, known) for scenario, known in zip(scenarios, values, strict=True)]
        _, _, terminated, truncated, infos = envs.step(actions)
        steps += width
        ended = terminated | truncated
        if not ended.any():
            continue
        successes += int(infos["success"].sum()) if "success" in infos else 0
        splits[ended] = (splits[ended] + 1) % len(SPLITS)
        for number, split in enumerate(SPLITS):
            mask = ended & (splits == number)
            if mask.any():
                envs.reset(options={"reset_mask": mask, "split": split})
        for row in np.flatnonzero(ended):
            scenarios[row] = envs.envs[row].scenario  # type: ignore[attr-defined]
            values[row] = _known(scenarios[row])
        begun += int(ended.sum())
        if begun >= due or begun >= episodes:
            due += episodes / READINGS
            yield Reading(begun, steps, successes, resident_bytes(), time.process_time() - start)
    envs.close()


def drift(readings: list[Reading], warm_up: float = 0.1) -> float:
    """Megabytes that memory has grown since the warm-up.

    Args:
        readings: in order.
        warm_up: the share of the episodes until which bounded caches may fill; they take some 50,000.
    """
    warm = next(reading for reading in readings if reading.episodes >= warm_up * readings[-1].episodes)
    return (readings[-1].resident - warm.resident) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description="Play many episodes in one process and watch its memory.")
    parser.add_argument("--family", default="refund", choices=sorted(FAMILIES))
    parser.add_argument("--episodes", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(highlight=False)
    console.print(f"{options.family}: {options.episodes:,} episodes, {WIDTH} side by side")
    console.print(_ROW.format("episodes", "steps", "successes", "RSS, MB", "CPU, s"), style="bold")
    readings = []
    for reading in endure(options.family, options.episodes, options.seed):
        readings.append(reading)
        counts = [f"{count:,}" for count in reading[:3]]
        console.print(_ROW.format(*counts, f"{reading.resident / 2**20:.2f}", f"{reading.seconds:,.0f}"))
    console.print(f"grown since the first tenth: {drift(readings):+.2f} MB")


if __name__ == "__main__":
    main()
