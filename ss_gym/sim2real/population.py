"""Whom an agent meets in training: what a trainer asks of a population of customers, and the populations there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ss_gym.sim2real.automatic import AutomaticRandomizer, Curriculum
from ss_gym.sim2real.randomizer import DomainRandomizer
from ss_gym.sim2real.transfer import SimToRealTransfer

# Reset options of one episode.
Draw = Callable[[np.random.Generator], Mapping[str, Any]]


@runtime_checkable
class Population(Protocol):
    """Customers of whom some come to each iteration of training; who they are may depend on how it goes."""

    def draw(self, step: int, count: int, generator: np.random.Generator) -> Sequence[Mapping[str, Any]]:
        """Reset options that make a customer, for each group of attempts.

        Args:
            step: iterations done.
            count: groups.
            generator: the only source of randomness, so that an iteration that is repeated meets the same.
        """
        ...

    def learn(self, step: int, outcomes: Sequence[tuple[Mapping[str, Any], bool]]) -> Mapping[str, float]:
        """Takes in how an iteration's episodes went, once the agent has learnt from them; figures for the log.

        Args:
            step: iterations done before it.
            outcomes: of each episode, what it was reset with and whether it succeeded.
        """
        ...

    def evaluated(self, step: int, success: float, episodes: int) -> None:
        """Takes in an evaluation.

        Args:
            step: iterations done.
            success: share of successes.
            episodes: that were played.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` goes on from; as JSON has it."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where ``state_dict`` was called."""
        ...


class RandomizedPopulation:
    """Customers of a randomizer, which is told how it goes.

    >>> from ss_gym.sim2real import DomainRandomizer
    >>> population = RandomizedPopulation(DomainRandomizer())
    >>> [sorted(options) for options in population.draw(0, 2, np.random.default_rng(0))]
    [['user_params'], ['user_params']]

    Args:
        randomizer: a ``DomainRandomizer``, an ``AutomaticRandomizer``, whose ranges follow the successes of training
            episodes, a ``Curriculum``, which follows those of evaluations, or any function from a generator to reset
            options.
    """

    def __init__(self, randomizer: Draw) -> None:
        self._randomizer = randomizer

    def draw(self, step: int, count: int, generator: np.random.Generator) -> list[dict[str, Any]]:
        """Reset options for each group, one drawn after the other."""
        return [dict(self._randomizer(generator)) for _ in range(count)]

    def learn(self, step: int, outcomes: Sequence[tuple[Mapping[str, Any], bool]]) -> dict[str, float]:
        """Moves the ends of ranges where they move by themselves; tells how wide ranges are, as a share of all."""
        randomizer = self._randomizer
        if isinstance(randomizer, AutomaticRandomizer):
            for options, success in outcomes:
                randomizer.record(options, success)
            randomizer.update()
        if isinstance(randomizer, Curriculum):
            return {"population/level": randomizer.level}
        if not isinstance(randomizer, DomainRandomizer):
            return {}
        wholes = {name: most - least for name, (least, most, *_) in randomizer.parameters.items()}
        shares = [(high - low) / wholes[name] for name, (low, high) in randomizer.ranges.items()]
        return {"population/width": fmean(shares)}

    def evaluated(self, step: int, success: float, episodes: int) -> None:
        """Makes a curriculum harder where the agent is good enough."""
        if isinstance(self._randomizer, Curriculum):
            self._randomizer.report(success)

    def state_dict(self) -> dict[str, Any]:
        """The randomizer's, where it has one."""
        keeps = getattr(self._randomizer, "state_dict", None)
        return {} if keeps is None else dict(keeps())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up the randomizer's."""
        if (takes := getattr(self._randomizer, "load_state_dict", None)) is not None:
            takes(state)


class TransferPopulation:
    """Simulated customers at first and more and more real ones, as a ``SimToRealTransfer`` says.

    What is real is a matter of reset options: other parameters of the scripted customer, or another task of
    ``StateSet/MultiTask-v0``, which may be an environment server with live traffic.

    >>> from ss_gym.sim2real import DomainRandomizer, SimToRealConfig
    >>> transfer = SimToRealTransfer(SimToRealConfig(total_steps=10))
    >>> population = TransferPopulation(transfer, DomainRandomizer(), lambda generator: {"user_params": {"noise": 0.2}})
    >>> drawn = population.draw(5, 8, np.random.default_rng(0))
    >>> sum(options == {"user_params": {"noise": 0.2}} for options in drawn)
    4

    Args:
        transfer: the share of customers who are simulated. Its steps are iterations of training; evaluations are
            reported to it, so that the share waits while success falls.
        simulated: draws reset options of simulated customers, or is a population of them.
        real: likewise of real ones.
    """

    def __init__(self, transfer: SimToRealTransfer, simulated: Draw | Population, real: Draw | Population) -> None:
        self._transfer = transfer
        # By whether they are simulated.
        self._sides = (_as_population(real), _as_population(simulated))

    def draw(self, step: int, count: int, generator: np.random.Generator) -> list[dict[str, Any]]:
        """Reset options for each group."""
        kinds = [bool(kind) for kind in self._transfer.draw(step, count, generator)]
        drawn = [iter(side.draw(step, kinds.count(bool(kind)), generator)) for kind, side in enumerate(self._sides)]
        return [dict(next(drawn[kind])) for kind in kinds]

    def learn(self, step: int, outcomes: Sequence[tuple[Mapping[str, Any], bool]]) -> dict[str, float]:
        """Tells both sides, and the share of customers who were simulated."""
        told = {"population/sim_ratio": self._transfer.get_sim_ratio(step)}
        for side in self._sides:
            told = {**side.learn(step, outcomes), **told}
        return told

    def evaluated(self, step: int, success: float, episodes: int) -> None:
        """Reports to the transfer, and to both sides."""
        self._transfer.report(step, success, episodes)
        for side in self._sides:
            side.evaluated(step, success, episodes)

    def state_dict(self) -> dict[str, Any]:
        """Those of the transfer and of both sides."""
        return {"transfer": self._transfer.state_dict(), "sides": [side.state_dict() for side in self._sides]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up those of the transfer and of both sides."""
        self._transfer.load_state_dict(state["transfer"])
        for side, kept in zip(self._sides, state["sides"], strict=True):
            side.load_state_dict(kept)


def _as_population(given: Draw | Population) -> Population:
    return given if isinstance(given, Population) else RandomizedPopulation(given)
