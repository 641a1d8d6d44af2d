"""The refund policy as pure functions: what the written policy gives for a request.

The rules are those of ``scenarios/refund/policy.md``, numbered as there. The acceptable end
states of every scenario are compiled from this module, never written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from ss_gym.commerce.records import (
    Decision,
    Ground,
    ItemDecision,
    ItemFacts,
    OrderFacts,
    PaymentFacts,
    Reason,
    Rules,
)

# Reasons that are the shop's fault: refunded in full, final sale or not.
FAULT_REASONS: frozenset[Reason] = frozenset(("damaged", "wrong_item", "defective"))

# The other variants that an item can be exchanged for, given its variant.
InStock = Callable[[str], tuple[str, ...]]


def days_between(start: str, end: str) -> int:
    """Days from one ISO date to another, negative if ``end`` is earlier.

    >>> days_between("2025-02-27", "2025-03-01")
    2
    """
    return date.fromisoformat(end).toordinal() - date.fromisoformat(start).toordinal()


def restocking_fee(price_cents: int, percent: int) -> int:
    """The fee on one item in cents, rounded half up.

    >>> restocking_fee(1990, 15)
    299
    """
    return (price_cents * percent + 50) // 100


def split_refund(payments: Sequence[PaymentFacts], cents: int) -> tuple[tuple[str, int], ...]:
    """Divide a refund over the payments of an order: gift cards first, then the rest in order.

    Args:
        payments: the order's payments.
        cents: the refund total.

    Returns:
        (payment_id, cents) of each payment that gets something.

    Raises:
        ValueError: if the total is negative or more than what is left of the payments.
    """
    if cents < 0:
        raise ValueError(f"a refund can't be negative: {cents} cents")
    parts = []
    left = cents
    for payment in sorted(payments, key=lambda p: p.kind != "gift_card"):
        part = min(left, payment.amount_cents - payment.refunded_cents)
        if part > 0:
            parts.append((payment.payment_id, part))
            left -= part
    if left:
        raise ValueError(f"a refund of {cents} cents is {left} cents more than what is left of the payments")
    return tuple(parts)


def decide(
    order: OrderFacts | None,
    customer_id: str | None,
    item_ids: Sequence[str],
    reason: Reason,
    rules: Rules,
    today: str,
    in_stock: InStock,
) -> Decision:
    """What the policy gives for a request to refund some items of one order.

    The remedy of each item is its best one for a customer who would accept any alternative.

    Args:
        order: the order, or None if there is no such order.
        customer_id: the verified customer, or None if nobody is verified.
        item_ids: the items that the request is about; not looked at if the whole request is refused.
        reason: why the customer wants the refund.
        rules: the shop's parameters.
        today: ISO date.
        in_stock: gives the variants that a variant can be exchanged for.

    Raises:
        ValueError: if no item is given, an item is given twice or is not of the order, or the
            facts contradict each other (delivered without a date or after today, or refunds
            of more than was paid).
    """
    if customer_id is None:
        return Decision("", "not_verified", (), ())
    if order is None or order.customer_id != customer_id:
        return Decision("", "not_found", (), ())
    items = _items_of(order, item_ids)
    if order.status != "delivered":
        return Decision("", "not_delivered", (), ())
    if reason == "not_received" and any(item.status == "ordered" for item in items):
        return Decision("delivery_dispute", "", (), ())
    if order.delivered_on is None or (days := days_between(order.delivered_on, today)) < 0:
        raise ValueError(f"order {order.order_id} is delivered, but its date is {order.delivered_on} (today {today})")
    decisions = tuple([decide_item(item, reason, days, rules, in_stock) for item in items])
    total = sum([decision.amount_cents for decision in decisions if decision.remedy == "refund"])
    if total > rules.transfer_limit_cents:
        return Decision("refund_over_limit", "", (), ())
    return Decision("", "", decisions, split_refund(order.payments, total))


def decide_item(item: ItemFacts, reason: Reason, days: int, rules: Rules, in_stock: InStock) -> ItemDecision:
    """What the policy gives for one item of a delivered order.

    Args:
        item: the order line.
        reason: why the customer wants the refund.
        days: days since delivery.
        rules: the shop's parameters.
        in_stock: gives the variants that a variant can be exchanged for.
    """
    if item.status != "ordered":
        return _nothing(item, "already_refunded")
    if item.category == "gift_card":
        return _nothing(item, "gift_card_item")
    if reason in FAULT_REASONS and days <= rules.damage_window_days:
        return ItemDecision(item.item_id, "refund", item.price_cents, 0, "")
    if item.final_sale:
        if days <= rules.return_window_days and in_stock(item.variant_id):
            return ItemDecision(item.item_id, "exchange", 0, 0, "final_sale")
        return _nothing(item, "final_sale")
    if days <= rules.return_window_days:
        electronics = item.category == "electronics"
        fee = restocking_fee(item.price_cents, rules.restocking_fee_percent) if electronics else 0
        return ItemDecision(item.item_id, "refund", item.price_cents - fee, fee, "")
    if days <= rules.credit_window_days:
        return ItemDecision(item.item_id, "store_credit", item.price_cents, 0, "window")
    return _nothing(item, "window")


def _nothing(item: ItemFacts, ground: Ground) -> ItemDecision:
    return ItemDecision(item.item_id, "none", 0, 0, ground)


def _items_of(order: OrderFacts, item_ids: Sequence[str]) -> list[ItemFacts]:
    by_id = {item.item_id: item for item in order.items}
    if not item_ids or len(set(item_ids)) != len(item_ids):
        raise ValueError(f"a request names each of its items once; got {list(item_ids)}")
    missing = [item_id for item_id in item_ids if item_id not in by_id]
    if missing:
        raise ValueError(f"not items of order {order.order_id}: {', '.join(missing)}")
    return [by_id[item_id] for item_id in item_ids]
