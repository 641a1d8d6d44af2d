"""Steps of GRPO on whole episodes: TRL's trainer and ours, on the same model and scenarios, in turn.

    pip install -c constraints.txt -e ".[train,trl]"
    python -m tests.benchmarks.grpo.episodes
    python -m tests.benchmarks.grpo.episodes --python OTHER/bin/python     # TRL lives in another environment

A step plays episodes of ``StateSet/Refund-v0`` with the full policy (2,334 tokens), several attempts at each
scenario, and takes one optimizer step. Both trainers are given the same seeds, limits, tokenizer and ids of what
the environment says; both run in float32, without a reference model, without recomputing activations, on one
thread. In the first case the tiny agent plays. It was not taught to read the full policy, so its episodes are
short and fail. In the second a wider model with random weights samples 32 tokens a reply (fewer where it draws the
end), and the reference agent acts in its place, so the episodes have the steps and the tool results of good ones,
the same for both trainers. What is sampled differs between them, since each draws by itself; the table tells how
much it was.

Times are CPU seconds of a process, environments included, after a step that warms up; rounds go A B A B, and the
table has medians. How TRL plays is told in ``trl_episodes.py``.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from tests.benchmarks.environments import additions
from tests.benchmarks.grpo.episode_setting import EpisodeSetting, make_model
from tests.benchmarks.grpo.run import ROOT, Figures, arguments, measured, ratios

RESULTS = ROOT / "docs" / "results" / "trl_episodes.json"
CASES: dict[str, dict[str, Any]] = {
    "the tiny agent plays": {},
    "width 256, the reference agent acts": {"scripted": True, "completion": 32, "scenarios": 2, "steps": 1},
}
_PROGRAMS = {"trl": "trl_episodes", "ours": "our_episodes"}


def compared(name: str, rounds: int, python: str, folder: Path, **changes: Any) -> Figures:
    """Medians of both trainers in one case, and all rounds."""
    place = folder / name.replace(" ", "_").replace(",", "")
    setting = EpisodeSetting(folder=str(place), **{**CASES[name], **changes})
    make_model(setting)
    path = folder / f"{place.name}.json"
    setting.save(path)
    found: dict[str, list[Figures]] = {"trl": [], "ours": []}
    for _ in range(rounds):
        found["trl"].append(measured(_PROGRAMS["trl"], path, python))
        found["ours"].append(measured(_PROGRAMS["ours"], path, sys.executable))
    return {"rounds": found, **{trainer: medians(runs) for trainer, runs in found.items()}}


def medians(runs: list[Figures]) -> Figures:
    """The median of each figure that is a number."""
    names = [name for name, value in runs[0].items() if not isinstance(value, str)]
    return {name: median(one[name] for one in runs) for name in names}


def table(results: dict[str, Figures]) -> Table:
    """Both trainers, and how many times as much TRL's takes."""
    shown = Table("", title="A step of GRPO on whole episodes")
    headings = ("CPU s a step", "sampling", "training", "tokens/CPU s", "peak, MB")
    for heading in (*headings, "episodes", "steps", "sampled", "in all"):
        shown.add_column(heading, justify="right")
    for name, case in results.items():
        shown.add_section()
        shown.add_row(f"[bold]{name}[/bold]")
        for trainer in ("trl", "ours"):
            one = case[trainer]
            times = [f"{one[key]:.2f}" for key in ("step", "sampling", "training")]
            rates = f"{one['tokens'] / one['step']:,.0f}", f"{one['peak_mb']:,.0f}"
            each = [one[key] / one["episodes"] for key in ("replies", "tokens", "read_and_written")]
            means = f"{each[0]:.1f}", f"{each[1]:,.0f}", f"{each[2]:,.0f}"
            shown.add_row(f"  {trainer}", *times, *rates, f"{one['episodes']:.0f}", *means)
        shown.add_row(*ratios(case))
    shown.caption = "steps, sampled tokens and tokens in all: means of an episode"
    return shown


def main() -> None:
    """Measures the cases, keeps what was found, and prints the table."""
    options = arguments(__doc__, CASES, rounds=1)
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"results": {}}
    results: dict[str, Figures] = kept["results"]
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as folder:
        for name in () if options.report else options.only or CASES:
            console.print(f"measuring: {name}")
            speed = round(1e3 * additions(), 1)
            results[name] = compared(name, options.rounds, options.python, Path(folder))
            results[name]["run"] = {"python": platform.python_version(), "million_additions_ms": speed}
            command = "python -m tests.benchmarks.grpo.episodes"
            write_whole(RESULTS, json.dumps({"command": command, "results": results}, indent=1) + "\n")
    console.print(table({name: results[name] for name in CASES if name in results}))


if __name__ == "__main__":
    main()
