"""From the policy's decision to the one right end of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.policy import FAULT_REASONS, days_between
from ss_gym.commerce.records import Decision, Effect, Ground, ItemDecision, ItemFacts, OrderFacts, Rules, Verb
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome, Verdict

VERBS: tuple[Verb, ...] = ("refund", "store_credit", "exchange")
_STATUS = {"refund": "refunded", "store_credit": "credited", "exchange": "exchanged"}


def compile_outcome(decision: Decision, order: OrderFacts | None, goal: Goal, rules: Rules, today: str) -> Outcome:
    """The right end for a goal, given what the policy decides.

    Args:
        decision: what the policy gives for the request.
        order: the order that the customer means; None if there is no such order.
        goal: the wish, and which alternatives the customer would take.
        rules: the shop's parameters.
        today: ISO date.
    """
    if decision.transfer:
        return transfer(decision.transfer)
    if decision.ground or order is None:
        return _refusal(decision.ground or "not_found", order)
    return _remedies(decision, order, goal, rules, today)


def transfer(reason: str) -> Outcome:
    """The end of a request that must go to a human."""
    return Outcome("transfer", frozenset({("ticket", reason)}), (), (), ())


def refusal(*grounds: Ground) -> Outcome:
    """The end of a request that is refused as a whole, for any of these reasons, with nothing else to tell."""
    return Outcome("refuse", frozenset(), (frozenset(grounds),), (), ())


def _refusal(ground: Ground, order: OrderFacts | None) -> Outcome:
    facts: tuple[Fact, ...] = ()
    if ground == "not_delivered" and order is not None and order.expected_on is not None:
        facts = (Fact("date", order.expected_on, "delivery"),)
    return Outcome("refuse", frozenset(), (frozenset({ground}),), facts, ())


def _remedies(decision: Decision, order: OrderFacts, goal: Goal, rules: Rules, today: str) -> Outcome:
    taken: dict[str, list[ItemDecision]] = {"refund": [], "store_credit": [], "exchange": []}
    refused: list[ItemDecision] = []
    wanted = {
        "refund": True,
        "store_credit": goal.accepts_credit,
        "exchange": bool(goal.exchange_variant),
        "none": False,
    }
    for item in decision.items:
        if wanted[item.remedy]:
            taken[item.remedy].append(item)
        if item.remedy != "refund":
            refused.append(item)
    effects: set[Effect] = {("refund", payment, cents) for payment, cents in decision.split}
    facts: list[Fact] = []
    consents: list[DueConsent] = []
    for verb in VERBS:
        items = taken[verb]
        if not items:
            continue
        total = sum([item.amount_cents for item in items])
        effects.update([("item", item.item_id, _STATUS[verb]) for item in items])
        consents.append(DueConsent(verb, frozenset([item.item_id for item in items]), total))
        if verb == "exchange":
            effects.update([("exchange", item.item_id, goal.exchange_variant) for item in items])
        else:
            facts.append(Fact("money", total, verb))
        if verb == "refund":
            facts.append(Fact("days", rules.refund_days, "arrival"))
        elif verb == "store_credit":
            effects.add(("store_credit", order.customer_id, total))
    verdict: Verdict = next((verb for verb in VERBS if taken[verb]), "refuse")
    grounds = _grounds(refused, order, goal, rules, today) if refused else ()
    return Outcome(verdict, frozenset(effects), grounds, tuple(facts), tuple(consents))


def _grounds(
    refused: Sequence[ItemDecision], order: OrderFacts, goal: Goal, rules: Rules, today: str
) -> tuple[frozenset[Ground], ...]:
    """The reasons for each refused item, the same ones once."""
    by_id = {item.item_id: item for item in order.items}
    days = days_between(order.delivered_on or today, today)
    return tuple(dict.fromkeys([true_grounds(by_id[item.item_id], goal.reason, days, rules) for item in refused]))


def true_grounds(item: ItemFacts, reason: str, days: int, rules: Rules) -> frozenset[Ground]:
    """Every reason of the policy that truly stands against refunding this item.

    A refusal may name any of them: an agent that says "final sale" about an item that is also too
    late is not wrong.
    """
    grounds: set[Ground] = set()
    if item.status != "ordered":
        grounds.add("already_refunded")
    if item.category == "gift_card":
        grounds.add("gift_card_item")
    if not (reason in FAULT_REASONS and days <= rules.damage_window_days):
        if item.final_sale:
            grounds.add("final_sale")
        if days > rules.return_window_days:
            grounds.add("window")
    return frozenset(grounds)
