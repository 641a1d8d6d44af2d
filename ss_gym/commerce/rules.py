"""The parameters of a shop's written policy, whatever the policy is about.

The rules of a family are a frozen dataclass of integers whose names end in their unit: ``_days``,
``_months``, ``_percent``, ``_cents`` or ``_count``. The policy text calls them by these names, without ``_cents``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Literal, Protocol

from ss_gym.commerce.records import dollars

ToldKind = Literal["days", "months", "percent", "money"]
RuleKind = ToldKind | Literal["count"]
_UNITS: Mapping[str, RuleKind] = {
    "days": "days",
    "months": "months",
    "percent": "percent",
    "cents": "money",
    "count": "count",
}


class PolicyRules(Protocol):
    """What the rules of a family must be: a frozen dataclass of integers, and short names for them.

    Attributes:
        SHORT: what a compact prompt calls each rule, in its order.
        WINDOW: the rule that the ground ``window`` stands for; empty if there is none.

    A family with other grounds that stand for days has ``LIMITS`` too: the name of the rule, by ground.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    SHORT: ClassVar[Mapping[str, str]]
    WINDOW: ClassVar[str]


@cache
def units(rules: type[PolicyRules]) -> Mapping[str, RuleKind]:
    """The unit of each rule, by the name of its field.

    Raises:
        TypeError: if a name does not end in a unit.
    """
    found = {}
    for field in fields(rules):
        unit = _UNITS.get(field.name.rpartition("_")[2])
        if unit is None:
            raise TypeError(f"{rules.__name__}.{field.name} must end in its unit: {', '.join(_UNITS)}")
        found[field.name] = unit
    return found


@cache
def parameter_names(rules: type[PolicyRules]) -> tuple[str, ...]:
    """What the policy text may name: the date, and each rule."""
    return ("today", *(name.removesuffix("_cents") for name in units(rules)))


def parameters(rules: PolicyRules, today: str) -> dict[str, str]:
    """The values that the policy text names, as it writes them."""
    found = {"today": today}
    for name, written, in_cents in _written(type(rules)):
        value = getattr(rules, name)
        found[written] = dollars(value) if in_cents else str(value)
    return found


@cache
def _written(rules: type[PolicyRules]) -> tuple[tuple[str, str, bool], ...]:
    """Each rule: its field, what the policy text calls it, and whether it is in cents."""
    return tuple([(name, name.removesuffix("_cents"), unit == "money") for name, unit in units(rules).items()])


def compact(rules: PolicyRules) -> str:
    """The rules in one line, for a model too small to read a policy."""
    kinds, parts = units(type(rules)), []
    for name, short in rules.SHORT.items():
        value = getattr(rules, name)
        text = dollars(value) if kinds[name] == "money" else f"{value}%" if kinds[name] == "percent" else str(value)
        parts.append(f"{short} {text}")
    return " | ".join(parts)


def typed_values(rules: PolicyRules) -> list[tuple[ToldKind, int]]:
    """Each rule as a typed value that an agent may tell; a count ("twice") is none."""
    return [(unit, getattr(rules, name)) for name, unit in units(type(rules)).items() if unit != "count"]


def window_of(rules: PolicyRules) -> int | None:
    """The days whose passing is the ground ``window``."""
    window: int | None = getattr(rules, rules.WINDOW) if rules.WINDOW else None
    return window


def days_of_grounds(rules: PolicyRules) -> dict[str, int]:
    """The days that grounds stand for: a refusal that names them, however it is worded, is for that ground."""
    limits: Mapping[str, str] = getattr(rules, "LIMITS", {})
    found = {ground: getattr(rules, name) for ground, name in limits.items()}
    window = window_of(rules)
    return found if window is None else {"window": window, **found}
