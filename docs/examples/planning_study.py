"""Whether a plan in its context helps an agent with two wishes in a conversation; any cell can be run again alone.

    python docs/examples/planning_study.py                    # the cells that are missing
    python docs/examples/planning_study.py --only plan/1      # one cell again
    python docs/examples/planning_study.py --report           # the table of what is there
    python docs/examples/planning_study.py --markdown         # the table as it stands in docs/pages/planning.md
    python docs/examples/planning_study.py --plans            # how many heuristic plans have a step for each wish

The conversations are those of ``StateSet/Retail-v0`` in which a customer wants two refunds, one after the other: of all
with several wishes they are the only ones at which the tiny agent, who has learnt refunds, can succeed at all after a
few minutes. ``plain`` and ``plan`` differ in the wrapper ``PlanContext`` alone. ``zero-shot`` is the agent as it is,
which has never seen a second wish, nor a plan. The others are cloned first, from the same start, from the same
demonstrations with the same settings: ``SETTINGS``, 4 CPU minutes at most with the evaluation. The demonstrator reads
the conversations without the plan, so it does the same in both. Success is that of 200 customers who are in no
demonstration, at temperature 1; dev has 10 customers with two refunds, so these are of the train shop. Results go to
``docs/results/planning.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gymnasium as gym
import numpy as np
from rich.console import Console
from study_cells import read_cells

import ss_gym  # noqa: F401  (registers the environments)
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.dialogue import DialogueAgent, serve
from ss_baselines.agents.reference import ReferenceAgent
from ss_baselines.agents.scripted import Script, ScriptedAgent
from ss_baselines.agents.terse_grammar import terse_words
from ss_baselines.commands.folders import write_whole
from ss_baselines.statistics import Estimate, half_width, mean, paired_difference, proportion
from ss_gym.agents import Conversation
from ss_gym.agents.planning import without_plan
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.scenarios import Scenario, scenario_id
from ss_gym.types import Message, MultiTurnTrajectory
from ss_gym.wrappers import DomainRandomization, PlanContext
from ss_trainers import BehaviorCloningConfig, BehaviorCloningTrainer, Episode, TrainingConfig

ENV_ID, PROMPT = "StateSet/Retail-v0", {"prompt": "compact"}
ARMS, SEEDS, ZERO_SHOT = ("plain", "plan"), 5, "zero-shot"
# Pairs of twins: who is measured, and whom the demonstrations are with.
HELD_OUT, TAUGHT = 100, 320
SETTINGS: dict[str, Any] = {"iterations": 20, "demonstrations": 16, "minibatches": 4, "learning_rate": 5e-4}
CELLS = [f"{arm}/{run}" for run in (ZERO_SHOT, *range(SEEDS)) for arm in ARMS]
RESULTS = Path(__file__).parents[1] / "results" / "planning.json"
WISH = re.compile(r"wish (\d+): ")  # which wish a failure of the audit is about
CONSOLE = Console(width=120)
Cell = dict[str, Any]


# --- who plays --------------------------------------------------------------------------------------


class WithoutPlans:
    """A script that is told everything but the plan.

    Args:
        script: whose words depend on what it reads.
    """

    def __init__(self, script: Script) -> None:
        self._script = script

    def step(self, messages: Sequence[Message]) -> str:
        """The script's next action."""
        return self._script.step([{**message, "content": without_plan(message["content"])} for message in messages])


class Clerk(ScriptedAgent):
    """Follows the policy, thinks in notes as the tiny agent does, and says everything in one way."""

    def __init__(self) -> None:
        clerk = DialogueAgent(partial(serve, conduct=Conduct()), terse_words, takes_notes=True)
        super().__init__(lambda prompt: WithoutPlans(clerk.start(prompt)))


# --- with whom --------------------------------------------------------------------------------------


def two_refunds() -> Iterator[int]:
    """The pairs of the train split in which a customer wants two refunds, in order; about 6 of 1,000."""
    for pair in count():
        scenario = load_scenario("retail", "train", 2 * pair)
        if len(scenario.parts) > 1 and all(part.family == "refund" for part in scenario.parts):
            yield pair


