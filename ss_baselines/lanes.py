"""Plays episodes in many environments at once: one batched call to the agent a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ss_baselines.agents import Agent
from ss_gym.agents.conversation import Conversation
from ss_gym.asynchronous import settled
from ss_gym.types import Completion

ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Start:
    """How an episode begins.

    Attributes:
        seed: of ``env.reset``.
        options: likewise.
    """

    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Lane(Protocol[ResultT_co]):
    """One environment, and the conversation that is going on in it."""

    @property
    def conversation(self) -> Conversation:
        """What the agent is to answer."""
        ...

    def begin(self, start: Start) -> None:
        """Opens an episode."""
        ...

    def step(self, completion: Completion) -> ResultT_co | None:
        """Takes the agent's answer; gives what came of the episode if that ended it."""
        ...


def play(agent: Agent, lanes: Sequence[Lane[ResultT]], starts: Iterable[Start]) -> Iterator[tuple[int, ResultT]]:
    """Plays episodes, as many at a time as there are lanes.

    Args:
        agent: answers all conversations that are going on in one call, which may be asynchronous.
        lanes: each takes the next episode when it is done with one.
        starts: of the episodes, taken as they are needed.

    Yields:
        The number of an episode, counted from 0, and what came of it; in the order of their ends.
    """
    waiting = enumerate(starts)
    active: list[tuple[int, Lane[ResultT]]] = []
    for lane in lanes:
        _begin_next(lane, waiting, active)
    while active:
        completions = settled(agent.act([lane.conversation for _, lane in active]))
        still_active: list[tuple[int, Lane[ResultT]]] = []
        for (place, lane), completion in zip(active, completions, strict=True):
            result = lane.step(completion)
            if result is None:
                still_active.append((place, lane))
            else:
                yield place, result
                _begin_next(lane, waiting, still_active)
        active = still_active


def _begin_next(
    lane: Lane[ResultT], waiting: Iterator[tuple[int, Start]], active: list[tuple[int, Lane[ResultT]]]
) -> None:
    """Opens the next episode in a lane, if there is one."""
    for place, start in waiting:
        lane.begin(start)
        active.append((place, lane))
        return


def in_order(results: Iterable[tuple[int, ResultT]]) -> Iterator[ResultT]:
    """What ``play`` yields in the order of the episodes; those that end early wait for the ones before them.

    >>> list(in_order([(1, "b"), (0, "a"), (2, "c")]))
    ['a', 'b', 'c']
    """
    early: dict[int, ResultT] = {}
    following = 0
    for place, result in results:
        early[place] = result
        while following in early:
            yield early.pop(following)
            following += 1
