"""What is left of earlier tasks, by strategy; any cell can be run again alone.

    python docs/examples/continual_study.py                      # the cells that are missing
    python docs/examples/continual_study.py --only replay/0      # one cell again
    python docs/examples/continual_study.py --report             # the tables of what is there
    python docs/examples/continual_study.py --markdown           # the tables of docs/pages/continual-learning.md

The tiny agent learns the work of four desks one after the other, from demonstrations of the reference agent, in one run
of the online loop: refunds, exchanges, cancellations, guarantees. All strategies have the same iterations, fresh
demonstrations and learning rate, and three seeds each; what is replayed comes on top of what is fresh. ``joint`` learns
all desks at once, the same number of demonstrations in all: what could be had without an order. After each task the
agent meets the same customers of each desk's dev shop. Results go to ``docs/results/continual.json``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from study_cells import CONSOLE, read_cells, run_study

from ss_baselines.statistics import half_width
from ss_trainers import BehaviorCloningConfig, BehaviorCloningTrainer, ContinualConfig, TrainingConfig
from ss_trainers.continual.tasks import Accuracies
from ss_trainers.sampling import evaluation_episodes

TASKS = {"refund": "Refund", "exchange": "Exchange", "cancel": "Cancel", "warranty": "Warranty"}
SEEDS = 3
STRATEGIES = ("none", "replay", "lwf", "ewc", "replay_lwf", "joint")
CELLS = [f"{strategy}/{seed}" for seed in range(SEEDS) for strategy in STRATEGIES]
TRAINING: dict[str, Any] = {
    "iterations": 240,
    "groups_per_iteration": 32,
    "group_size": 1,
    "learning_rate": 5e-4,
    "schedule": "constant",
    "warmup_iterations": 5,
    "max_new_tokens": 160,
    "eval_options": {"split": "dev"},
    "eval_episodes": 100,
}
CONTINUAL: dict[str, Any] = {
    "continual_kl_beta": 1.0,
    "replay_buffer_size": 512,
    "replay_ratio": 0.5,
    "ewc_lambda": 1.0,
}
RESULTS = Path(__file__).parents[1] / "results" / "continual.json"
Cell = dict[str, Any]


def run(strategy: str, seed: int) -> Cell:
    """One run: the matrix, or for ``joint`` its last row."""
    begun, joint = time.process_time(), strategy == "joint"
    schedule = () if joint else tuple(TASKS)
    trainer = BehaviorCloningTrainer(
        "StateSet/MultiTask-v0",
        "tiny",
        BehaviorCloningConfig(demonstrator="ss_baselines.agents.reference:ReferenceAgent"),
        TrainingConfig(seed=seed, **TRAINING),
        env_kwargs={"tasks": {name: f"StateSet/{env}-v0" for name, env in TASKS.items()}, "prompt": "compact"},
        console=CONSOLE,
        continual=ContinualConfig("none" if joint else strategy, task_schedule=schedule, **CONTINUAL),
    )
    trainer.train()
    told = trainer.continual.accuracies
    rows = [list(row) for row in told.rows] or [[_success(trainer, task) for task in TASKS]]
    trainer.close()
    untrained = None if told.untrained is None else list(told.untrained)
    return {"untrained": untrained, "rows": rows, "cpu_seconds": round(time.process_time() - begun)}


def _success(trainer: BehaviorCloningTrainer, task: str) -> float:
    """The share of a task's customers, the same as in the other runs."""
    return trainer.evaluate(evaluation_episodes(trainer.training, {"task": task})).metrics["success"]


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("strategy", "runs", *(f"{task}, in the end" for task in TASKS), "average", "forgetting", "forward transfer")


def interval(values: Sequence[float]) -> str:
    """The mean, and half the width of its 95 % interval over seeds; of one there is none."""
    mean = f"{fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {float(half_width(values)):.3f}"


def rows_of(cells: Mapping[str, Cell]) -> list[tuple[str, ...]]:
    """A row for each strategy: means over seeds."""
    rows = []
    for strategy in STRATEGIES:
        runs = [cells[key] for seed in range(SEEDS) if (key := f"{strategy}/{seed}") in cells]
        if not runs:
            continue
        last = [run["rows"][-1] for run in runs]
        figures = [_figures(run) for run in runs]
        rows.append(
            (
                strategy,
                str(len(runs)),
                *(f"{fmean(row[place] for row in last):.2f}" for place in range(len(TASKS))),
                interval([fmean(row) for row in last]),
                *(
                    interval([each[name] for each in figures]) if name in figures[0] else ""
                    for name in ("forgetting", "forward_transfer")
                ),
            )
        )
    return rows


def _figures(run: Cell) -> dict[str, float]:
    untrained = None if run["untrained"] is None else tuple(run["untrained"])
    return Accuracies(tuple(TASKS), untrained, tuple(map(tuple, run["rows"]))).figures


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    title = "successes of 100 customers of each desk's dev shop"
    run_study(words, __doc__, RESULTS, CELLS, run, HEADINGS, rows_of, title)


if __name__ == "__main__":
    main()
