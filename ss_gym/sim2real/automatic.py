"""Ranges that widen by themselves: automatic domain randomization, and a curriculum by success."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from ss_gym.sim2real.randomizer import RELIABLE, DomainRandomizationConfig, DomainRandomizer, widened
from ss_gym.unreliable_tools import TOOL_PARAMETERS
from ss_gym.users.parameters import Parameter

# Customers whose outcome may still be told.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class AutomaticRandomizationConfig:
    """Settings of automatic domain randomization.

    Attributes:
        probe_probability: of pinning one parameter to one end of its range, in an episode.
        outcomes: customers at an end, after which it is decided whether that end moves. The authors take 240; there are
            29 ends, so that each moves once in some 58 times as many customers. Several attempts at one customer tell
            of that customer alone: their mean counts once.
        widen_at: share of successes from which on an end moves outwards.
        narrow_at: share of successes up to which it moves inwards.
        step: how far an end moves, as a share of all that there is of the parameter.
        tools: whether tools come to fail and to take their time, too, from never; two more ends.
        seed: of what is drawn where no generator is given.

    Raises:
        ValueError: for a setting that none could mean.
    """

    probe_probability: float = 0.5
    outcomes: int = 30
    widen_at: float = 0.8
    narrow_at: float = 0.4
    step: float = 0.1
    tools: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that none could mean."""
        name = type(self).__name__
        if not 0 < self.probe_probability <= 1:
            raise ValueError(f"{name}.probe_probability must be above 0 and at most 1, not {self.probe_probability}")
        if self.outcomes < 1:
            raise ValueError(f"{name}.outcomes must be 1 or more, not {self.outcomes}")
        if not 0 <= self.narrow_at < self.widen_at <= 1:
            told = f"{self.narrow_at} and {self.widen_at}"
            raise ValueError(f"{name}: narrow_at must be below widen_at, both from 0 to 1, not {told}")
        if not 0 < self.step <= 1:
            raise ValueError(f"{name}.step must be above 0 and at most 1, not {self.step}")


