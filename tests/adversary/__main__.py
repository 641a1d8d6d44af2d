"""Lets the adversary loose on a family and prints what it got.

python -m tests.adversary --family refund --tries 200000 --seed 0
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from ss_gym.families import FAMILIES
from tests.adversary.climb import Adversary

_MOST_SHOWN = 8


def main() -> int:
    parser = argparse.ArgumentParser(description="Try to be paid without doing the job.")
    parser.add_argument("--family", default="refund", choices=sorted(FAMILIES))
    parser.add_argument("--tries", type=int, default=200_000, help="episodes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="dev", choices=("train", "dev", "test"))
    parser.add_argument("--pairs", type=int, default=60)
    options = parser.parse_args()
    console = Console()
    adversary = Adversary(options.family, options.seed, options.split, options.pairs)
    start = time.process_time()
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(options.family, total=options.tries)
        for spent in adversary.search(options.tries):
            progress.update(bar, completed=spent)
    show(console, adversary, time.process_time() - start)
    return 1 if adversary.exploits else 0


def show(console: Console, adversary: Adversary, seconds: float) -> None:
    table = Table(title=f"{adversary.family}: the adversary, {seconds:,.0f} CPU s", title_justify="left")
    for column in ("goal", "tries", "did the job", "best reward", "best parts of 6", "exploits"):
        table.add_column(column, justify="left" if column == "goal" else "right")
    for goal, tally in adversary.tallies.items():
        tried = tally.tries > tally.discarded  # not every family has a pair for every goal
        best = (f"{tally.best_reward:.2f}", f"{tally.best_passed:g}") if tried else ("", "")
        table.add_row(goal, f"{tally.tries:,}", f"{tally.discarded:,}", *best, f"{len(tally.exploits):,}")
    console.print(table)
    shown = set()
    for exploit in adversary.exploits:
        if (exploit.goal, exploit.kind) not in shown and len(shown) < _MOST_SHOWN:
            shown.add((exploit.goal, exploit.kind))
            console.print(f"\n{exploit.goal}: {exploit.scenario_id} ({exploit.kind})", style="bold")
            for action in exploit.script:
                console.print(" ".join(action), markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
