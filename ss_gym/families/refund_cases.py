"""The kinds of Refund case, and the one fact that the twin of each has otherwise."""

from __future__ import annotations

from typing import cast

from ss_gym.commerce.records import Reason, Rules
from ss_gym.families.cases import (
    Case,
    Kind,
    UnsuitableCase,
    lives_elsewhere,
    mixed_payment,
    no_number,
    not_there,
    nothing_special,
    on_final_sale,
    replace_wanted,
    somebody_elses,
    two_wanted_one_final_sale,
    wants_gift_card_too,
    whole_order,
    wrong_number,
)

FAULTS: tuple[Reason, ...] = ("damaged", "wrong_item", "defective")
# What can be defective: things that do something.
_WORKING = frozenset(("electronics", "kitchen", "toys"))


# --- what makes a case ---------------------------------------------------------------------------


def declines_credit(case: Case) -> None:
    """The customer does not want store credit."""
    case.accepts_credit = False


def electronics(case: Case) -> None:
    """An item with a restocking fee."""
    replace_wanted(case, case.stream.choice(case.catalogue.by_category["electronics"]))


def with_exchange(case: Case) -> None:
    """The customer would take another option of the same product."""
    stream, catalogue = case.stream, case.catalogue
    product = stream.choice(catalogue.exchangeable)
    replace_wanted(case, product)
    line = case.order.lines[case.wanted[0]]
    others = [o for o in product.options if o.variant_id != line.variant_id and o.quantity > 0]
    same = [o for o in others if o.price_cents == line.price_cents]
    if not same:
        raise UnsuitableCase("no other option in stock")
    option = stream.choice(same)
    case.exchange = (option.name, option.variant_id)


def faulty(case: Case) -> None:
    """The item came damaged, defective or wrong."""
    works = case.order.lines[case.wanted[0]].category in _WORKING
    case.reason = case.stream.choice(FAULTS if works else FAULTS[:2])


def faulty_final_sale(case: Case) -> None:
    """A faulty item that was on final sale."""
    faulty(case)
    case.order.lines[case.wanted[0]].final_sale = True


def faulty_after_return_window(case: Case) -> None:
    """A faulty item, too late for a change of mind."""
    faulty(case)
    rules = cast(Rules, case.rules)
    case.order.days_since_delivery = case.stream.between(rules.return_window_days + 1, rules.damage_window_days)


def never_arrived(case: Case) -> None:
    """The customer says that nothing came; it is on its way."""
    case.reason = "not_received"
    case.order.days_since_delivery = None


def near_limit(case: Case) -> None:
    """A price a little under the transfer limit."""
    limit = cast(Rules, case.rules).transfer_limit_cents
    replace_wanted(case, case.stream.choice(case.catalogue.plain))
    case.order.lines[case.wanted[0]].price_cents = limit * case.stream.between(70, 100) // 100


def other_card(case: Case) -> None:
    """The customer asks for the money on another card."""
    case.wants_other_card = True


# --- what its twin has otherwise -----------------------------------------------------------------


def later(case: Case) -> None:
    """Delivered long enough ago for store credit only."""
    case.order.days_since_delivery = case.late


def much_later(case: Case) -> None:
    """Delivered too long ago for anything."""
    case.order.days_since_delivery = case.very_late


def refunded_before(case: Case) -> None:
    """The item has been refunded already."""
    case.order.lines[case.wanted[0]].status = "refunded"


def on_its_way(case: Case) -> None:
    """The order is not delivered yet."""
    case.order.days_since_delivery = None


def has_arrived(case: Case) -> None:
    """The carrier says that the order was delivered."""
    case.order.days_since_delivery = case.order.shipping_days


def over_limit(case: Case) -> None:
    """The refund would be above the transfer limit."""
    line = case.order.lines[case.wanted[0]]
    line.price_cents = cast(Rules, case.rules).transfer_limit_cents + 1 + line.price_cents // 5


KINDS = (
    Kind("window_credit", nothing_special, later, ("refund", "store_credit")),
    Kind("window_late", nothing_special, much_later, ("refund", "refuse")),
    Kind("window_declined", declines_credit, later, ("refund", "refuse")),
    Kind("final_sale", nothing_special, on_final_sale, ("refund", "refuse")),
    Kind("final_sale_exchange", with_exchange, on_final_sale, ("refund", "exchange")),
    Kind("restocking_fee", electronics, later, ("refund", "store_credit")),
    Kind("damaged_final_sale", faulty_final_sale, much_later, ("refund", "refuse")),
    Kind("damaged_late", faulty_after_return_window, much_later, ("refund", "refuse")),
    Kind("damaged_twice", faulty, refunded_before, ("refund", "refuse")),
    Kind("already_refunded", nothing_special, refunded_before, ("refund", "refuse")),
    Kind("not_delivered", nothing_special, on_its_way, ("refund", "refuse")),
    Kind("not_received", never_arrived, has_arrived, ("refuse", "transfer")),
    Kind("foreign_order", nothing_special, somebody_elses, ("refund", "refuse")),
    Kind("missing_order", nothing_special, not_there, ("refund", "refuse")),
    Kind("wrong_number", wrong_number, later, ("refund", "store_credit")),
    Kind("unverified", nothing_special, lives_elsewhere, ("refund", "refuse")),
    Kind("over_limit", near_limit, over_limit, ("refund", "transfer")),
    Kind("mixed_payment", mixed_payment, later, ("refund", "store_credit")),
    Kind("partial_final_sale", two_wanted_one_final_sale, refunded_before, ("refund", "refuse")),
    Kind("partial_gift_card", wants_gift_card_too, on_final_sale, ("refund", "refuse")),
    Kind("whole_order", whole_order, refunded_before, ("refund", "refund")),
    Kind("unknown_number", no_number, later, ("refund", "store_credit")),
    Kind("other_card", other_card, later, ("refund", "store_credit")),
)
