"""What a person waits for before anything happens: CPU seconds to complete a line, to show help, to import.

    python -m tests.benchmarks.starting [--rounds 5] [--results outputs/starting.json]

Each figure is of a fresh process with all that it needs, the interpreter's own start included, and the best of some
rounds: what else the machine does can only add to it. That no heavy package is loaded is what tests/ check.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_COMMAND = "from ss_baselines.cli import main; main()"
_COMPLETING = {
    "_STATESET_AGENTS_COMPLETE": "complete_bash",
    "COMP_WORDS": "stateset-agents train --algorithm g",
    "COMP_CWORD": "3",
}
# what is done, the program, its arguments, what the shell puts into its environment
CASES: tuple[tuple[str, str, tuple[str, ...], Mapping[str, str]], ...] = (
    ("start Python", "pass", (), {}),
    ("complete an option's value", _COMMAND, (), _COMPLETING),
    ("show the help", _COMMAND, ("--help",), {}),
    ("import gymnasium", "import gymnasium", (), {}),
    ("import ss_gym", "import ss_gym", (), {}),
)


@dataclass(frozen=True)
class Start:
    """One row.

    Attributes:
        name: what was done.
        seconds: CPU seconds of the process, the best of the rounds.
        printed: what it said, the last time.
    """

    name: str
    seconds: float
    printed: str


def measured(rounds: int) -> list[Start]:
    """A row for each case; the rounds go A B C … A B C …, so that a slow minute hits all alike.

    Raises:
        subprocess.CalledProcessError: if one of them fails.
    """
    best: dict[str, Start] = {}
    for _ in range(rounds):
        for name, program, arguments, variables in CASES:
            start = Start(name, *_once(program, arguments, variables))
            best[name] = min(start, best.get(name, start), key=lambda each: each.seconds)
    return [*best.values()]


def _once(program: str, arguments: tuple[str, ...], variables: Mapping[str, str]) -> tuple[float, str]:
    before = _of_children()
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **variables})
    return _of_children() - before, done.stdout


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def table(rows: list[Start]) -> Table:
    """The figures, for a terminal."""
    shown = Table("what", "CPU s", title="What it takes to start", title_justify="left")
    for row in rows:
        shown.add_row(row.name, f"{row.seconds:.2f}")
    return shown


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind, of which the best counts")
    parser.add_argument("--results", type=Path, help="a file for the figures")
    options = parser.parse_args()
    rows = measured(options.rounds)
    Console().print(table(rows))
    if options.results is not None:
        options.results.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
