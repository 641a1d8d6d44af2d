"""The Subscription family: a customer wants to pause a monthly subscription, to resume it or to end it."""

from __future__ import annotations

from ss_gym.commerce.draft import day
from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import Effect, Ground
from ss_gym.commerce.remedies import verb_of
from ss_gym.commerce.subscriptions import SubscriptionFacts, early_fee, months_later, months_left
from ss_gym.families.cases import Case
from ss_gym.families.generator import Design, Generator, Settlement
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.families.subscription_cases import KINDS, SubscriptionRules, begin
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome

# --- the policy ------------------------------------------------------------------------------------


def grounds_against(wish: str, facts: SubscriptionFacts, today: str, rules: SubscriptionRules) -> frozenset[Ground]:
    """Every reason of the policy that stands against a wish; empty if it is granted.

    Args:
        wish: pause, resume or unsubscribe.
        facts: the subscription.
        today: ISO date.
        rules: the shop's parameters.
    """
    if facts.status == "cancelled":
        return frozenset(("already_cancelled",))
    if wish == "resume":
        return frozenset(() if facts.status == "paused" else ("already_active",))
    if wish == "pause" and facts.status == "paused":
        return frozenset(("already_paused",))
    grounds = set()
    if facts.next_charge_on is not None and days_between(today, facts.next_charge_on) <= rules.notice_days:
        grounds.add("notice")
    if wish == "pause" and days_between(facts.started_on, today) < rules.min_age_days:
        grounds.add("too_new")
    return frozenset(grounds)


def compile_outcome(
    wish: str,
    months: int,
    facts: SubscriptionFacts | None,
    verified: bool,
    customer_id: str,
    today: str,
    rules: SubscriptionRules,
) -> Outcome:
    """The right end of a request to change a subscription.

    Args:
        wish: pause, resume or unsubscribe.
        months: the length of the pause that they wish for; 0 for another wish.
        facts: the subscription, or None if there is no such one.
        verified: whether the customer can be verified.
        customer_id: who asks.
        today: ISO date.
        rules: the shop's parameters.
    """
    if not verified:
        return refusal("not_verified")
    if facts is None or facts.customer_id != customer_id:
        return refusal("not_found")
    grounds = grounds_against(wish, facts, today, rules)
    if grounds:
        charge = facts.next_charge_on if "notice" in grounds else None
        told = (Fact("date", charge, "next_charge"),) if charge else ()
        return Outcome("refuse", frozenset(), (grounds,), told, ())
    if wish == "unsubscribe":
        return _ended(facts, today, rules)
    if wish == "resume":
        return _changed("resume", "active", facts, months_later(today, 1))
    longest = rules.max_pause_months
    date = months_later(facts.next_charge_on or today, min(months, longest))
    outcome = _changed("pause", "paused", facts, date)
    if months <= longest:
        return outcome
    return outcome._replace(facts=(Fact("months", longest, "longest_pause"), *outcome.facts))


def _changed(verb: str, status: str, facts: SubscriptionFacts, next_charge_on: str) -> Outcome:
    """A subscription gets another status, and its next charge comes on that date."""
    number = facts.subscription_id
    effects: frozenset[Effect] = frozenset({("subscription", number, status, next_charge_on)})
    consent = DueConsent(verb, frozenset({number}), 0)
    return Outcome(verb, effects, (), (Fact("date", next_charge_on, "next_charge"),), (consent,))


def _ended(facts: SubscriptionFacts, today: str, rules: SubscriptionRules) -> Outcome:
    """A subscription is ended, with a fee for the months of the commitment that are left."""
    number = facts.subscription_id
    fee = early_fee(facts.price_cents, months_left(today, facts.committed_until), rules.early_fee_percent)
    if fee > rules.transfer_limit_cents:
        return transfer("fee_over_limit")
    effects: set[Effect] = {("subscription", number, "cancelled", "")}
    if fee:
        effects.add(("fee", number, fee))
    told = (Fact("money", fee, "fee"),) if fee else ()
    consent = DueConsent("unsubscribe", frozenset({number}), fee)
    return Outcome("unsubscribe", frozenset(effects), (), told, (consent,))


def _settle(case: Case) -> Settlement:
    subscription, rules = case.subscription, case.rules
    assert isinstance(rules, SubscriptionRules)
    there = subscription in case.draft.subscriptions
    facts = subscription.facts()
    today, wish, months = day(case.draft.today), case.wish, case.months
    outcome = compile_outcome(
        wish, months, facts if there else None, case.verified(), case.customer.customer_id, today, rules
    )
    if there:
        outcome = outcome._replace(standing=frozenset({verb_of(("subscription", "", facts.status))}))
    # A proposal of the longest pause is as good as one of the pause that they wish for, where that is too long.
    lengths = dict.fromkeys((months, min(months, rules.max_pause_months))) if wish == "pause" else ()
    goal = Goal(
        order_id=case.said_order_id,
        true_order_id=facts.subscription_id if there else "",
        items=(facts.subscription_id,),
        titles=(facts.title,),
        reason="",
        paid_cents=0,
        verb=wish,
        also=("refund",),  # "shall I do it for $12?" names no remedy: nothing else can be meant
        details=tuple(case.details.items()),
        values=tuple([("months", length) for length in lengths]),
        bends=True,
    )
    return Settlement(goal, outcome)


SUBSCRIPTION = Design(
    name="subscription",
    rules=SubscriptionRules,
    bounds={
        "notice_days": (1, 14),
        "min_age_days": (35, 120),
        "max_pause_months": (2, 8),
        "early_fee_percent": (1, 100),
        "transfer_limit_cents": (1_000, 10_000_000),
    },
    kinds=KINDS,
    make_rules=lambda drawn: SubscriptionRules(**drawn),
    order=None,
    begin=begin,
    settle=_settle,
    reference_turns={"pause": 7, "resume": 6, "unsubscribe": 6, "refuse": 7, "transfer": 6},
)


def make() -> Generator:
    """The family."""
    return Generator(SUBSCRIPTION)
