"""The shop as the back end of an environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from ss_gym.commerce.records import Effect, World
from ss_gym.commerce.store import Store
from ss_gym.commerce.toolkit import CommerceToolkit
from ss_gym.scenarios import Scenario
from ss_gym.tools import Tool


class CommerceBackEnd:
    """The database of a split's shop, and its tools.

    Args:
        split: whose catalogue it holds: train, dev or test.
        policy: the family whose policy its tools tell.
        tools: the tools that agents have.
    """

    def __init__(self, split: str, policy: str, tools: Mapping[str, Tool]) -> None:
        self._store = Store(split)
        self._policy, self._tools = policy, tools

    def begin(self, scenario: Scenario) -> CommerceToolkit:
        """Forgets the last episode and opens the world of a scenario."""
        self._store.open(cast(World, scenario.world), scenario.today)
        return CommerceToolkit(self._store, scenario.rules, family=self._policy, tools=self._tools)

    def effects(self) -> frozenset[Effect]:
        """What the tools changed since ``begin``, normalised."""
        return self._store.effects()

    def record_consent(self, verb: str, items: Iterable[str], amount_cents: int, step: int) -> None:
        """Keeps what the customer agreed to."""
        self._store.record_consent(verb, items, amount_cents, step)

    def integrity_errors(self) -> list[str]:
        """What contradicts itself in the database; empty when all is well. It reads the whole database."""
        return self._store.integrity_errors()

    def close(self) -> None:
        """Frees the database."""
        self._store.close()
