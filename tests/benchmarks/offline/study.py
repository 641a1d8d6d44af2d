"""What each offline algorithm learns from the same logs in our trainer and in d3rlpy; any cell can be run again alone.

    make d3rlpy                                                                        # once: d3rlpy's environment
    python -m tests.benchmarks.offline.study                                           # the cells that are missing
    python -m tests.benchmarks.offline.study --only pendulum/replay/iql/ours/0         # one cell again
    python -m tests.benchmarks.offline.study --again                                   # the second look
    python -m tests.benchmarks.offline.study --backwards                               # for a second process
    python -m tests.benchmarks.offline.study --report                                  # the table of what is there
    python -m tests.benchmarks.offline.study --markdown                                # the table for a page

Three logs each of CartPole-v1 and Pendulum-v1 (``logs.py``), three seeds. Both libraries have two hidden layers of 64,
a transformer of one layer, the same batches, numbers of updates and settings (``recipes.py``, which also tells where
they differ), and learn from the same steps. A score is the mean return of 30 episodes with seeds that no log has, which
are the same for all, in the environment itself. Three seeds say little of a deviation, so what looks worse than d3rlpy
is looked at a second time, with six other seeds of both and with these alone. Results go to
``docs/results/offline_study.json``. The logs are those of ``docs/results/offline_logs.npz``; where that is not there
they are made, and packed into it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.offline.archive import pack, unpack
from tests.benchmarks.offline.logs import LOGS, TASKS
from tests.benchmarks.offline.processes import LIBRARIES, PEER, ROOT, found, ran
from tests.benchmarks.offline.recipes import DIFFERENCES
from tests.benchmarks.offline.setting import Setting

RESULTS = ROOT / "docs" / "results" / "offline_study.json"
ARCHIVE = ROOT / "docs" / "results" / "offline_logs.npz"
FOLDER = ROOT / "outputs" / "offline_logs"
EPISODES, SEEDS = 30, range(3)
# Of the second look.
FRESH_SEEDS = range(3, 9)
# Updates of each algorithm, and those at its beginning in which it warms up.
UPDATES = {
    "bc": (3000, 0),
    "bcq": (2500, 0),
    "bear": (2500, 500),
    "cql": (2000, 0),
    "iql": (3000, 0),
    "decision_transformer": (1000, 100),
}
# Steps of an update: windows of 20 for Decision Transformer.
BATCHES = {"decision_transformer": 64}
REWARD_SCALE = 0.1
Cell = dict[str, Any]
Results = dict[str, dict[str, Any]]
Scores = npt.NDArray[np.float64]


def learnable(task: str, algorithm: str, library: str) -> bool:
    """Whether a library has an algorithm for a task's actions."""
    counted = task == "cartpole"
    return not (counted and (algorithm == "bear" or (algorithm == "iql" and library == "d3rlpy")))


NAMES = [(task, log) for task in TASKS for log in LOGS]
CELLS = [
    f"{task}/{log}/{algorithm}/{library}/{seed}"
    for seed in SEEDS
    for task in TASKS
    for log in LOGS
    for algorithm in UPDATES
    for library in LIBRARIES
    if learnable(task, algorithm, library)
]


def setting_of(cell: str, folder: Path) -> Setting:
    """What a cell's run is given."""
    task, log, algorithm, _, seed = cell.split("/")
    updates, warm_up = UPDATES[algorithm]
    return Setting(
        algorithm,
        str(folder / task / f"{log}.npz"),
        batch=BATCHES.get(algorithm, 256),
        seed=int(seed),
        updates=updates,
        warm_up=warm_up,
        env_id=TASKS[task].env_id,
        episodes=EPISODES,
        reward_scale=REWARD_SCALE,
    )


def provide(archive: Path, folder: Path, python: str | Path) -> None:
    """Puts the logs into a folder: those of the archive, or new ones, which it then has."""
    if not archive.exists():
        ran(python, "tests.benchmarks.offline.logs", str(folder))
        pack({f"{task}/{log}": Transitions.from_npz(folder / task / f"{log}.npz") for task, log in NAMES}, archive)
    for name, log in unpack(archive).items():
        if not (folder / f"{name}.npz").exists():
            log.save(folder / f"{name}.npz")


def described(path: Path) -> Cell:
    """What is told of a log, with something that tells it from others."""
    log = Transitions.from_npz(path)
    columns = (log.observations, log.actions, log.rewards, log.next_observations, log.terminals, log.timeouts)
    digest = hashlib.blake2b(b"".join(column.tobytes() for column in columns), digest_size=8).hexdigest()
    about = {"steps": len(log), "episodes": len(log.returns), "terminals": int(log.terminals.sum())}
    return {**about, "return": round(float(log.returns.mean()), 2), "digest": digest}


def read(path: Path) -> Results:
    """The logs and cells so far."""
    kept: Results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"logs": {}, "cells": {}}
    return kept


