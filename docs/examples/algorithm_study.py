"""Every algorithm on refunds, from the tiny agent, with the same budget; any cell can be run again alone.

    python docs/examples/algorithm_study.py                      # the cells that are missing
    python docs/examples/algorithm_study.py --only gspo/1        # one cell again
    python docs/examples/algorithm_study.py --only gspo/1/retail
    python docs/examples/algorithm_study.py --report             # the table and the plot of what is there
    python docs/examples/algorithm_study.py --markdown           # the tables as they stand in docs/pages/algorithms.md

Each run plays 18,000 steps of ``StateSet/Refund-v0`` (about 5 CPU minutes with the training), 12 scenarios of 8
attempts an iteration, one optimizer step on each, learning rate 2e-4; each algorithm has its own defaults beside
that, but for ``SETTINGS``. Success is that of 400 customers of dev, sampled, before and after. The controls:
``shuffled`` is GRPO whose outcomes are dealt out at random, ``rejection_sampling`` imitates the attempts that
succeeded, ``behavior_cloning`` the demonstrator that the tiny agent had learnt from. ``rlaif`` is GRPO that gets to
know nothing but which of two attempts a judge prefers, who is wrong about a tenth of the conversations
(``ss_baselines.judges.AuditJudge``). ``critique_revision`` needs a language model that can write, and
``offline_grpo`` a log, so they are not here.
The best three play ``StateSet/Retail-v0`` as well, of which the tiny agent has never seen anything but refunds.
Results go to ``docs/results/algorithms.json``.
"""

from __future__ import annotations

import argparse
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
from study_cells import add_cell, read_cells

from ss_baselines.statistics import half_width
from ss_baselines.trained import ALGORITHMS as BASELINES
from ss_gym.scenarios import scenario_id
from ss_trainers import Episode, Trainer, TrainingConfig
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm

matplotlib.use("Agg")
from matplotlib import pyplot

FAMILIES, PROMPT = {"refund": "StateSet/Refund-v0", "retail": "StateSet/Retail-v0"}, {"prompt": "compact"}
BUDGET, EPISODES, SEEDS = 18_000, 400, 3
GROUPS, ATTEMPTS = 12, 8
# What an algorithm is run with beside its defaults.
SETTINGS: dict[str, Mapping[str, Any]] = {
    **BASELINES,
    "shuffled": {"algorithm": "grpo", "settings": BASELINES["grpo"]},
}
NAMES = [name for name in ALGORITHMS if name not in ("critique_revision", "offline_grpo")]
CELLS = [f"{name}/{seed}" for seed in range(SEEDS) for name in NAMES]
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


def run(name: str, seed: int, family: str = "refund") -> Cell:
    """One algorithm, one seed."""
    settings, budget = dict(SETTINGS.get(name, {})), Budget()
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
    trainer = Trainer(FAMILIES[family], "tiny", algorithm, training, env_kwargs=PROMPT, console=CONSOLE)
    before, begun = evaluated(trainer, family, seed), time.process_time()
    trainer.train([budget])
    return {
        "settings": dict(SETTINGS.get(name, {})),
        "before": before,
        "cpu_seconds": round(time.process_time() - begun),
        "after": evaluated(trainer, family, seed),
        "curve": budget.curve,
        "steps": round(budget.steps),
        "iterations": trainer.iteration,
    }


def evaluated(trainer: Trainer, family: str, seed: int) -> float:
    """Success on dev."""
    episodes = [Episode(seed, {"scenario_id": scenario_id(family, "dev", number)}) for number in range(EPISODES)]
    return round(trainer.evaluate(episodes, seed=seed).metrics["success"], 4)


def read() -> dict[str, Cell]:
    """The cells that have been run so far."""
    return read_cells(RESULTS)


HEADINGS = ("algorithm", "seeds", "before", "after", "gain", "IQM of after", "iterations", "CPU s")


def report(cells: Mapping[str, Cell]) -> None:
    """Prints the table, best first, and draws the curves."""
    table = Table(*HEADINGS)
    for family in FAMILIES:
        for row in rows_of(cells, family):
            table.add_row(*row)
    CONSOLE.print(table)
    draw(sorted(ranked(cells, "refund")))


def markdown(cells: Mapping[str, Cell], family: str) -> str:
    """The table of a family for a page."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *rows_of(cells, family)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows_of(cells: Mapping[str, Cell], family: str) -> list[tuple[str, ...]]:
    """The rows of a family, best first."""
    rows = []
    for name, runs in ranked(cells, family):
        before, after = (np.array([cell[key] for cell in runs]) for key in ("before", "after"))
        rows.append(
            (
                name,
                str(len(runs)),
                f"{before.mean():.3f}",
                interval(after),
                interval(after - before),
                f"{interquartile_mean(after):.3f}",
                f"{np.mean([cell['iterations'] for cell in runs]):.0f}",
                f"{np.mean([cell['cpu_seconds'] for cell in runs]):.0f}",
            )
        )
    return rows


def ranked(cells: Mapping[str, Cell], family: str) -> list[tuple[str, list[Cell]]]:
    """The runs of each algorithm on a family, best first; named with the family where it is not refunds."""
    rows: dict[str, list[Cell]] = {}
    for key, cell in sorted(cells.items()):
        name, _, played = key.split("/") if key.count("/") == 2 else (*key.split("/"), "refund")
        if played == family:
            rows.setdefault(name if family == "refund" else f"{name}, {family}", []).append(cell)
    return sorted(rows.items(), reverse=True, key=lambda row: np.mean([cell["after"] for cell in row[1]]))


def best_three(cells: Mapping[str, Cell]) -> list[str]:
    """What plays Retail as well: the best by interquartile mean, once every cell of refunds is there."""
    if not cells.keys() >= set(CELLS):
        return []
    means = {
        name: interquartile_mean(np.array([cell["after"] for cell in runs])) for name, runs in ranked(cells, "refund")
    }
    return sorted(means, key=lambda name: -means[name])[:3]


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
    retail = [f"{cell}/retail" for cell in CELLS]
    parser.add_argument("--only", choices=[*CELLS, *retail], help="one cell, run again even if it is there")
    parser.add_argument("--backwards", action="store_true", help="the last missing cell first, for a second process")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--markdown", action="store_true", help="run nothing, and print the tables for a page")
    options = parser.parse_args()
    while not (options.report or options.markdown):
        cells = read()
        missing = [options.only] if options.only else [cell for cell in CELLS if cell not in cells]
        best = [f"{name}/{seed}/retail" for seed in range(SEEDS) for name in best_three(cells)]
        missing = missing or [cell for cell in best if cell not in cells]
        if not missing:
            break
        chosen = missing[-1 if options.backwards else 0]
        CONSOLE.rule(chosen)
        name, number, *family = chosen.split("/")
        done = run(name, int(number), *family)
        add_cell(RESULTS, chosen, done)
        if options.only:
            break
    if options.markdown:
        print("\n\n".join(markdown(read(), family) for family in FAMILIES))
    else:
        report(read())


if __name__ == "__main__":
    main()
