"""Our environments beside those of other packages, measured in one run.

    python -m tests.benchmarks.side_by_side [--env StateSet/Refund-v0 …] [--json]

The first run installs each peer from PyPI, at the versions in ``peers/versions/``, into an environment of its
own outside the repository; ours run in the environment that this is started with. A peer that can't be
installed or run keeps its row and shows its error.

**How it is measured.** One process at a time, one thread for numerical libraries, no language model. Each
figure comes from a fresh process, and the rounds go A B C … A B C …, so that a slow minute of the machine
hits all alike; the tables show medians over the rounds. Times are CPU seconds of the process with all its threads.
Actions are written down before the clock starts: for our families by the reference agent, in another process;
for the others by a script. All are different, by their words or by a counter in them; in ``RefundEnvironment``,
whose actions are strict JSON, by blanks. A tenth more episodes are played first as a warm-up.
* steps/s: a loop of resets and steps over the episodes, each used as its own documentation does.
* slowest, fastest: the same in the slowest and the fastest round.
* again: the rate when the same episodes are played a second time, divided by the first; well above 1 means that
  something is remembered.
* length: steps of an episode. Solved: episodes whose script reaches the goal; a dash where there is none.
* reset: what it takes to begin an episode; where there is no reset, to make a new environment.
* import: CPU seconds to import the package. First step: the same until an environment is made, reset and stepped.
* process: resident memory of a process with one environment, two steps into an episode; environment: of each
  of ``--environments`` further ones. A bare Python is about 10 MB of the first.
* facts: what was seen by trying it, not what a documentation says (``peers/observed.py``, and ``checked`` of
  each class in ``peers/``). Only "what a step does" is written down in ``peers/subjects.py``.

**How to read it.** A step is not one thing: it may look up a database and let a customer answer, or compare
two numbers. Rates of rows whose steps do different things are not comparable as such; the last table says
what each does. The two conversation environments play the same lines and do nearly the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.peers.installed import DEFAULT_FOLDER, Failed, last_line, pins, python_of
from tests.benchmarks.peers.measure import MARK
from tests.benchmarks.peers.subjects import Entry, entries

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "side_by_side.json"
DEFAULT_IDS = ("StateSet/Retail-v0", "StateSet/Refund-v0")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Results = dict[str, dict[str, Any]]

# key of a result, heading, format
SPEED = (
    ("steps_per_s", "steps/s", "{:,.0f}"),
    ("slowest", "slowest", "{:,.0f}"),
    ("fastest", "fastest", "{:,.0f}"),
    ("again", "again", "{:.2f}"),
    ("steps", "length", "{:.1f}"),
    ("solved", "solved", "{:.0%}"),
    ("reset_us", "reset, µs", "{:,.0f}"),
)
SIZE = (
    ("import_s", "import, s", "{:.2f}"),
    ("first_step_s", "first step, s", "{:.2f}"),
    ("process_mb", "process, MB", "{:,.0f}"),
    ("environment_kb", "environment, kB", "{:,.1f}"),
)
FACTS = (
    ("checked", "success depends on"),
    ("gymnasium", "check_env passes"),
    ("step_gives", "a step gives"),
    ("seeded", "seeded"),
    ("reused", "reset leaves nothing behind"),
    ("saved", "goes on from a copy by"),
    ("vector", "several at once"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Our environments beside those of other packages, in one run.")
    parser.add_argument("--env", action="append", help=f"an id of ours, repeatable; default {', '.join(DEFAULT_IDS)}")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1_000, help="episodes of each round")
    parser.add_argument("--environments", type=int, default=200, help="environments whose memory is measured")
    parser.add_argument("--venv", type=Path, default=DEFAULT_FOLDER, help="where the peers are installed")
    parser.add_argument("--json", type=Path, nargs="?", const=RESULTS, help=f"write the results; default {RESULTS}")
    parser.add_argument("--markdown", action="store_true", help="print the tables for the documentation")
    options = parser.parse_args()
    console = Console()
    rows = [entry for entry in entries(options.env or DEFAULT_IDS) if options.only in entry.name]
    missing = unregistered([entry.name for entry in rows if entry.arguments])
    for env_id in missing:
        console.print(f"{env_id} is not registered: {'it is shown as such' if options.env else 'left out'}")
    if not options.env:
        rows = [entry for entry in rows if entry.name not in missing]
    with console.status("measuring …") as status:
        results = measured(rows, missing, options, status.update)
    report = {"run": about(options), "results": results}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for title, headings, lines in tables(rows, results):
        if options.markdown:
            print(markdown(headings, lines))
        else:
            console.print(rich_table(title, headings, lines))
    console.print(", ".join(f"{name} {value}" for name, value in report["run"].items()), highlight=False)


def unregistered(env_ids: Sequence[str]) -> list[str]:
    """Which of these ids Gymnasium does not know."""
    import gymnasium

    import ss_gym  # noqa: F401 - registers the ids

    return [env_id for env_id in env_ids if env_id not in gymnasium.registry]


def about(options: argparse.Namespace) -> dict[str, Any]:
    """What one has to know of the run to read it."""
    from tests.benchmarks.environments import additions

    return {
        "python": platform.python_version(),
        "million_additions_ms": round(1e3 * additions(), 1),
        "rounds": options.rounds,
        "episodes": options.episodes,
        "environments": options.environments,
    }


def measured(rows: Sequence[Entry], missing: Sequence[str], options: argparse.Namespace, tell: Any) -> Results:
    """Every row's figures and facts, or its error."""
    results: Results = {entry.name: {"version": version(entry)} for entry in rows}
    pythons: dict[str, str] = {}
    parts: dict[str, list[dict[str, Any]]] = {entry.name: [] for entry in rows}
    for turn in range(options.rounds):
        for entry in rows:
            if "error" in results[entry.name]:
                continue
            tell(f"round {turn + 1} of {options.rounds}: {entry.name}")
            try:
                if entry.name in missing:
                    raise Failed("this id is not registered")
                if entry.package not in pythons:
                    pythons[entry.package] = python_of(entry.package, options.venv) if entry.package else sys.executable
                for part in ("start", "speed", "memory"):
                    parts[entry.name].append(run_part(pythons[entry.package], part, entry, options))
                if turn == 0:
                    results[entry.name]["facts"] = run_part(pythons[entry.package], "facts", entry, options)
            except Failed as error:
                results[entry.name]["error"] = str(error)
    for name, result in results.items():
        if "error" not in result:
            result["figures"] = medians(parts[name])
    return results


