"""gem-llm: a guessing game over several turns.

Its question-answering and mathematics environments load their data from a hub, and its Python tool
starts a process for each call: neither is a loop of one process without a network.
"""

from __future__ import annotations

import random
from typing import Any

from tests.benchmarks.peers.subject import Episode, FiveValues

_ENV_ID = "game:GuessTheNumber-v0-hard"


class Guessing(FiveValues):
    """Seven guesses out of fifty numbers, drawn beforehand; hints are ignored, as a script must."""

    module = "gem"
    hello = "\\boxed{25}"
    first = Episode(7, ("Perhaps \\boxed{25}?",))

    def episodes(self, count: int) -> list[Episode]:
        rng = random.Random(0)
        return [
            Episode(
                number,
                tuple(
                    f"This is guess {number}-{turn}: \\boxed{{{guess}}}"
                    for turn, guess in enumerate(rng.sample(range(1, 51), 7))
                ),
            )
            for number in range(count)
        ]

    def make(self) -> Any:
        import gem

        return gem.make(_ENV_ID)

    def won(self, reward: float, info: dict[str, Any]) -> bool:
        return reward == 1

    def checked(self) -> str:
        env = self.make()
        env.reset(seed=1)
        right = env.unwrapped.game_number
        wrong = right % 50 + 1
        rewards = []
        for guess in (right, wrong):
            env.reset(seed=1)
            rewards.append(env.step(f"\\boxed{{{guess}}}")[1])
        return f"the game's own state: {rewards[0]:g} for the number drawn, {rewards[1]:g} for another"

    def vector(self) -> str:
        import gem

        envs = gem.make_vec([_ENV_ID] * 3)
        envs.reset(seed=1)
        observations = envs.step(["\\boxed{1}"] * 3)[0]
        return f"gem.make_vec ({type(envs).__name__})" if len(observations) == 3 else ""
