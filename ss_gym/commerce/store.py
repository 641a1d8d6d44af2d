"""The shop's database: one sqlite connection in memory for each environment.

The catalogue of a split and some customers who are nobody's business are built once a process and
copied into every connection. An episode is a transaction on top of them that is never committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from ss_gym.commerce import background, journal
from ss_gym.commerce.catalogue import load_catalogue, monthly_goods
from ss_gym.commerce.records import Effect, ItemFacts, OrderFacts, PaymentFacts, Verb, World

T = TypeVar("T")

_COLUMNS = {
    "customers": 3,
    "addresses": 5,
    "payment_methods": 4,
    "orders": 4,
    "order_items": 7,
    "shipments": 6,
    "payments": 4,
    "refunds": 6,
    "notes": 4,
    "destinations": 4,
    "extended_warranties": 2,
    "claims": 4,
    "subscriptions": 9,
    "unserved_areas": 1,
    "goodwill_credits": 5,
}
# What a world changes of the catalogue.
_CHANGES = {
    "stock": (
        # An unknown variant breaks the schema; an update alone would let it pass.
        "INSERT INTO inventory VALUES (?1, ?2) ON CONFLICT (variant_id) DO UPDATE SET quantity = ?2"
    ),
    "prices": "UPDATE variants SET price_cents = ?2 WHERE variant_id = ?1",
}
_WORLD = tuple(
    _CHANGES.get(table) or f"INSERT INTO {table} VALUES ({','.join('?' * _COLUMNS[table])})" for table in World._fields
)

# A row an item, each with what the order has once.
_ORDER = """SELECT customer_id, orders.status, placed_on, delivered_on, expected_on,
        item_id, variant_id, title, price_cents, final_sale, order_items.status
    FROM orders LEFT JOIN shipments USING (order_id) LEFT JOIN order_items USING (order_id)
    WHERE order_id = ? ORDER BY item_id"""
_PAYMENTS = """SELECT payment_id, kind, label, amount_cents,
        (SELECT ifnull(sum(amount_cents), 0) FROM refunds WHERE refunds.payment_id = payments.payment_id)
    FROM payments JOIN payment_methods USING (payment_method_id) WHERE order_id = ? ORDER BY payment_id"""
_IN_STOCK = """SELECT other.variant_id
    FROM variants AS own JOIN variants AS other USING (product_id, price_cents)
        JOIN inventory ON inventory.variant_id = other.variant_id
    WHERE own.variant_id = ?1 AND other.variant_id <> ?1 AND quantity > 0 ORDER BY other.variant_id"""


class Store:
    """The database of one environment. It may move between threads, but serves one at a time.

    Args:
        split: whose catalogue it holds: train, dev or test.

    Attributes:
        split: whose catalogue it holds.
        today: the logical date of the episode, ISO; empty before the first ``open``.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self.today = ""
        self._numbers: dict[str, int] = {}
        # An agent asks about the same order several times between two writes.
        self._facts: dict[str, OrderFacts | None] = {}
        self._placed: dict[str, str] = {}  # when they were placed
        self._categories = _categories(split)
        # The effects, and the count of changed rows when they were read.
        self._effects: frozenset[Effect] = frozenset()
        self._changes = 0
        # An application may make an environment in one thread and step it in another.
        self._connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, cached_statements=256
        )
        _base(split).backup(self._connection)
        self._connection.execute("PRAGMA foreign_keys = ON")
        self.execute = self._connection.execute
        self._insert = self._connection.cursor().executemany

    def open(self, world: World, today: str) -> None:
        """Forgets the last episode and begins one in a world.

        Args:
            world: the rows to add, and those to change.
            today: the logical date, ISO.

        Raises:
            ValueError: if the rows break the schema; nothing is open then.
        """
        execute, insert = self.execute, self._insert
        if self._connection.in_transaction:
            execute("ROLLBACK")
        execute("BEGIN")
        try:
            for statement, rows in zip(_WORLD, world, strict=True):
                if rows and insert(statement, rows).rowcount != len(rows):
                    raise sqlite3.IntegrityError("there is no such variant")
        except sqlite3.Error as error:
            execute("ROLLBACK")
            raise ValueError(f"the world does not fit the schema: {error} ({statement})") from error
        journal.arm(self._connection)
        self.today = today
        self._effects, self._changes = frozenset(), self._connection.total_changes
        self._numbers.clear()
        self._facts.clear()
        self._placed.clear()

    def atomically(self, write: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Calls a function that writes; if it raises, nothing has changed.

        Args:
            write: the function.
            *arguments: its arguments.
            **keywords: its keyword arguments.

        Returns:
            What the function returns.
        """
        self.execute("SAVEPOINT write")
        try:
            return write(*arguments, **keywords)
        except BaseException:
            self.execute("ROLLBACK TO write")
            self._changes = -1  # rows that were undone are still counted as changed
            raise
        finally:
            self.execute("RELEASE write")
            self._facts.clear()

    def close(self) -> None:
        """Frees the database; the store can't be used after."""
        self._connection.close()

    def effects(self) -> frozenset[Effect]:
        """What the tools changed since ``open``, normalised."""
        # An end of a conversation writes nothing, and so asks again for what is known.
        if self._connection.total_changes != self._changes:
            self._changes = self._connection.total_changes
            self._effects = journal.read_effects(self._connection)
        return self._effects

    def order_facts(self, order_id: str) -> OrderFacts | None:
        """An order as the policy engine sees it, or None if there is none."""
        if order_id not in self._facts:
            self._facts[order_id] = self._read_order(order_id)
        return self._facts[order_id]

    def placed_on(self, order_id: str) -> str:
        """The ISO date on which an order was placed that ``order_facts`` has found."""
        return self._placed[order_id]

    def _read_order(self, order_id: str) -> OrderFacts | None:
        execute = self.execute
        rows = execute(_ORDER, (order_id,)).fetchall()
        if not rows:
            return None
        customer_id, status, self._placed[order_id], delivered_on, expected_on = rows[0][:5]
        categories = self._categories
        items = tuple(
            [
                ItemFacts(item, variant, title, categories[variant], price, final == 1, state)
                for *_, item, variant, title, price, final, state in rows
                if item is not None
            ]
        )
        payments = tuple([PaymentFacts(*row) for row in execute(_PAYMENTS, (order_id,))])
        return OrderFacts(order_id, customer_id, status, delivered_on, expected_on, items, payments)

    def in_stock(self, variant_id: str) -> tuple[str, ...]:
        """The variants that a variant can be exchanged for now: same product and price, in stock."""
        return tuple([row[0] for row in self.execute(_IN_STOCK, (variant_id,))])

    def record_consent(self, verb: Verb, items: Iterable[str], amount_cents: int, step: int) -> None:
        """Keeps what the customer agreed to.

        Args:
            verb: the remedy.
            items: the items it is about.
            amount_cents: the total, 0 for an exchange.
            step: when, counted in the agent's actions.
        """
        self.execute(
            "INSERT INTO consents (verb, items, amount_cents, step) VALUES (?, ?, ?, ?)",
            (verb, " ".join(sorted(items)), amount_cents, step),
        )

    def next_id(self, prefix: str) -> str:
        """A new id, counted in the episode: ``R1``, ``R2`` and so on."""
        number = self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}{number}"

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        found: tuple[Any, ...] | None = self.execute(sql, values).fetchone()
        return found

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.execute(sql, values).fetchall()

    def integrity_errors(self) -> list[str]:
        """What contradicts itself in the database; empty when all is well.

        This reads the whole database: it is meant for tests.
        """
        orphans = self.rows("PRAGMA foreign_key_check")
        errors = [f"row of {table} without its {parent}" for table, _, parent, _ in orphans]
        for problem, query in _INTEGRITY.items():
            errors.extend(f"{problem}: {row[0]}" for row in self.rows(query))
        return errors


