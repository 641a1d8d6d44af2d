"""The AddressChange family: a customer wants an order sent to another address."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from ss_gym.commerce.catalogue import Catalogue
from ss_gym.commerce.draft import Line, OrderDraft, Person, draw_method, draw_order
from ss_gym.commerce.records import Ground, OrderFacts, address_text, address_values
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.address_cases import (
    Address,
    area_closed,
    draw_addresses,
    has_second_address,
    old_postal_code_forgotten,
    to_a_box,
    to_a_box_or_a_street,
    without_postal_code,
    wrong_house_number,
)
from ss_gym.families.cases import (
    NUMBER_GIVEN,
    Case,
    Kind,
    UnsuitableCase,
    draw_line,
    draw_lines,
    lives_elsewhere,
    no_number,
    not_there,
    nothing_special,
    replace_wanted,
    somebody_elses,
    wrong_number,
)
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome
from ss_gym.streams import Stream

# What begins an address that is no street, as customers write it.
BOXES = ("PO Box", "Parcel Locker")
PAYPAL = ("paypal", "PayPal")


@dataclass(frozen=True, slots=True)
class AddressChangeRules:
    """The parameters of one shop's policy on changes of address.

    Attributes:
        change_window_days: an order is redirected up to this many days after it was placed.
        transfer_limit_cents: a parcel that is worth more goes to a human.
        delay_days: days by which a parcel that is redirected comes later.
    """

    change_window_days: int
    transfer_limit_cents: int
    delay_days: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "change_window_days": "change",
        "transfer_limit_cents": "limit",
        "delay_days": "delay",
    }
    WINDOW: ClassVar[str] = "change_window_days"


# --- the policy ------------------------------------------------------------------------------------


def grounds_against(order: OrderFacts, redirected: bool, days: int, rules: AddressChangeRules) -> frozenset[Ground]:
    """Every reason of the policy that stands against redirecting an order; empty if it may be redirected.

    Args:
        order: the order.
        redirected: whether it was redirected before.
        days: since it was placed.
        rules: the shop's parameters.
    """
    grounds: set[Ground] = set()
    if order.status == "cancelled":
        grounds.add("cancelled")
    if order.status in ("shipped", "delivered"):
        grounds.add("shipped")
    if order.status == "delivered":
        grounds.add("delivered")
    if all(item.category == "gift_card" for item in order.items):
        grounds.add("gift_card_item")
    if any(payment.kind == "paypal" for payment in order.payments):
        grounds.add("paypal")
    if redirected:
        grounds.add("already_changed")
    if days > rules.change_window_days:
        grounds.add("window")
    return frozenset(grounds)


def is_delivered_to(address: Address, unserved: Collection[str]) -> bool:
    """Whether the shop delivers to an address: to a street, in an area that is served.

    >>> is_delivered_to(("PO Box 12", "Carrow", "CW2 3EF"), [])
    False
    >>> is_delivered_to(("1 Mill Lane", "Carrow", "CW2 3EF"), ["CW21"])
    True
    """
    street, _, postal_code = address
    return not street.startswith(BOXES) and postal_code.partition(" ")[0] not in unserved


def compile_outcome(
    order: OrderFacts | None,
    verified: bool,
    customer_id: str,
    redirected: bool,
    wishes: Sequence[Address],
    unserved: Collection[str],
    days: int,
    rules: AddressChangeRules,
) -> Outcome:
    """The right end of a request to send one order to another address.

    Args:
        order: the order, or None if there is no such order.
        verified: whether the customer can be verified.
        customer_id: who asks.
        redirected: whether the order was redirected before.
        wishes: where it should go, and, if there is one, the address that they would have instead.
        unserved: postal areas to which nothing is delivered.
        days: since the order was placed.
        rules: the shop's parameters.
    """
    possible = [address for address in wishes if is_delivered_to(address, unserved)]
    # True whatever else stands against the wish, and no secret: an agent may say it at once. But whoever says only
    # this to a customer without such an order has not looked whose it is.
    also: frozenset[Ground] = frozenset() if wishes[0] in possible else frozenset(("no_delivery",))
    if not verified or order is None or order.customer_id != customer_id:
        return refusal("not_found" if verified else "not_verified")._replace(also_true=also)
    if against := grounds_against(order, redirected, days, rules):
        arrival = order.expected_on if order.status == "shipped" else None
        facts = (Fact("date", arrival, "delivery"),) if arrival else ()
        return Outcome("refuse", frozenset(), (against | also,), facts, ())
    if sum([item.price_cents for item in order.items if item.status == "ordered"]) > rules.transfer_limit_cents:
        return transfer("high_value_redirect")
    if not possible:
        return refusal("no_delivery")
    return Outcome(
        verdict="address_change",
        effects=frozenset((("address", order.order_id, address_text(*possible[0])),)),
        grounds=(also,) if also else (),
        facts=(Fact("days", rules.delay_days, "delay"),),
        consents=(DueConsent("address_change", frozenset((order.order_id,)), 0),),
    )


# --- what a shop and its orders are like -----------------------------------------------------------


def _order(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order that is still being processed, within the window and the limit."""
    window = cast(AddressChangeRules, rules).change_window_days
    order = draw_order(stream, order_id, owner, _affordable(stream, catalogue, rules), None)
    order.status = "processing"
    order.placed_days = window if stream.chance(0.2) else stream.between(4, window)
    order.method = _card(stream)
    return order


