"""A world being drawn: what a scenario generator fills in, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import NamedTuple

from ss_gym.commerce.catalogue import load_catalogue
from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts, World
from ss_gym.commerce.subscriptions import SubscriptionFacts
from ss_gym.streams import Stream

_CARRIERS = ("UPS", "DHL", "FedEx")
_CARDS = ("Visa", "Mastercard", "Amex")


# The scenarios of a split lie within a few years, and each names the same few days again and again.
@cache
def day(ordinal: int) -> str:
    """The ISO date of a proleptic Gregorian ordinal."""
    return date.fromordinal(ordinal).isoformat()


class Person(NamedTuple):
    """An account: who it is, where they live, as the database has it."""

    customer_id: str
    name: str
    email: str
    street: str
    city: str
    postal_code: str


@dataclass(slots=True)
class Line:
    """One item of an order being drawn.

    Attributes:
        variant_id, title, category, price_cents, final_sale, status: as in the database.
        extended_warranty_days: days of warranty that were bought for it on top of the usual ones.
        claim: an earlier warranty claim for it: the remedy, and how many days ago; None if there was none.
    """

    variant_id: str
    title: str
    category: str
    price_cents: int
    final_sale: bool = False
    status: str = "ordered"
    extended_warranty_days: int = 0
    claim: tuple[str, int] | None = None


@dataclass(slots=True)
class OrderDraft:
    """An order being drawn.

    Attributes:
        order_id: its number.
        owner: the account that it belongs to.
        lines: its items.
        days_since_delivery: whole days; None while it is on its way.
        days_to_delivery: days from today to the expected delivery of an order on its way.
        shipping_days: days from shipping to delivery.
        gift_card_cents: what a gift card paid; the rest was paid by ``method``.
        method: kind and label of the other payment.
        carrier: who ships it.
        note: what somebody wrote on the order; empty if nobody did.
        status: processing or cancelled of an order that was not sent; else empty.
        placed_days: days since the order; if None, it was sent on the day after.
        destination: street, city and postal code that it goes to; None if that is the owner's address.
        early_days: days from its delivery to the day for which that had been expected.
        goodwill_cents: store credit that was given for it as an apology.
    """

    order_id: str
    owner: Person
    lines: list[Line]
    days_since_delivery: int | None
    days_to_delivery: int
    shipping_days: int
    gift_card_cents: int
    method: tuple[str, str]
    carrier: str
    note: str = ""
    status: str = ""
    placed_days: int | None = None
    destination: tuple[str, str, str] | None = None
    early_days: int = 0
    goodwill_cents: int = 0

    def total_cents(self) -> int:
        """The price of all lines."""
        return sum([line.price_cents for line in self.lines])

    def item_id(self, index: int) -> str:
        """The id of a line, counted from 0."""
        return f"{self.order_id}-{index + 1}"

    def payments(self) -> tuple[PaymentFacts, ...]:
        """The payments, gift card first, with what earlier refunds paid back to each."""
        rest, gift = self.total_cents() - self.gift_card_cents, self.gift_card_cents
        back = sum([line.price_cents for line in self.lines if line.status in ("refunded", "cancelled")])
        kind, label = self.method
        if not gift:
            return (PaymentFacts(f"{self.order_id}-P1", kind, label, rest, min(back, rest)),)
        repaid = min(back, gift)
        first = PaymentFacts(f"{self.order_id}-P1", "gift_card", "gift card", gift, repaid)
        if rest <= 0:
            return (first,)
        return first, PaymentFacts(f"{self.order_id}-P2", kind, label, rest, min(back - repaid, rest))

    def facts(self, today: int) -> OrderFacts:
        """The order as the policy engine sees it."""
        delivered, expected = self._dates(today)
        order_id = self.order_id
        items = tuple(
            [
                ItemFacts(f"{order_id}-{n}", x.variant_id, x.title, x.category, x.price_cents, x.final_sale, x.status)
                for n, x in enumerate(self.lines, 1)
            ]
        )
        status = self.status or ("delivered" if delivered else "shipped")
        return OrderFacts(order_id, self.owner.customer_id, status, delivered, expected, items, self.payments())

    def shipped_day(self, today: int) -> int:
        """The ordinal on which it was shipped."""
        if self.placed_days is not None:
            return today - self.placed_days + 1
        if self.days_since_delivery is None:
            return today - 2
        return today - self.days_since_delivery - self.shipping_days

    def _dates(self, today: int) -> tuple[str | None, str | None]:
        if self.status:
            return None, None
        if self.days_since_delivery is None:
            return None, day(today + self.days_to_delivery)
        delivered = today - self.days_since_delivery
        return day(delivered), day(delivered + self.early_days)


@dataclass(slots=True)
class SubscriptionDraft:
    """A subscription being drawn; dates are ISO.

    Attributes:
        subscription_id: its number, five digits like an order's.
        owner: the account that it belongs to.
        variant_id: what is delivered.
        title: what that is called.
        price_cents: of a month.
        started_on: since when it runs.
        next_charge_on: None once it is cancelled.
        committed_until: the last day on which leaving costs something is the one before.
        status: active, paused or cancelled.
    """

    subscription_id: str
    owner: Person
    variant_id: str
    title: str
    price_cents: int
    started_on: str
    next_charge_on: str | None
    committed_until: str
    status: str = "active"

    def facts(self) -> SubscriptionFacts:
        """The subscription as the policy engine sees it."""
        return SubscriptionFacts(
            self.subscription_id,
            self.owner.customer_id,
            self.title,
            self.price_cents,
            self.status,
            self.started_on,
            self.next_charge_on,
            self.committed_until,
        )


_LETTERS = "ABCDEFGHJKLMNPRSTUWXYZ"
_PEOPLE = 2048


@cache
def people(split: str) -> tuple[Person, ...]:
    """The accounts that scenarios of a split choose from, drawn once a process; ids are all different."""
    stream = Stream("people", split)
    catalogue = load_catalogue(split)
    accounts: list[Person] = []
    emails: set[str] = set()
    while len(accounts) < _PEOPLE:
        first, last = stream.choice(catalogue.first_names), stream.choice(catalogue.last_names)
        local = f"{first}.{last}" if stream.chance(0.5) else f"{first[0]}{last}{stream.between(2, 99)}"
        email = f"{local.lower()}@{stream.choice(catalogue.domains)}"
        city, area = stream.choice(catalogue.cities)
        person = Person(
            customer_id=f"C{1000 + 3 * len(accounts)}",
            name=f"{first} {last}",
            email=email,
            street=f"{stream.between(1, 180)} {stream.choice(catalogue.streets)}",
            city=city,
            postal_code=f"{area} {stream.below(10)}{stream.choice(_LETTERS)}{stream.choice(_LETTERS)}",
        )
        if email not in emails:
            emails.add(email)
            accounts.append(person)
    return tuple(accounts)


def draw_method(stream: Stream) -> tuple[str, str]:
    """A way to pay that is no gift card: its kind and label."""
    if stream.chance(0.25):
        return "paypal", "PayPal"
    return "card", f"{stream.choice(_CARDS)} {stream.between(1000, 9999)}"


def draw_order(stream: Stream, order_id: str, owner: Person, lines: list[Line], days: int | None) -> OrderDraft:
    """An order of these lines, delivered ``days`` ago (None: on its way), paid by one method."""
    return OrderDraft(
        order_id=order_id,
        owner=owner,
        lines=lines,
        days_since_delivery=days,
        days_to_delivery=stream.between(1, 6),
        shipping_days=stream.between(2, 6),
        gift_card_cents=0,
        method=draw_method(stream),
        carrier=stream.choice(_CARRIERS),
    )


class _OrderRows:
    """The rows that orders leave, by table."""

    __slots__ = (
        "destinations", "goodwill_credits", "notes", "order_items", "orders", "payment_methods", "payments", "refunds",
        "shipments",
    )  # fmt: skip

    def __init__(self) -> None:
        self.destinations: list[tuple[str, str, str, str]] = []
        self.goodwill_credits: list[tuple[str, str, str, int, str]] = []
        self.notes: list[tuple[str, str, str, str]] = []
        self.order_items: list[tuple[str, str, str, str, int, int, str]] = []
        self.orders: list[tuple[str, str, str, str]] = []
        self.payment_methods: list[tuple[str, str, str, str]] = []
        self.payments: list[tuple[str, str, str, int]] = []
        self.refunds: list[tuple[str, str, str, int, str, str]] = []
        self.shipments: list[tuple[str, str, str, str, str, str | None]] = []

    def add(self, order: OrderDraft, facts: OrderFacts, today: int) -> None:
        """Adds those of an order with these facts."""
        order_id, customer_id, shipped = order.order_id, facts.customer_id, order.shipped_day(today)
        placed_on = day(shipped - 1)
        if order.note:
            self.notes.append((f"{order_id}-N", order_id, order.note, placed_on))
        self.orders.append((order_id, customer_id, placed_on, facts.status))
        for item_id, variant_id, title, _, price_cents, final_sale, status in facts.items:
            self.order_items.append((item_id, order_id, variant_id, title, price_cents, int(final_sale), status))
        if order.destination:
            self.destinations.append((order_id, *order.destination))
        if order.goodwill_cents:
            self.goodwill_credits.append((f"{order_id}-G", customer_id, order_id, order.goodwill_cents, day(today - 1)))
        if not order.status:
            expected = facts.expected_on or day(today)
            sent = (f"{order_id}-S", order_id, order.carrier, day(shipped), expected, facts.delivered_on)
            self.shipments.append(sent)
        for payment_id, kind, label, amount_cents, repaid in facts.payments:
            method = f"{payment_id}-M"
            self.payment_methods.append((method, customer_id, kind, label))
            self.payments.append((payment_id, order_id, method, amount_cents))
            if repaid:
                when = day(max(shipped, today - 3))
                self.refunds.append((f"{payment_id}-R", order_id, payment_id, repaid, "changed_mind", when))


@dataclass(slots=True)
class WorldDraft:
    """The accounts, orders and subscriptions of a scenario, and its date.

    Attributes:
        today: the date, as an ordinal.
        people: the accounts.
        orders: their orders.
        subscriptions: the subscriptions.
        stock: units of variants that are in stock otherwise than the catalogue has it.
        prices: cents of variants that cost something else than the catalogue has it.
        unserved: the postal areas to which nothing is delivered.
    """

    today: int
    people: list[Person] = field(default_factory=list)
    orders: list[OrderDraft] = field(default_factory=list)
    subscriptions: list[SubscriptionDraft] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    unserved: list[str] = field(default_factory=list)

    def world(self, known: OrderFacts | None = None) -> World:
        """The rows of this world, in the order of the schema.

        Args:
            known: facts of one of the orders, if they have been taken already.
        """
        rows = _OrderRows()
        for order in self.orders:
            taken = known if known is not None and known.order_id == order.order_id else order.facts(self.today)
            rows.add(order, taken, self.today)
        return World(
            customers=tuple([(p.customer_id, p.name, p.email) for p in self.people]),
            addresses=tuple(
                [(f"{p.customer_id}-A", p.customer_id, p.street, p.city, p.postal_code) for p in self.people]
            ),
            payment_methods=tuple(rows.payment_methods),
            orders=tuple(rows.orders),
            order_items=tuple(rows.order_items),
            shipments=tuple(rows.shipments),
            payments=tuple(rows.payments),
            refunds=tuple(rows.refunds),
            notes=tuple(rows.notes),
            destinations=tuple(rows.destinations),
            extended_warranties=tuple(
                [(item, line.extended_warranty_days) for item, line in self._lines() if line.extended_warranty_days]
            ),
            claims=tuple(
                [
                    (f"{item}-W", item, line.claim[0], day(self.today - line.claim[1]))
                    for item, line in self._lines()
                    if line.claim
                ]
            ),
            stock=tuple(self.stock.items()),
            prices=tuple(self.prices.items()),
            subscriptions=tuple(
                [(*each.facts()[:2], each.variant_id, *each.facts()[2:]) for each in self.subscriptions]
            ),
            unserved_areas=tuple([(area,) for area in self.unserved]),
            goodwill_credits=tuple(rows.goodwill_credits),
        )

    def _lines(self) -> list[tuple[str, Line]]:
        """Every line of every order, with its id."""
        return [(order.item_id(place), line) for order in self.orders for place, line in enumerate(order.lines)]


def distinct(stream: Stream, low: int, high: int, count: int) -> Sequence[int]:
    """``count`` different integers of ``[low, high]``."""
    found: list[int] = []
    while len(found) < count:
        number = stream.between(low, high)
        if number not in found:
            found.append(number)
    return found
