"""What the studies have in common: a committed file of results that is filled cell by cell, and tables of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ss_baselines.commands.folders import write_whole


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
