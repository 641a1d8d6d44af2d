"""The effects of changes that other families than Refund make, and that nothing is left after a rollback."""

from __future__ import annotations

import pytest

from ss_gym.commerce.changes import cancel_items, change_address, create_claim
from ss_gym.commerce.records import Effect, World
from ss_gym.commerce.store import Store
from ss_gym.commerce.subscriptions import cancel, pause, resume

TODAY = "2025-01-20"

CHANGES: list[tuple[str, Effect]] = [
    ("UPDATE orders SET status = 'cancelled' WHERE order_id = '48216'", ("order", "48216", "cancelled")),
    ("UPDATE orders SET placed_on = '2025-01-01' WHERE order_id = '48216'", ("other", "orders", "UPDATE", "48216")),
    ("UPDATE orders SET customer_id = 'C5190' WHERE order_id = '48216'", ("other", "orders", "UPDATE", "48216")),
    (
        "INSERT INTO destinations VALUES ('48216', '5  Quay St.', 'Dunmore', 'dm3 18')",
        ("address", "48216", "5 quay st, dunmore, dm318"),
    ),
    ("UPDATE destinations SET city = 'Carrow'", ("address", "51901", "9 oak road, carrow, dm318")),
    ("DELETE FROM destinations", ("other", "destinations", "DELETE", "51901")),
    ("UPDATE destinations SET order_id = '48216'", ("other", "destinations", "UPDATE", "48216")),
    ("INSERT INTO claims VALUES ('W1', '48213-2', 'repair', '2025-01-20')", ("claim", "48213-2", "repair")),
    ("UPDATE claims SET remedy = 'replacement'", ("other", "claims", "UPDATE", "48213-1-W")),
    ("DELETE FROM claims", ("other", "claims", "DELETE", "48213-1-W")),
    (
        "UPDATE subscriptions SET status = 'paused' WHERE subscription_id = '70001'",
        ("subscription", "70001", "paused", "2025-02-05"),
    ),
    (
        "UPDATE subscriptions SET next_charge_on = NULL WHERE subscription_id = '70001'",
        ("subscription", "70001", "active", ""),
    ),
    (
        "UPDATE subscriptions SET committed_until = '2025-01-01' WHERE subscription_id = '70001'",
        ("other", "subscriptions", "UPDATE", "70001"),
    ),
    (
        "UPDATE subscriptions SET status = 'paused', price_cents = 1 WHERE subscription_id = '70001'",
        ("other", "subscriptions", "UPDATE", "70001"),
    ),
    ("DELETE FROM subscriptions WHERE subscription_id = '70001'", ("other", "subscriptions", "DELETE", "70001")),
    (
        "INSERT INTO subscriptions VALUES "
        "('70004', 'C4821', 'V1', 'x', 1, 'active', '2025-01-20', '2025-02-20', '2025-01-20')",
        ("other", "subscriptions", "INSERT", "70004"),
    ),
    ("INSERT INTO fees VALUES ('F1', '70001', 950, '2025-01-20')", ("fee", "70001", 950)),
    ("UPDATE extended_warranties SET days = 1", ("other", "extended_warranties", "UPDATE", "48213-1")),
    ("INSERT INTO extended_warranties VALUES ('48213-2', 9)", ("other", "extended_warranties", "INSERT", "48213-2")),
]


@pytest.mark.parametrize(("statement", "effect"), CHANGES)
def test_the_journal_tells_every_change(wide_store: Store, statement: str, effect: Effect) -> None:
    wide_store.execute(statement)
    assert wide_store.effects() == {effect}


def test_several_fees_of_a_subscription_are_one_effect(wide_store: Store) -> None:
    for number, subscription_id, cents in ((1, "70001", 950), (2, "70001", 50), (3, "70002", 7)):
        wide_store.execute("INSERT INTO fees VALUES (?, ?, ?, ?)", (f"F{number}", subscription_id, cents, TODAY))
    assert wide_store.effects() == {("fee", "70001", 950 + 50), ("fee", "70002", 7)}


