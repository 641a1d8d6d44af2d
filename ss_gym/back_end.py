"""What stands behind an environment's tools: a database that can be opened, changed, audited and undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from ss_gym.tools import Tool
from ss_gym.types import ToolCall, ToolResult

if TYPE_CHECKING:
    from ss_gym.scenarios import Scenario

# One normalised change: what kind, of what, to what; see ``ss_gym.commerce.records.Effect``.
Change = tuple[str | int, ...]


class ServiceTools(Protocol):
    """The tools of one conversation."""

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Each by its name; its kind tells whether it reads, writes or ends the conversation."""
        ...

    @property
    def verified_customer(self) -> str | None:
        """The customer who passed verification last, or None."""
        ...

    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call; whatever the agent wrote, this returns a result."""
        ...


class BackEnd(Protocol):
    """The back end of one environment. It may move between threads, but serves one at a time."""

    def begin(self, scenario: Scenario) -> ServiceTools:
        """Forgets the last episode and opens the world of a scenario."""
        ...

    def effects(self) -> frozenset[Change]:
        """What the tools changed since ``begin``, normalised."""
        ...

    def record_consent(self, verb: str, items: Iterable[str], amount_cents: int, step: int) -> None:
        """Keeps what the customer agreed to, for audits."""
        ...

    def integrity_errors(self) -> list[str]:
        """What contradicts itself in the data; empty when all is well."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
