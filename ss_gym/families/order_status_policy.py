"""The policy of the OrderStatus family: what the right answer to a question about an order is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import ClassVar

from ss_gym.commerce.draft import day
from ss_gym.commerce.records import OrderFacts
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Outcome


@dataclass(frozen=True, slots=True)
class OrderStatusRules:
    """The parameters of one shop's policy for questions about orders.

    Attributes:
        handling_days: an order is shipped at the latest this many days after it was placed.
        patience_days: an order that is late by more than this counts as lost.
        dispute_days: a delivery that never came is looked into up to this many days after it.
        delay_credit_cents: goodwill credit for an order that is late.
    """

    handling_days: int
    patience_days: int
    dispute_days: int
    delay_credit_cents: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "handling_days": "handling",
        "patience_days": "patience",
        "dispute_days": "dispute",
        "delay_credit_cents": "credit",
    }
    WINDOW: ClassVar[str] = "dispute_days"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the shop knows of an order's way, besides its ``OrderFacts``.

    Attributes:
        placed_on: ISO date.
        shipped_on: ISO date; empty while it is not.
        credited: whether it has brought goodwill credit.
    """

    placed_on: str
    shipped_on: str
    credited: bool


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks, and what they would like.

    Attributes:
        customer_id: their account.
        verified: whether they can be verified.
        never_came: whether they say that the order never came.
        takes_credit: whether they would take store credit as an apology.
        item_ids: the items that they ask about.
    """

    customer_id: str
    verified: bool
    never_came: bool
    takes_credit: bool
    item_ids: tuple[str, ...]


def latest_shipping_day(placed_on: str, rules: OrderStatusRules) -> str:
    """The last day on which an order is shipped.

    Args:
        placed_on: ISO date.
        rules: the shop's parameters.

    Returns:
        ISO date.
    """
    return day(_ordinal(placed_on) + rules.handling_days)


def known_dates(order: OrderFacts, delivery: Delivery, rules: OrderStatusRules, today: str) -> tuple[Fact, ...]:
    """Every date of an order with what it is the date of: what may be told without lying.

    Args:
        order: the order.
        delivery: the rest of what is known of it.
        rules: the shop's parameters.
        today: ISO date.
    """
    dates = {
        "placed": delivery.placed_on,
        "shipping": "" if order.status == "cancelled" else latest_shipping_day(delivery.placed_on, rules),
        "shipped": delivery.shipped_on,
        "delivery": order.expected_on,
        "delivered": order.delivered_on,
    }
    overdue = order.expected_on or dates["shipping"]
    if order.delivered_on is None and overdue and overdue < today:
        dates["late"] = overdue
    return tuple([Fact("date", value, about) for about, value in dates.items() if value])


def compile_outcome(
    order: OrderFacts | None, delivery: Delivery | None, question: Question, rules: OrderStatusRules, today: str
) -> Outcome:
    """The right end of a question about an order.

    Args:
        order: the order, or None if there is no such order.
        delivery: the rest of what is known of it; None with it.
        question: who asks.
        rules: the shop's parameters.
        today: ISO date.
    """
    if not question.verified:
        return refusal("not_verified")
    if order is None or delivery is None or order.customer_id != question.customer_id:
        return refusal("not_found")
    if order.status == "cancelled":
        refunded = Fact("money", sum(payment.refunded_cents for payment in order.payments), "refund")
        outcome = refusal("cancelled")._replace(facts=(refunded,), also_true=frozenset(("already_refunded",)))
    elif order.delivered_on is not None:
        outcome = _delivered(order.delivered_on, question, rules, today)
    elif order.expected_on is not None:
        outcome = _on_its_way(order, order.expected_on, delivery, question, rules, today)
    else:
        outcome = _processing(delivery, rules, today)
    return outcome._replace(known=known_dates(order, delivery, rules, today))


def _delivered(delivered_on: str, question: Question, rules: OrderStatusRules, today: str) -> Outcome:
    told = Fact("date", delivered_on, "delivered")
    if not question.never_came:
        return _answer(told)
    if _ordinal(today) - _ordinal(delivered_on) > rules.dispute_days:
        return refusal("window")._replace(facts=(told,))
    return transfer("delivery_dispute")


def _processing(delivery: Delivery, rules: OrderStatusRules, today: str) -> Outcome:
    latest = latest_shipping_day(delivery.placed_on, rules)
    return transfer("stuck_order") if today > latest else _answer(Fact("date", latest, "shipping"))


def _on_its_way(
    order: OrderFacts, expected_on: str, delivery: Delivery, question: Question, rules: OrderStatusRules, today: str
) -> Outcome:
    told = Fact("date", expected_on, "delivery")
    late = _ordinal(today) - _ordinal(expected_on)
    if late > rules.patience_days:
        return transfer("lost_parcel")
    if late <= 0 or not question.takes_credit:
        return _answer(told)
    if delivery.credited:
        return _answer(told)._replace(also_true=frozenset(("already_refunded",)))
    cents = rules.delay_credit_cents
    consent = DueConsent("store_credit", frozenset(question.item_ids), cents)
    effects = frozenset({("store_credit", order.customer_id, cents)})
    return Outcome("store_credit", effects, (), (told, Fact("money", cents, "store_credit")), (consent,))


def _answer(fact: Fact) -> Outcome:
    return Outcome("inform", frozenset(), (), (fact,), ())


# The scenarios of a split lie within a few years, and each names the same few days again and again.
@cache
def _ordinal(iso: str) -> int:
    return date.fromisoformat(iso).toordinal()