_INTEGRITY = {
    "payments are not the price of the order": """SELECT order_id FROM orders
        WHERE (SELECT ifnull(sum(amount_cents), 0) FROM payments WHERE payments.order_id = orders.order_id)
            <> (SELECT ifnull(sum(price_cents), 0) FROM order_items WHERE order_items.order_id = orders.order_id)""",
    "delivery date and status disagree": """SELECT order_id FROM orders LEFT JOIN shipments USING (order_id)
        WHERE (status = 'delivered') <> (delivered_on IS NOT NULL)""",
    "paid by somebody else's method": """SELECT payment_id FROM payments JOIN orders USING (order_id)
        JOIN payment_methods USING (payment_method_id) WHERE payment_methods.customer_id <> orders.customer_id""",
    "more refunded than paid": """SELECT payment_id FROM payments
        WHERE amount_cents < (SELECT sum(amount_cents) FROM refunds WHERE refunds.payment_id = payments.payment_id)""",
    "refund to a payment of another order": """SELECT refund_id FROM refunds JOIN payments USING (payment_id)
        WHERE refunds.order_id <> payments.order_id""",
    "more refunded than the refunded items cost": """SELECT order_id FROM orders
        WHERE (SELECT ifnull(sum(amount_cents), 0) FROM refunds WHERE refunds.order_id = orders.order_id)
            > (SELECT ifnull(sum(price_cents), 0) FROM order_items
                WHERE order_items.order_id = orders.order_id AND status IN ('refunded', 'cancelled'))""",
    "lines of a refund do not sum to it": """SELECT refund_id FROM refunds JOIN refund_items USING (refund_id)
        GROUP BY refund_id HAVING sum(refund_items.amount_cents) <> refunds.amount_cents""",
    "item refunded above its price": """SELECT item_id FROM order_items JOIN refund_items USING (item_id)
        GROUP BY item_id HAVING sum(amount_cents) > price_cents""",
    "item with a refund is not refunded": """SELECT item_id FROM order_items JOIN refund_items USING (item_id)
        WHERE status <> 'refunded'""",
    "item with store credit is not credited": """SELECT item_id FROM order_items
        JOIN store_credit_items USING (item_id) WHERE status <> 'credited'""",
    "store credit above the price of its items": """SELECT credit_id FROM store_credits
        WHERE amount_cents > (SELECT ifnull(sum(price_cents), 0) FROM store_credit_items
            JOIN order_items USING (item_id) WHERE store_credit_items.credit_id = store_credits.credit_id)""",
    "goodwill credit for somebody else's order": """SELECT credit_id FROM goodwill_credits JOIN orders USING (order_id)
        WHERE goodwill_credits.customer_id <> orders.customer_id""",
    "exchanged item is not exchanged": """SELECT item_id FROM order_items JOIN exchanges USING (item_id)
        WHERE status <> 'exchanged'""",
    "exchange for another product or price": """SELECT exchange_id FROM exchanges JOIN order_items USING (item_id)
        JOIN variants AS old ON old.variant_id = order_items.variant_id
        JOIN variants AS new ON new.variant_id = exchanges.variant_id
        WHERE (old.product_id, old.price_cents) <> (new.product_id, new.price_cents)""",
}