def version(entry: Entry) -> str:
    """The version of the package that a row belongs to."""
    if entry.package:
        return pins(entry.package)[entry.package]
    import ss_gym

    return ss_gym.__version__


def run_part(python: str, part: str, entry: Entry, options: argparse.Namespace) -> dict[str, Any]:
    """What one part of one subject gives, in a process of its own.

    Raises:
        Failed: if it ends badly; with the last line of what it said.
    """
    command = [python, "-m", "tests.benchmarks.peers.measure", part, entry.target, *entry.arguments]
    command += ["--episodes", str(options.episodes), "--environments", str(options.environments)]
    environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": str(ROOT)}
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=600
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{part} took more than ten minutes") from None
    if run.returncode:
        raise Failed(last_line(run.stderr) or f"{part} ended with {run.returncode}")
    return parsed(run.stdout)


def parsed(output: str) -> dict[str, Any]:
    """The result among what a process printed.

    Raises:
        Failed: if there is none.
    """
    found = [line for line in output.splitlines() if line.startswith(MARK)]
    if not found:
        raise Failed(f"no result in what was printed: {last_line(output)!r}")
    result: dict[str, Any] = json.loads(found[-1].removeprefix(MARK))
    return result


def medians(parts: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """Of each figure the median over the rounds; of the rate also the lowest and the highest."""
    values: dict[str, list[float]] = {}
    for part in parts:
        for name, value in part.items():
            values.setdefault(name, []).extend([] if value is None else [value])
    figures: dict[str, Any] = {name: median(found) if found else None for name, found in values.items()}
    pairs = zip(values["again_per_s"], values["steps_per_s"], strict=True)
    figures["again"] = median(again / fresh for again, fresh in pairs)
    figures |= {"slowest": min(values["steps_per_s"]), "fastest": max(values["steps_per_s"])}
    return {name: value if value is None else float(f"{value:.6g}") for name, value in figures.items()}


def tables(rows: Sequence[Entry], results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and lines of the tables; a row with an error has it in its second cell."""
    kinds = (
        ("Speed: medians of the rounds, in CPU seconds", "figures", SPEED),
        ("Start and memory: medians of the rounds", "figures", SIZE),
        ("Facts: seen by trying", "facts", tuple((key, name, "{}") for key, name in FACTS)),
    )
    made = []
    for title, kind, columns in kinds:
        lines = []
        for entry in rows:
            result = results[entry.name]
            if "error" in result:
                shown = [f"failed: {result['error']}", *[""] * (len(columns) - 1)]
            else:
                shown = [cell(result[kind][key], form) for key, _, form in columns]
            lines.append([entry.name, *shown])
        made.append((title, ["", *(name for _, name, _ in columns)], lines))
    steps = [[entry.name, results[entry.name]["version"], entry.step] for entry in rows]
    return [*made, ("What a step does", ["", "version", "a step"], steps)]


def cell(value: object, form: str) -> str:
    return "—" if value is None else form.format(value)


def rich_table(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """A table for the terminal; if its cells hold sentences, each has a line of its own below the name."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    failed = [line for line in lines if line[1].startswith("failed: ")]
    lines = [line for line in lines if line not in failed]
    table.caption = escape("\n".join(f"{line[0]} {line[1]}" for line in failed))
    if any(len(text) > 40 for line in lines for text in line[1:]):
        table.show_header = False
        table.add_column(overflow="fold")
        table.add_column(overflow="fold")
        for line in lines:
            table.add_section()
            table.add_row(f"[bold]{line[0]}[/]")
            for heading, text in zip(headings[1:], line[1:], strict=True):
                table.add_row(f"  {heading}", escape(text))
        return table
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", overflow="fold")
    for line in lines:
        table.add_row(line[0].replace(" ", "\n").replace("/", "/\n"), *line[1:])
    return table


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The same as a table for the documentation."""
    shown = [headings, ["---"] * len(headings), *([text.replace("|", "\\|") for text in line] for line in lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in shown)


if __name__ == "__main__":
    main()
