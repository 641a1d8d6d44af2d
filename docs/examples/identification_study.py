"""Whether a fit finds the customers that made a log; any cell can be run again alone.

    python docs/examples/identification_study.py               # the cells that are missing
    python docs/examples/identification_study.py --only 3      # one hidden vector again
    python docs/examples/identification_study.py --markdown    # the table of docs/pages/sim-to-real.md

Twenty parameter vectors are hidden, drawn as the prior is. With each, the reference agent serves 1,000 customers, and
the vector is fitted from 50, 200 and all of their conversations (``ConversationSimulator.calibrate``). Told are the
error of the posterior's mean, as a share of a parameter's range, beside that of the prior's mean, and how many of the
central 90 % intervals hold what was hidden. Weights of tones are told as shares of their sum. Results go to
``docs/results/identification.json``; a cell takes about a minute after the first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before anything counts: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from study_cells import add_cell, markdown_table, read_cells

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym.sim2real import ConversationSimulator, ConversationSimulatorConfig
from ss_gym.users.parameters import PARAMETERS

HIDDEN, SIZES, SHARE = 20, (50, 200, 1000), 0.9
CONFIG = ConversationSimulatorConfig(draws=1500, dialogues=50, accepted=0.3, cem_iterations=0)
TONES = ("plain", "polite", "curt", "chatty", "upset")
RESULTS = Path(__file__).parents[1] / "results" / "identification.json"
CONSOLE = Console(width=120)
Cell = dict[str, Any]


def hidden_vector(number: int) -> dict[str, float]:
    """The vector of a cell."""
    draw = np.random.default_rng([number, int.from_bytes(b"hidden", "big")])
    values = {name: each.low + (each.high - each.low) * draw.random() for name, each in PARAMETERS.items()}
    return values | dict(zip(TONES, draw.dirichlet(np.ones(len(TONES))).tolist(), strict=True))


def run(number: int, simulator: ConversationSimulator) -> Cell:
    """One hidden vector: what fits of logs of each size say of it."""
    hidden = hidden_vector(number)
    log = simulator.simulate(max(SIZES), seed=1_000_000 + number, params=hidden)
    fits = {}
    for size in SIZES:
        calibration = asyncio.run(simulator.calibrate(log[:size]))
        low, high = calibration.posterior.interval(SHARE)
        told = {"mean": calibration.posterior.mean, "low": low, "high": high}
        fits[str(size)] = {name: [round(value, 5) for value in values.tolist()] for name, values in told.items()}
    return {"hidden": [round(hidden[name], 5) for name in PARAMETERS], "fits": fits}


def read() -> dict[str, Cell]:
    """The cells so far."""
    return read_cells(RESULTS)


# --- tables -----------------------------------------------------------------------------------------


def headings() -> tuple[str, ...]:
    """Of the table."""
    errors = [f"{size} conversations: error" for size in SIZES]
    return "parameter", "prior: error", *errors, *(f"{size}: intervals that hold it" for size in SIZES)


def rows_of(cells: dict[str, Cell]) -> list[tuple[str, ...]]:
    """A row for each parameter, and the mean over them."""
    runs = list(cells.values())
    errors, held, prior = [], [], []
    for place, name in enumerate(PARAMETERS):
        low, high = PARAMETERS[name][:2]
        usual = 1 / len(TONES) if name in TONES else (low + high) / 2
        truth = np.array([run["hidden"][place] for run in runs])
        prior.append(np.abs(usual - truth).mean() / (high - low))
        fits = {size: [run["fits"][str(size)] for run in runs] for size in SIZES}
        column = {
            size: {end: np.array([fit[end][place] for fit in found]) for end in ("mean", "low", "high")}
            for size, found in fits.items()
        }
        errors.append([np.abs(column[size]["mean"] - truth).mean() / (high - low) for size in SIZES])
        held.append([((column[size]["low"] <= truth) & (truth <= column[size]["high"])).mean() for size in SIZES])
    table = np.column_stack([prior, errors, held])
    rows = [(name, *(f"{value:.2f}" for value in row)) for name, row in zip(PARAMETERS, table, strict=True)]
    return [*rows, ("mean", *(f"{value:.2f}" for value in table.mean(0)))]


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", type=int, choices=range(HIDDEN), metavar="NUMBER", help="run these again")
    parser.add_argument("--report", action="store_true", help="run nothing: the table of what is there")
    parser.add_argument("--markdown", action="store_true", help="run nothing: the table for a page")
    options = parser.parse_args(words)
    if not (options.report or options.markdown):
        simulator = ConversationSimulator(CONFIG, ReferenceAgent())
        for number in options.only or [each for each in range(HIDDEN) if f"{each:02}" not in read()]:
            CONSOLE.print(f"hidden vector {number}")
            done = run(number, simulator)
            add_cell(RESULTS, f"{number:02}", done)
    cells = read()
    if options.markdown:
        print(markdown_table(headings(), rows_of(cells)))
        return
    table = Table(*headings(), title=f"{len(cells)} hidden vectors")
    for row in rows_of(cells) if cells else []:
        table.add_row(*row)
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
