"""The Warranty family: a customer's item has failed, and they want it replaced.

A scenario is drawn as one of the kinds of ``warranty_cases``. Its twin has the same customer with the same words
and one fact of the database changed, so that the right outcome is another one.
"""

from __future__ import annotations

from typing import cast

from ss_gym.commerce.catalogue import Catalogue
from ss_gym.commerce.draft import OrderDraft, Person, day, draw_order
from ss_gym.commerce.rules import PolicyRules
from ss_gym.families.cases import Case, Kind, draw_lines
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.warranty_cases import DECLINED, KINDS, WITH_NUMBER, fail, one_of
from ss_gym.families.warranty_policy import Cover, WarrantyRules, compile_outcome
from ss_gym.scenarios import Goal
from ss_gym.streams import Stream


def _order(stream: Stream, order_id: str, owner: Person, catalogue: Catalogue, rules: PolicyRules) -> OrderDraft:
    """An order that was delivered within the time for replacements."""
    window = cast(WarrantyRules, rules).replace_window_days
    days = window if stream.chance(0.2) else stream.between(5, window)
    return draw_order(stream, order_id, owner, draw_lines(stream, catalogue), days)


def _begin(case: Case, kind: Kind) -> None:
    stream, rules = case.stream, cast(WarrantyRules, case.rules)
    # After the time for replacements, and still within the warranty of any item.
    first, last = rules.replace_window_days + 1, rules.standard_warranty_days
    case.late = first if stream.chance(0.3) else stream.between(first, last)
    case.said_order_id = case.order.order_id if stream.chance(0.8) or kind.name in WITH_NUMBER else ""
    case.accepts = () if kind.name in DECLINED else ("repair",)
    if stream.chance(0.4):
        one_of(case, "electronics")
    fail(case)


def _cover(case: Case) -> dict[str, Cover]:
    """What the shop's records say about the warranties of the order."""
    usual, now = case.catalogue.stock, case.draft.stock
    return {
        case.order.item_id(place): Cover(
            line.extended_warranty_days,
            line.claim is not None,
            now.get(line.variant_id, usual[line.variant_id]) > 0,
        )
        for place, line in enumerate(case.order.lines)
    }


def _settle(case: Case) -> Settlement:
    order, rules, today = case.order, cast(WarrantyRules, case.rules), case.draft.today
    facts = order.facts(today) if order in case.draft.orders else None
    lines = case.wanted_lines()
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.order_id if facts else "",
        items=case.wanted_ids(),
        titles=tuple([line.title for line in lines]),
        reason=case.reason,
        paid_cents=sum([line.price_cents for line in lines]),
        verb="replacement",
        accepts=case.accepts,
    )
    asker = case.customer.customer_id if case.verified() else None
    return Settlement(goal, compile_outcome(facts, asker, _cover(case), goal, rules, day(today)), facts)


WARRANTY = Design(
    name="warranty",
    rules=WarrantyRules,
    bounds={
        "standard_warranty_days": (91, 400),
        "electronics_warranty_days": (401, 2_000),
        "replace_window_days": (10, 90),
        "transfer_limit_cents": (1_000, 10_000_000),
        "replacement_days": (1, 60),
        "repair_days": (1, 60),
    },
    kinds=KINDS,
    make_rules=lambda drawn: WarrantyRules(**drawn),
    order=_order,
    begin=_begin,
    settle=_settle,
    reference_turns={"replacement": 7, "repair": 8, "refuse": 8, "transfer": 7},
    two_orders=frozenset(("missing_order", "wear")),
)


def make() -> Generator:
    """The family."""
    return Generator(WARRANTY)
