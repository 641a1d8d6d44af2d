"""The demonstration over five seeds, beside two controls; any cell can be run again alone.

    python docs/examples/refund_study.py                     # the cells that are missing
    python docs/examples/refund_study.py --only grpo/3       # one cell again

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
from dataclasses import replace
from pathlib import Path

import torch
from refund_demo import CONSOLE, ENV_ID, evaluate
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from ss_baselines.tiny.cloning import CloningConfig, batches, optimizers_for, take_step, tensors
from ss_trainers import GRPOConfig, TrainingConfig
from ss_trainers.algorithms.grpo import GRPO
from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat
from ss_trainers.trainer import Trainer
from ss_trainers.types import TokenBatch

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "refund_demo.json"
CELLS = [f"{kind}/{seed}" for kind, count in (("grpo", 5), ("shuffled", 3), ("cloning", 3)) for seed in range(count)]
WORK = Path("outputs/study")


class ShuffledGRPO(GRPO):
    """GRPO whose returns are dealt out among the attempts at random.

    Args:
        seed: of the dealing.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(GRPOConfig())
        self._generator = torch.Generator().manual_seed(seed)

    def advantages(self, batch: TokenBatch) -> torch.Tensor:
        """The advantages of returns that belong to other attempts."""
        order = torch.randperm(len(batch.returns), generator=self._generator)
        return super().advantages(replace(batch, returns=batch.returns[order]))


def main() -> None:
    """Run the cells that are missing, or the one that was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=CELLS, help="one cell, run again even if it is there")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=400)
    options = parser.parse_args()
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for cell in [options.only] if options.only else [cell for cell in CELLS if cell not in done]:
        kind, seed = cell.split("/")
        CONSOLE.rule(cell)
        runner = {"grpo": run_grpo, "shuffled": run_shuffled, "cloning": run_cloning}[kind]
        result = runner(int(seed), options)
        # Read again: another process may have filled other cells meanwhile.
        done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        done[cell] = result
        RESULTS.parent.mkdir(exist_ok=True)
        partial = RESULTS.with_suffix(".partial")
        partial.write_text(json.dumps(dict(sorted(done.items())), indent=1) + "\n")
        partial.replace(RESULTS)


def run_grpo(seed: int, options: argparse.Namespace) -> dict[str, object]:
    """The demonstration itself, as its own process."""
    out = WORK / f"grpo-{seed}"
    command = [sys.executable, str(HERE / "refund_demo.py"), "--seed", str(seed), "--out", str(out)]
    command += ["--iterations", str(options.iterations), "--episodes", str(options.episodes)]
    subprocess.run(command, check=True)
    result: dict[str, object] = json.loads((out / "results.json").read_text())
    return result


def run_shuffled(seed: int, options: argparse.Namespace) -> dict[str, object]:
    """The same training with rewards that mean nothing."""
    trainer = Trainer(ENV_ID, "tiny", ShuffledGRPO(seed), settings(seed, options), env_kwargs={"prompt": "compact"})
    started = time.perf_counter()
    trainer.train()
    minutes = (time.perf_counter() - started) / 60
    return after(trainer, options.episodes, minutes)


def run_cloning(seed: int, options: argparse.Namespace) -> dict[str, object]:
    """More imitation instead, for the processor time of the GRPO runs' training."""
    seconds = options.iterations * _seconds_an_iteration(seed)
    loaded = load_model("tiny", "cpu")
    started = time.process_time()
    torch.set_num_threads(1)
    examples = clone(loaded.model, loaded.tokenizer, seed, 2 * seconds)  # GRPO ran on two processes
    minutes = (time.process_time() - started) / 60
    folder = WORK / f"cloning-{seed}"
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    trainer = Trainer(ENV_ID, str(folder), GRPO(), settings(seed, options), env_kwargs={"prompt": "compact"})
    return after(trainer, options.episodes, minutes) | {"conversations": examples}


def clone(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, seed: int, seconds: float) -> int:
    """Imitate the demonstrator for so many processor seconds, the rate falling to zero; conversations seen."""
    config = CloningConfig(
        demonstrations=10**9, learning_rate=5e-4, other_learning_rate=3e-4, drill_share=0.0, seed=100 + seed
    )
    optimizers, started, seen = optimizers_for(model, config), time.process_time(), 0
    model.train()
    for batch in batches(ChatFormat(tokenizer), config):
        spent = (time.process_time() - started) / seconds
        if spent >= 1:
            break
        ids, weights = tensors(batch, int(tokenizer.pad_token_id), config.read_weight)
        take_step(model, optimizers, 1 - spent, ids, weights)
        seen += len(batch)
    return seen


def settings(seed: int, options: argparse.Namespace) -> TrainingConfig:
    """The demonstration's settings."""
    return TrainingConfig(
        iterations=options.iterations, groups_per_iteration=12, group_size=8, learning_rate=4e-4, seed=seed, workers=2
    )


def after(trainer: Trainer, episodes: int, minutes: float) -> dict[str, object]:
    """What the trained agent can do."""
    _, measured = evaluate(trainer, episodes)
    trainer.close()
    figures = {name: {"value": e.value, "low": e.low, "high": e.high} for name, e in measured.items()}
    return {"minutes": minutes, "success": {"after": figures}}


def _seconds_an_iteration(seed: int) -> float:
    """Wall-clock seconds of an iteration of the GRPO run with this seed."""
    lines = (WORK / f"grpo-{seed}" / "metrics.jsonl").read_text().splitlines()
    spent = [json.loads(line) for line in lines]
    return sum(line["seconds/rollout"] + line["seconds/update"] for line in spent) / len(spent)


if __name__ == "__main__":
    main()
