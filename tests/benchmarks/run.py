"""``make bench``: measures this machine and prints a table.

    python -m tests.benchmarks.run [--episodes 5000] [--model tiny]
    python -m tests.benchmarks.run --profile
    python -m tests.benchmarks.run --families

Times are CPU seconds of one process with one thread, unless a row says otherwise: what else runs
on the machine disturbs them less than wall-clock time. It still disturbs them, since processes share
caches: the million additions tell how fast the machine was, and rates are to be compared between
runs that follow each other.
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console
from rich.table import Table

from tests.benchmarks import environments, hotspots


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the environments and the trainer on this machine.")
    parser.add_argument("--episodes", type=int, default=5_000, help="episodes of the environment's measurement")
    parser.add_argument("--conversations", type=int, default=128, help="episodes that the language model plays")
    parser.add_argument("--model", default="tiny", help="the language model; empty to leave it out")
    parser.add_argument("--profile", action="store_true", help="only show where the environment's time goes")
    parser.add_argument("--families", action="store_true", help="only measure the environments of all families")
    options = parser.parse_args()
    console = Console()
    if options.profile:
        profile(console, options.episodes)
    elif options.families:
        families(console, options.episodes)
    else:
        measure(console, options)


def profile(console: Console, episodes: int) -> None:
    table = Table("part", title="Where the time of the environment goes", title_justify="left")
    for column in ("share", "µs a step", "µs a call"):
        table.add_column(column, justify="right")
    with console.status("measuring …"):
        for cells in hotspots.rows(environments.recorded(episodes).scripts):
            table.add_row(*cells)
    console.print(table)


def families(console: Console, episodes: int) -> None:
    table = Table("environment", title="Steps per CPU second, resets included", title_justify="left")
    for column in ("solved", "steps an episode", "one", "its rounds", "vector of 64", "of 256"):
        table.add_column(column, justify="right")
    with console.status("measuring …"):
        for cells in environments.of_every_family(episodes):
            table.add_row(*cells)
    console.print(table)
    console.print(f"a million additions in a loop: {1e3 * environments.additions():,.1f} CPU ms")


def measure(console: Console, options: argparse.Namespace) -> None:
    table = Table("measured", "figure", title="StateSet Gym benchmarks", title_justify="left")
    with console.status("measuring …"):
        for name, figure in environments.rows(options.episodes):
            table.add_row(name, figure)
        if options.model and find_spec("torch"):
            from tests.benchmarks import learning

            table.add_section()
            for name, figure in learning.rows(options.model, options.conversations):
                table.add_row(name, figure)
    console.print(table)


if __name__ == "__main__":
    main()
