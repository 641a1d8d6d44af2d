"""The kinds of case at the library's desk: who asks for which loan, and the one fact that a twin has otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from acme_library.records import LibraryRules, LoanFacts, Member, World, day
from ss_gym.streams import Stream

_NOTED = 0.08  # share of the loans with a note on them
MOST_OVER = 12  # days beyond the limit that a loan is overdue


@dataclass(frozen=True, slots=True)
class LoanDraft:
    """A loan being drawn; its book has the same number.

    Attributes:
        loan_id: five digits.
        owner: who has borrowed it.
        title: of the book.
        collection: of the book.
        days_lent: how long ago it was lent.
        days_left: until it is due; negative if it is overdue.
        renewals: so far.
        fine_cents: unpaid; 0 if there is none.
        waiting: who waits for the book, if anybody does.
        note: what somebody wrote on it; empty if nobody did.
    """

    loan_id: str
    owner: Member
    title: str
    collection: str
    days_lent: int
    days_left: int
    renewals: int
    fine_cents: int = 0
    waiting: Member | None = None
    note: str = ""

    def facts(self, today: int) -> LoanFacts:
        """The loan as the policy sees it."""
        return LoanFacts(
            self.loan_id,
            self.owner.member_id,
            self.collection,
            day(today + self.days_left),
            -self.days_left,
            self.renewals,
            self.waiting is not None,
            self.fine_cents,
        )


class Flips(NamedTuple):
    """What a twin has otherwise, drawn with the case so that a flip draws nothing itself."""

    days_overdue: int
    fine_cents: int


@dataclass(slots=True)
class Case:
    """One case being drawn.

    Attributes:
        stream: what it is drawn from.
        rules: the library's parameters.
        today: as an ordinal.
        member: who asks.
        stranger: another member.
        loan: the loan that the member means; None if there is no such loan.
        flips: see there.
        others: other loans of theirs and of the stranger.
        said_loan_id: the number that the member gives; empty if they have none.
        said_postal_code: likewise.
    """

    stream: Stream
    rules: LibraryRules
    today: int
    member: Member
    stranger: Member
    loan: LoanDraft | None
    flips: Flips
    others: list[LoanDraft]
    said_loan_id: str = ""
    said_postal_code: str = field(init=False)

    def __post_init__(self) -> None:
        self.said_postal_code = self.member.postal_code

    def change_loan(self, **changes: Any) -> None:
        """Gives the loan other facts."""
        assert self.loan is not None
        self.loan = replace(self.loan, **changes)

    def world(self) -> World:
        """The rows of this world."""
        loans = [*([self.loan] if self.loan else []), *self.others]
        return World(
            members=(self.member, self.stranger),
            books=tuple([(f"B{loan.loan_id}", loan.title, loan.collection) for loan in loans]),
            loans=tuple([_row(loan, self.today) for loan in loans]),
            reservations=tuple(
                [(f"B{each.loan_id}", each.waiting.member_id, day(self.today - 1)) for each in loans if each.waiting]
            ),
            fines=tuple([(loan.loan_id, loan.fine_cents, "unpaid") for loan in loans if loan.fine_cents]),
        )


def _row(loan: LoanDraft, today: int) -> tuple[str, str, str, str, str, int, str]:
    lent_on, due_on = day(today - loan.days_lent), day(today + loan.days_left)
    return loan.loan_id, loan.owner.member_id, f"B{loan.loan_id}", lent_on, due_on, loan.renewals, loan.note


def draw_loan(stream: Stream, loan_id: str, owner: Member, title: str, rules: LibraryRules, note: str) -> LoanDraft:
    """A loan that can be renewed, now and then at the very limit of a rule."""
    late = rules.overdue_limit_days
    return LoanDraft(
        loan_id=loan_id,
        owner=owner,
        title=title,
        collection="general",
        days_lent=stream.between(late + MOST_OVER + 1, late + 60),
        days_left=-late if stream.chance(0.1) else stream.between(-late, 9),
        renewals=rules.renewal_count - 1 if stream.chance(0.3) else stream.below(rules.renewal_count),
        note=note if stream.chance(_NOTED) else "",
    )


# --- kinds ------------------------------------------------------------------------------------------


def _nothing_special(case: Case) -> None:
    """A loan, and nothing that stands against its renewal."""


def _small_fine(case: Case) -> None:
    """A fine that does not stand against the renewal, now and then at the limit."""
    limit = case.rules.fine_limit_cents
    case.change_loan(fine_cents=limit if case.stream.chance(0.2) else case.stream.between(1, limit // 10) * 10)


def _misremembered(case: Case) -> None:
    """The member has one of the last digits wrong, which makes it the number of no loan: the first two tell."""
    digits = list(case.said_loan_id)
    place = case.stream.between(2, 4)
    digits[place] = str((int(digits[place]) + case.stream.between(1, 9)) % 10)
    case.said_loan_id = "".join(digits)


def _no_number(case: Case) -> None:
    """The member does not know the number, and there is a small fine."""
    _small_fine(case)
    case.said_loan_id = ""


def _in_collection(name: str) -> Callable[[Case], None]:
    return lambda case: case.change_loan(collection=name)


def _reserved(case: Case) -> None:
    case.change_loan(waiting=case.stranger)


def _renewed_often(case: Case) -> None:
    case.change_loan(renewals=case.rules.renewal_count)


def _overdue(case: Case) -> None:
    case.change_loan(days_left=-case.flips.days_overdue)


def _fined(case: Case) -> None:
    case.change_loan(fine_cents=case.flips.fine_cents)


def _somebody_elses(case: Case) -> None:
    case.change_loan(owner=case.stranger)


def _not_there(case: Case) -> None:
    case.loan = None


def _lives_elsewhere(case: Case) -> None:
    """The account has another postal code than the member tells."""
    moved = case.member._replace(postal_code=case.stranger.postal_code)
    case.others = [replace(loan, owner=moved) if loan.owner == case.member else loan for loan in case.others]
    case.change_loan(owner=moved)
    case.member = moved


class Kind(NamedTuple):
    """A kind of case: what makes it, what its twin has otherwise, and the verdicts of both."""

    name: str
    make: Callable[[Case], None]
    flip: Callable[[Case], None]
    ends: tuple[str, str]


_REFUSED = ("renew", "refuse")
KINDS = (
    Kind("reserved", _nothing_special, _reserved, _REFUSED),
    Kind("renewed_often", _nothing_special, _renewed_often, _REFUSED),
    Kind("overdue", _nothing_special, _overdue, _REFUSED),
    Kind("foreign_loan", _nothing_special, _somebody_elses, _REFUSED),
    Kind("missing_loan", _nothing_special, _not_there, _REFUSED),
    Kind("unverified", _nothing_special, _lives_elsewhere, _REFUSED),
    Kind("fine", _small_fine, _fined, ("renew", "pay_fine")),
    Kind("special", _nothing_special, _in_collection("special"), ("renew", "transfer")),
    Kind("short_loan", _nothing_special, _in_collection("short_loan"), ("renew", "renew")),
    Kind("wrong_number", _misremembered, _in_collection("short_loan"), ("renew", "renew")),
    Kind("unknown_number", _no_number, _fined, ("renew", "pay_fine")),
)
# Kinds whose member must give the right number, since the account holds nothing to find the loan by.
NUMBER_GIVEN = frozenset(("foreign_loan", "missing_loan", "wrong_number"))
