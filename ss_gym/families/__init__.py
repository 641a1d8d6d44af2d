"""Families of tasks: one generator module each, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from ss_gym.commerce.rules import PolicyRules
from ss_gym.scenarios import Scenario
from ss_gym.tools import Tool

# Name -> "module:function that makes it"; packages add theirs by the entry-point group "ss_gym.families".
FAMILIES = {
    "cancel": "ss_gym.families.cancel:make",
    "order_status": "ss_gym.families.order_status:make",
    "refund": "ss_gym.families.refund:make",
}


class Family(Protocol):
    """Draws the scenarios of one kind of task.

    Attributes:
        name: what it and its folder are called.
        rules: the class of the shop's parameters.
        tools: the tools that the agent has, by name.
    """

    name: str
    rules: type[PolicyRules]
    tools: Mapping[str, Tool]

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the seed of its pair."""
        ...


@cache
def load_family(name: str) -> Family:
    """The family of that name, one instance a process.

    Raises:
        ValueError: there is no such family; names the nearest.
    """
    found = {entry.name: entry.value for entry in entry_points(group="ss_gym.families")} | FAMILIES
    if name not in found:
        near = get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(found))}"
        raise ValueError(f"unknown family {name!r}: {hint}")
    module, _, attribute = found[name].partition(":")
    family: Family = getattr(import_module(module), attribute)()
    return family