def _card(stream: Stream) -> tuple[str, str]:
    """A way to pay that does not tie the order to an address."""
    while True:
        method = draw_method(stream)
        if method != PAYPAL:
            return method


def _affordable(stream: Stream, catalogue: Catalogue, rules: PolicyRules) -> list[Line]:
    """Lines that cost no more than the transfer limit."""
    limit = cast(AddressChangeRules, rules).transfer_limit_cents
    while True:
        lines = draw_lines(stream, catalogue)
        if sum([line.price_cents for line in lines]) <= limit:
            return lines


def _begin(case: Case, kind: Kind) -> None:
    stream, window = case.stream, cast(AddressChangeRules, case.rules).change_window_days
    case.late = window + 1 if stream.chance(0.3) else stream.between(window + 1, window + 20)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in NUMBER_GIVEN else ""
    draw_addresses(case)


def _settle(case: Case) -> Settlement:
    order, rules = case.order, cast(AddressChangeRules, case.rules)
    facts = order.facts(case.draft.today) if order in case.draft.orders else None
    wishes = [case.addresses[name] for name in ("new", "second") if name in case.addresses]
    outcome = compile_outcome(
        order=facts,
        verified=case.verified(),
        customer_id=case.customer.customer_id,
        redirected=order.destination is not None,
        wishes=wishes,
        unserved=case.draft.unserved,
        days=order.placed_days or 0,
        rules=rules,
    )
    details = case.details
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.order_id if facts else "",
        items=(order.order_id,),
        titles=tuple([line.title for line in case.wanted_lines()]),
        reason="",
        paid_cents=0,
        verb="address_change",
        details=(("new_address", details["new_address"]),),
        values=tuple([value for wish in wishes for value in _values(wish)]),
        slips=tuple(case.slips),
        mistaken=_values(case.addresses["mistaken"])[:1] if "mistaken" in case.addresses else (),
        seconds=(("new_address", details["second"]),) if "second" in details else (),
    )
    return Settlement(goal, outcome, facts)


def _values(address: Address) -> tuple[tuple[str, int | str], ...]:
    """The typed values of an address; of a box, without the street that it has not."""
    values = address_values(*address)
    return values[1:] if address[0].startswith(BOXES) else values


# --- kinds -----------------------------------------------------------------------------------------


def _near_limit(case: Case) -> None:
    """A parcel whose value is a little under the transfer limit."""
    limit = cast(AddressChangeRules, case.rules).transfer_limit_cents
    replace_wanted(case, case.stream.choice(case.catalogue.plain))
    case.order.lines, case.wanted = case.wanted_lines(), [0]
    case.order.lines[0].price_cents = limit * case.stream.between(70, 100) // 100


def _near_limit_slip(case: Case) -> None:
    """The same, for a customer who gets the house number wrong."""
    _near_limit(case)
    wrong_house_number(case)


def _two_orders(case: Case) -> None:
    """A customer without a number who names an item of one of their orders; the other is from too long ago."""
    no_number(case)
    if len(case.draft.orders) < 2:
        raise UnsuitableCase("one order only")
    other = case.draft.orders[1]
    other.status, other.placed_days, other.method = "processing", case.late, _card(case.stream)
    titles = {line.title for line in case.order.lines}
    while True:
        other.lines = _affordable(case.stream, case.catalogue, case.rules)
        if titles.isdisjoint([line.title for line in other.lines]):
            return


def _second_without_number(case: Case) -> None:
    """A second address, from a customer who does not know the order number."""
    has_second_address(case)
    no_number(case)


