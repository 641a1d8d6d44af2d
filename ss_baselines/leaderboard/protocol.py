"""What an agent plays to be ranked: which episodes, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym

from ss_gym.families import import_packages
from ss_gym.families.splits import split_size
from ss_gym.scenarios import SPLITS, scenario_id

ENVIRONMENTS = tuple(
    f"StateSet/{name}-v0"
    for name in (
        "Refund",
        "Exchange",
        "Cancel",
        "OrderStatus",
        "AddressChange",
        "Warranty",
        "Subscription",
        "Retail",
        "Adversarial",
    )
)

_MOST_TRIALS = 100


class EpisodeKey(NamedTuple):
    """One episode of a protocol.

    Attributes:
        env_id: the environment.
        scenario_id: the scenario.
        trial: which attempt, from 0; it is the customer's ``user_seed``, so that each has other words and noise.
    """

    env_id: str
    scenario_id: str
    trial: int

    @property
    def options(self) -> dict[str, Any]:
        """What ``reset`` is given."""
        return {"scenario_id": self.scenario_id, "user_seed": self.trial}

    def __str__(self) -> str:
        """As messages call it."""
        return f"{self.scenario_id}, trial {self.trial}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The episodes that a submission must have: all of them, none else, in this order.

    Attributes:
        environments: the ids.
        pairs: how many pairs of each, from the first of the split: a scenario and its counterfactual twin.
        trials: attempts at each scenario, with other words and noise of the same customer.
        split: ``"test"``, or ``"dev"`` to try things out.

    Raises:
        ValueError: if there is no such thing to play.
    """

    environments: tuple[str, ...] = ENVIRONMENTS
    pairs: int = 300
    trials: int = 4
    split: str = "test"

    def __post_init__(self) -> None:
        """Makes sure that the episodes are there."""
        if self.pairs < 1 or not 1 <= self.trials <= _MOST_TRIALS:
            told = f"{self.pairs!r:.40} and {self.trials!r:.40}"
            raise ValueError(f"pairs must be at least 1 and trials from 1 to {_MOST_TRIALS}, got {told}")
        if self.split not in SPLITS or self.split == "train":
            raise ValueError(
                f"agents are ranked on the split test, or dev to try things out, not on {self.split!r:.80}"
            )
        if not self.environments or len(set(self.environments)) < len(self.environments):
            raise ValueError("a protocol has environments, each of them once")
        families = [family_name(env_id) for env_id in self.environments]
        if len(set(families)) < len(families):
            raise ValueError("two of the environments have the same scenarios")
        for env_id in self.environments:
            there = split_size(family_name(env_id), self.split) // 2
            if self.pairs > there:
                raise ValueError(f"{self.split} of {env_id} has {there} pairs, not {self.pairs}")

    @property
    def standard(self) -> bool:
        """Whether it is the one that ranks are given for: 300 pairs of the split test, 4 trials."""
        return (self.pairs, self.trials, self.split) == (300, 4, "test")

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self.environments) * 2 * self.pairs * self.trials

    def episodes(self, env_id: str) -> Iterator[EpisodeKey]:
        """Those of one environment."""
        family = family_name(env_id)
        for number in range(2 * self.pairs):
            for trial in range(self.trials):
                yield EpisodeKey(env_id, scenario_id(family, self.split, number), trial)

    def __iter__(self) -> Iterator[EpisodeKey]:
        """All episodes."""
        for env_id in self.environments:
            yield from self.episodes(env_id)

    def to_json(self) -> dict[str, Any]:
        """It as a JSON object."""
        return {**asdict(self), "environments": list(self.environments)}

    @classmethod
    def from_json(cls, value: Any) -> Protocol:
        """It from a JSON object.

        Raises:
            ValueError: if that is none.
        """
        names = {"environments", "pairs", "trials", "split"}
        if not isinstance(value, Mapping) or set(value) != names:
            raise ValueError(f"protocol must have {', '.join(sorted(names))}")
        environments = value["environments"]
        if not isinstance(environments, list) or not all(isinstance(env_id, str) for env_id in environments):
            raise ValueError("protocol.environments must be a list of ids")
        for name in ("pairs", "trials"):
            if type(value[name]) is not int:
                raise ValueError(f"protocol.{name} must be an integer, got {value[name]!r:.80}")
        if not isinstance(value["split"], str):
            raise ValueError("protocol.split must be a string")
        return cls(tuple(environments), value["pairs"], value["trials"], value["split"])


@cache
def family_name(env_id: str) -> str:
    """The family that an environment plays.

    Raises:
        ValueError: if there is no such environment, or it has no lists of scenarios.
    """
    import_packages()
    spec = gym.registry.get(env_id)
    if spec is None:
        raise ValueError(
            f"there is no environment {env_id!r:.80}; those that agents are ranked on: {', '.join(ENVIRONMENTS)}"
        )
    family = spec.kwargs.get("family")
    if not isinstance(family, str) or "Discrete" in env_id:
        raise ValueError(f"{env_id} has no conversations whose scores can be compared; take {', '.join(ENVIRONMENTS)}")
    return family