class AutomaticRandomizer(DomainRandomizer):
    """Automatic domain randomization (ADR), OpenAI et al. 2019, arXiv:1910.07113, algorithm 1.

    Ranges begin as those of the train split. In some episodes one parameter is pinned to one end of its range; when
    there are enough outcomes of such episodes, that end moves outwards if most of them were successes, inwards if few
    were, and the count begins anew. No end moves beyond what there is of a parameter, nor past the middle of where it
    began, so that a range always holds that.

    Tell it the outcome of each episode, by the options that it was reset with. Ends move when ``update`` is called,
    between two iterations of training and not within one, in which attempts with the same seed meet the same customer:

    >>> randomizer = AutomaticRandomizer(AutomaticRandomizationConfig(probe_probability=1.0, outcomes=1, step=0.1))
    >>> options = randomizer(np.random.default_rng(1))
    >>> randomizer.record(options, success=True)
    >>> randomizer.update()
    >>> moved = [name for name, bounds in randomizer.ranges.items() if bounds != randomizer.nominal[name]]
    >>> len(moved)
    1

    Args:
        config: the settings.
        parameters: as of ``DomainRandomizer``.

    Attributes:
        ranges: the low and the high end of each parameter, as they are now.
    """

    def __init__(
        self,
        config: AutomaticRandomizationConfig | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        self.automatic = config = AutomaticRandomizationConfig() if config is None else config
        ranges = RELIABLE if config.tools else {}
        super().__init__(DomainRandomizationConfig(0.0, 0.0, 0.0, ranges=ranges, seed=config.seed), parameters)
        # The ends that can move, 0 the low one and 1 the high one: not those of what nobody has less of than none.
        self._ends = tuple(
            (name, end)
            for name, parameter in self.parameters.items()
            for end in (0, 1)
            if parameter[end] != self._middle(name)
        )
        # Customers at an end -> which, and how often that end had moved then.
        self._probes: OrderedDict[tuple[float, ...], tuple[str, int, int]] = OrderedDict()
        self._moves: defaultdict[tuple[str, int], int] = defaultdict(int)
        # Of each end, how the attempts at each customer went.
        self._outcomes: defaultdict[tuple[str, int], dict[Any, list[bool]]] = defaultdict(dict)

    def sample(self, generator: np.random.Generator | None = None) -> dict[str, float]:
        """A value of each parameter: uniform within the ranges, but for the one that is pinned, if one is."""
        generator = self._generator if generator is None else generator
        drawn = super().sample(generator)
        pinned, chosen = generator.random() < self.automatic.probe_probability, int(generator.integers(len(self._ends)))
        if pinned:
            name, end = self._ends[chosen]
            drawn[name] = self.ranges[name][end]
            self._probes[self._key(drawn)] = (name, end, self._moves[name, end])
            if len(self._probes) > _REMEMBERED:
                self._probes.popitem(last=False)
        return drawn

    def record(self, options: Mapping[str, Any], success: bool) -> None:
        """Takes in how an episode went.

        It may be told of every episode; those in which nothing was pinned, and those whose end has moved since, have no
        part.

        Args:
            options: what the episode was reset with, as the randomizer gave it.
            success: whether it succeeded.
        """
        customer = self._key(options.get("user_params") or {})
        probe = self._probes.get(customer)
        if probe is None or (probe[0] in TOOL_PARAMETERS and "tool_params" not in options):
            return  # nothing was pinned, or what was pinned was left out
        if self._moves[probe[:2]] == probe[2]:
            self._outcomes[probe[:2]].setdefault(customer, []).append(bool(success))

    def update(self) -> None:
        """Moves the ends of which there are enough outcomes, by one step each."""
        config = self.automatic
        for (name, end), outcomes in self._outcomes.items():
            if len(outcomes) >= config.outcomes:
                share = fmean(fmean(attempts) for attempts in outcomes.values())
                outcomes.clear()
                outwards = (share >= config.widen_at) - (share <= config.narrow_at)
                if outwards:
                    self._move(name, end, outwards)

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` goes on from, but for episodes under way; plain numbers, lists and texts."""
        told = [[*end, list(outcomes.values())] for end, outcomes in sorted(self._outcomes.items()) if outcomes]
        return {**super().state_dict(), "outcomes": told}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where ``state_dict`` was called.

        Raises:
            KeyError: if something is missing.
        """
        outcomes = state["outcomes"]
        super().load_state_dict(state)
        # Who they were is of no matter any more: customers under way are not met again.
        self._outcomes = defaultdict(dict, {(name, end): dict(enumerate(found)) for name, end, found in outcomes})
        self._probes.clear()
        self._moves.clear()

    def _move(self, name: str, end: int, outwards: int) -> None:
        (least, most), middle = self.parameters[name][:2], self._middle(name)
        reached = self.ranges[name][end] + (1 if end else -1) * outwards * self.automatic.step * (most - least)
        bounds: list[float] = list(self.ranges[name])
        bounds[end] = min(max(reached, middle), most) if end else max(min(reached, middle), least)
        self.ranges[name] = (bounds[0], bounds[1])
        self._moves[name, end] += 1

    def _middle(self, name: str) -> float:
        return sum(self.nominal[name]) / 2

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """A customer, in whatever order the parameters come; no two have drawn all the same."""
        return tuple(params.get(name) for name in self._of_customers)


class Curriculum:
    """A randomizer that gets harder as the agent gets better.

    Both variations begin at 0 and grow by ``step`` whenever the success that is reported is ``widen_at`` or more.

    >>> curriculum = Curriculum(DomainRandomizationConfig(), widen_at=0.7, step=0.25)
    >>> [curriculum.report(success) for success in (0.5, 0.75, 0.9)]
    [0.0, 0.25, 0.5]

    Args:
        config: what is varied in the end: its variations are the greatest.
        widen_at: a share of successes.
        step: how much of the way an advance is, above 0.

    Attributes:
        level: from 0 to 1, how much of the way is gone.
        randomizer: who the customers are now.

    Raises:
        ValueError: for a share or a step outside its bounds.
    """

    def __init__(self, config: DomainRandomizationConfig, widen_at: float = 0.7, step: float = 0.1) -> None:
        if not 0 <= widen_at <= 1 or not 0 < step <= 1:
            raise ValueError(f"widen_at must be from 0 to 1 and step above 0 and at most 1, not {widen_at} and {step}")
        self._widen_at, self._step, self.level = widen_at, step, 0.0
        self.randomizer = DomainRandomizer(config)
        self._whole = dict(self.randomizer.ranges)
        self._widen_to(0.0)

    def report(self, success: float) -> float:
        """Takes in the share of successes on customers who are kept for that, and gives the level from now on.

        Raises:
            ValueError: if it is no share.
        """
        if not 0 <= success <= 1:
            raise ValueError(f"success must be a share from 0 to 1, not {success}")
        if success >= self._widen_at and self.level < 1:
            # Ten steps of a tenth are the whole way.
            self._widen_to(min(1.0, round(self.level + self._step, 9)))
        return self.level

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` goes on from; plain numbers."""
        return {"level": self.level, "randomizer": self.randomizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where ``state_dict`` was called.

        Raises:
            KeyError: if something is missing.
        """
        level = state["level"]
        self.randomizer.load_state_dict(state["randomizer"])
        self._widen_to(level)

    def __call__(self, generator: np.random.Generator) -> dict[str, Any]:
        """Reset options for one episode."""
        return self.randomizer(generator)

    def _widen_to(self, level: float) -> None:
        self.level = level
        for name, bounds in self._whole.items():
            self.randomizer.ranges[name] = widened(self.randomizer.nominal[name], bounds, level)
