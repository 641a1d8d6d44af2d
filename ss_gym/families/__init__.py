"""Families of tasks: one generator module each, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from ss_gym.back_end import BackEnd
from ss_gym.commerce.rules import PolicyRules
from ss_gym.scenarios import Scenario
from ss_gym.tools import Tool
from ss_gym.users.values import Inventory

# Name -> "module:function that makes it"; packages add theirs by the entry-point group "ss_gym.families".
FAMILIES = {
    "adversarial": "ss_gym.families.adversarial:make",
    "address_change": "ss_gym.families.address_change:make",
    "cancel": "ss_gym.families.cancel:make",
    "exchange": "ss_gym.families.exchange:make",
    "order_status": "ss_gym.families.order_status:make",
    "refund": "ss_gym.families.refund:make",
    "retail": "ss_gym.families.retail:make",
    "warranty": "ss_gym.families.warranty:make",
    "subscription": "ss_gym.families.subscription:make",
}


class Family(Protocol):
    """Draws the scenarios of one kind of task.

    Attributes:
        name: what it and its folder are called.
        policy: the family whose policy and lexicon it has: its own as a rule.
        rules: the class of the shop's parameters.
        tools: the tools that the agent has, by name.
    """

    name: str
    policy: str
    rules: type[PolicyRules]
    tools: Mapping[str, Tool]

    def open(self, split: str) -> BackEnd:
        """A new back end for an environment that plays scenarios of a split."""
        ...

    def inventory(self, scenario: Scenario) -> Inventory:
        """The typed values that an agent may meet in a scenario, by whose they are."""
        ...

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the seed of its pair."""
        ...


@cache
def import_packages() -> None:
    """Imports every package that brings a family, which registers the ids of its environments.

    ``gymnasium.make("package:Name/Id-v0")`` imports the one package by itself; this is for lists of ids, and for ids
    that are given without a package.

    Raises:
        ImportError: a package can't be imported; names it and the family.
    """
    for entry in entry_points(group="ss_gym.families"):
        package = entry.module.partition(".")[0]
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(f"the package {package} of the family {entry.name} can't be imported: {error}") from error


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
