"""The writes that move money and goods: what must hold for each, and the rows that it leaves.

What is checked here is integrity, what no shop's software would let through. Whether the policy
allows a write is for the agent to know.
"""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts, dollars
from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError


def known_order(store: Store, order_id: str) -> OrderFacts:
    """The order.

    Raises:
        ToolError: if there is none.
    """
    order = store.order_facts(order_id)
    if order is None:
        raise ToolError(f"there is no order {order_id}")
    return order


def items_of(order: OrderFacts, item_ids: Sequence[str]) -> list[ItemFacts]:
    """The named items of an order.

    Raises:
        ToolError: if none is named, one is named twice, or one is not of the order.
    """
    by_id = {item.item_id: item for item in order.items}
    if not item_ids:
        raise ToolError(f"name at least one item of order {order.order_id}: {', '.join(by_id)}")
    found = []
    for item_id in item_ids:
        if item_id not in by_id:
            raise ToolError(f"{item_id} is not an item of order {order.order_id}: its items are {', '.join(by_id)}")
        if by_id[item_id] in found:
            raise ToolError(f"item {item_id} is named twice")
        found.append(by_id[item_id])
    return found


def require_ordered(item: ItemFacts) -> None:
    """Checks that nothing was done about an item yet.

    Raises:
        ToolError: if it is refunded, credited or exchanged.
    """
    if item.status != "ordered":
        raise ToolError(f"item {item.item_id} is already {item.status}")


def issue_refund(
    store: Store, order_id: str, item_ids: Sequence[str], cents: int, payment_id: str, reason: str
) -> tuple[str, PaymentFacts]:
    """Pays a part of an order back to one of its payments.

    Args:
        store: the database.
        order_id: the order.
        item_ids: the items that are refunded.
        cents: how much.
        payment_id: the payment that gets it.
        reason: why.

    Returns:
        The refund's id and the payment.

    Raises:
        ToolError: if the order is not delivered, an item is not there to be refunded, or the
            amount is nothing, more than is left of the payment, or more than is left of the items.
    """
    order = _delivered_order(store, order_id)
    items = items_of(order, item_ids)
    refundable = [_refundable_cents(store, item) for item in items]
    payment = next((p for p in order.payments if p.payment_id == payment_id), None)
    if payment is None:
        known = ", ".join(p.payment_id for p in order.payments)
        raise ToolError(f"{payment_id} is not a payment of order {order_id}: its payments are {known}")
    left = payment.amount_cents - payment.refunded_cents
    if cents > left:
        raise ToolError(f"payment {payment_id} has {dollars(left)} left to refund, not {dollars(cents)}")
    _require_amount(cents, sum(refundable))
    refund_id = store.next_id("R")
    store.execute(
        "INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?)", (refund_id, order_id, payment_id, cents, reason, store.today)
    )
    rest = cents
    for item, most in zip(items, refundable, strict=True):
        part = min(rest, most)
        rest -= part
        store.execute("INSERT INTO refund_items VALUES (?, ?, ?)", (refund_id, item.item_id, part))
        if item.status == "ordered":
            _set_status(store, item, "refunded")
    return refund_id, payment


def issue_store_credit(store: Store, order_id: str, item_ids: Sequence[str], cents: int) -> str:
    """Gives store credit for items of an order to whoever ordered them.

    Args:
        store: the database.
        order_id: the order.
        item_ids: the items that are credited.
        cents: how much.

    Returns:
        The credit's id.

    Raises:
        ToolError: if the order is not delivered, an item is not there to be credited, or the
            amount is nothing or more than the items cost.
    """
    order = _delivered_order(store, order_id)
    items = items_of(order, item_ids)
    for item in items:
        require_ordered(item)
    _require_amount(cents, sum(item.price_cents for item in items))
    credit_id = store.next_id("S")
    store.execute(
        "INSERT INTO store_credits VALUES (?, ?, ?, ?, ?)", (credit_id, order.customer_id, order_id, cents, store.today)
    )
    for item in items:
        store.execute("INSERT INTO store_credit_items VALUES (?, ?)", (credit_id, item.item_id))
        _set_status(store, item, "credited")
    return credit_id


def create_exchange(store: Store, item_id: str, variant_id: str) -> tuple[str, str]:
    """Exchanges an item for another option of the same product at the same price.

    Args:
        store: the database.
        item_id: the item.
        variant_id: the option that the customer gets.

    Returns:
        The exchange's id and the option's name.

    Raises:
        ToolError: if there is no such item or option, the order is not delivered, the item is not
            there to be exchanged, or the option is of another product or price, or out of stock.
    """
    owner = store.row("SELECT order_id FROM order_items WHERE item_id = ?", item_id)
    if owner is None:
        raise ToolError(f"there is no item {item_id}")
    item = items_of(_delivered_order(store, owner[0]), [item_id])[0]
    require_ordered(item)
    new = store.row("SELECT product_id, price_cents, option FROM variants WHERE variant_id = ?", variant_id)
    old = store.row("SELECT product_id, price_cents FROM variants WHERE variant_id = ?", item.variant_id)
    if new is None or old is None:
        raise ToolError(f"there is no variant {variant_id}")
    if variant_id == item.variant_id or new[0] != old[0]:
        raise ToolError(f"{variant_id} is not another option of {item.title}: see get_exchange_options")
    if new[1] != old[1]:
        raise ToolError(f"{variant_id} costs {dollars(new[1])}, not {dollars(old[1])}: exchanges are at the same price")
    taken = store.execute(
        "UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = ? AND quantity > 0", (variant_id,)
    )
    if taken.rowcount != 1:
        raise ToolError(f"{variant_id} ({new[2]}) is out of stock")
    exchange_id = store.next_id("X")
    store.execute(
        "INSERT INTO exchanges VALUES (?, ?, ?, ?, ?)", (exchange_id, owner[0], item_id, variant_id, store.today)
    )
    _set_status(store, item, "exchanged")
    return exchange_id, new[2]


def _delivered_order(store: Store, order_id: str) -> OrderFacts:
    order = known_order(store, order_id)
    if order.status != "delivered":
        raise ToolError(f"order {order_id} is not delivered yet")
    return order


def _require_amount(cents: int, most: int) -> None:
    if not 0 < cents <= most:
        raise ToolError(
            f"the amount must be above 0 and at most {dollars(most)}, what is left of the items; got {dollars(cents)}"
        )


def _refundable_cents(store: Store, item: ItemFacts) -> int:
    """What is left to refund of an item: all of it, or the rest of a refund that is being split."""
    if item.status == "refunded":
        part = store.row("SELECT sum(amount_cents) FROM refund_items WHERE item_id = ?", item.item_id)
        if part is not None and part[0] is not None and part[0] < item.price_cents:
            return item.price_cents - int(part[0])
    require_ordered(item)
    return item.price_cents


def _set_status(store: Store, item: ItemFacts, status: str) -> None:
    store.execute("UPDATE order_items SET status = ? WHERE item_id = ?", (status, item.item_id))
