"""The journal of changed rows: triggers write it, and the end-state diff is read from it.

A row of the journal is ``(kind, subject, value, operation)``. A change that a remedy consists of has
a kind of its own; any other change has the kind ``other``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ss_gym.commerce.records import Effect, address_text

# Notes are harmless, and consents are the environment's own record.
_EXEMPT = frozenset(("notes", "consents"))
# Part of the refund or credit that they belong to, which is journalled itself.
_LINES = frozenset(("refund_items", "store_credit_items"))

_OPEN = "CREATE TABLE journal (seq INTEGER PRIMARY KEY, kind TEXT, subject TEXT, value, operation TEXT);"
# An empty table while a world is being opened; rolled back with it.
_ARMED = "CREATE TABLE armed (yes INTEGER);"

# What is journalled of the changes that remedies consist of: kind, subject, value.
_INSERTS = {
    "refunds": "'refund', NEW.payment_id, NEW.amount_cents",
    "store_credits": "'store_credit', NEW.customer_id, NEW.amount_cents",
    "goodwill_credits": "'store_credit', NEW.customer_id, NEW.amount_cents",
    "exchanges": "'exchange', NEW.item_id, NEW.variant_id",
    "claims": "'claim', NEW.item_id, NEW.remedy",
    "fees": "'fee', NEW.subscription_id, NEW.amount_cents",
    "destinations": "'address', NEW.order_id, NULL",
    "tickets": "'ticket', NEW.reason, NULL",
}
_UPDATES = {
    # Any other change of an order line is no remedy.
    "order_items": """CASE WHEN (NEW.item_id, NEW.order_id, NEW.variant_id, NEW.title, NEW.price_cents, NEW.final_sale)
            IS (OLD.item_id, OLD.order_id, OLD.variant_id, OLD.title, OLD.price_cents, OLD.final_sale)
        THEN 'item' ELSE 'other' END, NEW.item_id, NEW.status""",
    "orders": """CASE WHEN (NEW.order_id, NEW.customer_id, NEW.placed_on)
            IS (OLD.order_id, OLD.customer_id, OLD.placed_on)
        THEN 'order' ELSE 'other' END, NEW.order_id, NEW.status""",
    "destinations": "CASE WHEN NEW.order_id IS OLD.order_id THEN 'address' ELSE 'other' END, NEW.order_id, NULL",
    "subscriptions": """CASE WHEN
            (NEW.subscription_id, NEW.customer_id, NEW.variant_id, NEW.title, NEW.price_cents, NEW.started_on)
            IS (OLD.subscription_id, OLD.customer_id, OLD.variant_id, OLD.title, OLD.price_cents, OLD.started_on)
            AND NEW.committed_until IS OLD.committed_until
        THEN 'subscription' ELSE 'other' END, NEW.subscription_id, NULL""",
    "inventory": """CASE WHEN NEW.variant_id IS OLD.variant_id THEN 'stock' ELSE 'other' END,
        NEW.variant_id, NEW.quantity - OLD.quantity""",
}


def install(connection: sqlite3.Connection) -> None:
    """Adds the journal and its triggers to a database that holds the shop's schema."""
    script = [_OPEN, _ARMED]
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    for (table,) in tables:
        if table in _EXEMPT:
            continue
        columns = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
        key = [name for (name,) in columns]
        for operation in ("INSERT", "UPDATE", "DELETE"):
            if operation == "INSERT" and table in _LINES:
                continue
            script.append(_trigger(table, operation, key))
    connection.executescript("\n".join(script))


def _trigger(table: str, operation: str, key: Iterable[str]) -> str:
    row = "OLD" if operation == "DELETE" else "NEW"
    subject = " || '/' || ".join(f"{row}.{column}" for column in key)
    values = {"INSERT": _INSERTS, "UPDATE": _UPDATES, "DELETE": {}}[operation].get(table, f"'other', {subject}, NULL")
    return f"""
CREATE TRIGGER journal_{table}_{operation.lower()} AFTER {operation} ON {table} WHEN (SELECT 1 FROM armed)
BEGIN
    INSERT INTO journal (kind, subject, value, operation) VALUES ({values}, '{table} {operation}');
END;"""


def arm(connection: sqlite3.Connection) -> None:
    """From here on changes are journalled, until the transaction is rolled back."""
    connection.execute("INSERT INTO armed VALUES (1)")


# Kinds whose amounts are added up, and kinds of which the last value counts.
_ADDED = frozenset(("refund", "store_credit", "fee"))
_LAST = frozenset(("item", "order"))
_STATES = {
    "address": "SELECT street, city, postal_code FROM destinations WHERE order_id = ?",
    "subscription": "SELECT status, next_charge_on FROM subscriptions WHERE subscription_id = ?",
}


def read_effects(connection: sqlite3.Connection) -> frozenset[Effect]:
    """What changed since ``arm``, normalised: see ``ss_gym.commerce.records.Effect``."""
    effects: set[Effect] = set()
    totals: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], str] = {}
    stock: dict[str, int] = {}
    for kind, subject, value, operation in connection.execute("SELECT kind, subject, value, operation FROM journal"):
        if kind in _LAST:
            last[kind, subject] = value
        elif kind in _ADDED:
            totals[kind, subject] = totals.get((kind, subject), 0) + value
        elif kind == "stock":
            stock[subject] = stock.get(subject, 0) + value
        elif kind == "exchange":
            effects.add(("exchange", subject, value))
            # The unit that an exchange takes from the stock is part of it.
            stock[value] = stock.get(value, 0) + 1
        elif kind == "claim":
            effects.add(("claim", subject, value))
            if value == "replacement":  # likewise
                row = connection.execute("SELECT variant_id FROM order_items WHERE item_id = ?", (subject,)).fetchone()
                stock[row[0]] = stock.get(row[0], 0) + 1
        elif kind == "ticket":
            effects.add(("ticket", subject))
        elif kind in _STATES:
            effects.add(_state(connection, kind, subject))
        else:
            effects.add(("other", *operation.split(" "), subject))
    effects.update([(kind, subject, cents) for (kind, subject), cents in totals.items()])
    effects.update([(kind, subject, value) for (kind, subject), value in last.items()])
    effects.update([("other", "inventory", "UPDATE", variant) for variant, change in stock.items() if change])
    return frozenset(effects)


def _state(connection: sqlite3.Connection, kind: str, subject: str) -> Effect:
    """What a row that was changed is now."""
    row = connection.execute(_STATES[kind], (subject,)).fetchone()
    if row is None:
        return ("other", kind, "DELETE", subject)
    if kind == "address":
        return ("address", subject, address_text(*row))
    return (kind, subject, *[value or "" for value in row])
