"""GRPO on a game of another package: textarena's GuessTheNumber, as a Gymnasium environment with text.

    pip install textarena
    python docs/examples/textarena_game.py

A game of several turns: each guess is answered by "higher" or "lower". The game pays at its end: 1 for the number,
else by how near the last guess was, and nothing without a guess. The tiny agent has only ever talked to customers,
and few of its first replies hold a number that may be guessed: this is what it learns from.
"""

from __future__ import annotations

import argparse
import random
import re
from typing import Any

import gymnasium as gym
import textarena
from rich.console import Console

from ss_gym.spaces import Utterance
from ss_trainers import GRPOConfig, GRPOTrainer, TrainingConfig

ENV_ID = "TextArena/GuessTheNumber-v0"


class OnePlayerGame(gym.Env[str, str]):
    """A game of textarena for one player, whose moves are numbers.

    The game takes a move in square brackets, which the tiny agent has never written: the first number of a reply
    is the move here.

    Args:
        game: its id in textarena, without wrappers that repeat the whole game in every observation.
    """

    observation_space = action_space = Utterance(10_000)

    def __init__(self, game: str) -> None:
        self._game = textarena.make(game)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins the game of a seed."""
        super().reset(seed=seed)
        # Games draw from the process's generator, and begin by seeding it: it is put back as it was.
        kept = random.getstate()
        try:
            self._game.reset(num_players=1, seed=int(self.np_random.integers(2**31)))
        finally:
            random.setstate(kept)
        return self._said(), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes a move; the game pays when it is over."""
        number = re.search(r"\d+", action)
        over, _ = self._game.step(f"[{number.group()}]" if number else action)
        if not over:
            return self._said(), 0.0, False, False, {}
        (reward,) = self._game.close()[0].values()
        return self._said(), float(reward), True, False, {"success": reward == 1}

    def _said(self) -> str:
        """What the game has said since the last move, without the move itself."""
        _, messages = self._game.get_observation()
        return "\n".join(text for sender, text, _ in messages if sender == textarena.GAME_ID)


gym.register(ENV_ID, entry_point=OnePlayerGame, kwargs={"game": "GuessTheNumber-v0-raw"})


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
