"""What the library keeps: the rows of a world, a loan as the policy sees it, and the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, NamedTuple

COLLECTIONS = ("general", "short_loan", "special")


@dataclass(frozen=True, slots=True)
class LibraryRules:
    """The parameters of one library's policy on renewals.

    Attributes:
        renewal_days: a renewal runs this many days from today.
        short_loan_days: that of a book of the short loan collection, this many.
        renewal_count: a loan is renewed this often.
        overdue_limit_days: a loan is renewed up to this many days after it was due.
        fine_limit_cents: an unpaid fine above this comes first.
    """

    renewal_days: int
    short_loan_days: int
    renewal_count: int
    overdue_limit_days: int
    fine_limit_cents: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "renewal_days": "renewal",
        "short_loan_days": "short",
        "renewal_count": "times",
        "overdue_limit_days": "overdue",
        "fine_limit_cents": "fine",
    }
    WINDOW: ClassVar[str] = ""


class Member(NamedTuple):
    """An account."""

    member_id: str
    name: str
    email: str
    postal_code: str


class World(NamedTuple):
    """The rows of one scenario: a tuple of rows a table, in the order of the schema."""

    members: tuple[Member, ...]
    books: tuple[tuple[str, str, str], ...]  # book_id, title, collection
    loans: tuple[tuple[str, str, str, str, str, int, str], ...]
    # loan_id, member_id, book_id, lent_on, due_on, renewals, note
    reservations: tuple[tuple[str, str, str], ...]  # book_id, member_id, made_on
    fines: tuple[tuple[str, int, str], ...]  # loan_id, amount_cents, status


class LoanFacts(NamedTuple):
    """A loan as the policy sees it; ``days_overdue`` is negative before the day on which it is due."""

    loan_id: str
    member_id: str
    collection: str
    due_on: str
    days_overdue: int
    renewals: int
    reserved: bool
    fine_cents: int


def day(ordinal: int) -> str:
    """The ISO date of a proleptic Gregorian ordinal."""
    return date.fromordinal(ordinal).isoformat()


def days_between(first: str, last: str) -> int:
    """Whole days from one ISO date to another."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def plain(postal_code: str) -> str:
    """A postal code without what people write differently."""
    return "".join(postal_code.split()).lower()
