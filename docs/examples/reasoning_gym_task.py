"""GRPO on a task of another package: reasoning-gym's letter counting, by the adapter of ``ss_gym.interop``.

    pip install reasoning-gym
    python docs/examples/reasoning_gym_task.py

The package brings tasks without an environment: the adapter is one. The tiny agent has only ever
talked to customers, and its first replies are worth next to nothing (0.002 of 1). reasoning-gym gives a part of a
point where the right number stands among other text, the more the shorter that is: this is what it learns from.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
from rich.console import Console

from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID = "ReasoningGym/LetterCounting-v0"


gym.register(ENV_ID, entry_point="ss_gym.interop.reasoning_gym:ReasoningTask", kwargs={"task": "letter_counting"})


def main() -> None:
    """Trains, and tells what answers are worth on the way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    training = TrainingConfig(
        iterations=options.iterations,
        groups_per_iteration=8,
        group_size=16,
        max_new_tokens=8,
        learning_rate=1e-3,
        schedule="constant",
        seed=options.seed,
    )
    # Rewards are a few hundredths at first: they may be unit advantages all the same.
    trainer = GRPOTrainer(ENV_ID, "tiny", GRPOConfig(std_floor=0.02), training, console=Console())
    before = trainer.evaluate().metrics
    trainer.train()
    after = trainer.evaluate().metrics
    for name in ("return", "success"):
        print(f"{name}: {before[name]:.3f} before, {after[name]:.3f} after {options.iterations} iterations")


if __name__ == "__main__":
    main()
