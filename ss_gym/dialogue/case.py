"""What a scripted agent knows about the conversation it is in, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


def cents(text: str) -> int:
    """Integer cents of an amount as the tools write it.

    >>> cents("24.05")
    2405
    """
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int(f"{part}00"[:2])


def dollars(amount: int) -> str:
    """An amount as the customer reads it.

    >>> dollars(2405)
    '$24.05'
    """
    return f"${amount // 100}.{amount % 100:02d}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order; ``status`` is ordered, refunded, credited, exchanged or cancelled."""

    item_id: str
    title: str
    price: int
    category: str
    final_sale: bool
    status: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the tools show it.

    Attributes:
        order_id: its number.
        customer_id: whose it is.
        status: processing, shipped, delivered or cancelled.
        lines: its items.
        payments: how it was paid: (payment_id, method).
        days: since delivery; None before it.
        expected_on: when it is expected; empty if that was not read.
        facts: everything else that was read of it, by name.
        refunded: what was paid back for it so far, in cents.
    """

    order_id: str
    customer_id: str
    status: str
    lines: tuple[Line, ...]
    payments: tuple[tuple[str, str], ...]
    days: int | None = None
    expected_on: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    refunded: int = 0

    @classmethod
    def from_tools(cls, order: Mapping[str, Any], *others: Mapping[str, Any]) -> Order:
        """Puts together the result of get_order and those of other tools about the order."""
        facts = {name: value for other in others for name, value in other.items() if name != "items"}
        days = facts.get("days_since_delivery")
        return cls(
            order_id=order["order_id"],
            customer_id=order["customer_id"],
            status=order["status"],
            lines=tuple(
                Line(
                    item["item_id"],
                    item["title"],
                    cents(item["price"]),
                    item["category"],
                    bool(item["final_sale"]),
                    item["status"],
                )
                for item in order["items"]
            ),
            payments=tuple((payment["payment_id"], payment["method"]) for payment in order["payments"]),
            days=None if days is None else int(days),
            expected_on=facts.get("expected_on") or "",
            facts=facts,
            refunded=sum(cents(refund["amount"]) for refund in order["refunds"]),
        )


@dataclass(slots=True)
class Case:
    """Everything that the customer said and the tools showed.

    Attributes:
        family: whose policy it is.
        terms: the policy's parameters, with the names that the family's rules have.
        said: the customer's words about the request, lower case, for finding the items.
        email: the customer's e-mail address; empty until told.
        postal_code: likewise.
        order_number: likewise.
        reason: why they want the money back, one of the policy's reasons; empty until told.
        hurried: whether the customer asked to be quick.
        customer_id: the verified account; empty until then.
        order: the order that the request is about.
        wanted: the lines of it that the request is about.
        option: the size, colour or version that they want instead, at a desk that asks for it.
        details: what else was told of the wish, by name.
    """

    terms: Any
    family: str = "refund"
    said: str = ""
    email: str = ""
    postal_code: str = ""
    order_number: str = ""
    reason: str = ""
    hurried: bool = False
    customer_id: str = ""
    order: Order | None = None
    wanted: tuple[Line, ...] = field(default=())
    option: str = ""
    details: dict[str, str] = field(default_factory=dict)

    @property
    def wanted_titles(self) -> str:
        """The titles of the lines that the request is about; "order" while they are not known."""
        return titles(self.wanted) or "order"

    def lines_named(self, lines: tuple[Line, ...], said: str = "") -> tuple[Line, ...]:
        """The lines that the customer named."""
        found = named(said or self.said, [line.title for line in lines])
        return tuple(line for line in lines if line.title in found)


def titles(lines: Iterable[Line]) -> str:
    """The titles of some lines, to stand after "the"."""
    return " and the ".join(line.title for line in lines)


# What may follow "the lamp" for it to be the lamp, and not the lamp shade.
_AFTER_NOUN = (
    r"(?=$|[.,;:!?)\n]| (?:and|or|from|in|of|that|which|is|was|has|are|were|have|i|you|please|because|since|as)\b)"
)


def named(said: str, of_titles: Iterable[str]) -> set[str]:
    """Which items some words, in lower case, speak of.

    A title's last word will do ("the lamp") where no title is there in full.

    >>> named("the lamp is broken", ["table lamp", "yoga mat"])
    {'table lamp'}
    >>> named("i don't need the board game", ["cutting board", "yoga mat"])
    set()
    """
    titles = set(of_titles)
    full = {title for title in titles if title.lower() in said}
    return full or {title for title in titles if _speaks_of(said, title.lower().rpartition(" ")[2])}


def _speaks_of(said: str, noun: str) -> bool:
    return noun in said and re.search(rf"\b(?:the|my|this|that) {re.escape(noun)}{_AFTER_NOUN}", said) is not None