def pairs() -> tuple[list[int], list[int]]:
    """The pairs that are measured, and those of the demonstrations; looked for once, for half a CPU minute."""
    kept = read()
    if "pairs" not in kept:
        CONSOLE.print(f"looking for {HELD_OUT + TAUGHT} pairs with two refunds")
        kept["pairs"] = list(islice(two_refunds(), HELD_OUT + TAUGHT))
        write(kept)
    found: list[int] = kept["pairs"]
    return found[:HELD_OUT], found[HELD_OUT:]


def customer(taught: Sequence[int], rng: np.random.Generator) -> dict[str, Any]:
    """The reset options of a demonstration."""
    return {"scenario_id": scenario_id("retail", "train", 2 * int(rng.choice(taught)) + int(rng.integers(2)))}


def environment(arm: str, taught: Sequence[int]) -> gym.Env[str, str]:
    """The environment of an arm."""
    env = DomainRandomization(gym.make(ENV_ID, **PROMPT), partial(customer, taught))
    return PlanContext(env) if arm == "plan" else env


# --- cells ------------------------------------------------------------------------------------------


def run(arm: str, which: str) -> Cell:
    """One arm with one seed, or as it is."""
    held_out, taught = pairs()
    seed = 0 if which == ZERO_SHOT else int(which)
    trainer = BehaviorCloningTrainer(
        partial(environment, arm, taught),
        "tiny",
        BehaviorCloningConfig(demonstrator="planning_study:Clerk"),
        TrainingConfig(
            iterations=SETTINGS["iterations"],
            groups_per_iteration=SETTINGS["demonstrations"],
            group_size=1,
            minibatches=SETTINGS["minibatches"],
            learning_rate=SETTINGS["learning_rate"],
            warmup_iterations=1,
            micro_batch_tokens=4096,
            seed=seed,
        ),
        console=CONSOLE,
    )
    begun = time.process_time()
    if which != ZERO_SHOT:
        trainer.train()
    trained = time.process_time()
    numbers = [2 * pair + member for pair in held_out for member in (0, 1)]
    episodes = [Episode(0, {"scenario_id": scenario_id("retail", "train", number)}, number) for number in numbers]
    played = trainer.evaluate(episodes, seed=seed).trajectories
    return {
        "settings": SETTINGS if which != ZERO_SHOT else {},
        # A digit a customer, a pair after the other.
        "success": "".join(str(int(bool(trajectory.success))) for trajectory in played),
        "wishes": "".join(map(str, map(wishes_right, played))),
        "training_cpu_seconds": round(trained - begun),
        "evaluation_cpu_seconds": round(time.process_time() - trained),
    }


def wishes_right(trajectory: MultiTurnTrajectory) -> int:
    """How many of the two wishes ended as they should."""
    wrong = {number for failure in trajectory.info["audit"]["failed"].values() for number in re.findall(WISH, failure)}
    return 2 - len(wrong)


def read() -> dict[str, Any]:
    """What is known so far: ``pairs`` and ``cells``."""
    return read_cells(RESULTS)


def write(known: Mapping[str, Any]) -> None:
    """Keeps what is known."""
    write_whole(RESULTS, json.dumps(dict(sorted(known.items())), indent=1) + "\n")


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("agent", "context", "runs", "both wishes right", "share of wishes right", "CPU s")
AGENTS = {ZERO_SHOT: "tiny as it is", "cloned": "cloned"}


def markdown(cells: Mapping[str, Cell]) -> str:
    """The table for a page."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows_of(cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows_of(cells: Mapping[str, Cell]) -> list[tuple[str, ...]]:
    """The table's rows: both arms of each agent, and their difference where both have the same runs."""
    rows = []
    for agent, title in AGENTS.items():
        runs = {arm: [cells[key] for key in CELLS if key in cells and of(key) == (arm, agent)] for arm in ARMS}
        for arm in ARMS:
            if runs[arm]:
                rows.append((title, "with a plan" if arm == "plan" else "without", *figures(runs[arm])))
        keys = [{key.partition("/")[2] for key in cells if of(key) == (arm, agent)} for arm in ARMS]
        if keys[0] and keys[0] == keys[1]:
            rows.append((title, "difference", *difference(runs["plan"], runs["plain"])))
    return rows


