"""Which simulated customers prepare an agent for others; any cell can be run again alone.

    python docs/examples/transfer_study.py                       # the cells that are missing
    python docs/examples/transfer_study.py --only automatic/1    # one cell again
    python docs/examples/transfer_study.py --report              # the table of what is there
    python docs/examples/transfer_study.py --markdown            # the table of docs/pages/sim-to-real.md

The tiny agent learns refunds by GRPO with the same budget in each arm, and with three seeds: from the usual customers
of the train split (``nominal``), from customers whose φ is drawn evenly from ranges that are wider by three tenths of
the way to all that there is (``uniform``; ``uniform, all there is`` with one seed) or that widen as it succeeds
(``automatic``), from customers fitted to transcripts (``calibrated``), and from the usual ones first and the fitted
ones more and more (``transfer``). Then it meets six populations, with the scenarios and
held-out wordings of the test shop: the usual customers and five that are unlike those of the train split. The
transcripts are 60 conversations of the reference agent with customers of each of the five, in the train shop: who is
fitted to them knows whom to expect, and who draws evenly from all that there is does not. Each population has a fit of
its own, and fitted customers are of any of the five. ``before`` is the agent as it was. Fits are kept in
``outputs/transfer_study`` and results in ``docs/results/transfer.json``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from study_cells import CONSOLE, read_cells, run_study

from ss_baselines.agents.reference import ReferenceAgent
from ss_baselines.statistics import half_width, paired_difference
from ss_gym.scenarios import scenario_id
from ss_gym.sim2real import (
    AutomaticRandomizationConfig,
    AutomaticRandomizer,
    ConversationSimulator,
    ConversationSimulatorConfig,
    DomainRandomizationConfig,
    DomainRandomizer,
    Population,
    RandomizedPopulation,
    SimToRealConfig,
    SimToRealTransfer,
    TransferPopulation,
)
from ss_trainers import Episode, GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID, PROMPT = "StateSet/Refund-v0", {"prompt": "compact"}
Ranges = Mapping[str, tuple[float, float]]
# Customers who differ from the train split's in these parameters, within these ranges; what is not named is as there.
POPULATIONS: dict[str, Ranges] = {
    "usual": {},
    "careless": {"noise": (0.12, 0.25)},
    "impatient": {"patience": (1, 3), "hurried": (1, 1), "curt": (1, 1)},
    "rambling": {"tangents": (0.4, 0.8), "verbosity": (0.8, 1.0), "chatty": (1, 1)},
    "demanding": {"demanding": (0.3, 0.6), "insists": (3, 4), "unprepared": (0.3, 0.6), "upset": (1, 1)},
    "reserved": {"disclosure": (0.0, 0.1), "email": (1, 1), "polite": (1, 1)},
}
SHIFTED = tuple(name for name, ranges in POPULATIONS.items() if ranges)
ARMS = ("before", "nominal", "uniform", "uniform, all there is", "automatic", "calibrated", "transfer")
WIDTHS = {"uniform": 0.3, "uniform, all there is": 1.0}
ONCE = ("before", "uniform, all there is")
SEEDS, CUSTOMERS, TRANSCRIPTS = 3, 200, 60
CELLS = [f"{arm}/{seed}" for seed in range(SEEDS) for arm in ARMS if seed == 0 or arm not in ONCE]
TRAINING: dict[str, Any] = {
    "iterations": 50,
    "groups_per_iteration": 12,
    "group_size": 8,
    "learning_rate": 2e-4,
    "micro_batch_tokens": 2048,
    "eval_every": 10,
    "eval_episodes": 100,
    "eval_options": {"split": "dev"},
}
LOSS = GRPOConfig(aggregation="sequence_mean")
FIT = ConversationSimulatorConfig(draws=1000, cem_iterations=0)
ROOT = Path(__file__).parents[2]
RESULTS, OUTPUTS = ROOT / "docs" / "results" / "transfer.json", ROOT / "outputs" / "transfer_study"
Cell = dict[str, Any]


def customer_of(population: str, number: int) -> dict[str, float]:
    """The parameters of one customer that are not as usual."""
    generator = np.random.default_rng([SHIFTED.index(population), number, int.from_bytes(b"customer", "big")])
    return {name: low + (high - low) * generator.random() for name, (low, high) in POPULATIONS[population].items()}


def episodes_of(population: str) -> list[Episode]:
    """The first customers of the test shop, as those of a population."""
    episodes = []
    for number in range(CUSTOMERS):
        options: dict[str, Any] = {"scenario_id": scenario_id("refund", "test", number)}
        if population in SHIFTED:
            # The two customers of a pair are alike.
            options["user_params"] = customer_of(population, number // 2)
        episodes.append(Episode(0, options, number))
    return episodes


# --- whom it learns from ------------------------------------------------------------------------------


@cache
def fitted(population: str) -> ConversationSimulator:
    """Customers fitted to transcripts of a population; the fit is kept in a file."""
    file = OUTPUTS / f"{population}.npz"
    if not file.exists():
        CONSOLE.print(f"fitting customers to transcripts of {population} ones")
        file.parent.mkdir(parents=True, exist_ok=True)
        _fit(population).save(file)
    simulator = ConversationSimulator(FIT, ReferenceAgent())
    simulator.load(file)
    return simulator


def _fit(population: str) -> ConversationSimulator:
    simulator = _fitting()
    simulator.calibration = None
    seeds = np.random.default_rng([SHIFTED.index(population), int.from_bytes(b"transcripts", "big")])
    drawn = [customer_of(population, 10_000 + number) for number in range(TRANSCRIPTS)]
    transcripts = [
        conversation
        for params in drawn
        for conversation in simulator.simulate(1, seed=int(seeds.integers(2**31)), params=params)
    ]
    asyncio.run(simulator.calibrate(transcripts))
    return simulator


@cache
def _fitting() -> ConversationSimulator:
    """One for all fits, which simulates the prior once."""
    return ConversationSimulator(FIT, ReferenceAgent())


def fitted_customer(generator: np.random.Generator) -> dict[str, Any]:
    """A fitted customer of any of the five populations."""
    return fitted(SHIFTED[int(generator.integers(len(SHIFTED)))])(generator)


def population_of(arm: str) -> Population | None:
    """Whom an arm learns from."""
    if arm in WIDTHS:
        return RandomizedPopulation(DomainRandomizer(DomainRandomizationConfig(WIDTHS[arm], 0.0, WIDTHS[arm])))
    if arm == "automatic":
        # Half of 600 customers are at one of 29 ends: few outcomes, and long steps. The agent begins with a success in
        # three attempts, so that what is much for it is less than what is much for others.
        pace = AutomaticRandomizationConfig(outcomes=4, widen_at=0.5, narrow_at=0.2, step=0.25)
        return RandomizedPopulation(AutomaticRandomizer(pace))
    if arm == "calibrated":
        return RandomizedPopulation(fitted_customer)
    if arm == "transfer":
        schedule = SimToRealConfig("cosine", warmup_steps=5, total_steps=40)
        return TransferPopulation(SimToRealTransfer(schedule), _as_usual, fitted_customer)
    return None


def _as_usual(generator: np.random.Generator) -> dict[str, Any]:
    return {}


def run(arm: str, seed: int) -> Cell:
    """One arm with one seed: a digit for each customer of each population, in order."""
    begun = time.process_time()
    trainer = GRPOTrainer(
        ENV_ID,
        "tiny",
        LOSS,
        TrainingConfig(seed=seed, **TRAINING),
        env_kwargs=PROMPT,
        console=CONSOLE,
        population=population_of(arm),
    )
    curve: list[dict[str, float]] = []
    if arm != "before":
        trainer.train([lambda _, metrics: curve.append(_noted(metrics))])
    success = {}
    for population in POPULATIONS:
        played = trainer.evaluate(episodes_of(population), temperature=1.0).trajectories
        success[population] = "".join(str(int(bool(each.success))) for each in played)
    trainer.close()
    return {"success": success, "curve": curve, "cpu_seconds": round(time.process_time() - begun)}


def _noted(metrics: Mapping[str, float]) -> dict[str, float]:
    names = ("success", "eval/success", "population/width", "population/sim_ratio")
    return {name: round(metrics[name], 4) for name in names if name in metrics}


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------


def headings() -> tuple[str, ...]:
    """Of the table."""
    return "learnt from", "runs", *POPULATIONS, "the shifted ones", "against nominal"


def digits(cell: Cell, populations: Sequence[str]) -> list[int]:
    """Whether the customers of some populations were served, one after the other."""
    return [int(digit) for population in populations for digit in cell["success"][population]]


def rows_of(cells: Mapping[str, Cell]) -> list[tuple[str, ...]]:
    """A row for each arm: means over seeds, with intervals over seeds.

    Intervals of differences from ``nominal`` are over customers, and tell nothing of how much other seeds would differ.
    """
    rows = []
    for arm in ARMS:
        runs = {seed: cells[key] for seed in range(SEEDS) if (key := f"{arm}/{seed}") in cells}
        if not runs:
            continue
        shifted = [fmean(digits(run, SHIFTED)) for run in runs.values()]
        interval = "" if len(runs) == 1 else f" ± {float(half_width(shifted)):.3f}"
        rows.append(
            (
                arm,
                str(len(runs)),
                *(f"{fmean(fmean(digits(run, [name])) for run in runs.values()):.3f}" for name in POPULATIONS),
                f"{fmean(shifted):.3f}{interval}",
                against_nominal(cells, arm, runs),
            )
        )
    return rows


def against_nominal(cells: Mapping[str, Cell], arm: str, runs: Mapping[int, Cell]) -> str:
    """How many more of the shifted customers are served, with the seeds that both have."""
    both = [(run, cells[key]) for seed, run in runs.items() if (key := f"nominal/{seed}") in cells]
    if arm in ("before", "nominal") or not both:
        return ""
    first, second = ([digit for pair in both for digit in digits(pair[side], SHIFTED)] for side in range(2))
    # The same customer is met by all runs, in five ways, and has a twin.
    pairs = [place % CUSTOMERS // 2 for place in range(len(first))]
    difference = paired_difference(first, second, pairs)
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    title = f"successes of {CUSTOMERS} customers of the test shop, in each population"
    run_study(words, __doc__, RESULTS, CELLS, run, headings(), rows_of, title)


if __name__ == "__main__":
    main()
