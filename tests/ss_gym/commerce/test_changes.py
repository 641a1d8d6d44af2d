"""What changes an order before it is sent, and an item after it was used."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ss_gym.commerce.changes import cancel_items, change_address, create_claim
from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError
from ss_gym.types import ToolResult

Call = Callable[..., ToolResult]


def cancel(store: Store, *item_ids: str, order_id: str = "48216") -> list[tuple[str, int]]:
    return store.atomically(cancel_items, store, order_id, item_ids)


def move(store: Store, order_id: str, *address: str) -> None:
    store.atomically(change_address, store, order_id, *address)


def claim(store: Store, item_id: str, remedy: str) -> str:
    return store.atomically(create_claim, store, item_id, remedy)


def quantity(store: Store, variant_id: str) -> int:
    (found,) = store.row("SELECT quantity FROM inventory WHERE variant_id = ?", variant_id) or ()
    return int(found)


def value(result: ToolResult) -> Any:
    assert result.ok, result.content
    return json.loads(result.content)


def test_the_wide_world_is_consistent_and_leaves_no_effects(wide_store: Store) -> None:
    assert wide_store.integrity_errors() == []
    assert wide_store.effects() == frozenset()


# --- cancelling -----------------------------------------------------------------------------------


def test_cancelling_an_item_pays_its_price_back_to_the_gift_card_first(wide_store: Store) -> None:
    assert cancel(wide_store, "48216-1") == [("gift card", 2490)]  # 24.90 of the 30.00 that it paid
    assert wide_store.effects() == {("item", "48216-1", "cancelled"), ("refund", "48216-P1", 2490)}
    assert wide_store.integrity_errors() == []


def test_a_refund_above_the_gift_card_is_split(wide_store: Store) -> None:
    assert cancel(wide_store, "48216-2") == [("gift card", 3000), ("Visa 1234", 995)]  # 39.95 = 30.00 + 9.95
    assert wide_store.effects() == {
        ("item", "48216-2", "cancelled"),
        ("refund", "48216-P1", 3000),
        ("refund", "48216-P2", 995),
    }
    assert wide_store.integrity_errors() == []


def test_the_last_item_takes_the_order_with_it(wide_store: Store) -> None:
    cancel(wide_store, "48216-1")
    before = wide_store.order_facts("48216")
    assert before is not None and before.status == "processing"
    # 5.10 is left of the gift card; the rest of 39.95 is 34.85, all that the card paid.
    assert cancel(wide_store, "48216-2") == [("gift card", 510), ("Visa 1234", 3485)]
    after = wide_store.order_facts("48216")
    assert after is not None and after.status == "cancelled"
    assert [payment.amount_cents - payment.refunded_cents for payment in after.payments] == [0, 0]
    assert wide_store.effects() == {
        ("order", "48216", "cancelled"),
        ("item", "48216-1", "cancelled"),
        ("item", "48216-2", "cancelled"),
        ("refund", "48216-P1", 2490 + 510),
        ("refund", "48216-P2", 3485),
    }
    assert wide_store.integrity_errors() == []


def test_items_that_are_cancelled_together_leave_the_same_as_one_after_the_other(wide_store: Store) -> None:
    assert cancel(wide_store, "48216-2", "48216-1") == [("gift card", 3000), ("Visa 1234", 3485)]
    assert wide_store.effects() == {
        ("order", "48216", "cancelled"),
        ("item", "48216-1", "cancelled"),
        ("item", "48216-2", "cancelled"),
        ("refund", "48216-P1", 3000),
        ("refund", "48216-P2", 3485),
    }
    assert wide_store.integrity_errors() == []


@pytest.mark.parametrize(
    ("order_id", "item_ids", "problem"),
    [
        ("48213", ["48213-1"], "order 48213 is delivered: it can't be cancelled any more"),
        ("48215", ["48215-1"], "order 48215 is shipped: it can't be cancelled any more"),
        ("00000", ["00000-1"], "there is no order 00000"),
        ("48216", [], "name at least one item of order 48216: 48216-1, 48216-2"),
        ("48216", ["48216-1", "48216-1"], "item 48216-1 is named twice"),
        ("48216", ["48216-1", "51901-1"], "51901-1 is not an item of order 48216"),
    ],
)
def test_a_cancellation_that_can_not_be_changes_nothing(
    wide_store: Store, order_id: str, item_ids: Sequence[str], problem: str
) -> None:
    with pytest.raises(ToolError, match=problem):
        cancel(wide_store, *item_ids, order_id=order_id)
    assert wide_store.effects() == frozenset()
    assert wide_store.rows("SELECT refund_id FROM refunds") == [("48214-P1-R",)]


def test_an_item_is_cancelled_once(wide_store: Store) -> None:
    cancel(wide_store, "48216-1")
    with pytest.raises(ToolError, match="item 48216-1 is already cancelled"):
        cancel(wide_store, "48216-2", "48216-1")
    assert wide_store.effects() == {("item", "48216-1", "cancelled"), ("refund", "48216-P1", 2490)}
    cancel(wide_store, "48216-2")
    with pytest.raises(ToolError, match="item 48216-2 is already cancelled"):
        cancel(wide_store, "48216-2")


def test_money_for_an_item_that_is_not_cancelled_is_a_contradiction(wide_store: Store) -> None:
    cancel(wide_store, "51901-1", order_id="51901")
    assert wide_store.integrity_errors() == []
    wide_store.execute("UPDATE order_items SET status = 'ordered' WHERE item_id = '51901-1'")
    assert any("more refunded" in error and "51901" in error for error in wide_store.integrity_errors())


def test_the_cancelling_tool_tells_what_went_back(wide_call: Call) -> None:
    result = wide_call("cancel_order", order_id="48216", item_ids=["48216-2"])
    assert value(result) == {
        "cancelled": ["48216-2"],
        "refunds": [{"method": "gift card", "amount": "30.00"}, {"method": "Visa 1234", "amount": "9.95"}],
    }
    facts = value(wide_call("check_cancellation", order_id="48216"))
    assert (facts["status"], facts["placed_on"], facts["days_since_order"]) == ("processing", "2025-01-19", 1)
    assert [item["status"] for item in facts["items"]] == ["ordered", "cancelled"]
    assert value(wide_call("check_cancellation", order_id="00000")) == {"found": False}


# --- addresses ------------------------------------------------------------------------------------


def test_an_order_goes_to_its_account_until_it_has_an_address_of_its_own(wide_store: Store, wide_call: Call) -> None:
    home = {"street": "1 Elm Street", "city": "Ashbury", "postal_code": "AB407", "status": "processing"}
    assert value(wide_call("get_shipping_address", order_id="48216")) == home
    move(wide_store, "48216", " 5 Quay  Road ", "Dunmore", "DM3 18 ")
    moved = {"street": "5 Quay  Road", "city": "Dunmore", "postal_code": "DM3 18", "status": "processing"}
    assert value(wide_call("get_shipping_address", order_id="48216")) == moved
    assert wide_store.effects() == {("address", "48216", "5 quay road, dunmore, dm318")}
    assert wide_store.row("SELECT street FROM addresses WHERE customer_id = 'C4821'") == ("1 Elm Street",)
    assert wide_store.integrity_errors() == []


def test_an_address_that_is_there_is_replaced(wide_store: Store, wide_call: Call) -> None:
    assert value(wide_call("get_shipping_address", order_id="51901"))["street"] == "9 Oak Road"
    move(wide_store, "51901", "2 Mill Lane", "Carrow", "CW211")
    assert wide_store.rows("SELECT * FROM destinations") == [("51901", "2 Mill Lane", "Carrow", "CW211")]
    assert wide_store.effects() == {("address", "51901", "2 mill lane, carrow, cw211")}


def test_the_last_of_several_addresses_counts(wide_store: Store) -> None:
    move(wide_store, "48216", "5 Quay Road", "Dunmore", "DM318")
    move(wide_store, "48216", "6 Quay Road", "Dunmore", "DM318")
    assert wide_store.effects() == {("address", "48216", "6 quay road, dunmore, dm318")}


@pytest.mark.parametrize(
    ("order_id", "address", "problem"),
    [
        ("48213", ("5 Quay Road", "Dunmore", "DM318"), "order 48213 is delivered: its address can't be changed"),
        ("48215", ("5 Quay Road", "Dunmore", "DM318"), "order 48215 is shipped: its address can't be changed"),
        ("00000", ("5 Quay Road", "Dunmore", "DM318"), "there is no order 00000"),
        ("48216", (" ", "Dunmore", "DM318"), 'argument "street" is empty'),
        ("48216", ("5 Quay Road", "", "DM318"), 'argument "city" is empty'),
        ("48216", ("5 Quay Road", "Dunmore", "\t"), 'argument "postal_code" is empty'),
    ],
)
def test_an_address_that_can_not_be_changed_stays(
    wide_store: Store, order_id: str, address: tuple[str, str, str], problem: str
) -> None:
    with pytest.raises(ToolError, match=problem):
        move(wide_store, order_id, *address)
    assert wide_store.effects() == frozenset()


def test_a_cancelled_order_goes_nowhere(wide_store: Store) -> None:
    cancel(wide_store, "51901-1", order_id="51901")
    with pytest.raises(ToolError, match="order 51901 is cancelled: its address can't be changed"):
        move(wide_store, "51901", "2 Mill Lane", "Carrow", "CW211")


def test_the_facts_of_a_change_of_address(wide_store: Store, wide_call: Call) -> None:
    facts = value(wide_call("check_address_change", order_id="48216"))
    assert facts["status"] == "processing" and facts["expected_on"] is None
    assert facts["total"] == "64.85"  # 24.90 + 39.95
    assert (facts["gift_cards_only"], facts["redirected"]) == (False, False)
    assert value(wide_call("check_address_change", order_id="51901"))["redirected"] is True
    assert value(wide_call("check_address_change", order_id="00000")) == {"found": False}
    cancel(wide_store, "48216-1")
    assert value(wide_call("check_address_change", order_id="48216"))["total"] == "39.95"


def test_an_area_is_served_unless_the_shop_says_otherwise(wide_store: Store, wide_call: Call) -> None:
    wide_store.execute("INSERT INTO unserved_areas VALUES ('CW2')")
    for postal_code in ("CW2 1AB", "cw21ab", " CW2  1AB "):
        assert value(wide_call("check_address", postal_code=postal_code)) == {"area": "CW2", "served": False}
    assert value(wide_call("check_address", postal_code="CW21 1AB")) == {"area": "CW21", "served": True}


# --- warranty claims ------------------------------------------------------------------------------


def test_a_replacement_takes_one_of_the_same_variant_from_the_stock(wide_store: Store) -> None:
    before = quantity(wide_store, "V1")
    assert claim(wide_store, "48213-1", "replacement") == "W1"
    assert before - quantity(wide_store, "V1") == 1
    assert wide_store.effects() == {("claim", "48213-1", "replacement")}
    assert wide_store.integrity_errors() == []
    order = wide_store.order_facts("48213")
    assert order is not None and order.items[0].status == "ordered"


def test_a_repair_leaves_the_stock_alone(wide_store: Store) -> None:
    before = quantity(wide_store, "V4")
    assert claim(wide_store, "48213-2", "repair") == "W1"
    assert quantity(wide_store, "V4") == before
    assert wide_store.effects() == {("claim", "48213-2", "repair")}
    assert wide_store.integrity_errors() == []


def test_an_item_without_stock_is_repaired_but_not_replaced(wide_store: Store) -> None:
    wide_store.execute("UPDATE inventory SET quantity = 1 WHERE variant_id = 'V4'")
    claim(wide_store, "48213-2", "replacement")
    with pytest.raises(ToolError, match="linen shirt is out of stock: it can't be replaced"):
        claim(wide_store, "51900-1", "replacement")
    assert quantity(wide_store, "V4") == 0
    assert claim(wide_store, "51900-1", "repair") == "W2"
    claims = wide_store.rows("SELECT claim_id, item_id, remedy FROM claims WHERE created_on = ?", wide_store.today)
    assert claims == [("W1", "48213-2", "replacement"), ("W2", "51900-1", "repair")]


def test_an_item_has_one_claim_a_day_and_an_earlier_one_does_not_stand_against_it(wide_store: Store) -> None:
    assert claim(wide_store, "48213-1", "repair") == "W1"  # there is one of ten days ago
    with pytest.raises(ToolError, match="item 48213-1 has a claim of today already"):
        claim(wide_store, "48213-1", "replacement")
    assert wide_store.effects() == {("claim", "48213-1", "repair")}


@pytest.mark.parametrize(
    ("item_id", "problem"),
    [
        ("1-1", "there is no item 1-1"),
        ("48215-1", "order 48215 is shipped, not delivered"),
        ("48216-1", "order 48216 is processing, not delivered"),
        ("48214-1", "item 48214-1 is already refunded"),
    ],
)
@pytest.mark.parametrize("remedy", ["replacement", "repair"])
def test_a_claim_that_can_not_be_changes_nothing(wide_store: Store, item_id: str, remedy: str, problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        claim(wide_store, item_id, remedy)
    assert wide_store.effects() == frozenset()
    assert claim(wide_store, "48213-1", remedy) == "W1"


def test_the_facts_that_a_warranty_claim_depends_on(wide_call: Call) -> None:
    assert value(wide_call("get_warranty", item_id="48213-1")) == {
        "title": "wool scarf",
        "category": "clothing",
        "status": "ordered",
        "delivered_on": "2025-01-04",
        "days_since_delivery": 16,
        "extended_warranty_days": 365,
        "in_stock": True,
        "claims": [{"remedy": "repair", "date": "2025-01-10"}],
    }
    waiting = value(wide_call("get_warranty", item_id="48216-2"))
    assert (waiting["delivered_on"], waiting["days_since_delivery"]) == (None, None)
    assert (waiting["extended_warranty_days"], waiting["claims"]) == (0, [])
    assert value(wide_call("get_warranty", item_id="1-1")) == {"found": False}


def test_the_claiming_tool_takes_two_remedies(wide_call: Call) -> None:
    result = wide_call("create_warranty_claim", item_id="48213-1", remedy="replacement")
    assert value(result) == {"claim_id": "W1", "remedy": "replacement"}
    assert value(wide_call("get_warranty", item_id="48213-1"))["claims"] == [
        {"remedy": "repair", "date": "2025-01-10"},
        {"remedy": "replacement", "date": "2025-01-20"},
    ]
    result = wide_call("create_warranty_claim", item_id="48213-2", remedy="refund")
    assert not result.ok
    assert 'argument "remedy" must be one of "replacement", "repair"' in json.loads(result.content)["error"]
