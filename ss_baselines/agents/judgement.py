"""What the written policy gives, worked out by an agent from the facts it has read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ss_gym.dialogue.case import Case, Line

FAULTS = frozenset(("damaged", "wrong_item", "defective"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line gets.

    Attributes:
        line: the line.
        remedy: refund, store_credit, exchange or none.
        ground: why it is not refunded; empty for a refund.
        reason: what the refund counts as: a fault reported too late counts as a change of mind.
    """

    line: Line
    remedy: str
    ground: str = ""
    reason: str = "changed_mind"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a request gets: a transfer, one ground against all of it, or a verdict a line."""

    transfer: str = ""
    ground: str = ""
    verdicts: tuple[Verdict, ...] = ()


Judge = Callable[[Case], Ruling]


def judge_by_policy(case: Case) -> Ruling:
    """The right ruling for the order and the lines that were found."""
    order = case.order
    if order is None:
        return Ruling(ground="not_found")
    if order.days is None:
        return Ruling(ground="not_delivered")
    if case.reason == "not_received" and any(line.status == "ordered" for line in case.wanted):
        return Ruling(transfer="delivery_dispute")
    return Ruling(verdicts=tuple(judge_line(case, line, order.days) for line in case.wanted))


def judge_line(case: Case, line: Line, days: int) -> Verdict:
    """The right verdict on a line of an order delivered ``days`` ago."""
    terms = case.terms
    if line.status != "ordered":
        return Verdict(line, "none", "already_refunded")
    if line.category == "gift_card":
        return Verdict(line, "none", "gift_card_item")
    if case.reason in FAULTS and days <= terms.damage_window_days:
        return Verdict(line, "refund", reason=case.reason)
    if line.final_sale:
        return Verdict(line, "exchange" if days <= terms.return_window_days else "none", "final_sale")
    if days <= terms.return_window_days:
        return Verdict(line, "refund")
    return Verdict(line, "store_credit" if days <= terms.credit_window_days else "none", "window")
