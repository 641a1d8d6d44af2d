"""Every algorithm on refunds, from the tiny agent, with the same budget; any cell can be run again alone.

    python docs/examples/algorithm_study.py                      # the cells that are missing
    python docs/examples/algorithm_study.py --only gspo/1        # one cell again
    python docs/examples/algorithm_study.py --report             # the table and the plot of what is there

Each run plays 18,000 steps of ``StateSet/Refund-v0`` (about 5 CPU minutes with the training), 12 scenarios of 8
attempts an iteration, one optimizer step on each, learning rate 2e-4; each algorithm has its own defaults beside
that. Success is that of 400 customers of dev, sampled, before and after. ``shuffled`` is GRPO whose outcomes are
dealt out at random, ``rejection_sampling`` imitates the attempts that succeeded. Results go to
``docs/results/algorithms.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from ss_baselines.statistics import half_width
from ss_gym.scenarios import scenario_id
from ss_trainers import Episode, Trainer, TrainingConfig
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm

matplotlib.use("Agg")
from matplotlib import pyplot

ENV_ID, PROMPT = "StateSet/Refund-v0", {"prompt": "compact"}
BUDGET, EPISODES, SEEDS = 18_000, 400, 3
GROUPS, ATTEMPTS = 12, 8
# What an algorithm is run with beside its defaults: GRPO as in the demonstration.
SETTINGS: dict[str, dict[str, Any]] = {
    "grpo": {"aggregation": "sequence_mean"},
    "shuffled": {"algorithm": "grpo", "settings": {"aggregation": "sequence_mean"}},
}
CELLS = [f"{name}/{seed}" for seed in range(SEEDS) for name in ALGORITHMS]
RESULTS = Path(__file__).parents[1] / "results" / "algorithms.json"
PLOT = Path(__file__).parents[1] / "pages" / "images" / "algorithm_study.png"
CONSOLE = Console(width=120)
Cell = dict[str, Any]


class Budget:
    """Ends a run once so many steps were played, and notes success on the way."""

    def __init__(self) -> None:
        self.steps = 0.0
        self.curve: list[tuple[int, float]] = []

    def __call__(self, trainer: Trainer, metrics: Mapping[str, float]) -> bool:
        """Counts an iteration's steps."""
        rounds = metrics.get("sampling_rounds", 1.0)
        self.steps += metrics["steps"] * rounds * GROUPS * ATTEMPTS
        self.curve.append((round(self.steps), round(metrics["success"], 4)))
        return self.steps >= BUDGET


def run(name: str, seed: int) -> Cell:
    """One algorithm, one seed."""
    settings = dict(SETTINGS.get(name, {}))
    if name == "shuffled":
        settings["seed"] = seed
    training = TrainingConfig(
        iterations=40,  # more than the budget allows
        groups_per_iteration=GROUPS,
        group_size=ATTEMPTS,
        learning_rate=2e-4,
        schedule="constant",
        micro_batch_tokens=2048,
        seed=seed,
    )
    algorithm = make_algorithm(name, settings)
    trainer = Trainer(ENV_ID, "tiny", algorithm, training, env_kwargs=PROMPT, console=CONSOLE)
    before = evaluated(trainer, seed)
    begun, budget = time.process_time(), Budget()
    trainer.train([budget])
    seconds = time.process_time() - begun
    return {
        "before": before,
        "after": evaluated(trainer, seed),
        "curve": budget.curve,
        "steps": round(budget.steps),
        "iterations": trainer.iteration,
        "cpu_seconds": round(seconds),
    }


def evaluated(trainer: Trainer, seed: int) -> float:
    """Success on dev."""
    episodes = [Episode(seed, {"scenario_id": scenario_id("refund", "dev", number)}) for number in range(EPISODES)]
    return round(trainer.evaluate(episodes, seed=seed).metrics["success"], 4)


def read() -> dict[str, Cell]:
    """The cells that have been run so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def report(cells: Mapping[str, Cell]) -> None:
    """Prints the table, best first, and draws the curves."""
    table = Table("algorithm", "seeds", "before", "after", "gain", "IQM of after", "iterations", "CPU s")
    rows = []
    for name in ALGORITHMS:
        runs = [cell for key, cell in sorted(cells.items()) if key.split("/")[0] == name]
        if runs:
            rows.append((np.mean([cell["after"] for cell in runs]), name, runs))
    for _, name, runs in sorted(rows, reverse=True, key=lambda row: row[0]):
        before, after = (np.array([cell[key] for cell in runs]) for key in ("before", "after"))
        table.add_row(
            name,
            str(len(runs)),
            f"{before.mean():.3f}",
            interval(after),
            interval(after - before),
            f"{interquartile_mean(after):.3f}",
            f"{np.mean([cell['iterations'] for cell in runs]):.0f}",
            f"{np.mean([cell['cpu_seconds'] for cell in runs]):.0f}",
        )
    CONSOLE.print(table)
    draw([(name, runs) for _, name, runs in rows])


def interval(values: np.ndarray) -> str:
    """A mean with its 95 % interval over seeds."""
    return f"{values.mean():.3f}" if len(values) < 2 else f"{values.mean():.3f} ± {half_width(values):.3f}"


def interquartile_mean(values: np.ndarray) -> float:
    """The mean of the middle half; of three seeds, a quarter of the least and of the greatest count."""
    weights = np.clip(np.minimum(np.arange(1, len(values) + 1), 0.75 * len(values)) - 0.25 * len(values), 0, None)
    weights = np.diff(np.concatenate([[0.0], weights]))
    return float((np.sort(values) * weights).sum() / weights.sum())


def draw(rows: list[tuple[str, list[Cell]]]) -> None:
    """Success of the training episodes over steps, a panel an algorithm."""
    if not rows:
        return
    columns = 4
    figure, panels = pyplot.subplots(-(-len(rows) // columns), columns, figsize=(12, 7.5), sharey=True, squeeze=False)
    for axes in panels.flat[len(rows) :]:
        axes.remove()
    for (name, runs), axes in zip(rows, panels.flat, strict=False):
        for cell in runs:
            curve = np.array(cell["curve"])
            axes.plot(curve[:, 0] / 1000, curve[:, 1], linewidth=1.2)
        axes.set(title=name, xlabel="thousand steps", ylim=(0, 1), xlim=(0, BUDGET / 1000))
    for row in panels:
        row[0].set_ylabel("success in training")
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Runs the cells that are missing, or the one that was asked for; then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CELLS, help="one cell, run again even if it is there")
    parser.add_argument("--part", choices=("even", "odd"), help="every other missing cell, for two processes at once")
    parser.add_argument("--report", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.report:
        chosen = CELLS[{"even": 0, "odd": 1, None: 0}[options.part] :: 1 if options.part is None else 2]
        for cell in [options.only] if options.only else chosen:
            if options.only or cell not in read():
                CONSOLE.rule(cell)
                name, seed = cell.split("/")
                done = run(name, int(seed))
                # Others may have added theirs meanwhile.
                write_whole(RESULTS, json.dumps(dict(sorted({**read(), cell: done}.items())), indent=1) + "\n")
    report(read())


if __name__ == "__main__":
    main()
