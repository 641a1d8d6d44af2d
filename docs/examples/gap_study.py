"""How far simulated customers are from those of real transcripts, before a fit and after; any cell can be run again.

    python docs/examples/gap_study.py --sgd FILE --tau-bench FILE          # the cells that are missing
    python docs/examples/gap_study.py --sgd FILE --only sgd/1              # one cell again
    python docs/examples/gap_study.py --report                             # the tables of what is there
    python docs/examples/gap_study.py --markdown                           # the tables of docs/pages/sim-to-real.md

Two logs of others: Schema-Guided Dialogue (``--sgd``), of which 400 dialogues are drawn, written by people who
paraphrased a program's outlines, about restaurants, flights, banks, …, and no shop; and the 69 retail transcripts of
tau-bench (``--tau-bench``), whose customers are played by a language model. Each is split in two at random, three
times: customers of Retail are fitted to one half, and the gap is measured on the other, with the usual customers (the
train split's own) and with the fitted ones, whom the reference agent serves. Results go to
``docs/results/sim_real_gap.json``; a cell takes some ten minutes on a core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

# Before anything counts: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from study_cells import add_cell, markdown_table, read_cells

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym.datasets import ConversationDataset
from ss_gym.sim2real import ConversationSimulator, ConversationSimulatorConfig, GapReport

LOGS = {"sgd": 400, "tau_bench": 69}
SPLITS = 3
CELLS = [f"{log}/{split}" for log in LOGS for split in range(SPLITS)]
CONFIG = ConversationSimulatorConfig(env_id="StateSet/Retail-v0", draws=1500)
ALPHA = 0.05
RESULTS = Path(__file__).parents[1] / "results" / "sim_real_gap.json"
CONSOLE = Console(width=140)
Cell = dict[str, Any]


def conversations_of(file: Path, count: int) -> list[Any]:
    """So many conversations of a file, in its order."""
    log = ConversationDataset.from_jsonl(file)
    draw = np.random.default_rng(int.from_bytes(b"conversations", "big"))
    return [log[place] for place in sorted(draw.permutation(len(log))[:count].tolist())]


def run(real: Sequence[Any], split: int, simulator: ConversationSimulator) -> Cell:
    """One split: what is fitted to one half, and the gap to the other before that and after.

    Args:
        real: conversations.
        split: which this is; others have other halves.
        simulator: takes up the fit.
    """
    order = np.random.default_rng([split, int.from_bytes(b"halves", "big")]).permutation(len(real)).tolist()
    fitted, kept = ([real[place] for place in order[start::2]] for start in range(2))
    usual = ConversationSimulator(simulator.config, ReferenceAgent())
    calibration = asyncio.run(simulator.calibrate(fitted))
    low, high = calibration.posterior.interval()
    posterior = zip(calibration.posterior.mean.tolist(), low.tolist(), high.tolist(), strict=True)
    gaps = {
        name: simulator.compute_sim_real_gap(kept, each.simulate(len(kept), seed=10_000 + split))
        for name, each in {"before": usual, "after": simulator}.items()
    }
    return {
        "fitted": len(fitted),
        "kept": len(kept),
        "posterior": {
            name: [round(value, 4) for value in row] for name, row in zip(calibration.names, posterior, strict=True)
        },
        "gaps": {name: told(report) for name, report in gaps.items()},
        "differences": {name: list(map(list, report.differences)) for name, report in gaps.items()},
    }


def told(report: GapReport) -> dict[str, dict[str, float]]:
    """The figures of each measure, by its name."""
    return {
        f"{metric.name}, {metric.measure}": {
            "value": metric.value,
            "floor": metric.floor,
            "floor_upper": metric.floor_upper,
            "adjusted_p": metric.adjusted_p,
        }
        for metric in report.metrics
    }


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------

HEADINGS = ("measure", "real against real", "before", "after", "told apart before", "told apart after")


def spread(values: Sequence[float]) -> str:
    """The least and the greatest; once where they are alike.

    >>> spread([0.008, 0.2, 0.05]), spread([0.008, 0.008])
    ('0.008 to 0.200', '0.008')
    """
    ends = [f"{end:.3f}" for end in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def rows_of(cells: Mapping[str, Cell], log: str) -> list[tuple[str, ...]]:
    """A row for each measure: means over the splits, in how many of them the two are told apart, and by which p."""
    runs = [cells[key] for split in range(SPLITS) if (key := f"{log}/{split}") in cells]
    rows = []
    for measure in runs[0]["gaps"]["before"]:
        found = {name: [run["gaps"][name][measure] for run in runs] for name in ("before", "after")}
        chances = [[each["adjusted_p"] for each in found[name]] for name in found]
        rows.append(
            (
                measure,
                "{:.3f} (to {:.3f})".format(
                    *(fmean(each[end] for each in found["before"]) for end in ("floor", "floor_upper"))
                ),
                *(f"{fmean(each['value'] for each in found[name]):.3f}" for name in found),
                *(f"{sum(p < ALPHA for p in side)} of {len(runs)}, p {spread(side)}" for side in chances),
            )
        )
    return rows


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sgd", type=Path, help="dialogues of SGD, as ConversationDataset reads them")
    parser.add_argument("--tau-bench", type=Path, help="tau-bench's retail transcripts")
    parser.add_argument("--only", nargs="+", choices=CELLS, metavar="CELL", help="run these, whether they are there")
    parser.add_argument("--report", action="store_true", help="run nothing: the tables")
    parser.add_argument("--markdown", action="store_true", help="run nothing: the tables for a page")
    options = parser.parse_args(words)
    files = {"sgd": options.sgd, "tau_bench": options.tau_bench}
    if not (options.report or options.markdown):
        wanted = options.only or [cell for cell in CELLS if cell not in read() and files[cell.split("/")[0]]]
        if missing := [log for log in dict.fromkeys(cell.split("/")[0] for cell in wanted) if files[log] is None]:
            parser.error(f"say where the transcripts of {missing[0]} are: --{missing[0].replace('_', '-')} FILE")
        simulator = ConversationSimulator(CONFIG, ReferenceAgent())
        for cell in wanted:
            CONSOLE.print(cell)
            log, split = cell.split("/")
            add_cell(RESULTS, cell, run(conversations_of(files[log], LOGS[log]), int(split), simulator))
    cells = read()
    for log in LOGS:
        runs = [cell for key, cell in cells.items() if key.startswith(f"{log}/")]
        if not runs:
            continue
        if options.markdown:
            print(markdown_table(HEADINGS, rows_of(cells, log)), end="\n\n")
            continue
        title = f"{log}: {len(runs)} splits, {runs[0]['fitted']} fitted to and {runs[0]['kept']} kept back"
        table = Table(*HEADINGS, title=title)
        for row in rows_of(cells, log):
            table.add_row(*row)
        CONSOLE.print(table)


if __name__ == "__main__":
    main()