def of(key: str) -> tuple[str, str]:
    """The arm and the agent of a cell."""
    arm, _, which = key.partition("/")
    return arm, which if which == ZERO_SHOT else "cloned"


def figures(runs: Sequence[Cell]) -> tuple[str, ...]:
    """Runs, success, the share of wishes, and CPU seconds of an arm; customers of all runs in one."""
    success, shares, clusters = outcomes(runs)
    seconds = np.mean([cell["training_cpu_seconds"] + cell["evaluation_cpu_seconds"] for cell in runs])
    both = proportion([bool(value) for value in success], clusters)
    return str(len(runs)), percent(both), percent(mean(shares, clusters)), f"{seconds:.0f}"


def difference(first: Sequence[Cell], second: Sequence[Cell]) -> tuple[str, ...]:
    """The same customers with a plan and without: over customers, and over runs where there are several."""
    (ours, shares, clusters), (theirs, others, _) = outcomes(first), outcomes(second)
    texts = []
    for mine, other in ((ours, theirs), (shares, others)):
        gains = np.subtract(mine, other).reshape(len(first), -1).mean(1)
        over_runs = f"; ± {100 * half_width(gains):.1f} over runs" if len(first) > 1 else ""
        texts.append(f"{percent(paired_difference(mine, other, clusters), '+')}{over_runs}")
    return str(len(first)), *texts, ""


def outcomes(runs: Sequence[Cell]) -> tuple[list[float], list[float], list[int]]:
    """Success and the share of wishes of each customer of each run, and which pair they are of."""
    success = [float(digit) for cell in runs for digit in cell["success"]]
    shares = [float(digit) / 2 for cell in runs for digit in cell["wishes"]]
    return success, shares, [number // 2 for cell in runs for number in range(len(cell["success"]))]


def percent(estimate: Estimate, sign: str = "") -> str:
    """An estimate with its 95 % interval."""
    value, low, high = (f"{100 * part:{sign}.1f}" for part in (estimate.value, estimate.low, estimate.high))
    return f"{value} % [{low}, {high}]"


# --- how good the plans are -------------------------------------------------------------------------


def plans(split: str, scenarios: int) -> str:
    """How many plans have in the end a step for each wish, where there are several."""
    env, agent, right, several = PlanContext(gym.make(ENV_ID, **PROMPT)), ReferenceAgent(), 0, 0
    for number in range(scenarios):
        scenario = load_scenario("retail", split, number)
        if len(scenario.parts) > 1:
            several += 1
            right += steps_of(scenario, env, lambda prompt: WithoutPlans(agent.start(prompt))) == len(scenario.parts)
    return f"{split}: {right} of {several} plans have a step for each wish, and no other"


def steps_of(scenario: Scenario, env: gym.Env[str, str], factory: Callable[[str], Script]) -> int:
    """The steps of the plan at the end of a good agent's conversation."""
    observation, info = env.reset(options={"scenario_id": scenario.id})
    conversation, agent, ended = Conversation.begin(observation, info), ScriptedAgent(factory), False
    while not ended:
        (completion,) = agent.act([conversation])
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        ended = terminated or truncated
    return len(info["plan"]["steps"])


def main(words: Sequence[str] | None = None) -> None:
    """Runs the cells that are missing, or the one that was asked for; then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CELLS, help="one cell, run again even if it is there")
    parser.add_argument("--report", "--markdown", action="store_true", dest="report", help="run nothing")
    parser.add_argument("--plans", action="store_true", help="measure the plans instead")
    options = parser.parse_args(words)
    if options.plans:
        print(plans("dev", split_size("retail", "dev")), plans("train", 600), sep="\n")
        return
    cells = read().get("cells", {})
    missing = [options.only] if options.only else [cell for cell in CELLS if cell not in cells]
    for cell in [] if options.report else missing:
        CONSOLE.rule(cell)
        done = run(*cell.split("/"))
        known = read()  # others may have added theirs meanwhile
        write({**known, "cells": dict(sorted({**known.get("cells", {}), cell: done}.items()))})
    print(markdown(read().get("cells", {})))


if __name__ == "__main__":
    main()
