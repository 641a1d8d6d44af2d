"""The Cancel family: a customer wants to call off an order, or a part of it, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from ss_gym.commerce.catalogue import Catalogue
from ss_gym.commerce.draft import OrderDraft, Person, draw_order
from ss_gym.commerce.policy import split_refund
from ss_gym.commerce.records import Effect, Ground, ItemFacts, OrderFacts
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.cases import (
    NUMBER_GIVEN,
    Case,
    Kind,
    at_least_two,
    draw_lines,
    lives_elsewhere,
    mixed_payment,
    no_number,
    not_there,
    nothing_special,
    on_final_sale,
    replace_wanted,
    somebody_elses,
    two_wanted,
    two_wanted_one_final_sale,
    wants_gift_card_too,
    whole_order,
    wrong_number,
)
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome
from ss_gym.streams import Stream


@dataclass(frozen=True, slots=True)
class CancelRules:
    """The parameters of one shop's cancellation policy.

    Attributes:
        cancel_window_days: an item is cancelled up to this many days after the order.
        final_sale_days: a final sale item up to this many.
        transfer_limit_cents: items that cost more than this together go to a human.
        refund_days: business days until the money arrives.
    """

    cancel_window_days: int
    final_sale_days: int
    transfer_limit_cents: int
    refund_days: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "cancel_window_days": "cancel",
        "final_sale_days": "final",
        "transfer_limit_cents": "limit",
        "refund_days": "days",
    }
    WINDOW: ClassVar[str] = "cancel_window_days"


# --- the policy ------------------------------------------------------------------------------------


def grounds_against(item: ItemFacts, status: str, days: int, rules: CancelRules) -> frozenset[Ground]:
    """Every reason of the policy that stands against cancelling an item; empty if it is cancelled.

    Args:
        item: the order line.
        status: of the order.
        days: since the order.
        rules: the shop's parameters.
    """
    if item.status != "ordered":
        return frozenset(("already_cancelled",))
    grounds = set()
    if status in ("shipped", "delivered"):
        grounds.add("shipped")
    if status == "delivered":
        grounds.add("delivered")
    if item.category == "gift_card":
        grounds.add("gift_card_item")
    if item.final_sale and days > rules.final_sale_days:
        grounds.add("final_sale")
    if days > rules.cancel_window_days:
        grounds.add("window")
    return frozenset(grounds)


def compile_outcome(
    order: OrderFacts | None, verified: bool, customer_id: str, wanted: Sequence[str], days: int, rules: CancelRules
) -> Outcome:
    """The right end of a request to cancel some items of one order.

    Args:
        order: the order, or None if there is no such order.
        verified: whether the customer can be verified.
        customer_id: who asks.
        wanted: the items.
        days: since the order.
        rules: the shop's parameters.
    """
    if not verified:
        return refusal("not_verified")
    if order is None or order.customer_id != customer_id:
        return refusal("not_found")
    items = [item for item in order.items if item.item_id in wanted]
    against = {item.item_id: grounds_against(item, order.status, days, rules) for item in items}
    due = [item for item in items if not against[item.item_id]]
    # A final sale item has a limit of its own, so "too late" is true of it, and yet not the whole reason.
    late: frozenset[Ground] = frozenset(("window",) if any("final_sale" in each for each in against.values()) else ())
    refused = tuple(dict.fromkeys([grounds for grounds in against.values() if grounds]))
    if not due:
        sent = order.expected_on if order.status == "shipped" and any("shipped" in each for each in refused) else None
        facts = (Fact("date", sent, "delivery"),) if sent else ()
        return Outcome("refuse", frozenset(), refused, facts, (), also_true=late)
    total = sum(item.price_cents for item in due)
    if total > rules.transfer_limit_cents:
        return transfer("cancellation_over_limit")
    effects: set[Effect] = {("item", item.item_id, "cancelled") for item in due}
    effects.update([("refund", payment, cents) for payment, cents in split_refund(order.payments, total)])
    if all(item in due or item.status == "cancelled" for item in order.items):
        effects.add(("order", order.order_id, "cancelled"))
    told = (Fact("money", total, "refund"), Fact("days", rules.refund_days, "arrival"))
    consent = DueConsent("cancel", frozenset([item.item_id for item in due]), total)
    return Outcome("cancel", frozenset(effects), refused, told, (consent,), also_true=late)


# --- what a shop and its orders are like -----------------------------------------------------------


def _order(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order that is still being processed, within the cancellation window."""
    window = cast(CancelRules, rules).cancel_window_days
    order = draw_order(stream, order_id, owner, draw_lines(stream, catalogue), None)
    order.status = "processing"
    order.placed_days = window if stream.chance(0.2) else stream.between(4, window)
    return order


def _begin(case: Case, kind: Kind) -> None:
    stream, rules = case.stream, cast(CancelRules, case.rules)
    window = rules.cancel_window_days
    case.late = window + 1 if stream.chance(0.3) else stream.between(window + 1, window + 20)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in NUMBER_GIVEN else ""


