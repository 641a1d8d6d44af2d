"""The kinds of Exchange case, and the one fact that the twin of each has otherwise."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from ss_gym.commerce.catalogue import Catalogue, Option, Product
from ss_gym.commerce.draft import Line, OrderDraft, Person, draw_order
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.cases import (
    NUMBER_GIVEN,
    Case,
    Kind,
    UnsuitableCase,
    lives_elsewhere,
    mixed_payment,
    no_number,
    not_there,
    nothing_special,
    on_final_sale,
    somebody_elses,
    two_wanted,
    wrong_number,
)
from ss_gym.streams import Stream

if TYPE_CHECKING:
    from ss_gym.families.exchange import ExchangeRules

# What can be defective: things that do something.
_WORKING = frozenset(("electronics", "kitchen", "toys"))
# Options whose names people use for other things: "is that right?", "let me double check".
_SPOKEN = frozenset(
    "away checked clear double fine firm flat home left light long right short single soft stand third".split()
)


# --- what a shop and its orders are like -----------------------------------------------------------


@cache
def goods(catalogue: Catalogue, choices: int = 2) -> tuple[Product, ...]:
    """The products, no gift cards, that come in at least so many options at one price."""
    return tuple(
        product
        for product in catalogue.sellable
        if not _SPOKEN.intersection(option.name for option in product.options)
        and any(len(_at_price(product, option.price_cents)) >= choices for option in product.options)
    )


def product_of(case: Case, line: Line) -> Product:
    """The product that a line is an option of."""
    return _by_title(case.catalogue)[line.title]


@cache
def _by_title(catalogue: Catalogue) -> dict[str, Product]:
    return {product.title: product for product in catalogue.products}


def _at_price(product: Product, price_cents: int) -> list[Option]:
    return [option for option in product.options if option.price_cents == price_cents]


def _draw_line(stream: Stream, product: Product) -> Line:
    """An order line: an option of the product that is not the only one at its price."""
    option = stream.choice([one for one in product.options if len(_at_price(product, one.price_cents)) > 1])
    return Line(option.variant_id, product.title, product.category, option.price_cents)


def draw_goods(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order that was delivered within the exchange window, now and then on its last day."""
    window = cast("ExchangeRules", rules).exchange_window_days
    count = stream.weighted((1, 2, 3), (0.5, 0.8, 1.0))
    lines = [_draw_line(stream, product) for product in stream.sample(goods(catalogue), count)]
    days = window if stream.chance(0.2) else stream.between(1, window)
    return draw_order(stream, order_id, owner, lines, days)


def begin(case: Case, kind: Kind) -> None:
    """Why the customer asks, what they know, and which option they want instead of the item."""
    stream, rules = case.stream, cast("ExchangeRules", case.rules)
    window = rules.exchange_window_days
    case.reason = "changed_mind"
    case.late = window + 1 if stream.chance(0.3) else stream.between(window + 1, window + 30)
    case.very_late = rules.fault_window_days + stream.between(1, 30)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in NUMBER_GIVEN else ""
    _wish(case)


def _wish(case: Case) -> None:
    """Draws the option that the customer wants for each wanted item, and stocks the shelf with it."""
    stream, draft = case.stream, case.draft
    case.options.clear()
    draft.stock.clear()
    draft.prices.clear()
    for place in case.wanted:
        line = case.order.lines[place]
        product = product_of(case, line)
        for option in product.options:
            draft.stock[option.variant_id] = 0 if stream.chance(0.3) else stream.between(1, 9)
        others = [o for o in _at_price(product, line.price_cents) if o.variant_id != line.variant_id]
        case.options[place] = stream.choice(others)
        draft.stock[case.options[place].variant_id] = stream.between(1, 9)
    case.details = {}
    if len(case.wanted) == 1:
        case.details["option"] = case.options[case.wanted[0]].name
    else:
        parts = [f"{case.options[place].name} for the {case.order.lines[place].title}" for place in case.wanted]
        case.details["options"] = f"{', '.join(parts[:-1])} and {parts[-1]}"


# --- what makes a case -----------------------------------------------------------------------------


def _put(case: Case, product: Product) -> None:
    """Puts a product in the place of the wanted item."""
    lines, place = case.order.lines, case.wanted[0]
    if any(line.title == product.title for n, line in enumerate(lines) if n != place):
        raise UnsuitableCase("the same product twice in an order")
    lines[place] = _draw_line(case.stream, product)
    _wish(case)


def _siblings(case: Case) -> list[Option]:
    """The options at the price of the wanted item that are neither it nor the one that the customer wants."""
    [place] = case.wanted
    line = case.order.lines[place]
    own = (line.variant_id, case.options[place].variant_id)
    return [o for o in _at_price(product_of(case, line), line.price_cents) if o.variant_id not in own]


