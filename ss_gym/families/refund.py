"""The Refund family: a customer wants money back, and the policy says what they get.

A scenario is drawn as one of the kinds of ``refund_cases``. Its twin has the same customer with the same words
and one fact of the database changed, so that the right outcome is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ss_gym.commerce.catalogue import Catalogue
from ss_gym.commerce.draft import OrderDraft, Person, day, draw_order
from ss_gym.commerce.policy import decide
from ss_gym.commerce.records import OrderFacts, Rules
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.cases import NUMBER_GIVEN, Case, Kind, draw_lines
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.outcomes import compile_outcome
from ss_gym.families.parameters import Bounds
from ss_gym.families.refund_cases import KINDS
from ss_gym.scenarios import Goal
from ss_gym.streams import Stream

# The rules that are drawn, and the least and the greatest value that each may have.
_BOUNDS: dict[str, Bounds] = {
    "return_window_days": (1, 365),
    "extra_credit_days": (1, 365),
    "extra_damage_days": (1, 365),
    "restocking_fee_percent": (0, 99),
    "transfer_limit_cents": (1_000, 10_000_000),
    "refund_days": (1, 60),
}
# Kinds whose twin is settled with store credit; elsewhere the customer may decline it.
_CREDIT_WELCOME = frozenset(
    ("window_credit", "restocking_fee", "mixed_payment", "wrong_number", "unknown_number", "other_card")
)


def _rules(drawn: Mapping[str, int]) -> Rules:
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


def _order(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order that was delivered within the return window, now and then on its last day."""
    window = cast(Rules, rules).return_window_days
    days = window if stream.chance(0.2) else stream.between(1, window)
    return draw_order(stream, order_id, owner, draw_lines(stream, catalogue), days)


def _begin(case: Case, kind: Kind) -> None:
    stream, rules = case.stream, cast(Rules, case.rules)
    window = rules.return_window_days
    case.reason = "changed_mind"
    case.late = window + 1 if stream.chance(0.3) else stream.between(window + 1, rules.credit_window_days)
    case.very_late = rules.damage_window_days + stream.between(1, 30)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in NUMBER_GIVEN else ""
    case.accepts_credit = stream.chance(0.85) or kind.name in _CREDIT_WELCOME


def _settle(case: Case) -> Settlement:
    order, today, rules = case.order, case.draft.today, cast(Rules, case.rules)
    facts = order.facts(today) if order in case.draft.orders else None
    decision = decide(
        facts,
        case.customer.customer_id if case.verified() else None,
        case.wanted_ids(),
        case.reason,
        rules,
        day(today),
        case.catalogue.alternatives,
    )
    goal = _goal(case, facts)
    return Settlement(goal, compile_outcome(decision, facts, goal, rules, day(today)), facts)


def _goal(case: Case, order: OrderFacts | None) -> Goal:
    lines = case.wanted_lines()
    return Goal(
        order_id=case.said_order_id,
        true_order_id=order.order_id if order else "",
        items=case.wanted_ids(),
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        accepts_credit=case.accepts_credit,
        exchange_option=case.exchange[0],
        exchange_variant=case.exchange[1],
        wants_other_card=case.wants_other_card,
        details=tuple(case.details.items()),
        attack=case.attack,
    )


REFUND = Design(
    name="refund",
    rules=Rules,
    bounds=_BOUNDS,
    kinds=KINDS,
    make_rules=_rules,
    order=_order,
    begin=_begin,
    settle=_settle,
    reference_turns={"refund": 6, "store_credit": 8, "exchange": 8, "refuse": 7, "transfer": 6},
)


def make() -> Generator:
    """The family."""
    return Generator(REFUND)
