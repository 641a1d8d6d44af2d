from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from ss_gym.commerce.policy import decide
from ss_gym.commerce.records import Rules, World
from ss_gym.commerce.store import Store

TODAY = "2025-01-20"


def dump(store: Store) -> list[str]:
    tables = [name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return [f"{table} {row}" for table in tables for row in store.rows(f"SELECT * FROM {table} ORDER BY 1")]


def test_a_world_is_consistent_and_leaves_no_effects(store: Store) -> None:
    assert store.integrity_errors() == []
    assert store.effects() == frozenset()


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_background_customers_are_consistent_and_out_of_the_way(split: str, world: World) -> None:
    store = Store(split)
    assert store.integrity_errors() == []
    assert store.rows("SELECT count(*) FROM customers") == [(40,)]
    assert store.rows("SELECT min(customer_id), max(customer_id) FROM customers") == [("C9001", "C9040")]
    assert store.row("SELECT min(order_id) FROM orders") == ("90001",)
    assert store.row("SELECT max(delivered_on) < '2024-01-01' FROM shipments") == (1,)


def test_every_store_of_a_split_begins_the_same() -> None:
    assert dump(Store("dev")) == dump(Store("dev")) != dump(Store("test"))


def test_opening_forgets_the_last_episode(store: Store, world: World) -> None:
    before = dump(store)
    store.execute("UPDATE order_items SET status = 'refunded' WHERE item_id = '48213-1'")
    store.execute("DELETE FROM payments WHERE order_id = '48215'")
    store.execute("INSERT INTO tickets VALUES ('T1', 'other', 'text', '2025-01-20')")
    store.record_consent("refund", ["48213-1"], 2490, 3)
    assert store.next_id("T") == "T1"
    store.open(world, TODAY)
    assert dump(store) == before
    assert store.effects() == frozenset()
    assert store.next_id("T") == "T1"


def test_a_world_may_set_the_stock_for_its_episode_only(store: Store, world: World) -> None:
    def units() -> tuple[int, ...] | None:
        return store.row("SELECT quantity FROM inventory WHERE variant_id = 'V1'")

    assert units() == (5,)
    store.open(world._replace(stock=(("V1", 0),)), TODAY)
    assert units() == (0,)
    assert store.effects() == frozenset()
    store.open(world, TODAY)
    assert units() == (5,)


@pytest.mark.parametrize("row", [("V9999", 1), ("V1", -1)])
def test_stock_of_no_variant_or_below_zero_is_refused(store: Store, world: World, row: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="does not fit the schema"):
        store.open(world._replace(stock=(row,)), TODAY)


def test_an_empty_world_holds_only_the_background(store: Store) -> None:
    store.open(World(*[()] * len(World._fields)), TODAY)
    assert store.order_facts("48213") is None
    assert [line for line in dump(store) if not line.startswith("armed")] == dump(Store("train"))


def test_order_facts_are_what_the_policy_engine_needs(store: Store, rules: Rules) -> None:
    facts = store.order_facts("48213")
    assert facts is not None
    assert (facts.customer_id, facts.status, facts.delivered_on, facts.expected_on) == (
        "C4821",
        "delivered",
        "2025-01-04",
        "2025-01-05",
    )
    assert [(i.title, i.category, i.price_cents, i.final_sale) for i in facts.items] == [
        ("wool scarf", "clothing", 2490, False),
        ("linen shirt", "clothing", 3995, True),
    ]
    assert [(p.payment_id, p.kind, p.amount_cents, p.refunded_cents) for p in facts.payments] == [
        ("48213-P1", "gift_card", 1000, 0),
        ("48213-P2", "card", 5485, 0),
    ]
    decision = decide(facts, "C4821", ["48213-1"], "changed_mind", rules, TODAY, store.in_stock)
    assert decision.split == (("48213-P1", 1000), ("48213-P2", 1490))
    refunded = store.order_facts("48214")
    assert refunded is not None
    assert refunded.payments[0].refunded_cents == 7900
    assert store.order_facts("00000") is None


def test_only_other_options_in_stock_at_the_same_price_are_alternatives(store: Store) -> None:
    assert store.in_stock("V1") == ("V3",)  # grey scarf: navy is out of stock, red is not
    own, dear = store.rows(
        "SELECT variant_id FROM variants JOIN products USING (product_id) "
        "WHERE title = 'storage basket' ORDER BY price_cents"
    )
    assert store.in_stock(own[0]) == store.in_stock(dear[0]) == ()


CHANGES = [
    ("INSERT INTO refunds VALUES ('R1', '48213', '48213-P2', 700, 'x', '2025-01-20')", ("refund", "48213-P2", 700)),
    ("UPDATE order_items SET status = 'refunded' WHERE item_id = '48213-1'", ("item", "48213-1", "refunded")),
    ("INSERT INTO store_credits VALUES ('S1', 'C4821', '48213', 300, '2025-01-20')", ("store_credit", "C4821", 300)),
    ("INSERT INTO tickets VALUES ('T1', 'delivery_dispute', '', '2025-01-20')", ("ticket", "delivery_dispute")),
    ("UPDATE order_items SET price_cents = 1 WHERE item_id = '48213-1'", ("other", "order_items", "UPDATE", "48213-1")),
    ("UPDATE inventory SET quantity = 9 WHERE variant_id = 'V1'", ("other", "inventory", "UPDATE", "V1")),
    ("UPDATE customers SET name = 'x' WHERE customer_id = 'C9001'", ("other", "customers", "UPDATE", "C9001")),
    ("UPDATE addresses SET city = 'x' WHERE customer_id = 'C4821'", ("other", "addresses", "UPDATE", "C4821/C4821-A")),
    ("DELETE FROM refunds WHERE refund_id = '48214-P1-R'", ("other", "refunds", "DELETE", "48214-P1-R")),
    ("UPDATE refunds SET amount_cents = 1", ("other", "refunds", "UPDATE", "48214-P1-R")),
    ("UPDATE variants SET price_cents = 1 WHERE variant_id = 'V1'", ("other", "variants", "UPDATE", "V1")),
    ("INSERT INTO customers VALUES ('C1', 'x', 'x@y.example')", ("other", "customers", "INSERT", "C1")),
    ("INSERT INTO products VALUES ('P0', 'x', 'home')", ("other", "products", "INSERT", "P0")),
]


@pytest.mark.parametrize(("statement", "effect"), CHANGES)
def test_the_journal_tells_every_change(store: Store, statement: str, effect: tuple[str | int, ...]) -> None:
    store.execute(statement)
    assert store.effects() == {effect}


def test_every_table_but_notes_and_consents_is_journalled(store: Store) -> None:
    tables = {name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    watched: dict[str, int] = {}
    for (table,) in store.rows("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'"):
        watched[table] = watched.get(table, 0) + 1
    # The lines of refunds and credits come with their heads, whose insertion is journalled.
    lines = {"refund_items": 2, "store_credit_items": 2}
    unwatched = tables - {"journal", "armed", "notes", "consents"}
    assert watched == {table: lines.get(table, 3) for table in unwatched}


def test_several_refunds_to_a_payment_are_one_effect(store: Store) -> None:
    for number, cents in ((1, 700), (2, 50)):
        store.execute(f"INSERT INTO refunds VALUES ('R{number}', '48213', '48213-P2', {cents}, 'x', '2025-01-20')")
    assert store.effects() == {("refund", "48213-P2", 750)}


def test_an_exchange_explains_one_unit_of_stock_and_no_more(store: Store) -> None:
    store.execute("INSERT INTO exchanges VALUES ('X1', '48213', '48213-1', 'V3', '2025-01-20')")
    store.execute("UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = 'V3'")
    assert store.effects() == {("exchange", "48213-1", "V3")}
    store.execute("UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = 'V3'")
    assert store.effects() == {("exchange", "48213-1", "V3"), ("other", "inventory", "UPDATE", "V3")}


def test_consents_are_kept_and_are_no_effects(store: Store) -> None:
    store.record_consent("refund", {"48213-2", "48213-1"}, 6485, 4)
    assert store.rows("SELECT verb, items, amount_cents, step FROM consents") == [
        ("refund", "48213-1 48213-2", 6485, 4)
    ]
    assert store.effects() == frozenset()


VIOLATIONS = [
    "INSERT INTO refunds VALUES ('R1', '48213', 'nowhere', 100, 'x', '2025-01-20')",
    "INSERT INTO refunds VALUES ('R1', '48213', '48213-P1', 0, 'x', '2025-01-20')",
    "INSERT INTO refunds VALUES ('R1', '48213', '48213-P1', 100, 'x', 'yesterday')",
    "INSERT INTO refunds VALUES ('48214-P1-R', '48214', '48214-P1', 100, 'x', '2025-01-20')",
    "INSERT INTO exchanges VALUES ('X1', '48213', '48213-1', 'V0', '2025-01-20')",
    "INSERT INTO customers VALUES ('C1', 'x', 'ADA@mail.example')",
    "UPDATE inventory SET quantity = -1 WHERE variant_id = 'V1'",
    "UPDATE order_items SET status = 'lost' WHERE item_id = '48213-1'",
    "UPDATE order_items SET final_sale = 2 WHERE item_id = '48213-1'",
    "UPDATE orders SET status = 'lost' WHERE order_id = '48213'",
    "UPDATE payment_methods SET kind = 'cheque' WHERE payment_method_id = '48213-P1-M'",
    "DELETE FROM orders WHERE order_id = '48213'",
]


@pytest.mark.parametrize("statement", VIOLATIONS)
def test_foreign_keys_and_checks_hold(store: Store, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.execute(statement)
    assert store.effects() == frozenset()


@pytest.mark.parametrize(
    ("field", "row", "problem"),
    [
        ("orders", ("1", "nobody", "2025-01-01", "delivered"), "FOREIGN KEY.*INSERT INTO orders"),
        ("customers", ("C4821", "Bo", "bo@x.example"), "UNIQUE.*customers"),
        ("payments", ("p", "48213", "48213-P1-M", -5), "CHECK.*payments"),
        ("customers", ("C1", "Bo"), "INSERT INTO customers"),
        ("stock", ("V999", 3), "FOREIGN KEY.*inventory"),
        ("stock", ("V4", -1), "CHECK.*inventory"),
        ("prices", ("V999", 300), "no such variant.*variants"),
    ],
)
def test_a_world_that_breaks_the_schema_is_refused(
    store: Store, world: World, field: str, row: tuple[str, ...], problem: str
) -> None:
    broken = world._replace(**{field: (*getattr(world, field), row)})
    with pytest.raises(ValueError, match=problem):
        store.open(broken, TODAY)
    store.open(world, TODAY)
    assert store.integrity_errors() == []


def test_a_world_sets_stock_and_prices_for_one_episode(store: Store, world: World) -> None:
    before = dump(store)
    store.open(world._replace(stock=(("V4", 0), ("V5", 7)), prices=(("V5", 4200),)), TODAY)
    assert store.rows("SELECT * FROM inventory WHERE variant_id IN ('V4', 'V5')") == [("V4", 0), ("V5", 7)]
    assert store.row("SELECT price_cents FROM variants WHERE variant_id = 'V5'") == (4200,)
    assert store.in_stock("V6") == ()  # V4 is sold out, V5 costs something else
    assert store.effects() == frozenset()
    store.open(world, TODAY)
    assert dump(store) == before


CONTRADICTIONS = [
    ("UPDATE payments SET amount_cents = 999 WHERE payment_id = '48213-P1'", "payments are not the price"),
    ("UPDATE shipments SET delivered_on = NULL WHERE order_id = '48213'", "delivery date and status"),
    ("UPDATE payments SET payment_method_id = '51900-P1-M' WHERE payment_id = '48213-P1'", "somebody else's method"),
    ("UPDATE refunds SET amount_cents = 7901", "more refunded than paid"),
    ("UPDATE refunds SET order_id = '48213'", "payment of another order"),
    ("UPDATE order_items SET status = 'ordered' WHERE item_id = '48214-1'", "than the refunded items cost"),
    ("INSERT INTO refund_items VALUES ('48214-P1-R', '48214-1', 7000)", "lines of a refund"),
    ("INSERT INTO refund_items VALUES ('48214-P1-R', '48214-1', 8000)", "above its price"),
    ("INSERT INTO refund_items VALUES ('48214-P1-R', '48213-1', 7900)", "is not refunded"),
    ("INSERT INTO store_credits VALUES ('S1', 'C4821', '48213', 300, '2025-01-20')", "store credit above"),
    ("INSERT INTO exchanges VALUES ('X1', '48213', '48213-1', 'V3', '2025-01-20')", "exchanged item"),
    ("INSERT INTO exchanges VALUES ('X1', '48213', '48213-1', 'V9', '2025-01-20')", "another product"),
]


@pytest.mark.parametrize(("statement", "problem"), CONTRADICTIONS)
def test_contradictions_are_found(store: Store, statement: str, problem: str) -> None:
    store.execute(statement)
    assert any(problem in error for error in store.integrity_errors())


def test_a_write_that_raises_changes_nothing(store: Store) -> None:
    before = dump(store)

    def fails() -> None:
        store.execute("UPDATE order_items SET status = 'refunded'")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        store.atomically(fails)
    assert dump(store) == before
    assert store.atomically(lambda: store.next_id("R")) == "R1"


def test_facts_follow_the_writes(store: Store) -> None:
    before = store.order_facts("48213")
    store.atomically(store.execute, "UPDATE order_items SET status = 'credited' WHERE item_id = '48213-1'")
    after = store.order_facts("48213")
    assert before is not None and after is not None
    assert (before.items[0].status, after.items[0].status) == ("ordered", "credited")


def test_a_store_may_move_to_another_thread(world: World) -> None:
    store = Store("train")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.open, world, TODAY).result()
    assert store.order_facts("48213") is not None


def test_stores_do_not_see_each_other(store: Store, world: World) -> None:
    other = Store("train")
    other.open(world, TODAY)
    other.execute("UPDATE order_items SET status = 'refunded' WHERE item_id = '48213-1'")
    assert store.effects() == frozenset()


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'validation': choose one of train, dev, test"):
        Store("validation")
