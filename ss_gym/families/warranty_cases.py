"""The kinds of Warranty case, and the one fact that the twin of each has otherwise."""

from __future__ import annotations

from typing import cast

from ss_gym.commerce.draft import Line
from ss_gym.commerce.records import Reason
from ss_gym.families.cases import (
    NUMBER_GIVEN,
    Case,
    Kind,
    at_least_two,
    draw_line,
    lives_elsewhere,
    no_number,
    not_there,
    nothing_special,
    replace_wanted,
    somebody_elses,
    two_wanted,
    wants_gift_card_too,
    whole_order,
    wrong_number,
)
from ss_gym.families.warranty_policy import WarrantyRules, warranty_days

# Kinds whose customer does not take a repair, and those whose customer must give the right number.
DECLINED = frozenset(("late_declined", "out_of_stock_declined"))
WITH_NUMBER = NUMBER_GIVEN | {"accident", "wear"}
# The defects that electronics can have, in the customer's words.
_OF_ELECTRONICS: tuple[Reason, ...] = ("defective", "stopped_working", "stopped_working", "unusable")

# --- what makes a case -----------------------------------------------------------------------------


def one_of(case: Case, *categories: str) -> None:
    """Put a product of one of these categories in the place of the wanted item."""
    others = {line.title for place, line in enumerate(case.order.lines) if place != case.wanted[0]}
    products = [product for name in categories for product in case.catalogue.by_category[name]]
    replace_wanted(case, case.stream.choice([product for product in products if product.title not in others]))


def fail(case: Case) -> None:
    """By a defect, with everything in stock that could be sent again."""
    stream, stock = case.stream, case.draft.stock
    categories = {line.category for line in case.wanted_lines()}
    if "gift_card" in categories:  # what customers say fits a gift card, too
        case.reason = "unusable"
    else:
        case.reason = stream.choice(_OF_ELECTRONICS) if categories == {"electronics"} else "defective"
    for line in case.order.lines:
        if not case.catalogue.stock[line.variant_id]:
            stock.setdefault(line.variant_id, stream.between(1, 9))


def _days_of_warranty(case: Case) -> int:
    """How long the warranty of the wanted item lasts."""
    line = case.order.lines[case.wanted[0]]
    return warranty_days(line.category, line.extended_warranty_days, cast(WarrantyRules, case.rules))


def _outlive(case: Case) -> None:
    """Choose a day after the warranty."""
    stream, last = case.stream, _days_of_warranty(case)
    case.very_late = last + 1 if stream.chance(0.3) else last + stream.between(1, 60)


def _extended(case: Case) -> None:
    """An item that is covered only because days were bought for it."""
    stream, usual = case.stream, _days_of_warranty(case)
    extended = stream.choice((90, 120, 180, 365))
    case.order.lines[case.wanted[0]].extended_warranty_days = extended
    case.order.days_since_delivery = usual + (extended if stream.chance(0.3) else stream.between(1, extended))


def _electronics(case: Case) -> None:
    """An item that is covered only because it is electronics."""
    rules, stream = cast(WarrantyRules, case.rules), case.stream
    one_of(case, "electronics")
    fail(case)
    _outlive(case)
    last = rules.electronics_warranty_days
    case.order.days_since_delivery = (
        last if stream.chance(0.3) else stream.between(rules.standard_warranty_days + 1, last)
    )


def _accident(case: Case) -> None:
    """Something that was dropped, hit or spilled on."""
    one_of(case, "electronics", "kitchen", "toys")
    fail(case)
    case.reason = "accident"


def _wear(case: Case) -> None:
    """Something that is used up, which takes its time."""
    one_of(case, "clothing", "shoes", "sports")
    fail(case)
    case.reason = "worn"
    case.order.days_since_delivery = case.late


def _near_limit(case: Case) -> None:
    """An expensive item, a little under the transfer limit."""
    limit = cast(WarrantyRules, case.rules).transfer_limit_cents
    one_of(case, "electronics")
    fail(case)
    case.order.lines[case.wanted[0]].price_cents = limit * case.stream.between(70, 100) // 100


def _two(case: Case) -> Line:
    """Two items; gives the second."""
    at_least_two(case)
    _, second = two_wanted(case)
    fail(case)
    return case.order.lines[second]


def _partial_gift_card(case: Case) -> None:
    """An item, and a gift card that was bought with it."""
    at_least_two(case)
    wants_gift_card_too(case)
    fail(case)


