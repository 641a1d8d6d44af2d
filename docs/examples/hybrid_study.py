"""What a log spares in the environment: GRPO from a log against GRPO alone; any cell can be run again alone.

    python docs/examples/hybrid_study.py                     # the cells that are missing
    python docs/examples/hybrid_study.py --only hybrid/0     # one cell again
    python docs/examples/hybrid_study.py --report            # the table of what is there
    python docs/examples/hybrid_study.py --markdown          # the table of docs/pages/hybrid.md

Three arms with three seeds each, all from the tiny agent, with the same settings online. ``online`` learns from
episodes of its own alone. ``started`` begins with what cloning made of the successes of a log, and then does the same.
``hybrid`` also learns from the log beside its episodes, half of each batch at first and none at the end. The log,
20,000 episodes of a mixture of agents, costs no environment steps: it was there. The share of successes is that of 200
customers of the dev shop at temperature 1, every fifth iteration. The stages of the offline part are those of
``offline_text_study.py``, and are kept where that keeps them. Results go to ``docs/results/hybrid.json``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gymnasium as gym
from offline_text_study import ARMS as OFFLINE
from offline_text_study import CONTROL, FAMILIES, OUTPUTS, PROMPT, folder_of, log_of, text_of
from study_cells import CONSOLE, read_cells, run_study

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_trainers import GRPOConfig, OfflineGRPOConfig, OfflineGRPOTrainer, OfflineTraining, TextTraining, TrainingConfig
from ss_trainers.trainers import GRPOTrainer

FAMILY, SEEDS = "refund", 3
ARMS = {"online": None, "started": 1.0, "hybrid": 0.5}
CELLS = [f"{arm}/{seed}" for seed in range(SEEDS) for arm in ARMS]
ONLINE: dict[str, Any] = {
    "iterations": 40,
    "groups_per_iteration": 8,
    "group_size": 8,
    "learning_rate": 2e-4,
    "max_new_tokens": 160,
    "eval_every": 5,
    "eval_episodes": 200,
    "eval_options": {"split": "dev"},
}
# As in the demonstration, whose agent does best with it: every attempt weighs the same, however long it is.
LOSS = {"aggregation": "sequence_mean"}
# Shares of successes at which the steps until then are compared.
LEVELS = (0.6, 0.65, 0.7, 0.75)
RESULTS = Path(__file__).parents[1] / "results" / "hybrid.json"
Cell = dict[str, Any]


def run(arm: str, seed: int) -> Cell:
    """One arm with one seed: environment steps so far and the share of successes, at each evaluation."""
    folder = OUTPUTS / "hybrid_study" / arm / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    training = TrainingConfig(seed=seed, output_dir=str(folder), **ONLINE)
    begun, curve = time.process_time(), list[list[float]]()
    environment = partial(gym.make, FAMILIES[FAMILY], **PROMPT)
    steps = 0.0

    def note(trainer: Any, metrics: Mapping[str, float]) -> None:
        nonlocal steps
        steps += metrics["steps"] * ONLINE["groups_per_iteration"] * ONLINE["group_size"]
        if "eval/success" in metrics:
            curve.append([round(steps), metrics["eval/success"]])

    ratio = ARMS[arm]
    if ratio is None:
        trainer = GRPOTrainer(environment, "tiny", GRPOConfig(**LOSS), training, console=CONSOLE)
        first = trainer.evaluate().metrics["success"]
        trainer.train([note])
        trainer.close()
    else:
        kept = folder_of(FAMILY, CONTROL, seed)
        if kept.exists():
            shutil.copytree(kept, folder / "offline", ignore=shutil.ignore_patterns("critic-*", "checkpoint"))
        name, settings, _ = OFFLINE[CONTROL]
        config = OfflineGRPOConfig(
            offline_algorithm=name, offline_settings=settings, online_ratio=ratio, settings=LOSS, seed=seed
        )
        offline = OfflineTraining(report_every=50)
        text = TextTraining(**text_of(FAMILY, CONTROL))
        made = OfflineGRPOTrainer(config, training, offline=offline, text=text, console=CONSOLE)
        made.train(MultiTurnAgent(AgentConfig("tiny")), environment, offline_dataset=log_of(FAMILY), callbacks=[note])
        first = measured(str(folder / "start"), seed, environment)
    return {"curve": [[0, first], *curve], "cpu_seconds": round(time.process_time() - begun)}


def measured(model: str, seed: int, environment: Any) -> float:
    """The share of the same customers with a model as it is."""
    trainer = GRPOTrainer(environment, model, None, TrainingConfig(seed=seed, **ONLINE))
    share = trainer.evaluate().metrics["success"]
    trainer.close()
    return share


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("arm", "runs", "at the start", "at the end", *(f"steps to {level:.0%}" for level in LEVELS))


def steps_to(cell: Cell, level: float) -> float | None:
    """Environment steps until an evaluation is at a level for the first time; None if it never is."""
    return next((steps for steps, share in cell["curve"] if share >= level), None)


def rows_of(cells: Mapping[str, Cell]) -> list[tuple[str, ...]]:
    """The table's rows: means over seeds; steps to a level that not all runs come to are those of the ones that do."""
    rows = []
    for arm in ARMS:
        runs = [cells[key] for seed in range(SEEDS) if (key := f"{arm}/{seed}") in cells]
        if not runs:
            continue
        row = [arm, str(len(runs)), *(f"{fmean(run['curve'][at][1] for run in runs):.3f}" for at in (0, -1))]
        for level in LEVELS:
            reached = [steps for run in runs if (steps := steps_to(run, level)) is not None]
            told = f"{fmean(reached):,.0f}" if reached else "-"
            row.append(told if len(reached) in (0, len(runs)) else f"{told} ({len(reached)} of {len(runs)})")
        rows.append(tuple(row))
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    title = "successes of 200 customers of the dev shop, over environment steps"
    run_study(words, __doc__, RESULTS, CELLS, run, HEADINGS, rows_of, title)


if __name__ == "__main__":
    main()
