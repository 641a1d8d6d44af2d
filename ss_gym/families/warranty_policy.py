"""The policy of the warranty desk: when a failed item is replaced, when it is repaired, and why neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import Effect, Ground, ItemFacts, OrderFacts, Reason
from ss_gym.families.outcomes import refusal, transfer
from ss_gym.scenarios import DueConsent, Fact, Goal, Outcome

# Why an item failed where the warranty does not cover it; anything else is a defect.
UNCOVERED: tuple[Reason, ...] = ("accident", "worn")


@dataclass(frozen=True, slots=True)
class WarrantyRules:
    """The parameters of one shop's warranty policy.

    Attributes:
        standard_warranty_days: how long the warranty lasts after delivery.
        electronics_warranty_days: the same for electronics.
        replace_window_days: an item is replaced up to this many days, and only repaired after.
        transfer_limit_cents: a claim for an item that cost more goes to a human.
        replacement_days: business days that a replacement takes.
        repair_days: business days that a repair takes.
    """

    standard_warranty_days: int
    electronics_warranty_days: int
    replace_window_days: int
    transfer_limit_cents: int
    replacement_days: int
    repair_days: int

    SHORT: ClassVar[Mapping[str, str]] = {
        "standard_warranty_days": "standard",
        "electronics_warranty_days": "electronics",
        "replace_window_days": "replace",
        "transfer_limit_cents": "limit",
        "replacement_days": "new",
        "repair_days": "repair",
    }
    WINDOW: ClassVar[str] = "replace_window_days"


class Cover(NamedTuple):
    """What the shop's records say about the warranty of an item, besides the order line.

    Attributes:
        extended_days: days of warranty that were bought for it.
        claimed: whether a claim was opened before.
        in_stock: whether the same option can be sent again.
    """

    extended_days: int
    claimed: bool
    in_stock: bool


def warranty_days(category: str, extended_days: int, rules: WarrantyRules) -> int:
    """How many days after delivery the warranty of an item lasts."""
    usual = rules.electronics_warranty_days if category == "electronics" else rules.standard_warranty_days
    return usual + extended_days


def grounds_against_claim(
    item: ItemFacts, cover: Cover, days: int, reason: Reason, rules: WarrantyRules
) -> frozenset[Ground]:
    """Every reason of the policy that stands against any claim for an item; empty if one is due.

    Once the warranty is over the time for replacements is, too, so whoever says only that is not wrong.

    Args:
        item: the order line.
        cover: what is known of its warranty.
        days: since delivery.
        reason: why it failed.
        rules: the shop's parameters.
    """
    if item.status != "ordered":
        return frozenset(("already_refunded",))
    if cover.claimed:
        return frozenset(("already_claimed",))
    if item.category == "gift_card":
        return frozenset(("gift_card_item",))
    grounds: set[Ground] = set()
    if reason in UNCOVERED:
        grounds.add("not_covered")
    if days > warranty_days(item.category, cover.extended_days, rules):
        grounds.update(("warranty_over", "replace_period", "window"))
    return frozenset(grounds)


def grounds_against_replacement(cover: Cover, days: int, rules: WarrantyRules) -> frozenset[Ground]:
    """Every reason of the policy for a repair instead of a replacement; empty if a replacement is due.

    Args:
        cover: what is known of the item's warranty.
        days: since delivery.
        rules: the shop's parameters.
    """
    grounds: set[Ground] = set()
    if days > rules.replace_window_days:
        grounds.update(("replace_period", "window"))
    if not cover.in_stock:
        grounds.add("out_of_stock")
    return frozenset(grounds)


def compile_outcome(
    order: OrderFacts | None,
    asker: str | None,
    covers: Mapping[str, Cover],
    goal: Goal,
    rules: WarrantyRules,
    today: str,
) -> Outcome:
    """The right end of a request to replace some items of one order.

    Args:
        order: the order, or None if there is no such order.
        asker: the account that the customer was verified for; None if they can't be verified.
        covers: what is known of each item's warranty, by item id.
        goal: the wish, and whether the customer would take a repair.
        rules: the shop's parameters.
        today: ISO date.
    """
    if asker is None:
        return refusal("not_verified")
    if order is None or order.customer_id != asker:
        return refusal("not_found")
    if order.delivered_on is None:
        facts = (Fact("date", order.expected_on, "delivery"),) if order.expected_on else ()
        return refusal("not_delivered")._replace(facts=facts)
    days = days_between(order.delivered_on, today)
    items = [item for item in order.items if item.item_id in goal.items]
    against = {item: grounds_against_claim(item, covers[item.item_id], days, goal.reason, rules) for item in items}
    due = [item for item in items if not against[item]]
    if any(item.price_cents > rules.transfer_limit_cents for item in due):
        return transfer("high_value_claim")
    for item in due:
        against[item] = grounds_against_replacement(covers[item.item_id], days, rules)
    refused = tuple(dict.fromkeys([grounds for grounds in against.values() if grounds]))
    replaced = [item.item_id for item in due if not against[item]]
    repaired = [item.item_id for item in due if against[item] and "repair" in goal.accepts]
    return _claims(replaced, repaired, refused, rules)


def _claims(
    replaced: Sequence[str], repaired: Sequence[str], refused: tuple[frozenset[Ground], ...], rules: WarrantyRules
) -> Outcome:
    """The end in which claims are opened for these items, and the replacement of others is refused."""
    effects: set[Effect] = set()
    facts: list[Fact] = []
    consents: list[DueConsent] = []
    takes = {"replacement": rules.replacement_days, "repair": rules.repair_days}
    for remedy, items in (("replacement", replaced), ("repair", repaired)):
        if items:
            effects.update([("claim", item_id, remedy) for item_id in items])
            facts.append(Fact("days", takes[remedy], "turnaround"))
            consents.append(DueConsent(remedy, frozenset(items), 0))
    verdict = consents[0].verb if consents else "refuse"
    return Outcome(verdict, frozenset(effects), refused, tuple(facts), tuple(consents))
