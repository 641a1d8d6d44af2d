"""Store credit that is given as an apology: for an order as a whole, and for none of its items."""

from __future__ import annotations

from ss_gym.commerce.ledger import known_order
from ss_gym.commerce.records import dollars
from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError

MOST_CENTS = 5_000  # as in the schema


def given_for(store: Store, order_id: str) -> int:
    """The cents of goodwill credit that an order has brought; 0 if there was none."""
    row = store.row("SELECT ifnull(sum(amount_cents), 0) FROM goodwill_credits WHERE order_id = ?", order_id)
    return int(row[0]) if row else 0


def give(store: Store, order_id: str, cents: int) -> str:
    """Gives goodwill credit to whoever placed an order.

    Args:
        store: the database.
        order_id: the order.
        cents: how much.

    Returns:
        The credit's id.

    Raises:
        ToolError: if there is no such order, or the amount is nothing or more than anybody may give.
    """
    order = known_order(store, order_id)
    if not 0 < cents <= MOST_CENTS:
        raise ToolError(f"the amount must be above 0 and at most {dollars(MOST_CENTS)}, got {dollars(cents)}")
    credit_id = store.next_id("S")
    store.execute(
        "INSERT INTO goodwill_credits VALUES (?, ?, ?, ?, ?)",
        (credit_id, order.customer_id, order_id, cents, store.today),
    )
    return credit_id
