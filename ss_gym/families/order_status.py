"""The OrderStatus family: a customer wants to know where an order is, or when it comes."""

from __future__ import annotations

from typing import cast

from ss_gym.commerce.catalogue import Catalogue
from ss_gym.commerce.draft import OrderDraft, Person, day, draw_order
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.cases import (
    NUMBER_GIVEN,
    Case,
    Kind,
    draw_lines,
    lives_elsewhere,
    no_number,
    not_there,
    nothing_special,
    somebody_elses,
    wrong_number,
)
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.order_status_policy import Delivery, OrderStatusRules, Question, compile_outcome
from ss_gym.scenarios import Goal
from ss_gym.streams import Stream

# --- what a shop and its orders are like -----------------------------------------------------------

# Days that a parcel takes to its expected date, at the least.
_QUICKEST = 2


def _order(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order on its way, and in time."""
    order = draw_order(stream, order_id, owner, draw_lines(stream, catalogue), None)
    order.placed_days = stream.between(3, 6)
    order.days_to_delivery = stream.below(6)
    return order


def _begin(case: Case, kind: Kind) -> None:
    stream, rules = case.stream, cast(OrderStatusRules, case.rules)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in NUMBER_GIVEN else ""
    case.reason = stream.weighted(("where", "gift", "not_received"), (0.6, 0.8, 1.0))
    case.accepts_credit = True
    # Days by which the order is late, if it turns out to be late or lost.
    case.late = rules.patience_days if stream.chance(0.2) else stream.between(1, rules.patience_days)
    case.very_late = rules.patience_days + (1 if stream.chance(0.3) else stream.between(1, 8))


def _settle(case: Case) -> Settlement:
    order, rules, today = case.order, cast(OrderStatusRules, case.rules), case.draft.today
    facts = order.facts(today) if order in case.draft.orders else None
    wanted, lines = case.wanted_ids(), case.wanted_lines()
    delivery = None
    if facts is not None:
        shipped = order.shipped_day(today)
        delivery = Delivery(day(shipped - 1), "" if order.status else day(shipped), order.goodwill_cents > 0)
    never_came = case.reason == "not_received"
    question = Question(case.customer.customer_id, case.verified(), never_came, case.accepts_credit, wanted)
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.order_id if facts else "",
        items=wanted,
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        verb="",
        welcomes=("store_credit",) if case.accepts_credit else (),
    )
    return Settlement(goal, compile_outcome(facts, delivery, question, rules, day(today)), facts)


# --- kinds -----------------------------------------------------------------------------------------


def _is_late(case: Case) -> None:
    """The day for which it was expected is over."""
    case.order.days_to_delivery = -case.late


def _is_lost(case: Case) -> None:
    """It is late by more than anybody's patience."""
    case.order.days_to_delivery = -case.very_late


def _sent_long_ago(case: Case) -> None:
    """An order on its way that was sent early enough to be late."""
    case.order.placed_days = max(case.late + _QUICKEST + case.stream.between(1, 3), case.order.placed_days or 0)


def _late_sent_early(case: Case) -> None:
    """An order that is late, and was sent early enough to be lost."""
    case.order.placed_days = case.very_late + _QUICKEST + case.stream.between(1, 3)
    _is_late(case)


def _late(case: Case) -> None:
    """An order that is late."""
    _sent_long_ago(case)
    _is_late(case)


def _brought_credit(case: Case) -> None:
    """The order has brought goodwill credit before."""
    case.order.goodwill_cents = cast(OrderStatusRules, case.rules).delay_credit_cents


def _wants_no_credit(case: Case) -> None:
    """An order on its way, for a customer who wants no store credit."""
    _sent_long_ago(case)
    case.accepts_credit = False


def _processing_case(case: Case) -> None:
    """An order that is still being processed, in time."""
    handling = cast(OrderStatusRules, case.rules).handling_days
    case.order.status = "processing"
    case.order.placed_days = handling if case.stream.chance(0.2) else case.stream.between(2, max(2, handling))
    # Until when it stays in time is for its twin.
    case.late = handling + (1 if case.stream.chance(0.3) else case.stream.between(1, 7))


def _sent(case: Case) -> None:
    """The order has been sent."""
    case.order.status = ""


def _is_stuck(case: Case) -> None:
    """The order was placed too long ago to be still processed."""
    case.order.placed_days = case.late


def _cancelled(case: Case) -> None:
    """The order was cancelled."""
    case.order.status = "cancelled"
    for line in case.order.lines:
        line.status = "cancelled"


def _gift(case: Case) -> None:
    """An order on its way to somebody else: the customer can't see whether it has arrived."""
    case.reason = "gift"
    _may_have_arrived(case, case.stream.between(1, 12))


def _never_came(case: Case) -> None:
    """An order on its way, for a customer who says that nothing has come."""
    case.reason = "not_received"
    dispute = cast(OrderStatusRules, case.rules).dispute_days
    _may_have_arrived(case, case.stream.between(1, min(12, dispute)))


def _may_have_arrived(case: Case, days: int) -> None:
    """Sent early enough to have been delivered ``days`` ago."""
    case.late = days
    case.order.placed_days = days + case.stream.between(3, 6)
    case.order.early_days = case.stream.below(3)


def _has_arrived(case: Case) -> None:
    """The order was delivered."""
    case.order.days_since_delivery = case.late


def _disputed(case: Case) -> None:
    """An order that was delivered, for a customer who says that nothing has come."""
    rules = cast(OrderStatusRules, case.rules)
    stream = case.stream
    case.reason = "not_received"
    # Near the limit on both sides, or one of the two would have been on its way for weeks.
    days = rules.dispute_days - (0 if stream.chance(0.2) else stream.between(0, min(6, rules.dispute_days - 1)))
    case.late = rules.dispute_days + (1 if stream.chance(0.3) else stream.between(1, 6))
    case.order.days_since_delivery = days
    case.order.placed_days = case.late + stream.between(3, 6)
    case.order.early_days = stream.below(3)


def _either(case: Case) -> None:
    """An order on its way or still being processed."""
    (_processing_case if case.stream.chance(0.5) else nothing_special)(case)


def _sent_long_ago_wrong_number(case: Case) -> None:
    """An order on its way, by a customer who misremembers the number."""
    _sent_long_ago(case)
    wrong_number(case)


def _sent_long_ago_no_number(case: Case) -> None:
    """An order on its way, by a customer with two orders who does not know the number."""
    _sent_long_ago(case)
    no_number(case)


_REFUSED = ("inform", "refuse")
_CREDITED = ("inform", "store_credit")
KINDS = (
    Kind("late", _sent_long_ago, _is_late, _CREDITED),
    Kind("lost", _late_sent_early, _is_lost, ("store_credit", "transfer")),
    Kind("credit_given", _late, _brought_credit, ("store_credit", "inform")),
    Kind("credit_unwanted", _wants_no_credit, _is_late, ("inform", "inform")),
    Kind("shipped", _processing_case, _sent, ("inform", "inform")),
    Kind("stuck", _processing_case, _is_stuck, ("inform", "transfer")),
    Kind("delivered", _gift, _has_arrived, ("inform", "inform")),
    Kind("dispute", _never_came, _has_arrived, ("inform", "transfer")),
    Kind("dispute_late", _disputed, _has_arrived, ("transfer", "refuse")),
    Kind("cancelled", _processing_case, _cancelled, _REFUSED),
    Kind("foreign_order", _either, somebody_elses, _REFUSED),
    Kind("missing_order", _either, not_there, _REFUSED),
    Kind("unverified", _either, lives_elsewhere, _REFUSED),
    Kind("wrong_number", _sent_long_ago_wrong_number, _is_late, _CREDITED),
    Kind("unknown_number", _sent_long_ago_no_number, _is_late, _CREDITED),
)

ORDER_STATUS = Design(
    name="order_status",
    rules=OrderStatusRules,
    bounds={
        "handling_days": (2, 30),
        "patience_days": (1, 60),
        "dispute_days": (2, 120),
        "delay_credit_cents": (1, 5_000),
    },
    kinds=KINDS,
    make_rules=lambda drawn: OrderStatusRules(**drawn),
    order=_order,
    begin=_begin,
    settle=_settle,
    reference_turns={"inform": 7, "store_credit": 7, "refuse": 7, "transfer": 6},
    two_orders=frozenset(("missing_order", "unknown_number")),
)


def make() -> Generator:
    """The family."""
    return Generator(ORDER_STATUS)