def _settle(case: Case) -> Settlement:
    order, rules = case.order, cast(CancelRules, case.rules)
    facts = order.facts(case.draft.today) if order in case.draft.orders else None
    days = order.placed_days or 0
    wanted, lines = case.wanted_ids(), case.wanted_lines()
    outcome = compile_outcome(facts, case.verified(), case.customer.customer_id, wanted, days, rules)
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.order_id if facts else "",
        items=wanted,
        titles=tuple([line.title for line in lines]),
        reason="",
        paid_cents=sum([line.price_cents for line in lines]),
        verb="cancel",
        also=("refund",),
    )
    return Settlement(goal, outcome, facts)


# --- kinds -----------------------------------------------------------------------------------------


def _final_sale_in_time(case: Case) -> None:
    """A final sale item, soon enough."""
    case.order.lines[case.wanted[0]].final_sale = True
    case.order.placed_days = case.stream.between(1, cast(CancelRules, case.rules).final_sale_days)
    case.late = case.stream.between(
        cast(CancelRules, case.rules).final_sale_days + 1, cast(CancelRules, case.rules).cancel_window_days
    )


def _no_longer_for_final_sale(case: Case) -> None:
    """Too late for a final sale item, in time for any other."""
    rules = cast(CancelRules, case.rules)
    case.order.placed_days = case.stream.between(rules.final_sale_days + 1, rules.cancel_window_days)


def _near_limit(case: Case) -> None:
    """A price a little under the transfer limit."""
    limit = cast(CancelRules, case.rules).transfer_limit_cents
    replace_wanted(case, case.stream.choice(case.catalogue.plain))
    case.order.lines[case.wanted[0]].price_cents = limit * case.stream.between(70, 100) // 100


def _near_limit_wrong_number(case: Case) -> None:
    """The same, by a customer who misremembers the number."""
    _near_limit(case)
    wrong_number(case)


def _partial_final_sale(case: Case) -> None:
    """Two items, of which one was on final sale and can't be cancelled any more."""
    at_least_two(case)
    two_wanted_one_final_sale(case)
    _no_longer_for_final_sale(case)


def _partial_gift_card(case: Case) -> None:
    """An item and a gift card that was bought with it."""
    at_least_two(case)
    wants_gift_card_too(case)
    _no_longer_for_final_sale(case)


def _partial_cancelled(case: Case) -> None:
    """Two items, of which one was cancelled before."""
    at_least_two(case)
    _, second = two_wanted(case)
    case.order.lines[second].status = "cancelled"
    _no_longer_for_final_sale(case)


def _earlier(case: Case) -> None:
    """Ordered too long ago."""
    case.order.placed_days = case.late


def _shipped(case: Case) -> None:
    """The order has been sent."""
    case.order.status = ""


def _delivered(case: Case) -> None:
    """The order has arrived."""
    case.order.status = ""
    case.order.days_since_delivery = 1


def _cancelled_before(case: Case) -> None:
    """The item has been cancelled already."""
    order = case.order
    order.lines[case.wanted[0]].status = "cancelled"
    if all(line.status == "cancelled" for line in order.lines):
        order.status = "cancelled"


def _over_limit(case: Case) -> None:
    """The items cost more than the limit."""
    line = case.order.lines[case.wanted[0]]
    line.price_cents = cast(CancelRules, case.rules).transfer_limit_cents + 1 + line.price_cents // 5


def _all_of_several(case: Case) -> None:
    """Every item of the order."""
    at_least_two(case)
    whole_order(case)


_REFUSED = ("cancel", "refuse")
KINDS = (
    Kind("window", nothing_special, _earlier, _REFUSED),
    Kind("shipped", nothing_special, _shipped, _REFUSED),
    Kind("delivered", nothing_special, _delivered, _REFUSED),
    Kind("final_sale", _no_longer_for_final_sale, on_final_sale, _REFUSED),
    Kind("final_sale_in_time", _final_sale_in_time, _earlier, _REFUSED),
    Kind("already_cancelled", nothing_special, _cancelled_before, _REFUSED),
    Kind("over_limit", _near_limit, _over_limit, ("cancel", "transfer")),
    Kind("foreign_order", nothing_special, somebody_elses, _REFUSED),
    Kind("missing_order", nothing_special, not_there, _REFUSED),
    Kind("unverified", nothing_special, lives_elsewhere, _REFUSED),
    Kind("wrong_number", _near_limit_wrong_number, _over_limit, ("cancel", "transfer")),
    Kind("unknown_number", no_number, _earlier, _REFUSED),
    Kind("mixed_payment", mixed_payment, _cancelled_before, _REFUSED),
    Kind("partial_final_sale", _partial_final_sale, _cancelled_before, _REFUSED),
    Kind("partial_gift_card", _partial_gift_card, on_final_sale, _REFUSED),
    Kind("partial_cancelled", _partial_cancelled, on_final_sale, _REFUSED),
    Kind("whole_order", _all_of_several, _cancelled_before, ("cancel", "cancel")),
)

CANCEL = Design(
    name="cancel",
    rules=CancelRules,
    bounds={
        "cancel_window_days": (6, 60),
        "final_sale_days": (1, 5),
        "transfer_limit_cents": (1_000, 10_000_000),
        "refund_days": (1, 60),
    },
    kinds=KINDS,
    make_rules=lambda drawn: CancelRules(**drawn),
    order=_order,
    begin=_begin,
    settle=_settle,
    reference_turns={"cancel": 6, "refuse": 7, "transfer": 6},
)


def make() -> Generator:
    """The family."""
    return Generator(CANCEL)
