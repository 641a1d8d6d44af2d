"""A family's ``family.yaml``: the ranges of its rules and dates, its kinds of case and the notes on orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Any

from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.scenarios import SPLITS
from ss_gym.spelling import nearest

FILE = "family.yaml"
_KEYS = ("tools", "transfers", "rules", "today", "kinds", "notes")

# The least and the greatest value that a rule may have.
Bounds = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The checked content of a ``family.yaml``.

    Attributes:
        tools: the tools of the shop that the agent has, in this order.
        transfers: the reasons for which it may hand a conversation over.
        rules: the values of each rule by split and name.
        today: the first and the last logical date of each split, as ordinals.
        kinds: the weight of each kind of case among the pairs.
        notes: what stands on some orders; empty in a family without orders.
    """

    tools: tuple[str, ...]
    transfers: tuple[str, ...]
    rules: Mapping[str, Mapping[str, tuple[int, ...]]]
    today: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, float]
    notes: tuple[str, ...]


def read_parameters(family: str, rules: Mapping[str, Bounds], kinds: Collection[str]) -> Parameters:
    """Reads and checks the parameters of a family.

    Args:
        family: the family's name.
        rules: the rules that the family draws, and what their values may be.
        kinds: the kinds of case that it can make, each of which must have a weight.

    Raises:
        ValueError: the file is broken; names the file, the line and the field.
    """
    weights = kind_weights(family)
    data = _mapping(family, (), _KEYS, read_yaml(family, FILE))
    _mapping(family, ("kinds",), kinds, weights)
    values = {
        name: _by_split(family, ("rules", name), group, rules[name])
        for name, group in _mapping(family, ("rules",), tuple(rules), data["rules"]).items()
    }
    return Parameters(
        tools=_texts(family, "tools", data["tools"]),
        transfers=_texts(family, "transfers", data["transfers"]),
        rules={split: {name: values[name][split] for name in values} for split in SPLITS},
        today={
            split: _dates(family, ("today", split), bounds)
            for split, bounds in _mapping(family, ("today",), SPLITS, data["today"]).items()
        },
        kinds=weights,
        notes=_texts(family, "notes", data["notes"], may_be_empty=True),
    )


def kind_weights(family: str) -> Mapping[str, float]:
    """The weight of each kind of case of a family, from its ``family.yaml``.

    Raises:
        ValueError: they are missing or broken; names the file, the line and the field.
    """
    data = read_yaml(family, FILE)
    kinds = data.get("kinds") if isinstance(data, dict) else None
    if not isinstance(kinds, dict) or not kinds:
        raise field_error(
            family, FILE, ("kinds",), f"expected a mapping of kinds of case to weights, got {kinds!r:.80}"
        )
    for name, weight in kinds.items():
        if type(weight) not in (int, float) or not isfinite(weight) or weight <= 0:
            raise field_error(family, FILE, ("kinds", name), f"expected a positive weight, got {weight!r:.80}")
    return kinds


def _mapping(family: str, field: tuple[str | int, ...], keys: Collection[str], data: Any) -> Mapping[str, Any]:
    """The data, if it is a mapping with exactly these keys."""
    if not isinstance(data, dict):
        raise field_error(family, FILE, field, f"expected a mapping with {', '.join(keys)}, got {data!r:.80}")
    # A mistyped key is reported where it stands, before the one that is missing for it.
    for name in data:
        if name not in keys:
            raise field_error(family, FILE, (*field, name), f"is not known; {nearest(name, keys)}")
    for key in keys:
        if key not in data:
            raise field_error(family, FILE, (*field, key), "is missing")
    return data


def _texts(family: str, field: str, values: Any, may_be_empty: bool = False) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(values, list) or not (values or may_be_empty):
        raise field_error(family, FILE, (field,), f"expected a list of texts, got {values!r:.80}")
    for place, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise field_error(family, FILE, (field, place), f"expected a text, got {value!r:.80}")
        if value in values[:place]:
            raise field_error(family, FILE, (field, place), f"{value!r} stands there twice")
    return tuple(values)


def _by_split(family: str, field: tuple[str | int, ...], group: Any, bounds: Bounds) -> dict[str, tuple[int, ...]]:
    """The values of one rule in each split."""
    low, high = bounds
    for split, values in _mapping(family, field, SPLITS, group).items():
        if not isinstance(values, list) or not values:
            raise field_error(family, FILE, (*field, split), f"expected a list of integers, got {values!r:.80}")
        for place, value in enumerate(values):
            if type(value) is not int or not low <= value <= high:
                problem = f"expected an integer from {low} to {high}, got {value!r:.80}"
                raise field_error(family, FILE, (*field, split, place), problem)
    return {split: tuple(values) for split, values in group.items()}


def _dates(family: str, field: tuple[str | int, ...], bounds: Any) -> tuple[int, int]:
    """The first and the last day of a split."""
    expected = 'expected the first and the last date, as ["2025-01-31", "2025-06-30"]'
    if not isinstance(bounds, list) or len(bounds) != 2 or not all(isinstance(text, str) for text in bounds):
        raise field_error(family, FILE, field, f"{expected}, got {bounds!r:.80}")
    try:
        first, last = (date.fromisoformat(text).toordinal() for text in bounds)
    except ValueError as error:
        raise field_error(family, FILE, field, f"{expected}: {error}") from error
    if first > last:
        raise field_error(family, FILE, field, f"{expected}; {bounds[0]} is after {bounds[1]}")
    return first, last
