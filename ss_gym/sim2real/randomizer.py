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
from ss_gym.users.parameters import PARAMETERS

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
        ranges: of parameters, by name, in place of those that follow from the variations.
        seed: of what is drawn where no generator is given.

    Raises:
        ValueError: for a variation outside 0 to 1, an unknown parameter, or a range that is none.
    """

    persona_variation: float = 0.3
    topic_variation: float = 0.2
    style_variation: float = 0.2
    ranges: Mapping[str, Bounds] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be drawn from."""
        for name in ("persona_variation", "topic_variation", "style_variation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"DomainRandomizationConfig.{name} must be from 0 to 1, not {getattr(self, name)}")
        for name, bounds in self.ranges.items():
            if name not in PARAMETERS:
                hint = nearest(str(name), PARAMETERS)
                raise ValueError(f"DomainRandomizationConfig.ranges: customers have no parameter {name!r}; {hint}")
            least, most = PARAMETERS[name][:2]
            if len(bounds) != 2 or not least <= bounds[0] <= bounds[1] <= most:
                raise ValueError(
                    f"DomainRandomizationConfig.ranges: {name} needs a low and a high end within {least:g} to "
                    f"{most:g}, not {bounds!r:.80}"
                )


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

    Attributes:
        config: the same.
        ranges: the low and the high end of each parameter; they may be moved.
    """

    def __init__(self, config: DomainRandomizationConfig | None = None) -> None:
        self.config = config = DomainRandomizationConfig() if config is None else config
        variations = {
            name: config.style_variation if name in STYLE else config.persona_variation for name in PARAMETERS
        }
        self.ranges: dict[str, Bounds] = {
            name: config.ranges.get(name, widened(name, variation)) for name, variation in variations.items()
        }
        self._generator = np.random.default_rng(config.seed)

    def sample_persona(self, generator: np.random.Generator | None = None) -> dict[str, float]:
        """A parameter vector φ, uniform within the ranges: the reset option ``user_params``.

        Args:
            generator: the source of randomness; the randomizer's own if None.
        """
        generator = self._generator if generator is None else generator
        # One draw for each parameter, whatever its range is: a range that is moved changes no other parameter.
        shares = generator.random(len(PARAMETERS)).tolist()
        drawn = zip(PARAMETERS, shares, strict=True)
        return {name: low + (high - low) * share for name, share in drawn for low, high in [self.ranges[name]]}

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
        ranges, generator = {name: state["ranges"][name] for name in PARAMETERS}, state["generator"]
        self.ranges = {name: (low, high) for name, (low, high) in ranges.items()}
        self._generator.bit_generator.state = generator

    def __call__(self, generator: np.random.Generator) -> dict[str, Any]:
        """Reset options for one episode."""
        return {"user_params": self.sample_persona(generator)}


def widened(name: str, variation: float) -> Bounds:
    """The range of a parameter, between that of the train split and all that there is.

    >>> widened("tangents", 0.3), widened("patience", 1.0)
    ((0.0, 0.3), (1.0, 12.0))

    Args:
        name: of the parameter.
        variation: from 0, the train split's, to 1, the whole range.
    """
    (low, high), (least, most) = NOMINAL[name], PARAMETERS[name][:2]
    return low + variation * (least - low), high + variation * (most - high)


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
