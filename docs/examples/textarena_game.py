"""GRPO on a game of another package: textarena's GuessTheNumber, by the adapter of ``ss_gym.interop``.

    pip install textarena
    python docs/examples/textarena_game.py

A game of several turns: each guess is answered by "higher" or "lower". The game pays at its end: 1 for the number,
else by how near the last guess was, and nothing without a guess. The tiny agent has only ever talked to customers,
and few of its first replies hold a number that may be guessed: this is what it learns from.
"""

from __future__ import annotations

import argparse
import re

import gymnasium as gym
from rich.console import Console

from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID = "TextArena/GuessTheNumber-v0"


def first_number(reply: str) -> str:
    """A move, in square brackets, as the game takes it; the tiny agent has never written any."""
    number = re.search(r"\d+", reply)
    return f"[{number.group()}]" if number else reply


gym.register(
    ENV_ID,
    entry_point="ss_gym.interop.textarena:TextArenaGame",
    kwargs={"game": "GuessTheNumber-v0-raw", "move": first_number},
)


def main() -> None:
    """Trains, and tells what games are worth on the way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    training = TrainingConfig(
        iterations=options.iterations,
        groups_per_iteration=8,
        group_size=16,
        max_new_tokens=16,
        learning_rate=3e-4,
        schedule="constant",
        seed=options.seed,
    )
    trainer = GRPOTrainer(ENV_ID, "tiny", GRPOConfig(), training, console=Console())
    before = trainer.evaluate().metrics
    trainer.train()
    after = trainer.evaluate().metrics
    for name in ("return", "success", "steps"):
        print(f"{name}: {before[name]:.3f} before, {after[name]:.3f} after {options.iterations} iterations")


if __name__ == "__main__":
    main()
