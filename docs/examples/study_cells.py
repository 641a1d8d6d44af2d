"""What the studies have in common: a committed file of results that is filled cell by cell, and tables of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole

CONSOLE = Console(width=140)
Rows = Callable[[Mapping[str, Any]], Sequence[Sequence[str]]]


def read_cells(file: Path) -> dict[str, Any]:
    """The cells that have been run so far, by name."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def add_cell(file: Path, name: str, cell: Any) -> None:
    """Adds a cell to the file as it is now: another process may have added some meanwhile."""
    write_whole(file, json.dumps(dict(sorted({**read_cells(file), name: cell}.items())), indent=1) + "\n")


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run_study(
    words: Sequence[str] | None,
    about: str | None,
    results: Path,
    cells: Sequence[str],
    run: Callable[[str, int], Any],
    headings: Sequence[str],
    rows_of: Rows,
    title: str,
) -> None:
    """What the command line asks for of a study that has a cell for each arm and seed, ``"arm/seed"``.

    Args:
        words: of the command line; the process's own if None.
        about: the study, in words.
        results: its file.
        cells: all of them.
        run: makes a cell of an arm and a seed.
        headings: of the table.
        rows_of: the table's rows, of the cells that are there.
        title: of the table.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=cells, metavar="CELL", help="run these, whether they are there")
    parser.add_argument("--report", action="store_true", help="run nothing: the table")
    parser.add_argument("--markdown", action="store_true", help="run nothing: the table for a page")
    options = parser.parse_args(words)
    if not (options.report or options.markdown):
        for cell in options.only or [cell for cell in cells if cell not in read_cells(results)]:
            CONSOLE.print(cell)
            arm, seed = cell.split("/")
            done = run(arm, int(seed))
            add_cell(results, cell, done)
    rows = rows_of(read_cells(results))
    if options.markdown:
        print(markdown_table(headings, rows))
        return
    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)
