"""The demonstration over five seeds, beside two controls; any cell can be run again alone.

    python docs/examples/refund_study.py                     # the cells that are missing
    python docs/examples/refund_study.py --only grpo/3       # one cell again
    python docs/examples/refund_study.py --report            # the table and the plot of what is there

``grpo`` is the demonstration. ``shuffled`` is the same run with the rewards dealt out at random, so
that whatever it gains is not learnt from them. ``cloning`` goes on imitating the demonstrator, on new
customers, for as much processor time as GRPO took. Results go to ``docs/results/refund_demo.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from refund_demo import CONSOLE, ENV_ID, ITERATIONS, LOSS, MEASURED, PROMPT, evaluate, smooth, training
from study_cells import add_cell, read_cells
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

matplotlib.use("Agg")
from matplotlib import pyplot

from ss_baselines.statistics import half_width
from ss_baselines.tiny.cloning import CloningConfig, batches, optimizers_for, take_step, tensors
from ss_gym.streams import Stream
from ss_trainers.algorithms.grpo import GRPO
from ss_trainers.algorithms.shuffled import Shuffled, ShuffledConfig
from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat
from ss_trainers.trainer import Trainer

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "refund_demo.json"
PLOT = HERE.parent / "pages" / "images" / "refund_study.png"
KINDS = {"grpo": "GRPO", "shuffled": "GRPO, rewards shuffled", "cloning": "more behaviour cloning"}
CELLS = [f"{kind}/{seed}" for kind, count in (("grpo", 5), ("shuffled", 3), ("cloning", 3)) for seed in range(count)]
WORK = Path("outputs/study")

Cell = dict[str, Any]


def main() -> None:
    """Run the cells that are missing, or the one that was asked for; then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=CELLS, help="one cell, run again even if it is there")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--episodes", type=int, default=400)
    options = parser.parse_args()
    if not options.report:
        for cell in [options.only] if options.only else [cell for cell in CELLS if cell not in read_results()]:
            kind, seed = cell.split("/")
            CONSOLE.rule(cell)
            runner = {"grpo": run_grpo, "shuffled": run_shuffled, "cloning": run_cloning}[kind]
            add_cell(RESULTS, cell, runner(int(seed), options))
    results = read_results()
    draw(results)
    CONSOLE.print(report(results), markup=False, highlight=False, soft_wrap=True)


def read_results() -> dict[str, Cell]:
    """The cells that have been run so far."""
    return read_cells(RESULTS)


def run_grpo(seed: int, options: argparse.Namespace) -> Cell:
    """The demonstration itself, as its own process."""
    out = WORK / f"grpo-{seed}"
    command = [sys.executable, str(HERE / "refund_demo.py"), "--seed", str(seed), "--out", str(out)]
    command += ["--iterations", str(options.iterations), "--episodes", str(options.episodes)]
    subprocess.run(command, check=True)
    result: Cell = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return result


def run_shuffled(seed: int, options: argparse.Namespace) -> Cell:
    """The same training with rewards that mean nothing."""
    settings = training(seed, options.iterations)
    trainer = Trainer(
        ENV_ID,
        "tiny",
        Shuffled(ShuffledConfig("grpo", asdict(LOSS), seed)),
        settings,
        env_kwargs=PROMPT,
        console=CONSOLE,
    )
    started = time.perf_counter()
    curve = [trainer.step()["success"] for _ in range(options.iterations)]
    minutes = (time.perf_counter() - started) / 60
    return measured(trainer, options.episodes, minutes) | {"curve": [round(success, 4) for success in curve]}


def run_cloning(seed: int, options: argparse.Namespace) -> Cell:
    """More imitation instead, for the processor time of the GRPO run with this seed."""
    grpo = read_results().get(f"grpo/{seed}")
    if grpo is None:
        raise SystemExit(f"grpo/{seed} tells how long to train: run `--only grpo/{seed}` first")
    seconds = 2 * grpo["training_seconds"]  # GRPO kept two processes busy
    loaded = load_model("tiny", "cpu")
    torch.set_num_threads(1)
    seen = clone(loaded.model.requires_grad_(True), loaded.tokenizer, seed, seconds)
    folder = WORK / f"cloning-{seed}"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    settings = training(seed, options.iterations)
    trainer = Trainer(ENV_ID, str(folder), GRPO(LOSS), settings, env_kwargs=PROMPT, console=CONSOLE)
    return measured(trainer, options.episodes, seconds / 60) | {"conversations": seen}