def _with_second(case: Case) -> None:
    """A customer who would take a second option, which is there, too."""
    _put(case, case.stream.choice(goods(case.catalogue, 3)))
    second = case.stream.choice(_siblings(case))
    case.exchange = (second.name, second.variant_id)
    case.draft.stock[second.variant_id] = case.stream.between(1, 9)


def _wants_no_other(case: Case) -> None:
    """A customer who would take no other option, though there is one."""
    _with_second(case)
    case.exchange = ("", "")


def _nothing_else(case: Case) -> None:
    """All options but the wanted one are sold out or cost something else."""
    for option in _siblings(case):
        case.draft.stock[option.variant_id] = 0


def _wants_no_refund(case: Case) -> None:
    """The same, for a customer who would rather keep the item than have the money."""
    _nothing_else(case)
    case.accepts_refund = False


def _nothing_else_two_payments(case: Case) -> None:
    """The same, paid in part with a gift card."""
    dear = [product for product in goods(case.catalogue) if product.options[0].price_cents >= 1000]
    _put(case, case.stream.choice(dear))
    mixed_payment(case)
    _nothing_else(case)


def _second_only(case: Case) -> None:
    """The wanted option is sold out, and only the second is left."""
    _with_second(case)
    for option in _siblings(case):
        if option.variant_id != case.exchange[1]:
            case.draft.stock[option.variant_id] = 0
    sold_out(case)


def _none_at_all(case: Case) -> None:
    """No option is left, soon enough for a final sale item."""
    _nothing_else(case)
    sold_out(case)
    rules = cast("ExchangeRules", case.rules)
    case.order.days_since_delivery = case.stream.between(1, rules.final_sale_days)


def _too_late_for_final_sale(case: Case) -> None:
    """In time for any item but one on final sale."""
    rules = cast("ExchangeRules", case.rules)
    case.order.days_since_delivery = case.stream.between(rules.final_sale_days + 1, rules.exchange_window_days)


def _final_sale_in_time(case: Case) -> None:
    """A final sale item, soon enough."""
    rules = cast("ExchangeRules", case.rules)
    case.order.lines[case.wanted[0]].final_sale = True
    case.order.days_since_delivery = case.stream.between(1, rules.final_sale_days)
    case.late = case.stream.between(rules.final_sale_days + 1, rules.exchange_window_days)


def _faulty(case: Case) -> None:
    """The item came damaged or is defective."""
    works = case.order.lines[case.wanted[0]].category in _WORKING
    case.reason = case.stream.choice(("damaged", "defective")) if works else "damaged"


def _faulty_late(case: Case) -> None:
    """A faulty item, too late for any other."""
    _faulty(case)
    rules = cast("ExchangeRules", case.rules)
    case.order.days_since_delivery = case.stream.between(rules.exchange_window_days + 1, rules.fault_window_days)


def _faulty_final_sale(case: Case) -> None:
    """A faulty item that was on final sale, too late for one that is not faulty."""
    _faulty(case)
    case.order.lines[case.wanted[0]].final_sale = True
    rules = cast("ExchangeRules", case.rules)
    case.order.days_since_delivery = case.stream.between(rules.final_sale_days + 1, rules.fault_window_days)