def run(cell: str, folder: Path, results: Path, python: str | Path) -> None:
    """Runs a cell, and adds it to what is there then: others may have added theirs meanwhile.

    Raises:
        ValueError: if the log is another than that of the cells that are there.
    """
    name = "/".join(cell.split("/")[:2])
    about = described(folder / f"{name}.npz")
    known = read(results)["logs"].get(name, about)
    if known != about:
        raise ValueError(
            f"'{folder / name}.npz' is not the log that the cells in '{results}' have learnt from: it has {about}, and "
            f"theirs had {known}; keep those results elsewhere, and run all cells anew"
        )
    done = found(cell.split("/")[3], [setting_of(cell, folder)], python)[0]
    kept = read(results)
    logs, cells = {**kept["logs"], name: about}, {**kept["cells"], cell: done}
    whole = {"logs": dict(sorted(logs.items())), "cells": dict(sorted(cells.items()))}
    write_whole(results, json.dumps(whole, indent=1) + "\n")


HEADINGS = ("log", "algorithm", "the log's own return", "ours", "d3rlpy", "no worse")


def rows_of(results: Results, seeds: range = SEEDS) -> list[tuple[str, ...]]:
    """The table's rows: means and standard deviations over seeds; ours is no worse if within one of d3rlpy's."""
    rows: list[tuple[str, ...]] = []
    for task, log in (each for each in NAMES if "/".join(each) in results["logs"]):
        own = results["logs"][f"{task}/{log}"]["return"]
        for algorithm in UPDATES:
            ours, theirs = both(results["cells"], f"{task}/{log}/{algorithm}", seeds)
            if len(ours) or len(theirs):
                row = (f"{task}, {log}", algorithm.replace("_", " "), f"{own:.1f}", spread(ours), spread(theirs))
                rows.append((*row, verdict(ours, theirs)))
    return rows


def to_look_at_again(results: Results) -> list[str]:
    """The cells of the second look: all that looked worse at the first."""
    names = [f"{task}/{log}/{algorithm}" for task, log in NAMES for algorithm in UPDATES]
    worse = [name for name in names if verdict(*both(results["cells"], name, SEEDS)) == "no"]
    return [f"{name}/{library}/{seed}" for seed in FRESH_SEEDS for name in worse for library in LIBRARIES]


def both(cells: Mapping[str, Cell], name: str, seeds: range) -> tuple[Scores, Scores]:
    """The returns of the seeds that have been run, ours and d3rlpy's."""
    ours, theirs = (
        np.array([cells[cell]["return"] for seed in seeds if (cell := f"{name}/{library}/{seed}") in cells])
        for library in ("ours", "d3rlpy")
    )
    return ours, theirs


def spread(values: npt.NDArray[np.float64]) -> str:
    """Mean and standard deviation."""
    if not len(values):
        return "–"
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def verdict(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> str:
    """Whether our mean is at least d3rlpy's less one of its standard deviations; nothing before there are some."""
    if len(ours) < 2 or len(theirs) < 2:
        return ""
    return "yes" if ours.mean() >= theirs.mean() - theirs.std(ddof=1) else "no"


def table(results: Results, seeds: range, wanted: Sequence[str]) -> Table:
    """What is there of the cells that are wanted, for a terminal."""
    there = sum(cell in results["cells"] for cell in wanted)
    shown = Table(*HEADINGS, title="Mean return of 30 episodes", caption=f"{there} of {len(wanted)} cells")
    previous = ""
    for row in rows_of(results, seeds):
        if previous and row[0] != previous:
            shown.add_section()
        shown.add_row(*(("" if row[0] == previous else row[0]), *row[1:]))
        previous = row[0]
    return shown


def markdown(results: Results) -> str:
    """The tables and what differs, for a page."""
    parts = []
    for seeds in (SEEDS, FRESH_SEEDS):
        lines: Iterable[tuple[str, ...]] = [HEADINGS, ("---",) * len(HEADINGS), *rows_of(results, seeds)]
        parts += [*(f"| {' | '.join(line)} |" for line in lines), ""]
    return "\n".join([*parts, *(f"* {name}: {told}" for name, told in DIFFERENCES.items())])


def main() -> None:
    """Runs the cells that are missing, or the one that was asked for; then reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CELL", help="one cell, run again even if it is there")
    parser.add_argument("--again", action="store_true", help="what looked worse than d3rlpy, with other seeds")
    parser.add_argument("--backwards", action="store_true", help="the last missing cell first, for a second process")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--markdown", action="store_true", help="run nothing, and print the table for a page")
    parser.add_argument("--python", default=PEER, help="the interpreter of d3rlpy's environment")
    options, console = parser.parse_args(), Console(width=120)
    whole = to_look_at_again(read(RESULTS)) if options.again else CELLS
    if options.only and options.only not in {*CELLS, *to_look_at_again(read(RESULTS))}:
        parser.error(f"there is no cell '{options.only}': write one such as {CELLS[0]}")
    if not (options.report or options.markdown):
        provide(ARCHIVE, FOLDER, options.python)
    while not (options.report or options.markdown):
        missing = [options.only] if options.only else [cell for cell in whole if cell not in read(RESULTS)["cells"]]
        if not missing:
            break
        chosen = missing[-1 if options.backwards else 0]
        console.print(f"{chosen}; {len(missing) - 1} more")
        run(chosen, FOLDER, RESULTS, options.python)
        if options.only:
            break
    if options.markdown:
        print(markdown(read(RESULTS)))
    else:
        console.print(table(read(RESULTS), FRESH_SEEDS if options.again else SEEDS, whole))


if __name__ == "__main__":
    main()
