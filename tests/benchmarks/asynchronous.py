"""Rollouts that run ahead: what they save of the time on the wall, and what the older weights cost.

    python -m tests.benchmarks.asynchronous                  # one seed, 20 iterations
    python -m tests.benchmarks.asynchronous --seeds 3 --iterations 60

The tiny model learns refunds (compact prompt), 4 customers × 8 attempts an iteration, once for each lag, with and
without weights for the mismatch. Times are medians over the iterations after the second; they need two free cores,
so the title says how busy the machine was. CPU seconds are those of both processes, with the start of the second
(some six). Success is on so many customers of dev, sampled. The runs go in turns, seed by seed, one thread each.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table

from ss_baselines.statistics import proportion
from ss_gym.scenarios import scenario_id
from ss_trainers import Episode, GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID, COMPACT = "StateSet/Refund-v0", {"prompt": "compact"}
RUNS = [(0, "none"), (1, "none"), (1, "truncate"), (2, "none"), (2, "truncate")]
WARM_UP = 2  # iterations that are not timed: the second process starts


@dataclass(frozen=True)
class Run:
    """What was measured of a run.

    Attributes:
        seconds: of an iteration, on the wall.
        waited: of these, for the rollouts.
        update: of these, for the update.
        cpu: CPU seconds of an iteration, both processes.
        weight: mean importance weight of the last iteration, if there is one.
        successes: of the evaluation, customer by customer.
    """

    seconds: float
    waited: float
    update: float
    cpu: float
    weight: float | None
    successes: list[bool]


def measured(lag: int, mismatch: str, seed: int, iterations: int, episodes: int, groups: int = 4) -> Run:
    """Trains and evaluates once."""
    training = TrainingConfig(
        iterations=iterations,
        groups_per_iteration=groups,
        group_size=8,
        learning_rate=5e-4,
        schedule="constant",
        micro_batch_tokens=2048,
        mismatch=mismatch,
        rollout_lag=lag,
        seed=seed,
    )
    trainer = GRPOTrainer(ENV_ID, "tiny", GRPOConfig(aggregation="sequence_mean"), training, env_kwargs=COMPACT)
    before, walls, told = _cpu_seconds(), [], []
    for _ in range(iterations):
        start = time.perf_counter()
        told.append(trainer.step())
        walls.append(time.perf_counter() - start)
    trainer.close()  # the CPU time of a process is known when it has ended
    cpu = (_cpu_seconds() - before) / iterations
    chosen = [Episode(0, {"scenario_id": scenario_id("refund", "dev", number)}, number) for number in range(episodes)]
    played = trainer.evaluate(chosen)
    trainer.close()
    steady = told[WARM_UP:]
    return Run(
        median(walls[WARM_UP:]),
        median(each.get("seconds/wait", each["seconds/rollout"]) for each in steady),
        median(each["seconds/update"] for each in steady),
        cpu,
        told[-1].get("mismatch_weight"),
        [bool(trajectory.success) for trajectory in played.trajectories],
    )


def _cpu_seconds() -> float:
    used, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended, and its parent has its time
            times = process.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


def table(runs: dict[tuple[int, str], list[Run]], title: str) -> Table:
    """A row for each lag and mismatch, over the seeds."""
    view = Table(title=title)
    for heading in (
        "lag",
        "mismatch",
        "s an iteration",
        "waiting",
        "update",
        "CPU s an iteration",
        "weight",
        "success",
    ):
        view.add_column(heading, justify="right")
    for (lag, mismatch), done in runs.items():
        successes = [success for run in done for success in run.successes]
        # The customers are the same for each seed.
        customers = [number for run in done for number in range(len(run.successes))]
        estimate = proportion(successes, customers)
        middle = [median(getattr(run, name) for run in done) for name in ("seconds", "waited", "update", "cpu")]
        weights = [run.weight for run in done if run.weight is not None]
        interval = f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
        view.add_row(
            str(lag),
            mismatch,
            *(f"{value:.2f}" for value in middle),
            f"{median(weights):.3f}" if weights else "",
            interval,
        )
    return view


def main() -> None:
    """Runs them all and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=200, help="customers of each evaluation")
    options = parser.parse_args()
    runs: dict[tuple[int, str], list[Run]] = {run: [] for run in RUNS}
    loads = []
    for seed in range(options.seeds):
        for lag, mismatch in RUNS:
            runs[lag, mismatch].append(measured(lag, mismatch, seed, options.iterations, options.episodes))
            loads.append(os.getloadavg()[0])
            print(f"seed {seed}, lag {lag}, mismatch {mismatch}: {runs[lag, mismatch][-1]}", file=sys.stderr)
    busy = f"{os.cpu_count()} cores, load {min(loads):.1f} to {max(loads):.1f} with this"
    Console(width=150).print(
        table(runs, f"{options.iterations} iterations of 32 episodes, {options.seeds} seeds; {busy}")
    )


if __name__ == "__main__":
    main()
