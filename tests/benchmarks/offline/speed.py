"""Updates per CPU second of each offline algorithm, d3rlpy and our trainer in turn.

    make d3rlpy                                                          # once: d3rlpy's environment
    python -m tests.benchmarks.offline.speed                             # three rounds, and the table
    python -m tests.benchmarks.offline.speed --only "iql, width 64"      # one case again
    python -m tests.benchmarks.offline.speed --report

Both learn from the same 20,000 steps of random numbers, 17 in an observation and 6 in an action, or 8 and one of 4
actions, with two hidden layers of 64 or of 256 and 256 steps an update; Decision Transformer with one layer, tokens as
wide, and 64 windows of 20 steps. Settings are those of ``recipes.py``. Each figure comes from a process of its own, on
one thread; rounds go A B A B, and the table has medians. Measured are CPU seconds of ``fit`` of d3rlpy and of ``train``
of ours, each without reports, files and evaluations, after 40 updates that warm up; "alone" is the same without what
chooses the steps of an update. Results go to ``docs/results/offline_speed.json``.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.environments import additions
from tests.benchmarks.offline.processes import LIBRARIES, PEER, ROOT, Figures, found
from tests.benchmarks.offline.setting import Setting

RESULTS = ROOT / "docs" / "results" / "offline_speed.json"
WIDTHS, SECONDS = (64, 256), 4.0
# Whose actions can be counted, too: d3rlpy has no discrete IQL, and nobody a discrete BEAR.
ALGORITHMS = {
    "bc": ("", ", discrete"),
    "bcq": ("", ", discrete"),
    "bear": ("",),
    "cql": ("", ", discrete"),
    "iql": ("",),
    "decision_transformer": ("", ", discrete"),
}
# Case -> algorithm, whether actions are counted, width.
CASES = {
    f"{name.replace('_', ' ')}{kind}, width {width}": (name, bool(kind), width)
    for width in WIDTHS
    for name, kinds in ALGORITHMS.items()
    for kind in kinds
}
_FIGURES = ("per_s", "learning_per_s", "peak_mb")


def random_log(discrete: bool, steps: int = 20_000, length: int = 500) -> Transitions:
    """Steps of random numbers, in episodes that all run out of time."""
    draw = np.random.default_rng(0)
    space: gym.Space[Any] = gym.spaces.Discrete(4) if discrete else gym.spaces.Box(-1.0, 1.0, (6,))
    seen = draw.standard_normal((steps + 1, 8 if discrete else 17), np.float32)
    actions = draw.integers(4, size=steps) if discrete else draw.uniform(-1, 1, (steps, 6))
    rewards, cut = draw.standard_normal(steps), np.arange(1, steps + 1) % length == 0
    return Transitions.from_arrays(
        seen[:-1], actions, rewards, np.zeros(steps), cut, next_observations=seen[1:], action_space=space
    )


def compared(name: str, rounds: int, python: str | Path, folder: Path, seconds: float = SECONDS) -> Figures:
    """Medians of both libraries in one case, and all rounds."""
    algorithm, discrete, width = CASES[name]
    log = folder / ("discrete.npz" if discrete else "continuous.npz")
    if not log.exists():
        random_log(discrete).save(log)
    batch = 64 if algorithm == "decision_transformer" else 256
    setting = Setting(algorithm, str(log), width=width, batch=batch, seconds=seconds, normalize=False)
    kept: dict[str, list[Figures]] = {library: [] for library in LIBRARIES}
    for _ in range(rounds):
        for library, runs in kept.items():
            runs += found(library, [setting], python)
    medians = {library: {key: median(run[key] for run in runs) for key in _FIGURES} for library, runs in kept.items()}
    speed = round(1e3 * additions(), 1)
    return {**medians, "rounds": kept, "run": {"python": platform.python_version(), "million_additions_ms": speed}}


HEADINGS = ("updates per CPU s", "d3rlpy", "ours", "", "alone: d3rlpy", "ours", "")


def rows_of(results: dict[str, Figures]) -> list[tuple[str, ...]]:
    """Both libraries' rates, and how many times as fast ours is."""
    rows = []
    for name in (name for name in CASES if name in results):
        case, cells = results[name], [name]
        for key in ("per_s", "learning_per_s"):
            theirs, ours = (case[library][key] for library in LIBRARIES)
            cells += [f"{theirs:,.0f}" if theirs >= 20 else f"{theirs:.1f}", f"{ours:,.0f}", f"{ours / theirs:.1f} ×"]
        rows.append(tuple(cells))
    return rows


def table(results: dict[str, Figures]) -> Table:
    """What was measured, for a terminal."""
    shown = Table(title="Offline learning beside d3rlpy")
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    for row in rows_of(results):
        if row[0] == f"bc, width {WIDTHS[1]}":
            shown.add_section()
        shown.add_row(*row)
    return shown


def main() -> None:
    """Measures the cases, keeps what was found, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=PEER, help="the interpreter of d3rlpy's environment")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(CASES), metavar="CASE", action="append", help="one case, again")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    options, console = parser.parse_args(), Console(width=120)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"results": {}}
    results: dict[str, Figures] = kept["results"]
    with tempfile.TemporaryDirectory() as folder:
        for name in () if options.report else options.only or CASES:
            console.print(f"measuring: {name}")
            results[name] = compared(name, options.rounds, options.python, Path(folder))
            command = "python -m tests.benchmarks.offline.speed"
            write_whole(RESULTS, json.dumps({"command": command, "results": results}, indent=1) + "\n")
    console.print(table(results))


if __name__ == "__main__":
    main()
