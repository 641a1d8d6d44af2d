"""The library's database as the back end of an environment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, cast

from acme_library.records import LibraryRules, World
from acme_library.tools import LibraryTools
from ss_gym.back_end import Change
from ss_gym.scenarios import Scenario
from ss_gym.tools import Tool

# The key of each table that the tools may change, and of those that they may not.
_KEYS: Mapping[str, int] = {
    **dict.fromkeys(("members", "books", "loans", "fines", "payments", "tickets"), 1),
    "reservations": 2,
}
_Tables = dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]


class LibraryBackEnd:
    """One environment's database in memory. Worlds are small, so each is compared with itself as it was.

    Args:
        tools: those that agents have.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        # An application may make an environment in one thread and step it in another.
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.executescript(files("acme_library").joinpath("schema.sql").read_text(encoding="utf-8"))
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._before: _Tables = {}

    def begin(self, scenario: Scenario) -> LibraryTools:
        """Forgets the last episode and opens the world of a scenario."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN")
        for table, rows in zip(World._fields, scenario.world, strict=True):
            if rows:
                self._connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
        self._before = self._read()
        return LibraryTools(self._connection, cast(LibraryRules, scenario.rules), scenario.today, self._tools)

    def effects(self) -> frozenset[Change]:
        """What changed since ``begin``: renewed loans, paid fines, tickets; anything else is ``other``."""
        found: set[Change] = set()
        after = self._read()
        for table, rows in after.items():
            before = self._before[table]
            for key in before.keys() | rows.keys():
                old, new = before.get(key), rows.get(key)
                if old != new:
                    found.add(_effect(table, key, old, new))
        return frozenset(found)

    def record_consent(self, verb: str, items: Iterable[str], amount_cents: int, step: int) -> None:
        """Keeps what the member agreed to."""
        values = (verb, " ".join(sorted(items)), amount_cents, step)
        self._connection.execute("INSERT INTO consents (verb, loans, amount_cents, step) VALUES (?, ?, ?, ?)", values)

    def integrity_errors(self) -> list[str]:
        """What contradicts itself in the database; empty when all is well."""
        errors = [f"{row[0]} {row[1]}: no such row in {row[2]}" for row in self._rows("PRAGMA foreign_key_check")]
        paid = "SELECT loan_id FROM fines LEFT JOIN payments USING (loan_id) WHERE status = 'unpaid' AND payment_id"
        errors += [f"the fine on {loan} was paid and is unpaid" for (loan,) in self._rows(paid)]
        waiting = "SELECT loan_id FROM loans JOIN reservations USING (book_id, member_id)"
        return errors + [f"the reader of {loan} waits for the same book" for (loan,) in self._rows(waiting)]

    def close(self) -> None:
        """Frees the database."""
        self._connection.close()

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def _read(self) -> _Tables:
        return {table: {row[:key]: row for row in self._rows(f"SELECT * FROM {table}")} for table, key in _KEYS.items()}


def _effect(table: str, key: tuple[Any, ...], old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> Change:
    """One changed row, normalised."""
    remedy = _REMEDIES.get(table)
    if remedy is not None and new is not None and (effect := remedy(old, new)):
        return effect
    operation = "INSERT" if old is None else "DELETE" if new is None else "UPDATE"
    return ("other", table, operation, "/".join(map(str, key)))


def _renewed(old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> Change | None:
    """A loan whose date and count were changed by one renewal."""
    if old is None or (*old[:4], old[5] + 1, old[6]) != (*new[:4], *new[5:]):
        return None
    return ("loan", new[0], new[4])


def _settled(old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> Change | None:
    return ("fine", new[0], new[2]) if old is not None and old[:2] == new[:2] else None


def _paid(old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> Change | None:
    return ("payment", new[1], new[2]) if old is None else None


def _handed_over(old: tuple[Any, ...] | None, new: tuple[Any, ...]) -> Change | None:
    return ("ticket", new[1]) if old is None else None


_REMEDIES: Mapping[str, Callable[[tuple[Any, ...] | None, tuple[Any, ...]], Change | None]] = {
    "loans": _renewed,
    "fines": _settled,
    "payments": _paid,
    "tickets": _handed_over,
}
