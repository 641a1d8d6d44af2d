"""Every check and benchmark of the trainers on one device, in one table.

    python -m tests.gpu.run [--device cuda] [--model tiny] [--out FOLDER]

A section that fails is shown as failed, and the others go on. The exit code is 1 if anything failed
and 2 if there is no such device. With ``--device cpu`` the sizes are small: it then tests this
script. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

# Before transformers is loaded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from rich.console import Console
from rich.table import Table

from ss_trainers.backends.models import check_device
from tests.gpu.measurements import SECTIONS
from tests.gpu.rows import SMALL, Row, Setting, Sizes

Sections = Mapping[str, Callable[[Setting], Iterator[Row]]]


def main(arguments: Sequence[str] | None = None, sections: Sections = SECTIONS) -> int:
    """Measures, prints the table and gives the exit code."""
    parser = argparse.ArgumentParser(description="Check and measure the trainers on a device.")
    parser.add_argument("--device", default="cuda", help="such as cuda, cuda:1 or cpu")
    parser.add_argument("--model", default="tiny", help="'tiny' or a folder with a model")
    parser.add_argument("--out", type=Path, help="a folder for gpu.md and gpu.json")
    options = parser.parse_args(arguments)
    try:
        check_device(options.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    setting = Setting(options.model, options.device, SMALL if options.device == "cpu" else Sizes())
    # Wide enough where nobody looks at a terminal.
    console, results = Console(width=None if sys.stdout.isatty() else 170), dict[str, list[Row]]()
    with console.status("measuring …") as status:
        for title, rows in measured(setting, sections):
            results[title] = rows
            status.update(f"measured: {title}")
            if options.out is not None:
                # After each section: a lease that ends loses the one that was going on, and no other.
                write(options.out, setting, results)
    console.print(table(results))
    for rows in results.values():
        for row in rows:
            if row.error:
                print(row.error, file=sys.stderr)
    return int(any(row.passed is False for rows in results.values() for row in rows))


def measured(setting: Setting, sections: Sections) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each section, and last the memory that they took."""
    peaks = []
    for title, section in sections.items():
        if setting.on_cuda:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(setting.device)
        yield title, list(_guarded(title, section, setting))
        if setting.on_cuda:
            peaks.append(Row(title, f"{torch.cuda.max_memory_allocated(setting.device) / 2**20:,.0f} MiB"))
    if setting.on_cuda:
        yield "peak GPU memory", peaks
    else:
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield "peak memory", [Row("of the process", f"{kilobytes / 2**10:,.0f} MiB")]


def _guarded(title: str, section: Callable[[Setting], Iterator[Row]], setting: Setting) -> Iterator[Row]:
    """The section's rows; if it raises, those before and one that says why."""
    try:
        yield from section(setting)
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")
        yield Row(title, f"{type(error).__name__}: {first_line}", False, traceback.format_exc())


def verdict(row: Row) -> str:
    """What stands in the last column."""
    return {None: "", True: "passed", False: "FAILED"}[row.passed]


def table(results: Mapping[str, Sequence[Row]]) -> Table:
    """The rows, a section under each other."""
    shown = Table("measured", "figure", "check", title="StateSet Gym on a device", title_justify="left")
    for title, rows in results.items():
        shown.add_section()
        shown.add_row(f"[bold]{title}[/bold]")
        for row in rows:
            colour = {None: "default", True: "green", False: "bold red"}[row.passed]
            shown.add_row(f"  {row.name}", row.figure, f"[{colour}]{verdict(row)}[/{colour}]")
    return shown


def write(folder: Path, setting: Setting, results: Mapping[str, Sequence[Row]]) -> None:
    """Writes ``gpu.md`` and ``gpu.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["| measured | figure | check |", "| --- | --- | --- |"]
    for title, rows in results.items():
        lines.append(f"| **{title}** | | |")
        lines += [f"| {row.name} | {row.figure.replace('|', '/')} | {verdict(row)} |" for row in rows]
    (folder / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {
        "model": setting.model,
        "device": setting.device,
        "sizes": asdict(setting.sizes),
        "sections": {title: [asdict(row) for row in rows] for title, rows in results.items()},
    }
    (folder / "gpu.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
