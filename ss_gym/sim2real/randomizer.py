"""Customers who differ more than a simulator's own do: what of them is drawn, from where, and how wide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ss_gym.families import FAMILIES
from ss_gym.families.splits import TRAIN_SIZE, load_scenario
from ss_gym.scenarios import Scenario
from ss_gym.spelling import nearest
from ss_gym.unreliable_tools import TOOL_PARAMETERS
from ss_gym.users.parameters import PARAMETERS, Parameter
from ss_gym.users.simulator import checked_own

Bounds = tuple[float, float]

# Where each parameter lies in the train split: what is the same for all customers of it has a single value there.
NOMINAL: Mapping[str, Bounds] = {
    "patience": (4, 7),
    "disclosure": (0.2, 0.9),
    "insists": (0, 2),
    "hurried": (0.2, 0.2),
    "checks_account": (0.3, 0.3),
    "tangents": (0, 0),
    "unprepared": (0, 0),
    "demanding": (0, 0),
    "upset": (0.15, 0.15),
    "verbosity": (0, 1),
    "noise": (0, 0.06),
    "email": (0.2, 0.2),
    "plain": (0.3, 0.3),
    "polite": (0.25, 0.25),
    "curt": (0.15, 0.15),
    "chatty": (0.15, 0.15),
}
# Tools that always answer, as everywhere but where they are told to fail.
RELIABLE: Mapping[str, Bounds] = {name: (parameter.low, parameter.low) for name, parameter in TOOL_PARAMETERS.items()}
# What is a matter of style: how something is said, and not what is said and done.
STYLE = frozenset({"verbosity", "noise", "email", "plain", "polite", "curt", "chatty"})
# What people call the topics of a help desk, and the families that these are.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "returns": ("refund", "exchange"),
    "orders": ("order_status", "cancel", "address_change"),
    "shipping": ("order_status", "address_change"),
    "guarantees": ("warranty",),
    "subscriptions": ("subscription",),
    "attacks": ("adversarial",),
}


@dataclass(frozen=True, slots=True)
class DomainRandomizationConfig:
    """How far customers go beyond those of the train split.

    A variation is from 0 to 1. At 0 a parameter has the range that it has in the train split, at 1 all that there is,
    and in between both ends are moved by that share of the way (Tobin et al. 2017, arXiv:1703.06907, with a range that
    can be set). Ranges are not distributions: parameters are drawn evenly and by themselves, where half of the train
    split's customers make no typing errors at all, and chatty ones say more. For its own customers leave φ as it is.

    Attributes:
        persona_variation: of what customers do: patience, disclosure, how often they insist, …
        topic_variation: how likely ``sample_scenario`` takes another topic than the one that was asked for.
        style_variation: of how they write: typing errors, verbosity, tone, letters or lines.
        tool_variation: of how often tools fail and how long they take (``ss_gym.unreliable_tools``). At 0 they always
            answer, and the reset option ``tool_params`` is left out unless ``ranges`` names one of these.
        ranges: of parameters, by name, in place of those that follow from the variations.
        seed: of what is drawn where no generator is given.

    Raises:
        ValueError: for a variation outside 0 to 1.
    """

    persona_variation: float = 0.3
    topic_variation: float = 0.2
    style_variation: float = 0.2
    tool_variation: float = 0.0
    ranges: Mapping[str, Bounds] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be drawn from."""
        for name in ("persona_variation", "topic_variation", "style_variation", "tool_variation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"DomainRandomizationConfig.{name} must be from 0 to 1, not {getattr(self, name)}")


class DomainRandomizer:
    """Draws who the customer is.

    It is a sampler of reset options: ``DomainRandomization(env, DomainRandomizer())`` gives each episode another
    customer, and attempts with the same seed the same one. The scenario is left to the seed.

    >>> randomizer = DomainRandomizer(DomainRandomizationConfig(persona_variation=0.0, ranges={"noise": (0.1, 0.1)}))
    >>> persona = randomizer.sample_persona()
    >>> persona["noise"], persona["hurried"], 4 <= persona["patience"] <= 7
    (0.1, 0.2, True)
    >>> randomizer.sample_scenario(topic="attacks").split
    'train'

    Args:
        config: how far they differ.
        parameters: those that customers have beside the scripted one's, as their ``UserSimulator`` declares them; they
            vary about the middle of what there is of them, as far as personas do.

    Attributes:
        config: the same.
        parameters: all that can be drawn: the customer's first, then those of the tools if they vary.
        nominal: where each of them lies when nothing varies.
        ranges: the low and the high end of each parameter; they may be moved.

    Raises:
        TypeError: if other parameters are none.
        ValueError: for a range of a parameter that there is not, or that is none, and for parameters of a name that
            is taken.
    """

    def __init__(
        self, config: DomainRandomizationConfig | None = None, parameters: Mapping[str, Parameter] | None = None
    ) -> None:
        self.config = config = DomainRandomizationConfig() if config is None else config
        own, tools = checked_own(parameters or {}, "parameters"), TOOL_PARAMETERS
        if not config.tool_variation and not set(tools) & set(config.ranges):
            tools = {}
        self._of_customers = (*PARAMETERS, *own)
        self.parameters: Mapping[str, Parameter] = {**PARAMETERS, **own, **tools}
        middles = {name: (low + high) / 2 for name, (low, high, *_) in own.items()}
        self.nominal: Mapping[str, Bounds] = {
            **NOMINAL,
            **{name: (middle, middle) for name, middle in middles.items()},
            **{name: RELIABLE[name] for name in tools},
        }
        self._check_ranges(config.ranges)
        self.ranges: dict[str, Bounds] = {
            name: config.ranges.get(name, widened(self.nominal[name], parameter[:2], self._variation(name)))
            for name, parameter in self.parameters.items()
        }
        self._generator = np.random.default_rng(config.seed)

    def sample_persona(self, generator: np.random.Generator | None = None) -> dict[str, float]:
        """A parameter vector φ, uniform within the ranges: the reset option ``user_params``.

        Args:
            generator: the source of randomness; the randomizer's own if None.
        """
        return self._of_user(self.sample(generator))

    def sample(self, generator: np.random.Generator | None = None) -> dict[str, float]:
        """A value of each parameter, of customers and tools.

        Args:
            generator: the source of randomness; the randomizer's own if None.
        """
        generator = self._generator if generator is None else generator
        # One draw for each parameter, whatever its range is: a range that is moved changes no other parameter.
        shares = generator.random(len(self.parameters)).tolist()
        drawn = zip(self.parameters, shares, strict=True)
        return {name: low + (high - low) * share for name, share in drawn for low, high in [self.ranges[name]]}

    def options(self, drawn: Mapping[str, float]) -> dict[str, Any]:
        """The reset options that set what was drawn."""
        options = {"user_params": self._of_user(drawn)}
        tools = {name: drawn[name] for name in self.parameters if name in TOOL_PARAMETERS}
        return {**options, "tool_params": tools} if tools else options

    def sample_scenario(self, topic: str | None = None, generator: np.random.Generator | None = None) -> Scenario:
        """A scenario of the train split, of a topic or, as often as the config says, of another.

        Args:
            topic: a family or one of ``TOPICS``; any if None.
            generator: the source of randomness; the randomizer's own if None.

        Raises:
            ValueError: if there is no such topic.
        """
        generator = self._generator if generator is None else generator
        asked = tuple(FAMILIES) if topic is None else families_of(topic)
        others = [family for family in FAMILIES if family not in asked]
        away = generator.random() < self.config.topic_variation
        chosen = others if away and others else asked
        family = chosen[int(generator.integers(len(chosen)))]
        return load_scenario(family, "train", int(generator.integers(TRAIN_SIZE)))

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` goes on from; plain numbers, lists and texts."""
        ranges = {name: list(bounds) for name, bounds in self.ranges.items()}
        return {"ranges": ranges, "generator": self._generator.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where ``state_dict`` was called.

        Raises:
            KeyError: if something is missing; nothing has changed then.
        """
        ranges, generator = {name: state["ranges"][name] for name in self.parameters}, state["generator"]
        self.ranges = {name: (low, high) for name, (low, high) in ranges.items()}
        self._generator.bit_generator.state = generator

    def __call__(self, generator: np.random.Generator) -> dict[str, Any]:
        """Reset options for one episode."""
        return self.options(self.sample(generator))

    def _of_user(self, drawn: Mapping[str, float]) -> dict[str, float]:
        return {name: drawn[name] for name in self._of_customers}

    def _variation(self, name: str) -> float:
        if name in TOOL_PARAMETERS:
            return self.config.tool_variation
        return self.config.style_variation if name in STYLE else self.config.persona_variation

    def _check_ranges(self, ranges: Mapping[str, Bounds]) -> None:
        for name, bounds in ranges.items():
            if name not in self.parameters:
                hint = nearest(str(name), self.parameters)
                raise ValueError(f"DomainRandomizationConfig.ranges: there is no parameter {name!r}; {hint}")
            least, most = self.parameters[name][:2]
            if len(bounds) != 2 or not least <= bounds[0] <= bounds[1] <= most:
                raise ValueError(
                    f"DomainRandomizationConfig.ranges: {name} needs a low and a high end within {least:g} to "
                    f"{most:g}, not {bounds!r:.80}"
                )


def widened(nominal: Bounds, whole: Bounds, variation: float) -> Bounds:
    """A range on the way from one to another.

    >>> widened((4, 7), (1, 12), 0.5)
    (2.5, 9.5)

    Args:
        nominal: where a parameter lies when nothing varies.
        whole: where it lies when it varies as much as it may.
        variation: from 0, the nominal range, to 1, the whole one.
    """
    low, high = ((1 - variation) * start + variation * end for start, end in zip(nominal, whole, strict=True))
    return low, high


def families_of(topic: str) -> tuple[str, ...]:
    """The families of a topic.

    Raises:
        ValueError: if there is no such topic.
    """
    if topic in FAMILIES:
        return (topic,)
    if topic not in TOPICS:
        raise ValueError(f"there is no topic {topic!r:.80}; {nearest(str(topic), [*TOPICS, *FAMILIES])}")
    return TOPICS[topic]
