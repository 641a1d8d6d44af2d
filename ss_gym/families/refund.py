"""The Refund family: a customer wants money back, and the policy says what they get.

A scenario is drawn as one of the kinds below. Its twin has the same customer with the same words
and one fact of the database changed, so that the right outcome is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

from ss_gym.commerce.catalogue import Catalogue, Product, load_catalogue
from ss_gym.commerce.draft import Line, OrderDraft, Person, WorldDraft, distinct, draw_order
from ss_gym.commerce.policy import decide
from ss_gym.commerce.records import Decision, OrderFacts, Reason, Rules
from ss_gym.families.outcomes import compile_outcome
from ss_gym.scenario_files import read_yaml
from ss_gym.scenarios import Customer, Goal, Scenario, scenario_id
from ss_gym.streams import Stream

FAULTS: tuple[Reason, ...] = ("damaged", "wrong_item", "defective")


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
    case.accepts_credit = False


def electronics(case: Case) -> None:
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
    case.reason = case.stream.choice(FAULTS)


def faulty_final_sale(case: Case) -> None:
    faulty(case)
    case.order.lines[case.wanted[0]].final_sale = True


def faulty_after_return_window(case: Case) -> None:
    faulty(case)
    case.order.days_since_delivery = case.stream.between(
        case.rules.return_window_days + 1, case.rules.damage_window_days
    )


def never_arrived(case: Case) -> None:
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
    first, second = _two_wanted(case)
    case.order.lines[second].final_sale = True
    case.order.lines[first].final_sale = False


def wants_gift_card_too(case: Case) -> None:
    _, second = _two_wanted(case)
    case.order.lines[second] = _line(case.stream, case.stream.choice(case.catalogue.by_category["gift_card"]))


def whole_order(case: Case) -> None:
    _two_wanted(case)
    case.wanted = list(range(len(case.order.lines)))


def other_card(case: Case) -> None:
    case.wants_other_card = True


# --- what its twin has otherwise -----------------------------------------------------------------


def later(case: Case) -> None:
    case.order.days_since_delivery = case.late


def much_later(case: Case) -> None:
    case.order.days_since_delivery = case.very_late


def on_final_sale(case: Case) -> None:
    case.order.lines[case.wanted[0]].final_sale = True


def refunded_before(case: Case) -> None:
    case.order.lines[case.wanted[0]].status = "refunded"


def on_its_way(case: Case) -> None:
    case.order.days_since_delivery = None


def has_arrived(case: Case) -> None:
    case.order.days_since_delivery = case.order.shipping_days


def somebody_elses(case: Case) -> None:
    case.order.owner = case.stranger
    case.draft.people.append(case.stranger)


def not_there(case: Case) -> None:
    case.draft.orders.remove(case.order)


def lives_elsewhere(case: Case) -> None:
    case.customer.postal_code = case.stranger.postal_code


def over_limit(case: Case) -> None:
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
# Kinds whose customer must give the right number, since the account holds nothing to find it by.
_NUMBER_GIVEN = frozenset(("foreign_order", "missing_order", "wrong_number"))


class RefundFamily:
    """Draws Refund scenarios: any index of any split, the same on every machine."""

    name = "refund"

    def __init__(self) -> None:
        parameters = read_yaml("refund", "family.yaml")
        self._ranges: Mapping[str, Mapping[str, list[int]]] = parameters["rules"]
        self._today = {
            split: tuple(date.fromisoformat(text).toordinal() for text in bounds)
            for split, bounds in parameters["today"].items()
        }
        weights: Mapping[str, float] = parameters["kinds"]
        unknown = set(weights) ^ {kind.name for kind in KINDS}
        if unknown:
            raise ValueError(f"scenarios/refund/family.yaml: kinds: {sorted(unknown)} must be exactly the family's kinds")
        self._kinds = {kind.name: kind for kind in KINDS}
        self._cumulative = tuple(accumulate(weights[kind.name] for kind in KINDS))

    def draw(self, split: str, index: int, seed: int, kind: str | None = None) -> Scenario:
        """The scenario ``index`` of a split, drawn from the pair's seed.

        Args:
            split: train, dev or test: which worlds, rule parameters and words.
            index: its number; odd numbers are the twins of the even ones before them.
            seed: the pair's seed.
            kind: the kind of case; by the family's weights if None.

        Raises:
            RuntimeError: twenty draws gave no suitable pair, a fault in the family's data.
        """
        reasons = []
        for attempt in range(20):
            stream = Stream("refund", split, seed, attempt)
            chosen = self._kinds[kind] if kind else stream.weighted(KINDS, self._cumulative)
            try:
                return self._draw(split, index, seed, attempt, chosen)
            except UnsuitableCase as reason:
                reasons.append(f"{chosen.name}: {reason}")
        raise RuntimeError(f"refund/{split} seed {seed}: no suitable case in 20 draws ({'; '.join(reasons)})")

    def _draw(self, split: str, index: int, seed: int, attempt: int, kind: Kind) -> Scenario:
        case = self._case(split, seed, attempt, kind)
        decision, order = _decide(case)
        if kind.make is not never_arrived and not decision.refund_cents:
            raise UnsuitableCase("the case ends without a refund")
        if index % 2:
            wanted, base = _wanted(case), decision
            kind.flip(case)
            decision, order = _decide(case)
            if (decision.transfer, decision.ground, decision.split) == (base.transfer, base.ground, base.split):
                raise UnsuitableCase("the twin has the same outcome")
            if wanted != _wanted(case):
                raise UnsuitableCase("the twin's customer would use other words")
        today = date.fromordinal(case.draft.today).isoformat()
        goal = _goal(case, order)
        return Scenario(
            id=scenario_id("refund", split, index),
            family="refund",
            split=split,
            index=index,
            kind=kind.name,
            today=today,
            rules=case.rules,
            world=case.draft.world(),
            customer=Customer(case.customer.customer_id, case.customer.name, case.customer.email, case.said_postal_code),
            goal=goal,
            outcome=(outcome := compile_outcome(decision, order, goal, case.rules, today)),
            wording_seed=seed,
            reference_turns=_REFERENCE_TURNS[outcome.verdict],
        )

    def _case(self, split: str, seed: int, attempt: int, kind: Kind) -> Case:
        catalogue = load_catalogue(split)
        stream = Stream("refund", split, seed, attempt, "world")
        rules = self._rules(split, stream)
        low, high = self._today[split]
        draft = WorldDraft(stream.between(low, high))
        ids = distinct(stream, 10_000, 89_999, 3)
        accounts = distinct(stream, 1000, 8999, 2)
        customer, stranger = (draw_person(stream, catalogue, f"C{number}") for number in accounts)
        if customer.postal_code == stranger.postal_code or customer.email == stranger.email:
            raise UnsuitableCase("the stranger is too much like the customer")
        draft.people.append(customer)
        window = rules.return_window_days
        days = window if stream.chance(0.2) else stream.between(1, window)
        order = draw_order(stream, str(ids[0]), customer, _lines(stream, catalogue), days)
        draft.orders.append(order)
        if stream.chance(0.5) or kind.name == "missing_order":
            titles = {line.title for line in order.lines}
            lines = [x for x in _lines(stream, catalogue) if x.title not in titles] or None
            if lines:
                draft.orders.append(draw_order(stream, str(ids[1]), customer, lines, stream.between(2, 40)))
        case = Case(
            stream=stream,
            catalogue=catalogue,
            rules=rules,
            draft=draft,
            customer=customer,
            stranger=stranger,
            order=order,
            wanted=[stream.below(len(order.lines))],
            late=window + 1 if stream.chance(0.3) else stream.between(window + 1, rules.credit_window_days),
            very_late=rules.damage_window_days + stream.between(1, 30),
            said_order_id=order.order_id if stream.chance(0.8) or kind.name in _NUMBER_GIVEN else "",
            said_postal_code=customer.postal_code,
            accepts_credit=stream.chance(0.85) or kind.name in _CREDIT_WELCOME,
        )
        kind.make(case)
        return case

    def _rules(self, split: str, stream: Stream) -> Rules:
        drawn = {name: stream.choice(values[split]) for name, values in self._ranges.items()}
        window = drawn["return_window_days"]
        credit = window + drawn["extra_credit_days"]
        return Rules(
            return_window_days=window,
            credit_window_days=credit,
            damage_window_days=credit + drawn["extra_damage_days"],
            restocking_fee_percent=drawn["restocking_fee_percent"],
            transfer_limit_cents=drawn["transfer_limit_cents"],
            refund_days=drawn["refund_days"],
        )


# Kinds whose twin is settled with store credit; elsewhere the customer may decline it.
_CREDIT_WELCOME = frozenset(
    ("window_credit", "restocking_fee", "mixed_payment", "wrong_number", "unknown_number", "other_card")
)
# Replies that a good agent needs, by how the scenario ends.
_REFERENCE_TURNS = {"refund": 6, "store_credit": 8, "exchange": 8, "refuse": 7, "transfer": 6}


_LETTERS = "ABCDEFGHJKLMNPRSTUWXYZ"


def draw_person(stream: Stream, catalogue: Catalogue, customer_id: str) -> Person:
    """An account with a name, an e-mail made from it and an address."""
    first, last = stream.choice(catalogue.first_names), stream.choice(catalogue.last_names)
    city, prefix = stream.choice(catalogue.cities)
    local = f"{first}.{last}" if stream.chance(0.6) else f"{first[0]}{last}{stream.between(2, 99)}"
    return Person(
        customer_id=customer_id,
        name=f"{first} {last}",
        email=f"{local.lower()}@{stream.choice(catalogue.domains)}",
        street=f"{stream.between(1, 180)} {stream.choice(catalogue.streets)}",
        city=city,
        postal_code=f"{prefix} {stream.below(10)}{stream.choice(_LETTERS)}{stream.choice(_LETTERS)}",
    )


def _line(stream: Stream, product: Product) -> Line:
    option = stream.choice(product.options)
    return Line(option.variant_id, product.title, product.category, option.price_cents)


def _lines(stream: Stream, catalogue: Catalogue) -> list[Line]:
    count = stream.weighted((1, 2, 3), (0.5, 0.8, 1.0))
    return [_line(stream, product) for product in stream.sample(catalogue.sellable, count)]


def _replace(case: Case, product: Product) -> None:
    """Put a product in the place of the wanted item."""
    lines, place = case.order.lines, case.wanted[0]
    if any(line.title == product.title for n, line in enumerate(lines) if n != place):
        raise UnsuitableCase("the same product twice in an order")
    lines[place] = _line(case.stream, product)


def _two_wanted(case: Case) -> tuple[int, int]:
    lines = case.order.lines
    if len(lines) < 2:
        raise UnsuitableCase("one item only")
    first = case.wanted[0]
    second = (first + 1) % len(lines)
    case.wanted = [first, second]
    return first, second


def _wanted(case: Case) -> tuple[str, list[str], Reason]:
    """What the customer's words depend on."""
    return case.said_order_id, [case.order.lines[n].title for n in case.wanted], case.reason


def _decide(case: Case) -> tuple[Decision, OrderFacts | None]:
    """What the policy gives in the world as it stands, and the order that it is about."""
    order, today = case.order, case.draft.today
    facts = order.facts(today) if order in case.draft.orders else None
    verified = case.said_postal_code == case.customer.postal_code
    decision = decide(
        facts,
        case.customer.customer_id if verified else None,
        [order.item_id(n) for n in case.wanted],
        case.reason,
        case.rules,
        date.fromordinal(today).isoformat(),
        case.catalogue.alternatives,
    )
    return decision, facts


def _goal(case: Case, order: OrderFacts | None) -> Goal:
    lines = [case.order.lines[n] for n in case.wanted]
    return Goal(
        order_id=case.said_order_id,
        true_order_id=order.order_id if order else "",
        items=tuple([case.order.item_id(n) for n in case.wanted]),
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        accepts_credit=case.accepts_credit,
        exchange_option=case.exchange[0],
        exchange_variant=case.exchange[1],
        wants_other_card=case.wants_other_card,
    )
