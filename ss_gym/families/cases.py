"""A case being drawn, and what cases of several families have in common: who asks, about which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ss_gym.commerce.catalogue import Catalogue, Option, Product
from ss_gym.commerce.draft import Line, OrderDraft, Person, SubscriptionDraft, WorldDraft
from ss_gym.commerce.records import Reason, Verb
from ss_gym.commerce.rules import PolicyRules
from ss_gym.scenarios import Slip
from ss_gym.streams import Stream


class UnsuitableCase(Exception):
    """The draw does not give a solvable, unambiguous pair; another draw is made."""


@dataclass(slots=True)
class Case:
    """One case being drawn.

    Attributes:
        stream: what it is drawn from.
        catalogue: what the shop sells.
        rules: the shop's parameters.
        draft: the world.
        customer: who asks.
        stranger: another customer.
        ordered: the order that the customer means, in a family about orders.
        wanted: the places of the items that they mean.
        late, very_late: numbers of days that a flip may need, so that it draws nothing itself.
        reason: why they ask.
        said_order_id: the number that they give; empty if they have none.
        said_postal_code: the postal code that they give.
        accepts_credit: whether store credit is welcome.
        accepts_refund: whether a refund is, where the wish is about something else.
        options: the option that they want instead of each wanted item, by its place.
        accepts: other remedies that they take where the wish is refused for a reason.
        exchange: the option that they would take and its variant; empty if none.
        wants_other_card: whether the money should go to a card that did not pay.
        details: what else they know and tell when asked, by slot.
        attack: how they try to get more than is due; empty if they don't.
        subscribed: the subscription that they mean, in a family about subscriptions.
        wish: what they want of it, in a family with several wishes.
        months: for how many, where that is part of the wish.
        split: whose worlds it is from.
        addresses: street, city and postal code of places that are spoken of, by what they are.
        slips: what they say wrongly at first.
    """

    stream: Stream
    catalogue: Catalogue
    rules: PolicyRules
    draft: WorldDraft
    customer: Person
    stranger: Person
    ordered: OrderDraft | None
    wanted: list[int]
    late: int = 0
    very_late: int = 0
    reason: Reason = ""
    said_order_id: str = ""
    said_postal_code: str = ""
    accepts_credit: bool = False
    accepts_refund: bool = True
    options: dict[int, Option] = field(default_factory=dict)
    accepts: tuple[Verb, ...] = ()
    exchange: tuple[str, str] = ("", "")
    wants_other_card: bool = False
    details: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    slips: list[Slip] = field(default_factory=list)
    attack: str = ""
    subscribed: SubscriptionDraft | None = None
    wish: str = ""
    months: int = 0
    split: str = ""

    @property
    def order(self) -> OrderDraft:
        """The order that the customer means."""
        assert self.ordered is not None, "this family's cases are not about orders"
        return self.ordered

    @property
    def subscription(self) -> SubscriptionDraft:
        """The subscription that the customer means."""
        assert self.subscribed is not None, "this family's cases are not about subscriptions"
        return self.subscribed

    def wanted_lines(self) -> list[Line]:
        """The lines that the customer means."""
        return [self.order.lines[place] for place in self.wanted]

    def wanted_ids(self) -> tuple[str, ...]:
        """The ids of these lines."""
        return tuple([self.order.item_id(place) for place in self.wanted])

    def verified(self) -> bool:
        """Whether what the customer tells about themselves is what the account has."""
        return self.said_postal_code == self.customer.postal_code


Change = Callable[[Case], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of case.

    Attributes:
        name: what ``family.yaml`` calls it.
        make: what makes it.
        flip: the one fact that its twin has otherwise.
        ends: the verdicts of the case and of its twin.
    """

    name: str
    make: Change
    flip: Change
    ends: tuple[str, str]


# Kinds whose customer must give the right number, since the account holds nothing to find the order by.
NUMBER_GIVEN = frozenset(("foreign_order", "missing_order", "wrong_number"))

# --- what makes a case ---------------------------------------------------------------------------


def nothing_special(case: Case) -> None:
    """One item of an order, and nothing that stands against the wish."""


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


def mixed_payment(case: Case) -> None:
    """A gift card paid a part that does not cover the refund."""
    line = case.order.lines[case.wanted[0]]
    if line.price_cents < 1000:
        raise UnsuitableCase("too cheap for two payments")
    case.order.gift_card_cents = line.price_cents * case.stream.between(20, 70) // 100


def two_wanted_one_final_sale(case: Case) -> None:
    """Two items, of which one was on final sale."""
    first, second = two_wanted(case)
    case.order.lines[second].final_sale = True
    case.order.lines[first].final_sale = False


def wants_gift_card_too(case: Case) -> None:
    """An item and a gift card that was bought with it."""
    _, second = two_wanted(case)
    case.order.lines[second] = draw_line(case.stream, case.stream.choice(case.catalogue.by_category["gift_card"]))


def whole_order(case: Case) -> None:
    """Every item of the order."""
    two_wanted(case)
    case.wanted = list(range(len(case.order.lines)))


# --- what its twin has otherwise -----------------------------------------------------------------


def on_final_sale(case: Case) -> None:
    """The item was on final sale."""
    case.order.lines[case.wanted[0]].final_sale = True


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


# --- parts ---------------------------------------------------------------------------------------


def draw_line(stream: Stream, product: Product) -> Line:
    """An order line: one of the product's options at its price."""
    option = stream.choice(product.options)
    return Line(option.variant_id, product.title, product.category, option.price_cents)


def draw_lines(stream: Stream, catalogue: Catalogue) -> list[Line]:
    """One to three different products."""
    count = stream.weighted((1, 2, 3), (0.5, 0.8, 1.0))
    return [draw_line(stream, product) for product in stream.sample(catalogue.sellable, count)]


def replace_wanted(case: Case, product: Product) -> None:
    """Put a product in the place of the wanted item."""
    lines, place = case.order.lines, case.wanted[0]
    if any(line.title == product.title for n, line in enumerate(lines) if n != place):
        raise UnsuitableCase("the same product twice in an order")
    lines[place] = draw_line(case.stream, product)


def two_wanted(case: Case) -> tuple[int, int]:
    """Let the customer mean two items of the order; gives their places."""
    lines = case.order.lines
    if len(lines) < 2:
        raise UnsuitableCase("one item only")
    first = case.wanted[0]
    second = (first + 1) % len(lines)
    case.wanted = [first, second]
    return first, second


def at_least_two(case: Case) -> None:
    """Make sure that the order has two items."""
    lines = case.order.lines
    while len(lines) < 2:
        product = case.stream.choice(case.catalogue.plain)
        if product.title != lines[0].title:
            lines.append(draw_line(case.stream, product))
