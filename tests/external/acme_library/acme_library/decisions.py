"""The written policy as code: from the facts in the database to the one right end of a conversation."""

from __future__ import annotations

from datetime import date

from acme_library.records import LibraryRules, LoanFacts, day
from ss_gym.back_end import Change
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Outcome


def grounds_against(loan: LoanFacts, rules: LibraryRules) -> tuple[str, ...]:
    """Every reason that stands against a renewal, in the order of the policy; empty if the loan is renewed."""
    found = {
        "unpaid_fine": loan.fine_cents > rules.fine_limit_cents,
        "overdue": loan.days_overdue > rules.overdue_limit_days,
        "already_renewed": loan.renewals >= rules.renewal_count,
        "reserved": loan.reserved,
    }
    return tuple([ground for ground, stands in found.items() if stands])


def compile_outcome(loan: LoanFacts | None, member_id: str | None, rules: LibraryRules, today: str) -> Outcome:
    """The right end of a request to renew a loan.

    Args:
        loan: the loan, or None if there is no such loan.
        member_id: who asks; None if they can't be verified.
        rules: the library's parameters.
        today: ISO date.
    """
    if member_id is None:
        return refusal("not_verified")
    if loan is None or loan.member_id != member_id:
        return refusal("not_found")
    if loan.collection == "special":
        return transfer("special_collection")
    subject, against = frozenset({loan.loan_id}), grounds_against(loan, rules)
    if not against:
        days = rules.short_loan_days if loan.collection == "short_loan" else rules.renewal_days
        due_on = day(date.fromisoformat(today).toordinal() + days)
        effects = frozenset({("loan", loan.loan_id, due_on)})
        return Outcome("renew", effects, (), (Fact("date", due_on, "due_date"),), (DueConsent("renew", subject, 0),))
    grounds = (frozenset(against),)
    if against[0] == "unpaid_fine":
        fine = loan.fine_cents
        paid: frozenset[Change] = frozenset({("fine", loan.loan_id, "paid"), ("payment", loan.loan_id, fine)})
        consents = (DueConsent("pay_fine", subject, fine),)
        return Outcome("pay_fine", paid, grounds, (Fact("money", fine, "fine"),), consents)
    facts = (Fact("date", loan.due_on, "due_date"),) if against[0] == "reserved" else ()
    return Outcome("refuse", frozenset(), grounds, facts, ())
