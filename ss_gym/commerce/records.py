"""The facts that the shop keeps and the rules that it follows, as plain values.

Money is in integer cents, dates are ISO strings, ids are text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

# Why a customer asks; these are the reasons for a return, other families have others.
ReturnReason = Literal["changed_mind", "damaged", "wrong_item", "defective", "not_received"]
Reason = str
REASONS: tuple[ReturnReason, ...] = ("changed_mind", "damaged", "wrong_item", "defective", "not_received")

# Why a remedy is refused; a family may have others. The policy engine gives these, the customer understands them.
#   window            too many days since delivery
#   final_sale
#   already_refunded
#   not_delivered
#   gift_card_item    a gift card as a product
#   not_found         no such order, or not an order of this customer: both are said the same way
#   not_verified
#   out_of_stock      the exchange that was asked for
Ground = str

TransferReason = Literal["refund_over_limit", "delivery_dispute", "other"]

# What is done for a customer: one of ``ss_gym.commerce.remedies.REMEDIES``.
Verb = str


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of one shop's refund policy.

    Attributes:
        return_window_days: a change of mind is refunded up to this many days after delivery.
        credit_window_days: after the return window and up to this day, store credit instead.
        damage_window_days: damaged, defective or wrong items are refunded up to this day.
        restocking_fee_percent: kept from a change-of-mind refund of electronics.
        transfer_limit_cents: a refund above this total goes to a human.
        refund_days: business days until the money arrives.
    """

    return_window_days: int
    credit_window_days: int
    damage_window_days: int
    restocking_fee_percent: int
    transfer_limit_cents: int
    refund_days: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "return_window_days": "return",
        "credit_window_days": "credit",
        "damage_window_days": "damage",
        "restocking_fee_percent": "fee",
        "transfer_limit_cents": "limit",
        "refund_days": "days",
    }
    WINDOW: ClassVar[str] = "return_window_days"


class ItemFacts(NamedTuple):
    """One line of an order; ``status`` is ordered, refunded, credited, exchanged or cancelled."""

    item_id: str
    variant_id: str
    title: str
    category: str
    price_cents: int
    final_sale: bool
    status: str


class PaymentFacts(NamedTuple):
    """One payment of an order; ``kind`` is card, paypal or gift_card."""

    payment_id: str
    kind: str
    label: str
    amount_cents: int
    refunded_cents: int


class OrderFacts(NamedTuple):
    """An order as the policy engine sees it; ``status`` is processing, shipped, delivered or cancelled."""

    order_id: str
    customer_id: str
    status: str
    delivered_on: str | None
    expected_on: str | None
    items: tuple[ItemFacts, ...]
    payments: tuple[PaymentFacts, ...]


class World(NamedTuple):
    """The rows that one scenario adds to the catalogue: a tuple of rows a table, in schema order.

    ``stock`` and ``prices`` change rows of the catalogue instead: what is in stock and what it costs that day.
    """

    customers: tuple[tuple[str, str, str], ...]  # customer_id, name, email
    addresses: tuple[tuple[str, str, str, str, str], ...]  # address_id, customer_id, street, city, postal_code
    payment_methods: tuple[tuple[str, str, str, str], ...]  # payment_method_id, customer_id, kind, label
    orders: tuple[tuple[str, str, str, str], ...]  # order_id, customer_id, placed_on, status
    order_items: tuple[tuple[str, str, str, str, int, int, str], ...]
    # item_id, order_id, variant_id, title, price_cents, final_sale, status
    shipments: tuple[tuple[str, str, str, str, str, str | None], ...]
    # shipment_id, order_id, carrier, shipped_on, expected_on, delivered_on
    payments: tuple[tuple[str, str, str, int], ...]  # payment_id, order_id, payment_method_id, amount_cents
    refunds: tuple[tuple[str, str, str, int, str, str], ...]
    # refund_id, order_id, payment_id, amount_cents, reason, created_on
    notes: tuple[tuple[str, str, str, str], ...] = ()  # note_id, order_id, text, created_on
    destinations: tuple[tuple[str, str, str, str], ...] = ()  # order_id, street, city, postal_code
    extended_warranties: tuple[tuple[str, int], ...] = ()  # item_id, days
    claims: tuple[tuple[str, str, str, str], ...] = ()  # claim_id, item_id, remedy, created_on
    subscriptions: tuple[tuple[str, str, str, str, int, str, str, str | None, str], ...] = ()
    # subscription_id, customer_id, variant_id, title, price_cents, status, started_on, next_charge_on, committed_until
    unserved_areas: tuple[tuple[str], ...] = ()
    stock: tuple[tuple[str, int], ...] = ()  # variant_id, quantity
    prices: tuple[tuple[str, int], ...] = ()  # variant_id, price_cents
    goodwill_credits: tuple[tuple[str, str, str, int, str], ...] = ()
    # credit_id, customer_id, order_id, amount_cents, created_on


