"""Every algorithm on a task whose optimum is known: sequences of tokens, some of them the environment's.

    python -m tests.benchmarks.bandit                     # 10 seeds of each, and the table
    python -m tests.benchmarks.bandit --only gspo --seeds 3

Four prompts, two turns of three tokens from four symbols, two tokens of the environment between the turns. A
turn earns a sixth for each first symbol, so the best expected return is 1 and that of a new policy is 1/4. The
policy is a table of logits by prompt and place, the critic one of values by prompt, place and what was earned so
far. It has 150 iterations of 8 attempts at each prompt and
two optimizer steps each (online DPO takes one); what is measured is the expected return itself, not a sample of it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ss_baselines.commands.folders import write_whole
from ss_trainers.algorithms.registry import ALGORITHMS, make_algorithm
from ss_trainers.types import BatchCounts, TokenBatch

PROMPTS, ATTEMPTS, SYMBOLS, ITERATIONS, EPOCHS, RATE = 4, 8, 4, 150, 2, 0.1
# The prompt, a turn, the environment, a turn.
TURNS = torch.tensor([-1, 0, 0, 0, -1, -1, 1, 1, 1])
PLACES = (TURNS >= 0).nonzero()[:, 0]
SEEDS = 10
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "bandit.json"
# What an algorithm is run with beside its defaults.
SETTINGS: dict[str, dict[str, Any]] = {"rejection_sampling": {"keep": "best"}}
# Here is nobody to imitate, and nothing said that could be judged or revised.
LEFT_OUT = ("behavior_cloning", "critique_revision", "offline_grpo", "rlaif")
NAMES = [name for name in ALGORITHMS if name not in LEFT_OUT]


def trained(name: str, seed: int, iterations: int = ITERATIONS) -> list[float]:
    """The expected return before each iteration and after the last."""
    algorithm = make_algorithm(name, SETTINGS.get(name, {}))
    noise = torch.Generator().manual_seed(seed)
    logits = torch.zeros(PROMPTS, len(PLACES), SYMBOLS, dtype=torch.float64, requires_grad=True)
    values = torch.zeros(PROMPTS, len(PLACES), len(PLACES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits, values], lr=RATE)
    curve = [_expected(logits)]
    for iteration in range(iterations):
        batch = algorithm.prepare(_sampled(logits, values, noise))
        counts, alone = BatchCounts.of(batch), iteration < algorithm.critic_iterations
        for _ in range(1 if name == "online_dpo" else EPOCHS):
            optimizer.zero_grad()
            logprobs, foreseen = _scores(batch, logits, values)
            algorithm.loss(batch, None if alone else logprobs, counts, foreseen).loss.backward()
            optimizer.step()
        curve.append(_expected(logits))
    return curve


def _expected(logits: Tensor) -> float:
    return float(logits.detach().softmax(-1)[..., 0].mean())


@torch.no_grad()
def _sampled(logits: Tensor, values: Tensor, noise: torch.Generator) -> TokenBatch:
    """Attempts at each prompt."""
    rows, width = PROMPTS * ATTEMPTS, len(TURNS)
    groups = torch.arange(PROMPTS).repeat_interleave(ATTEMPTS)
    drawn = torch.multinomial(logits.softmax(-1)[groups].flatten(0, 1), 1, generator=noise).view(rows, len(PLACES))
    ids = torch.full((rows, width), SYMBOLS)
    ids[:, PLACES] = drawn
    ids[:, 0] = SYMBOLS + 1 + groups
    hits = (drawn == 0).double().view(rows, 2, 3).sum(2) / len(PLACES)
    mask = (TURNS >= 0).expand(rows, -1)
    batch = TokenBatch(
        input_ids=ids,
        lengths=torch.full((rows,), width),
        action_mask=mask,
        behavior_logprobs=torch.zeros(rows, width, dtype=torch.float64),
        turn_ids=TURNS.expand(rows, -1),
        turn_rewards=hits,
        returns=hits.sum(1),
        group_ids=groups,
        prefix=torch.empty(0, dtype=torch.int64),
        successes=hits.sum(1) == 1,
    )
    logprobs, foreseen = _scores(batch, logits, values)
    # The reference is the new policy, to which all symbols are alike.
    reference = torch.where(mask, -math.log(SYMBOLS), 0.0).to(logprobs.dtype)
    return replace(batch, behavior_logprobs=logprobs, values=foreseen, reference_logprobs=reference)


def _scores(batch: TokenBatch, logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and values of the action tokens, (B, T)."""
    chosen = batch.input_ids[:, PLACES, None]
    scored = logits.log_softmax(-1)[batch.group_ids].gather(-1, chosen)[..., 0]
    hits = (batch.input_ids[:, PLACES] == 0).long()
    foreseen = values[batch.group_ids[:, None], torch.arange(len(PLACES)), hits.cumsum(1) - hits]
    empty = torch.zeros(batch.action_mask.shape, dtype=torch.float64)
    return empty.index_copy(1, PLACES, scored), empty.index_copy(1, PLACES, foreseen)


def main() -> None:
    """Runs the seeds, keeps their curves, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=NAMES, action="append", help="one algorithm, again")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    table = Table("algorithm", "after 10", "50", "100", "150 iterations", "worst seed", "CPU s a seed", title="return")
    for name in options.only or NAMES:
        begun = time.process_time()
        curves = torch.tensor([trained(name, seed) for seed in range(options.seeds)])
        seconds = (time.process_time() - begun) / options.seeds
        kept[name] = {"curves": [[round(value, 4) for value in curve] for curve in curves.tolist()]}
        means = [f"{curves[:, at].mean():.3f} ± {curves[:, at].std():.3f}" for at in (10, 50, 100, 150)]
        table.add_row(name, *means, f"{curves[:, -1].min():.3f}", f"{seconds:.1f}")
    write_whole(RESULTS, json.dumps(dict(sorted(kept.items())), separators=(",", ":")) + "\n")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