def _second_without_postal_code(case: Case) -> None:
    """A second address, from a customer who leaves out the postal code of the first."""
    has_second_address(case)
    without_postal_code(case)


def _gift_card_too(case: Case) -> None:
    """An order of a gift card and something else, by a customer who calls it the one with the gift card."""
    limit = cast(AddressChangeRules, case.rules).transfer_limit_cents
    gift_card = draw_line(case.stream, case.stream.choice(case.catalogue.by_category["gift_card"]))
    line = draw_line(case.stream, case.stream.choice(case.catalogue.plain))
    line.price_cents = min(line.price_cents, limit - gift_card.price_cents)
    case.order.lines, case.wanted = [line, gift_card], [1]


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


def _cancelled(case: Case) -> None:
    """The order was cancelled."""
    case.order.status = "cancelled"
    for line in case.order.lines:
        line.status = "cancelled"


def _by_paypal(case: Case) -> None:
    """The order was paid by PayPal."""
    case.order.method = PAYPAL


def _redirected(case: Case) -> None:
    """The order goes to another address already."""
    case.order.destination = case.addresses["earlier"]


def _over_limit(case: Case) -> None:
    """The parcel is worth more than the limit."""
    line = case.order.lines[0]
    line.price_cents = cast(AddressChangeRules, case.rules).transfer_limit_cents + 1 + line.price_cents // 5


def _in_the_other_order(case: Case) -> None:
    """The item that the customer names is in the other of their orders."""
    first, other = case.order, case.draft.orders[1]
    first.lines, other.lines = other.lines, first.lines
    case.ordered = other


def _gift_card_only(case: Case) -> None:
    """The order holds nothing but the gift card."""
    case.order.lines, case.wanted = case.wanted_lines(), [0]


_REFUSED = ("address_change", "refuse")
_GRANTED = ("address_change", "address_change")  # to the first address that they name, and to the second
KINDS = (
    Kind("window", nothing_special, _earlier, _REFUSED),
    Kind("shipped", nothing_special, _shipped, _REFUSED),
    Kind("delivered", nothing_special, _delivered, _REFUSED),
    Kind("cancelled", nothing_special, _cancelled, _REFUSED),
    Kind("paypal", nothing_special, _by_paypal, _REFUSED),
    Kind("already_changed", nothing_special, _redirected, _REFUSED),
    Kind("gift_card", _gift_card_too, _gift_card_only, _REFUSED),
    Kind("over_limit", _near_limit, _over_limit, ("address_change", "transfer")),
    Kind("foreign_order", nothing_special, somebody_elses, _REFUSED),
    Kind("missing_order", nothing_special, not_there, _REFUSED),
    Kind("unverified", nothing_special, lives_elsewhere, _REFUSED),
    Kind("wrong_number", wrong_number, _by_paypal, _REFUSED),
    Kind("unknown_number", no_number, _redirected, _REFUSED),
    Kind("two_orders", _two_orders, _in_the_other_order, _REFUSED),
    Kind("old_postal_code", old_postal_code_forgotten, lives_elsewhere, _REFUSED),
    Kind("no_postal_code", without_postal_code, _cancelled, _REFUSED),
    Kind("wrong_house_number", _near_limit_slip, _over_limit, ("address_change", "transfer")),
    Kind("no_delivery", nothing_special, area_closed, _REFUSED),
    Kind("second_address", has_second_address, area_closed, _GRANTED),
    Kind("second_no_number", _second_without_number, area_closed, _GRANTED),
    Kind("second_no_postal_code", _second_without_postal_code, area_closed, _GRANTED),
    Kind("box_or_street", to_a_box_or_a_street, _shipped, _REFUSED),
    Kind("box", to_a_box, somebody_elses, ("refuse", "refuse")),
)

ADDRESS_CHANGE = Design(
    name="address_change",
    rules=AddressChangeRules,
    bounds={"change_window_days": (5, 60), "transfer_limit_cents": (12_000, 10_000_000), "delay_days": (2, 30)},
    kinds=KINDS,
    make_rules=lambda drawn: AddressChangeRules(**drawn),
    order=_order,
    begin=_begin,
    settle=_settle,
    reference_turns={"address_change": 8, "refuse": 7, "transfer": 6},
    two_orders=frozenset(("missing_order", "two_orders")),
)


def make() -> Generator:
    """The family."""
    return Generator(ADDRESS_CHANGE)