def test_the_last_status_of_an_order_counts(wide_store: Store) -> None:
    for status in ("cancelled", "shipped"):
        wide_store.execute("UPDATE orders SET status = ? WHERE order_id = '48216'", (status,))
    assert wide_store.effects() == {("order", "48216", "shipped")}


def test_a_replacement_explains_one_unit_of_stock_and_no_more(wide_store: Store) -> None:
    wide_store.execute("INSERT INTO claims VALUES ('W1', '48213-1', 'replacement', '2025-01-20')")
    wide_store.execute("UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = 'V1'")
    assert wide_store.effects() == {("claim", "48213-1", "replacement")}
    wide_store.execute("UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = 'V1'")
    assert wide_store.effects() == {("claim", "48213-1", "replacement"), ("other", "inventory", "UPDATE", "V1")}


def test_a_replacement_that_takes_nothing_from_the_stock_shows(wide_store: Store) -> None:
    wide_store.execute("INSERT INTO claims VALUES ('W1', '48213-1', 'replacement', '2025-01-20')")
    assert wide_store.effects() == {("claim", "48213-1", "replacement"), ("other", "inventory", "UPDATE", "V1")}


def test_a_repair_explains_no_stock(wide_store: Store) -> None:
    wide_store.execute("INSERT INTO claims VALUES ('W1', '48213-1', 'repair', '2025-01-20')")
    wide_store.execute("UPDATE inventory SET quantity = quantity - 1 WHERE variant_id = 'V1'")
    assert wide_store.effects() == {("claim", "48213-1", "repair"), ("other", "inventory", "UPDATE", "V1")}


def everything(store: Store) -> None:
    """A write of every kind."""
    cancel_items(store, "48216", ["48216-2"])
    change_address(store, "48216", "5 Quay Road", "Dunmore", "DM318")
    change_address(store, "51901", "2 Mill Lane", "Carrow", "CW211")
    create_claim(store, "48213-1", "replacement")
    create_claim(store, "48213-2", "repair")
    pause(store, "70001", 2)
    resume(store, "70002")
    cancel(store, "70001", 1900)
    cancel_items(store, "51901", ["51901-1"])


def test_writes_of_every_kind_are_told_together(wide_store: Store) -> None:
    wide_store.atomically(everything, wide_store)
    assert wide_store.effects() == {
        ("item", "48216-2", "cancelled"),
        ("refund", "48216-P1", 3000),  # 39.95 is 30.00 of the gift card
        ("refund", "48216-P2", 995),  # and 9.95 of the card
        ("address", "48216", "5 quay road, dunmore, dm318"),
        ("address", "51901", "2 mill lane, carrow, cw211"),
        ("claim", "48213-1", "replacement"),
        ("claim", "48213-2", "repair"),
        ("subscription", "70001", "cancelled", ""),
        ("fee", "70001", 1900),
        ("subscription", "70002", "active", "2025-02-20"),
        ("item", "51901-1", "cancelled"),
        ("order", "51901", "cancelled"),
        ("refund", "51901-P1", 950),
    }


def dump(store: Store) -> list[str]:
    tables = [name for (name,) in store.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return [f"{table} {row}" for table in tables for row in store.rows(f"SELECT * FROM {table} ORDER BY 1")]


def test_nothing_is_left_of_writes_that_were_undone(wide_store: Store) -> None:
    before = dump(wide_store)

    def fails() -> None:
        everything(wide_store)
        assert wide_store.row("SELECT count(*) > 13 FROM journal") == (1,)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        wide_store.atomically(fails)
    assert wide_store.effects() == frozenset()
    assert dump(wide_store) == before
    assert wide_store.integrity_errors() == []


def test_the_next_episode_knows_nothing_of_the_writes_of_the_last(wide_store: Store, wide_world: World) -> None:
    before = dump(wide_store)
    wide_store.atomically(everything, wide_store)
    assert wide_store.effects()
    wide_store.open(wide_world, TODAY)
    assert dump(wide_store) == before
    assert wide_store.effects() == frozenset()
    assert wide_store.integrity_errors() == []
