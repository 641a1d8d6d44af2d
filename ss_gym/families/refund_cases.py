"""The kinds of Refund case, and the one fact that the twin of each has otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ss_gym.commerce.catalogue import Catalogue, Product
from ss_gym.commerce.draft import Line, OrderDraft, Person, WorldDraft
from ss_gym.commerce.records import Reason, Rules
from ss_gym.streams import Stream

FAULTS: tuple[Reason, ...] = ("damaged", "wrong_item", "defective")
# What can be defective: things that do something.
_WORKING = frozenset(("electronics", "kitchen", "toys"))


class UnsuitableCase(Exception):
    """The draw does not give a solvable, unambiguous pair; another draw is made."""


@dataclass(slots=True)
class Case:
    """One case being drawn.

    ``late`` and ``very_late`` are days since delivery in the store-credit window and after every
    window; a flip uses them, so that it draws nothing itself.
    """

    stream: Stream
    catalogue: Catalogue
    rules: Rules
    draft: WorldDraft
    customer: Person
    stranger: Person
    order: OrderDraft
    wanted: list[int]
    late: int
    very_late: int
    reason: Reason = "changed_mind"
    said_order_id: str = ""
    said_postal_code: str = ""
    accepts_credit: bool = True
    exchange: tuple[str, str] = ("", "")
    wants_other_card: bool = False


Change = Callable[[Case], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of case: what makes it, and the fact that its twin has otherwise."""

    name: str
    make: Change
    flip: Change


# --- what makes a case ---------------------------------------------------------------------------


def nothing_special(case: Case) -> None:
    """One item of an order, within the return window, a change of mind."""


def declines_credit(case: Case) -> None:
    """The customer does not want store credit."""
    case.accepts_credit = False


def electronics(case: Case) -> None:
    """An item with a restocking fee."""
    _replace(case, case.stream.choice(case.catalogue.by_category["electronics"]))


def with_exchange(case: Case) -> None:
    """The customer would take another option of the same product."""
    stream, catalogue = case.stream, case.catalogue
    product = stream.choice(catalogue.exchangeable)
    _replace(case, product)
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
    case.order.days_since_delivery = case.stream.between(
        case.rules.return_window_days + 1, case.rules.damage_window_days
    )


def never_arrived(case: Case) -> None:
    """The customer says that nothing came; it is on its way."""
    case.reason = "not_received"
    case.order.days_since_delivery = None


def wrong_number(case: Case) -> None:
    """The customer misremembers one digit of the order number."""
    digits = list(case.order.order_id)
    place = case.stream.between(1, 4)
    digits[place] = str((int(digits[place]) + case.stream.between(1, 9)) % 10)
    case.said_order_id = "".join(digits)
    if any(order.order_id == case.said_order_id for order in case.draft.orders):
        raise UnsuitableCase("the misremembered number is another order")


def no_number(case: Case) -> None:
    """The customer does not know the order number."""
    case.said_order_id = ""


def near_limit(case: Case) -> None:
    """A price a little under the transfer limit."""
    limit = case.rules.transfer_limit_cents
    _replace(case, case.stream.choice(case.catalogue.plain))
    case.order.lines[case.wanted[0]].price_cents = limit * case.stream.between(70, 100) // 100


def mixed_payment(case: Case) -> None:
    """A gift card paid a part that does not cover the refund."""
    line = case.order.lines[case.wanted[0]]
    if line.price_cents < 1000:
        raise UnsuitableCase("too cheap for two payments")
    case.order.gift_card_cents = line.price_cents * case.stream.between(20, 70) // 100


def two_wanted_one_final_sale(case: Case) -> None:
    """Two items, of which one was on final sale."""
    first, second = _two_wanted(case)
    case.order.lines[second].final_sale = True
    case.order.lines[first].final_sale = False


def wants_gift_card_too(case: Case) -> None:
    """An item and a gift card that was bought with it."""
    _, second = _two_wanted(case)
    case.order.lines[second] = draw_line(case.stream, case.stream.choice(case.catalogue.by_category["gift_card"]))


def whole_order(case: Case) -> None:
    """Every item of the order."""
    _two_wanted(case)
    case.wanted = list(range(len(case.order.lines)))


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


def on_final_sale(case: Case) -> None:
    """The item was on final sale."""
    case.order.lines[case.wanted[0]].final_sale = True


def refunded_before(case: Case) -> None:
    """The item has been refunded already."""
    case.order.lines[case.wanted[0]].status = "refunded"


def on_its_way(case: Case) -> None:
    """The order is not delivered yet."""
    case.order.days_since_delivery = None


def has_arrived(case: Case) -> None:
    """The carrier says that the order was delivered."""
    case.order.days_since_delivery = case.order.shipping_days


def somebody_elses(case: Case) -> None:
    """The order is another customer's."""
    case.order.owner = case.stranger
    case.draft.people.append(case.stranger)


def not_there(case: Case) -> None:
    """There is no such order."""
    case.draft.orders.remove(case.order)


def lives_elsewhere(case: Case) -> None:
    """The account has another postal code."""
    case.customer = case.draft.people[0] = case.customer._replace(postal_code=case.stranger.postal_code)


def over_limit(case: Case) -> None:
    """The refund would be above the transfer limit."""
    line = case.order.lines[case.wanted[0]]
    line.price_cents = case.rules.transfer_limit_cents + 1 + line.price_cents // 5


KINDS = (
    Kind("window_credit", nothing_special, later),
    Kind("window_late", nothing_special, much_later),
    Kind("window_declined", declines_credit, later),
    Kind("final_sale", nothing_special, on_final_sale),
    Kind("final_sale_exchange", with_exchange, on_final_sale),
    Kind("restocking_fee", electronics, later),
    Kind("damaged_final_sale", faulty_final_sale, much_later),
    Kind("damaged_late", faulty_after_return_window, much_later),
    Kind("damaged_twice", faulty, refunded_before),
    Kind("already_refunded", nothing_special, refunded_before),
    Kind("not_delivered", nothing_special, on_its_way),
    Kind("not_received", never_arrived, has_arrived),
    Kind("foreign_order", nothing_special, somebody_elses),
    Kind("missing_order", nothing_special, not_there),
    Kind("wrong_number", wrong_number, later),
    Kind("unverified", nothing_special, lives_elsewhere),
    Kind("over_limit", near_limit, over_limit),
    Kind("mixed_payment", mixed_payment, later),
    Kind("partial_final_sale", two_wanted_one_final_sale, refunded_before),
    Kind("partial_gift_card", wants_gift_card_too, on_final_sale),
    Kind("whole_order", whole_order, refunded_before),
    Kind("unknown_number", no_number, later),
    Kind("other_card", other_card, later),
)


def draw_line(stream: Stream, product: Product) -> Line:
    """An order line: one of the product's options at its price."""
    option = stream.choice(product.options)
    return Line(option.variant_id, product.title, product.category, option.price_cents)


def _replace(case: Case, product: Product) -> None:
    """Put a product in the place of the wanted item."""
    lines, place = case.order.lines, case.wanted[0]
    if any(line.title == product.title for n, line in enumerate(lines) if n != place):
        raise UnsuitableCase("the same product twice in an order")
    lines[place] = draw_line(case.stream, product)


def _two_wanted(case: Case) -> tuple[int, int]:
    lines = case.order.lines
    if len(lines) < 2:
        raise UnsuitableCase("one item only")
    first = case.wanted[0]
    second = (first + 1) % len(lines)
    case.wanted = [first, second]
    return first, second