def _near_limit(case: Case) -> None:
    """A price a little under the transfer limit."""
    limit = cast("ExchangeRules", case.rules).transfer_limit_cents
    _reprice(case, limit * case.stream.between(70, 100) // 100)


def _reprice(case: Case, price_cents: int) -> None:
    """Gives the wanted item, and the options that cost the same, another price."""
    [place] = case.wanted
    line = case.order.lines[place]
    for option in _at_price(product_of(case, line), _catalogue_price(case, line)):
        case.draft.prices[option.variant_id] = price_cents
    line.price_cents = price_cents


def _catalogue_price(case: Case, line: Line) -> int:
    """What the catalogue asks for a line."""
    return next(o.price_cents for o in product_of(case, line).options if o.variant_id == line.variant_id)


def _misremembered(case: Case) -> None:
    """A customer with a second option who has the number wrong."""
    _with_second(case)
    wrong_number(case)


def _without_number(case: Case) -> None:
    """A customer with a second option who has no number."""
    _with_second(case)
    no_number(case)


def _two(case: Case) -> tuple[int, int]:
    """The customer means two items; gives their places."""
    stream, lines = case.stream, case.order.lines
    while len(lines) < 2:
        product = stream.choice(goods(case.catalogue))
        if product.title != lines[0].title:
            lines.append(_draw_line(stream, product))
    return two_wanted(case)


def _partial_final_sale(case: Case) -> None:
    """Two items, of which one was on final sale and can't be exchanged any more."""
    _, second = _two(case)
    case.order.lines[second].final_sale = True
    _too_late_for_final_sale(case)
    _wish(case)


def _partial_gift_card(case: Case) -> None:
    """An item and a gift card that was bought with it."""
    _, second = _two(case)
    case.order.lines[second] = _draw_line(case.stream, case.stream.choice(case.catalogue.by_category["gift_card"]))
    _too_late_for_final_sale(case)
    _wish(case)


def _partial_exchanged(case: Case) -> None:
    """Two items, of which one was exchanged before."""
    _, second = _two(case)
    case.order.lines[second].status = "exchanged"
    _too_late_for_final_sale(case)
    _wish(case)


def _whole_order(case: Case) -> None:
    """Every item of the order."""
    _two(case)
    case.wanted = list(range(len(case.order.lines)))
    _wish(case)


# --- what its twin has otherwise -------------------------------------------------------------------


def sold_out(case: Case) -> None:
    """The option that the customer wants is out of stock."""
    case.draft.stock[case.options[case.wanted[0]].variant_id] = 0


def _second_sold_out(case: Case) -> None:
    """So is the option that they would have taken instead."""
    case.draft.stock[case.exchange[1]] = 0


def _at_other_price(case: Case) -> None:
    """The option that the customer wants costs something else."""
    price = case.order.lines[case.wanted[0]].price_cents
    case.draft.prices[case.options[case.wanted[0]].variant_id] = price * (125 if case.late % 2 else 80) // 100


def _earlier(case: Case) -> None:
    """Delivered longer ago."""
    case.order.days_since_delivery = case.late


def _much_earlier(case: Case) -> None:
    """Delivered too long ago for anything."""
    case.order.days_since_delivery = case.very_late


def _exchanged_before(case: Case) -> None:
    """The item has been exchanged already."""
    case.order.lines[case.wanted[0]].status = "exchanged"


def _settled_before(case: Case) -> None:
    """The item has been exchanged, credited or refunded already."""
    before = ("exchanged", "credited", "refunded")
    case.order.lines[case.wanted[0]].status = before[case.late % 3]


def _on_its_way(case: Case) -> None:
    """The order is not delivered yet."""
    case.order.days_since_delivery = None


def _over_limit(case: Case) -> None:
    """The item costs more than the limit."""
    price = case.order.lines[case.wanted[0]].price_cents
    _reprice(case, cast("ExchangeRules", case.rules).transfer_limit_cents + 1 + price // 5)


_REFUSED = ("exchange", "refuse")
_OTHER = ("exchange", "other_option")
_BACK = ("exchange", "refund")
KINDS = (
    Kind("window", nothing_special, _earlier, _REFUSED),
    Kind("final_sale", _too_late_for_final_sale, on_final_sale, _REFUSED),
    Kind("final_sale_in_time", _final_sale_in_time, _earlier, _REFUSED),
    Kind("fault_late", _faulty_late, _much_earlier, _REFUSED),
    Kind("fault_final_sale", _faulty_final_sale, _much_earlier, _REFUSED),
    Kind("already_exchanged", nothing_special, _settled_before, _REFUSED),
    Kind("not_delivered", nothing_special, _on_its_way, _REFUSED),
    Kind("sold_out", _with_second, sold_out, _OTHER),
    Kind("sold_out_declined", _wants_no_other, sold_out, _REFUSED),
    Kind("other_price", _with_second, _at_other_price, _OTHER),
    Kind("none_left", _second_only, _second_sold_out, ("other_option", "refund")),
    Kind("none_left_split", _nothing_else_two_payments, sold_out, _BACK),
    Kind("no_other_price", _nothing_else, _at_other_price, _BACK),
    Kind("refund_declined", _wants_no_refund, sold_out, _REFUSED),
    Kind("last_final_sale", _none_at_all, on_final_sale, ("refund", "refuse")),
    Kind("over_limit", _near_limit, _over_limit, ("exchange", "transfer")),
    Kind("foreign_order", nothing_special, somebody_elses, _REFUSED),
    Kind("missing_order", nothing_special, not_there, _REFUSED),
    Kind("unverified", nothing_special, lives_elsewhere, _REFUSED),
    Kind("wrong_number", _misremembered, sold_out, _OTHER),
    Kind("unknown_number", _without_number, sold_out, _OTHER),
    Kind("partial_final_sale", _partial_final_sale, _exchanged_before, _REFUSED),
    Kind("partial_gift_card", _partial_gift_card, on_final_sale, _REFUSED),
    Kind("partial_exchanged", _partial_exchanged, on_final_sale, _REFUSED),
    Kind("whole_order", _whole_order, _exchanged_before, ("exchange", "exchange")),
)
