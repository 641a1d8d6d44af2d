"""A step of GRPO: TRL's trainer and ours, on the same model and prompts, in turn.

    pip install -c constraints.txt -e ".[trl]"
    python -m tests.benchmarks.grpo.run                   # three rounds, and the table
    python -m tests.benchmarks.grpo.run --python OTHER/bin/python     # TRL lives in another environment

A Llama of four layers and width 256 with random weights plays 32 conversations, eight attempts at each of four
questions, and takes one optimizer step; 64 tokens are sampled in each. Both run in float32, without a reference
model, without recomputing activations, on one thread. Times are CPU seconds of a process, after a step that warms
up; rounds go A B A B, and the table has medians. Ours includes an environment, TRL a reward function.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from ss_baselines.commands.folders import write_whole
from tests.benchmarks.grpo.setting import Setting, make_model

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results" / "trl_step.json"
CASES = {
    "600-token policy, vocabulary 8,192": {"policy": 600, "vocabulary": 8192},
    "600-token policy, vocabulary 50,304": {"policy": 600, "vocabulary": 50_304},
    "no policy, vocabulary 8,192": {"policy": 0, "vocabulary": 8192},
    "no policy, vocabulary 50,304": {"policy": 0, "vocabulary": 50_304},
}
_ALONE = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
Figures = dict[str, Any]


def measured(trainer: str, setting: Path, python: str) -> Figures:
    """What the steps of one trainer took, in a process of its own.

    Raises:
        RuntimeError: if the process fails.
    """
    command = [python, "-m", f"tests.benchmarks.grpo.{trainer}", str(setting)]
    environment = {**os.environ, **_ALONE, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(f"{trainer} failed: {done.stderr.strip()[-2000:]}")
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def compared(name: str, rounds: int, python: str, folder: Path, **changes: Any) -> Figures:
    """Medians of both trainers in one case, and all rounds."""
    place = folder / name.replace(" ", "_").replace(",", "")
    setting = Setting(folder=str(place), **{**CASES[name], **changes})
    place.mkdir()
    make_model(setting)
    path = folder / f"{place.name}.json"
    setting.save(path)
    found: dict[str, list[Figures]] = {"trl": [], "ours": []}
    for _ in range(rounds):
        found["trl"].append(measured("trl", path, python))
        found["ours"].append(measured("ours", path, sys.executable))
    keys = ("step", "sampling", "training", "tokens", "peak_mb")
    medians = {each: {key: median(one[key] for one in runs) for key in keys} for each, runs in found.items()}
    return {"rounds": found, **medians}


def table(results: dict[str, Figures]) -> Table:
    """Both trainers, and how many times as much TRL's takes."""
    shown = Table("", "CPU s a step", "sampling", "training", "tokens/CPU s", "peak, MB", title="A step of GRPO")
    for name, case in results.items():
        shown.add_section()
        shown.add_row(f"[bold]{name}[/bold]")
        for trainer in ("trl", "ours"):
            one = case[trainer]
            rate = one["tokens"] / one["step"]
            times = [f"{one[key]:.2f}" for key in ("step", "sampling", "training")]
            shown.add_row(f"  {trainer}", *times, f"{rate:,.0f}", f"{one['peak_mb']:,.0f}")
        shown.add_row(*ratios(case))
    return shown


def ratios(case: Figures) -> list[str]:
    """The row that compares the two: times, nothing, memory."""
    times = [case["trl"][key] / case["ours"][key] for key in ("step", "sampling", "training")]
    memory = case["ours"]["peak_mb"] / case["trl"]["peak_mb"]
    return ["  ratio", *(f"{ratio:.1f} ×" for ratio in times), "", f"{memory:.2f} of it"]


def arguments(title: str | None, cases: Iterable[str], rounds: int) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(title or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter of TRL's environment")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", choices=list(cases), action="append", help="one case, again")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    return parser.parse_args()


def main() -> None:
    """Measures the cases, keeps what was found, and prints the table."""
    options = arguments(__doc__, CASES, rounds=3)
    results: dict[str, Figures] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        for name in () if options.report else options.only or CASES:
            console.print(f"measuring: {name}")
            results[name] = compared(name, options.rounds, options.python, Path(folder))
            write_whole(RESULTS, json.dumps(results, indent=1) + "\n")
    console.print(table({name: results[name] for name in CASES if name in results}))


if __name__ == "__main__":
    main()
