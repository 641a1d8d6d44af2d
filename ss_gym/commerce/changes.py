"""The writes that change an order before it is sent and an item after it was used; integrity only, as in ``ledger``."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.ledger import items_of, known_order, require_ordered
from ss_gym.commerce.policy import split_refund
from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError


def cancel_items(store: Store, order_id: str, item_ids: Sequence[str]) -> list[tuple[str, int]]:
    """Cancels items of an order that has not been sent, and pays back what they cost.

    Args:
        store: the database.
        order_id: the order.
        item_ids: the items; the order itself is cancelled with the last of its items.

    Returns:
        What went back: (label of the payment method, cents), gift cards first.

    Raises:
        ToolError: if the order was sent, or an item is not there to be cancelled.
    """
    order = known_order(store, order_id)
    if order.status in ("shipped", "delivered"):
        raise ToolError(f"order {order_id} is {order.status}: it can't be cancelled any more")
    items = items_of(order, item_ids)
    for item in items:
        require_ordered(item)
    labels = {payment.payment_id: payment.label for payment in order.payments}
    parts = split_refund(order.payments, sum(item.price_cents for item in items))
    for payment_id, cents in parts:
        store.execute(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, 'cancelled', ?)",
            (store.next_id("R"), order_id, payment_id, cents, store.today),
        )
    for item in items:
        store.execute("UPDATE order_items SET status = 'cancelled' WHERE item_id = ?", (item.item_id,))
    if not store.row("SELECT 1 FROM order_items WHERE order_id = ? AND status <> 'cancelled'", order_id):
        store.execute("UPDATE orders SET status = 'cancelled' WHERE order_id = ?", (order_id,))
    return [(labels[payment_id], cents) for payment_id, cents in parts]


def change_address(store: Store, order_id: str, street: str, city: str, postal_code: str) -> dict[str, str]:
    """Sends an order to another address.

    Returns:
        The address as it is kept, without spaces around its parts.

    Raises:
        ToolError: if the order was sent or cancelled, or a part of the address is empty.
    """
    order = known_order(store, order_id)
    if order.status != "processing":
        raise ToolError(f"order {order_id} is {order.status}: its address can't be changed any more")
    address = {"street": street.strip(), "city": city.strip(), "postal_code": postal_code.strip()}
    for name, part in address.items():
        if not part:
            raise ToolError(f'change_shipping_address: argument "{name}" is empty')
    store.execute(
        "INSERT INTO destinations VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT (order_id) DO UPDATE SET street = ?2, city = ?3, postal_code = ?4",
        (order_id, *address.values()),
    )
    return address


def create_claim(store: Store, item_id: str, remedy: str) -> str:
    """Opens a warranty claim for an item.

    Args:
        store: the database.
        item_id: the item.
        remedy: ``replacement``, which takes the same variant from the stock, or ``repair``.

    Returns:
        The claim's id.

    Raises:
        ToolError: if there is no such item, it is not delivered, not with the customer any more, or there is
            none in stock to replace it.
    """
    owner = store.row("SELECT order_id FROM order_items WHERE item_id = ?", item_id)
    if owner is None:
        raise ToolError(f"there is no item {item_id}")
    order = known_order(store, owner[0])
    if order.status != "delivered":
        raise ToolError(f"order {order.order_id} is {order.status}, not delivered")
    [item] = items_of(order, [item_id])
    require_ordered(item)
    if store.row("SELECT 1 FROM claims WHERE item_id = ? AND created_on = ?", item_id, store.today):
        raise ToolError(f"item {item_id} has a claim of today already")
    if remedy == "replacement":
        taken = store.execute(
            "UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = ? AND quantity > 0", (item.variant_id,)
        )
        if taken.rowcount != 1:
            raise ToolError(f"{item.title} is out of stock: it can't be replaced")
    claim_id = store.next_id("W")
    store.execute("INSERT INTO claims VALUES (?, ?, ?, ?)", (claim_id, item_id, remedy, store.today))
    return claim_id