def order_lines(world: tuple[Any, ...]) -> tuple[tuple[str, str, str, str, int, int, str], ...]:
    """The lines of all orders in a shop's world; none in the world of another back end."""
    return world.order_items if isinstance(world, World) else ()


# One normalised change that a tool made, compared as a set with what was acceptable:
#   ("refund", payment_id, cents)        total paid back to a payment
#   ("item", item_id, status)            an order line's new status
#   ("store_credit", customer_id, cents) total credit given
#   ("exchange", item_id, variant_id)
#   ("order", order_id, status)          an order's new status
#   ("address", order_id, text)          where an order goes now, as ``address_text`` writes it
#   ("claim", item_id, remedy)           a warranty claim
#   ("subscription", subscription_id, status, next_charge_on)
#   ("fee", subscription_id, cents)      total charged
#   ("ticket", reason)                   the conversation was transferred
#   ("other", table, operation, key)     anything else that changed: never acceptable
Effect = tuple[str | int, ...]


class ItemDecision(NamedTuple):
    """What the policy gives for one item.

    Attributes:
        item_id: the order line.
        remedy: the best remedy: refund, store_credit, exchange or none.
        amount_cents: what is paid or credited (0 for exchange and none).
        fee_cents: the restocking fee kept from the price.
        ground: why it is not refunded; empty for a refund.
    """

    item_id: str
    remedy: Literal["refund", "store_credit", "exchange", "none"]
    amount_cents: int
    fee_cents: int
    ground: Ground


class Decision(NamedTuple):
    """What the policy gives for a request.

    Attributes:
        transfer: why the request must go to a human; empty if it need not.
        ground: why the whole request is refused before any item is looked at; else empty.
        items: a decision an item; empty if ``transfer`` or ``ground`` is set.
        split: (payment_id, cents) of the refund total, in the order of payment.
    """

    transfer: TransferReason | Literal[""]
    ground: Ground
    items: tuple[ItemDecision, ...]
    split: tuple[tuple[str, int], ...]

    @property
    def refund_cents(self) -> int:
        """The refund total."""
        return sum([item.amount_cents for item in self.items if item.remedy == "refund"])


def dollars(cents: int) -> str:
    """An amount as tools and prompts write it.

    >>> dollars(2405)
    '24.05'
    """
    return f"{cents // 100}.{cents % 100:02d}"


def address_text(street: str, city: str, postal_code: str) -> str:
    """An address as effects hold it: case, spacing and full stops don't matter.

    >>> address_text("12  Elm St.", "Leeds", "ls1 4ab.")
    '12 elm st, leeds, ls14ab'
    """
    parts = [part.replace(".", " ").replace(",", " ").casefold().split() for part in (street, city, postal_code)]
    return ", ".join([" ".join(parts[0]), " ".join(parts[1]), "".join(parts[2])])


def address_values(street: str, city: str, postal_code: str) -> tuple[tuple[str, str], ...]:
    """The typed values by which an address is known in an agent's words.

    Of a street, its number and the first word of its name: "Street" may be written "St" or left out.

    >>> address_values("12 Elm Street", "Carrow", "CW2 3EF")
    (('street', '12 elm'), ('city', 'carrow'), ('postal_code', 'cw23ef'))
    """
    plain = "".join(postal_code.split()).lower()
    return ("street", " ".join(street.lower().split()[:2])), ("city", city.lower()), ("postal_code", plain)