@cache
def _categories(split: str) -> dict[str, str]:
    """The category of each variant: what nothing in an episode changes."""
    return dict(_base(split).execute("SELECT variant_id, category FROM variants JOIN products USING (product_id)"))


@cache
def _base(split: str) -> sqlite3.Connection:
    """The database that every store of a split begins with, built once a process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    # Small pages: an episode touches a row here and there, and undoing it copies pages.
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(files("ss_gym.commerce").joinpath("schema.sql").read_text(encoding="utf-8"))
    catalogue = load_catalogue(split)
    insert = connection.executemany
    connection.execute("BEGIN")
    products = (*catalogue.products, *monthly_goods(split))
    insert("INSERT INTO products VALUES (?, ?, ?)", [(p.product_id, p.title, p.category) for p in products])
    for product in products:
        insert(
            "INSERT INTO variants VALUES (?, ?, ?, ?)",
            [(o.variant_id, product.product_id, o.name, o.price_cents) for o in product.options],
        )
        insert("INSERT INTO inventory VALUES (?, ?)", [(o.variant_id, o.quantity) for o in product.options])
    for statement, rows in zip(_WORLD, background.draw(split, catalogue), strict=True):
        insert(statement, rows)
    connection.execute("COMMIT")
    journal.install(connection)
    return connection