def _partial_claimed(case: Case) -> None:
    """Two items, of which one has had its claim."""
    _two(case).claim = _claim(case)


def _partial_refunded(case: Case) -> None:
    """Two items, of which one was refunded."""
    _two(case).status = "refunded"


def _partial_extended(case: Case) -> None:
    """Two items of a kind of warranty; days were bought for one of them only."""
    plain = [product for product in case.catalogue.plain if product.title not in {x.title for x in case.order.lines}]
    products = case.stream.sample(plain, 2)
    case.order.lines = [draw_line(case.stream, product) for product in products]
    case.wanted = [0, 1]
    fail(case)
    _extended(case)


def _all_of_several(case: Case) -> None:
    """Every item of the order."""
    at_least_two(case)
    whole_order(case)
    fail(case)


# --- what its twin has otherwise -------------------------------------------------------------------


def _later(case: Case) -> None:
    """Delivered too long ago for a replacement."""
    case.order.days_since_delivery = case.late


def _much_later(case: Case) -> None:
    """Delivered before the warranty began to run out."""
    case.order.days_since_delivery = case.very_late


def _out_of_stock(case: Case) -> None:
    """There is no other one to send."""
    case.draft.stock[case.order.lines[case.wanted[0]].variant_id] = 0


def _not_extended(case: Case) -> None:
    """No days were bought for the item."""
    case.order.lines[case.wanted[0]].extended_warranty_days = 0


def _refunded(case: Case) -> None:
    """The item has been refunded."""
    case.order.lines[case.wanted[0]].status = "refunded"


def _exchanged(case: Case) -> None:
    """The item has been exchanged."""
    case.order.lines[case.wanted[0]].status = "exchanged"


def _claimed(case: Case) -> None:
    """The item has had its claim."""
    case.order.lines[case.wanted[0]].claim = _claim(case)


def _claim(case: Case) -> tuple[str, int]:
    """A repair, about half way between delivery and today."""
    return "repair", (case.order.days_since_delivery or 2) // 2


def _on_its_way(case: Case) -> None:
    """The carrier has not recorded the delivery."""
    case.order.days_since_delivery = None


def _over_limit(case: Case) -> None:
    """The item costs more than the limit."""
    line = case.order.lines[case.wanted[0]]
    line.price_cents = cast(WarrantyRules, case.rules).transfer_limit_cents + 1 + line.price_cents // 5


_REFUSED = ("replacement", "refuse")
_REPAIRED = ("replacement", "repair")
_OVER = ("repair", "refuse")
KINDS = (
    Kind("late", nothing_special, _later, _REPAIRED),
    Kind("out_of_stock", nothing_special, _out_of_stock, _REPAIRED),
    Kind("late_declined", nothing_special, _later, _REFUSED),
    Kind("out_of_stock_declined", nothing_special, _out_of_stock, _REFUSED),
    Kind("warranty_over", _outlive, _much_later, _REFUSED),
    Kind("extended_warranty", _extended, _not_extended, _OVER),
    Kind("electronics", _electronics, _much_later, _OVER),
    Kind("accident", _accident, somebody_elses, ("refuse", "refuse")),
    Kind("wear", _wear, not_there, ("refuse", "refuse")),
    Kind("already_refunded", nothing_special, _refunded, _REFUSED),
    Kind("already_exchanged", nothing_special, _exchanged, _REFUSED),
    Kind("already_claimed", nothing_special, _claimed, _REFUSED),
    Kind("not_delivered", nothing_special, _on_its_way, _REFUSED),
    Kind("over_limit", _near_limit, _over_limit, ("replacement", "transfer")),
    Kind("foreign_order", nothing_special, somebody_elses, _REFUSED),
    Kind("missing_order", nothing_special, not_there, _REFUSED),
    Kind("unverified", nothing_special, lives_elsewhere, _REFUSED),
    Kind("wrong_number", wrong_number, _later, _REPAIRED),
    Kind("unknown_number", no_number, _out_of_stock, _REPAIRED),
    Kind("partial_gift_card", _partial_gift_card, _claimed, _REFUSED),
    Kind("partial_claimed", _partial_claimed, _refunded, _REFUSED),
    Kind("partial_refunded", _partial_refunded, _out_of_stock, _REPAIRED),
    Kind("partial_extended", _partial_extended, _claimed, _OVER),
    Kind("whole_order", _all_of_several, _claimed, ("replacement", "replacement")),
)
