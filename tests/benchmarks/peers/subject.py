"""What is measured, as the measuring process sees it. Standard library only: it runs beside any peer's packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Episode(NamedTuple):
    """A seed, and actions that were written down before the clock starts."""

    seed: int
    actions: tuple[str, ...]


class Played(NamedTuple):
    """Steps that were taken, and episodes that reached their goal; None where there is no such thing."""

    steps: int
    solved: int | None


class Subject(Protocol):
    """One environment of one package, and how its own documentation says it is used.

    Attributes:
        module: what is imported to use it.
        first: an episode that needs no preparation, for the time until a first step is through.
    """

    module: str
    first: Episode

    def episodes(self, count: int) -> list[Episode]:
        """Episodes whose actions are all different; prepared outside the measurement."""

    def make(self) -> Any:
        """A handle on a new environment: the environment itself, or a list that holds it and its state."""

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        """Resets and steps through the episodes, and nothing else: this is what is timed."""

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        """Only begins the episodes; timed too."""

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        """What came back for the actions ``start`` to ``stop``; if start is 0, of a reset before them too."""

    def environment(self, handle: Any) -> Any:
        """The environment behind the handle."""

    def raw_step(self, handle: Any) -> Any:
        """What one step gives, untouched; after a reset."""

    def reset_method(self, handle: Any) -> Any:
        """What begins an episode."""

    def checked(self) -> str:
        """What success was seen to depend on."""

    def vector(self) -> str:
        """The form for several episodes at once, tried out; empty if there is none."""


class FiveValues:
    """An environment used as Gymnasium's are: ``reset`` takes a seed, ``step`` gives five values.

    Attributes:
        hello: an action to try a step with.
    """

    hello = "Hello."

    def play(self, handle: Any, episodes: Sequence[Episode]) -> Played:
        steps = solved = 0
        for episode in episodes:
            handle.reset(seed=episode.seed)
            for action in episode.actions:
                _, reward, terminated, truncated, info = handle.step(action)
                steps += 1
                if terminated or truncated:
                    solved += self.won(reward, info)
                    break
        return Played(steps, solved)

    def won(self, reward: float, info: dict[str, Any]) -> bool:
        """Whether an episode that ended so reached its goal."""
        return bool(info.get("success", False))

    def resets(self, handle: Any, episodes: Sequence[Episode]) -> None:
        for episode in episodes:
            handle.reset(seed=episode.seed)

    def trace(self, handle: Any, episode: Episode, start: int = 0, stop: int | None = None) -> list[Any]:
        seen: list[Any] = []
        if start == 0:
            seen.append(handle.reset(seed=episode.seed))
        for action in episode.actions[start:stop]:
            seen.append(handle.step(action))
            if seen[-1][2] or seen[-1][3]:
                break
        return seen

    def environment(self, handle: Any) -> Any:
        return handle

    def raw_step(self, handle: Any) -> Any:
        handle.reset(seed=1)
        return handle.step(self.hello)

    def reset_method(self, handle: Any) -> Any:
        return handle.reset