def clone(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, seed: int, seconds: float) -> int:
    """Imitate the demonstrator for so many processor seconds, the rate falling to zero; conversations seen."""
    config = CloningConfig(
        demonstrations=10**9, learning_rate=1e-3, other_learning_rate=6e-4, drill_share=0.0, seed=100 + seed
    )
    optimizers, started, seen = optimizers_for(model, config), time.process_time(), 0
    stream = Stream(seed, "read")
    model.train()
    for batch in batches(ChatFormat(tokenizer), config):
        spent = (time.process_time() - started) / seconds
        if spent >= 1:
            break
        take_step(model, optimizers, 1 - spent, *tensors(batch, int(tokenizer.pad_token_id), 0.0, stream))
        seen += len(batch)
    return seen


def measured(trainer: Trainer, episodes: int, minutes: float) -> Cell:
    """What the trained agent can do."""
    _, success = evaluate(trainer, episodes)
    trainer.close()
    figures = {name: {"value": e.value, "low": e.low, "high": e.high} for name, e in success.items()}
    return {"minutes": minutes, "success": {"after": figures}}


def report(results: dict[str, Cell]) -> str:
    """The table in Markdown: the mean over seeds with its 95 % interval, and every seed."""
    names = [name for name, _, _ in MEASURED]
    lines = ["| | seeds | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    cells = {kind: [cell for name, cell in results.items() if name.startswith(f"{kind}/")] for kind in KINDS}

    def row(title: str, when: str, chosen: Sequence[Cell], as_text: Callable[[Sequence[float]], str]) -> None:
        columns = [[100 * cell["success"][when][name]["value"] for cell in chosen] for name in names]
        lines.append(f"| {title} | {len(chosen)} |" + "".join(f" {as_text(values)} |" for values in columns))

    if cells["grpo"]:
        # One agent, measured anew with every seed: an interval over seeds would say nothing of customers.
        row("before", "before", cells["grpo"], mean_alone)
    for kind, title in KINDS.items():
        if cells[kind]:
            row(title, "after", cells[kind], mean_text)
    return "\n".join(lines)


def mean_alone(values: Sequence[float]) -> str:
    """Mean, and the values themselves."""
    return f"{np.mean(values):.1f} % ({', '.join(f'{value:.1f}' for value in values)})"


def mean_text(values: Sequence[float]) -> str:
    """Mean, 95 % interval of the mean, and the values themselves."""
    if len(values) == 1:
        return mean_alone(values)
    each = ", ".join(f"{value:.1f}" for value in values)
    return f"{np.mean(values):.1f} % ± {half_width(values):.1f} ({each})"


def draw(results: dict[str, Cell]) -> None:
    """Success of each iteration's own customers: the seeds, and their mean with its interval."""
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for kind, colour in (("grpo", "#1f4e8c"), ("shuffled", "#c0703a")):
        curves = [cell["curve"] for name, cell in results.items() if name.startswith(f"{kind}/")]
        if not curves:
            continue
        shortest = min(map(len, curves))
        rows = 100 * np.array([smooth(curve[:shortest]) for curve in curves])
        steps, mean = np.arange(1, shortest + 1), rows.mean(0)
        axes.plot(steps, mean, color=colour, linewidth=2, label=f"{KINDS[kind]}, mean of {len(rows)} seeds")
        if len(rows) > 1:
            half = half_width(rows)
            axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="iteration (12 customers × 8 attempts)", ylabel="success at T = 1 (%)", ylim=(0, 100))
    axes.set_title("The tiny agent learns to handle refunds (mean of five iterations, 95 % interval)", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT)


if __name__ == "__main__":
    main()
