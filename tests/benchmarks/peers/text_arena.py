"""textarena: two players talk and trade. Both are scripted here, since a second player is the only other party."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.peers.subject import Episode, Played

# What the first player gives and takes. It gains by all of them together.
_TRADES = (("Wheat", "Wood"), ("Wood", "Sheep"), ("Sheep", "Brick"), ("Brick", "Ore"), ("Wheat", "Sheep"))


def _actions(number: int, reply: str = "[Accept]") -> tuple[str, ...]:
    actions = []
    for turn, (give, take) in enumerate(_TRADES):
        actions.append(f"Let us trade, this is proposal {number}-{turn}. [Offer: 1 {give} -> 1 {take}]")
        actions.append(f"I have read proposal {number}-{turn}. {reply}")
    # The game ends when ten turns are over, which it notices in the next one.
    return (*actions, f"That was all, this is remark {number}.")


class Negotiation:
    """``SimpleNegotiation-v0`` as ``textarena.make`` wraps it; each step reads the observation, as a player must.

    Each episode has a new environment: the wrapper's observations of one that is used again still hold
    the games before, and grow with them.
    """

    module = "textarena"
    first = Episode(7, ("Hello there. [Offer: 1 Wheat -> 1 Wood]",))

    def episodes(self, count: int) -> list[Episode]:
        return [Episode(number, _actions(number)) for number in range(count)]

    def make(self) -> Any:
        import textarena

        return textarena.make("SimpleNegotiation-v0")

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        steps = 0
        for episode in episodes:
            env = self.make()
            env.reset(num_players=2, seed=episode.seed)
            for action in episode.actions:
                env.get_observation()
                done, _ = env.step(action=action)
                steps += 1
                if done:
                    break
            env.close()
        return Played(steps, None)

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        for episode in episodes:
            env = self.make()
            env.reset(num_players=2, seed=episode.seed)
            env.get_observation()

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        seen: list[Any] = []
        if start == 0:
            handle.reset(num_players=2, seed=episode.seed)
        for action in episode.actions[start:stop]:
            seen.append(handle.get_observation())
            seen.append(handle.step(action=action))
            if seen[-1][0]:
                seen.append(handle.close())
                break
        return seen

    def environment(self, handle: Any) -> Any:
        return handle

    def raw_step(self, handle: Any) -> Any:
        handle.reset(num_players=2, seed=1)
        handle.get_observation()
        return handle.step(action="Hello.")

    def reset_method(self, handle: Any) -> Any:
        return handle.reset

    def checked(self) -> str:
        rewards = []
        for reply in ("[Accept]", "[Deny]"):
            env = self.make()
            self.trace(env, Episode(3, _actions(0, reply)))
            rewards.append(env.close()[0][0])
        changed = "changes" if rewards[0] != rewards[1] else "does not change"
        return (
            f"the game's own state: the first player's reward {changed} "
            f"({rewards[0]} and {rewards[1]}) if trades are denied"
        )

    def vector(self) -> str:
        import textarena

        found = [name for name in dir(textarena) if "vec" in name.lower()]
        return ", ".join(found)
