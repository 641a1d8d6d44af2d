"""The Exchange family: a customer wants another size, colour or version of something that they have.

A scenario is drawn as one of the kinds of ``exchange_cases``. Its twin has the same customer with the same words
and one fact of the database changed, so that the right outcome is another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

from ss_gym.commerce.draft import day
from ss_gym.commerce.policy import days_between, split_refund
from ss_gym.commerce.records import Effect, Ground, ItemFacts, OrderFacts, Reason
from ss_gym.families.cases import Case
from ss_gym.families.exchange_cases import KINDS, begin, draw_goods, product_of
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome

# Reasons that are the shop's fault.
FAULTS: frozenset[Reason] = frozenset(("damaged", "defective"))


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """The parameters of one shop's exchange policy.

    Attributes:
        exchange_window_days: an item is exchanged up to this many days after delivery.
        final_sale_days: a final sale item up to this many.
        fault_window_days: a damaged or defective item up to this many.
        transfer_limit_cents: items that cost more than this together go to a human.
        refund_days: business days until the money of a refund arrives.
    """

    exchange_window_days: int
    final_sale_days: int
    fault_window_days: int
    transfer_limit_cents: int
    refund_days: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "exchange_window_days": "exchange",
        "final_sale_days": "final",
        "fault_window_days": "fault",
        "transfer_limit_cents": "limit",
        "refund_days": "days",
    }
    WINDOW: ClassVar[str] = "exchange_window_days"


class OptionFacts(NamedTuple):
    """An option of a product, as it is sold today."""

    variant_id: str
    price_cents: int
    quantity: int


class Wish(NamedTuple):
    """What a customer wants for one item.

    Attributes:
        item_id: the item.
        variant_id: the option that they ask for.
        second: the option that they would take where that can't be had; empty if none.
        options: all options of the item's product.
    """

    item_id: str
    variant_id: str
    second: str
    options: tuple[OptionFacts, ...]


class Remedy(NamedTuple):
    """What one item gets.

    Attributes:
        verdict: exchange, other_option, refund or refuse.
        variant_id: the option that the customer gets; empty if none.
        grounds: the true reasons against the wish, one set for each thing that is refused; empty if none is.
    """

    verdict: str
    variant_id: str = ""
    grounds: tuple[frozenset[Ground], ...] = ()


# --- the policy ------------------------------------------------------------------------------------


def grounds_against(item: ItemFacts, reason: Reason, days: int, rules: ExchangeRules) -> frozenset[Ground]:
    """Every reason of the policy that stands against exchanging an item for anything; empty if there is none.

    Args:
        item: the order line.
        reason: why the customer wants another.
        days: since delivery.
        rules: the shop's parameters.
    """
    if item.status != "ordered":
        return frozenset(("already_exchanged",))
    grounds = set()
    if item.category == "gift_card":
        grounds.add("gift_card_item")
    if not (reason in FAULTS and days <= rules.fault_window_days):
        if item.final_sale and days > rules.final_sale_days:
            grounds.add("final_sale")
        if days > rules.exchange_window_days:
            grounds.add("window")
    return frozenset(grounds)


def grounds_against_option(option: OptionFacts, price_cents: int) -> frozenset[Ground]:
    """Every reason against exchanging an item of this price for an option; empty if there is none."""
    grounds = set()
    if option.quantity < 1:
        grounds.add("out_of_stock")
    if option.price_cents != price_cents:
        grounds.add("other_price")
    return frozenset(grounds)


def decide_item(
    item: ItemFacts, wish: Wish, reason: Reason, days: int, rules: ExchangeRules, takes_refund: bool
) -> Remedy:
    """What the policy gives for one item of a delivered order, to a customer with this wish.

    Args:
        item: the order line.
        wish: what the customer wants for it.
        reason: why.
        days: since delivery.
        rules: the shop's parameters.
        takes_refund: whether the customer would take a refund.
    """
    against = grounds_against(item, reason, days, rules)
    if against:
        # "Final sale, and its five days are over": that it is late is no lie, but not the reason by itself.
        late = against == {"final_sale"}
        return Remedy("refuse", grounds=_each(against, against | {"window"} if late else against))
    of_options = {
        option.variant_id: grounds_against_option(option, item.price_cents)
        for option in wish.options
        if option.variant_id != item.variant_id
    }
    against = of_options[wish.variant_id]
    if not against:
        return Remedy("exchange", wish.variant_id)
    free = [variant_id for variant_id, grounds in of_options.items() if not grounds]
    # What else is refused, the other options and a refund, may be told with its own reason, and need not be.
    besides = against.union(*of_options.values())
    if wish.second in free:
        return Remedy("other_option", wish.second, _each(against, besides))
    if free:
        return Remedy("refuse", grounds=_each(against, besides))
    if item.final_sale:
        return Remedy("refuse", grounds=_each(against, besides | {"final_sale"}))
    return Remedy("refund" if takes_refund else "refuse", grounds=_each(against, besides))


def _each(*grounds: frozenset[Ground]) -> tuple[frozenset[Ground], ...]:
    """Every set once."""
    return tuple(dict.fromkeys(grounds))


def compile_outcome(
    order: OrderFacts | None,
    verified: bool,
    customer_id: str,
    wishes: Sequence[Wish],
    reason: Reason,
    takes_refund: bool,
    rules: ExchangeRules,
    today: str,
) -> Outcome:
    """The right end of a request to exchange some items of one order.

    Args:
        order: the order, or None if there is no such order.
        verified: whether the customer can be verified.
        customer_id: who asks.
        wishes: what they want for which item.
        reason: why.
        takes_refund: whether they would take a refund where nothing else can be had.
        rules: the shop's parameters.
        today: ISO date.
    """
    if not verified:
        return refusal("not_verified")
    if order is None or order.customer_id != customer_id:
        return refusal("not_found")
    if order.delivered_on is None:
        facts = (Fact("date", order.expected_on, "delivery"),) if order.expected_on else ()
        return Outcome("refuse", frozenset(), (frozenset(("not_delivered",)),), facts, ())
    days = days_between(order.delivered_on, today)
    items = {item.item_id: item for item in order.items}
    wanted = [(items[wish.item_id], wish) for wish in wishes]
    total = sum([item.price_cents for item, _ in wanted if not grounds_against(item, reason, days, rules)])
    if total > rules.transfer_limit_cents:
        return transfer("exchange_over_limit")
    given = [(item, decide_item(item, wish, reason, days, rules, takes_refund)) for item, wish in wanted]
    return _outcome(order, given, rules)


def _outcome(order: OrderFacts, given: Sequence[tuple[ItemFacts, Remedy]], rules: ExchangeRules) -> Outcome:
    """Puts together what the items get."""
    effects: set[Effect] = set()
    facts: tuple[Fact, ...] = ()
    consents = []
    swapped = [(item.item_id, remedy.variant_id) for item, remedy in given if remedy.variant_id]
    if swapped:
        effects.update([("exchange", item_id, variant_id) for item_id, variant_id in swapped])
        effects.update([("item", item_id, "exchanged") for item_id, _ in swapped])
        consents.append(DueConsent("exchange", frozenset([item_id for item_id, _ in swapped]), 0))
    refunded = [item for item, remedy in given if remedy.verdict == "refund"]
    if refunded:
        total = sum([item.price_cents for item in refunded])
        effects.update([("refund", payment_id, cents) for payment_id, cents in split_refund(order.payments, total)])
        effects.update([("item", item.item_id, "refunded") for item in refunded])
        facts = (Fact("money", total, "refund"), Fact("days", rules.refund_days, "arrival"))
        consents.append(DueConsent("refund", frozenset([item.item_id for item in refunded]), total))
    verdicts = {remedy.verdict for _, remedy in given}
    verdict = next(name for name in ("exchange", "other_option", "refund", "refuse") if name in verdicts)
    grounds = tuple(dict.fromkeys([grounds for _, remedy in given for grounds in remedy.grounds]))
    return Outcome(verdict, frozenset(effects), grounds, facts, tuple(consents))


# --- what a case comes to --------------------------------------------------------------------------


def _wishes(case: Case) -> tuple[Wish, ...]:
    found = []
    for place, item_id in zip(case.wanted, case.wanted_ids(), strict=True):
        options = [
            OptionFacts(
                option.variant_id,
                case.draft.prices.get(option.variant_id, option.price_cents),
                case.draft.stock.get(option.variant_id, option.quantity),
            )
            for option in product_of(case, case.order.lines[place]).options
        ]
        found.append(Wish(item_id, case.options[place].variant_id, case.exchange[1], tuple(options)))
    return tuple(found)


def _settle(case: Case) -> Settlement:
    order, today = case.order, day(case.draft.today)
    facts = order.facts(case.draft.today) if order in case.draft.orders else None
    takes_refund = case.accepts_refund
    outcome = compile_outcome(
        facts,
        case.verified(),
        case.customer.customer_id,
        _wishes(case),
        case.reason,
        takes_refund,
        cast(ExchangeRules, case.rules),
        today,
    )
    lines = case.wanted_lines()
    names = [case.options[place].name for place in case.wanted]
    others = [option.name for line in lines for option in product_of(case, line).options if option.name not in names]
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.order_id if facts else "",
        items=case.wanted_ids(),
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        exchange_option=case.exchange[0],
        exchange_variant=case.exchange[1],
        verb="exchange",
        accepts=("refund",) if takes_refund else (),
        details=tuple(case.details.items()),
        values=tuple([("option", name) for name in dict.fromkeys(names)]),
        others=tuple([("option", name) for name in dict.fromkeys(others)]),
    )
    return Settlement(goal, outcome, facts)


def _rules(drawn: Mapping[str, int]) -> ExchangeRules:
    window = drawn["exchange_window_days"]
    return ExchangeRules(
        exchange_window_days=window,
        final_sale_days=drawn["final_sale_days"],
        fault_window_days=window + drawn["extra_fault_days"],
        transfer_limit_cents=drawn["transfer_limit_cents"],
        refund_days=drawn["refund_days"],
    )


EXCHANGE = Design(
    name="exchange",
    rules=ExchangeRules,
    bounds={
        "exchange_window_days": (15, 60),
        "final_sale_days": (1, 14),
        "extra_fault_days": (1, 365),
        "transfer_limit_cents": (1_000, 10_000_000),
        "refund_days": (1, 60),
    },
    kinds=KINDS,
    make_rules=_rules,
    order=draw_goods,
    begin=begin,
    settle=_settle,
    reference_turns={"exchange": 7, "other_option": 8, "refund": 8, "refuse": 7, "transfer": 6},
)


def make() -> Generator:
    """The family."""
    return Generator(EXCHANGE)
