"""The shop against a second one written with dictionaries: same calls, same answers, same changes."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest

from ss_gym.commerce.catalogue import load_catalogue, monthly_goods
from ss_gym.commerce.records import Effect, Rules, World
from ss_gym.commerce.store import Store
from ss_gym.commerce.toolkit import CommerceToolkit
from ss_gym.streams import Stream
from ss_gym.types import ToolCall


class DictionaryShop:
    """What the write tools must do, told as simply as possible."""

    def __init__(self, world: World) -> None:
        self.delivered = {row[0]: row[3] == "delivered" for row in world.orders}
        self.owner = {row[0]: row[1] for row in world.orders}
        self.items = {
            row[0]: {"order": row[1], "variant": row[2], "price": row[4], "status": row[6], "paid_back": None}
            for row in world.order_items
        }
        self.payments = {row[0]: {"order": row[1], "left": row[3]} for row in world.payments}
        for _, _, payment_id, cents, _, _ in world.refunds:
            self.payments[payment_id]["left"] -= cents
        self.options = {o.variant_id: (p.product_id, o) for p in load_catalogue("train").products for o in p.options}
        self.stock = {variant: option.quantity for variant, (_, option) in self.options.items()}
        self.stock.update({o.variant_id: o.quantity for p in monthly_goods("train") for o in p.options})
        self.credit: Counter[str] = Counter()
        self.exchanges: set[tuple[str, str]] = set()
        self.tickets: set[str] = set()

    def issue_refund(self, order_id: str, item_ids: list[str], amount: str, payment_id: str, reason: str) -> bool:
        cents = round(float(amount) * 100)
        items = self._items(order_id, item_ids)
        payment = self.payments.get(payment_id)
        if items is None or payment is None or payment["order"] != order_id:
            return False
        if any(i["status"] not in ("ordered", "refunded") for i in items):
            return False
        if any(i["status"] == "refunded" and i["paid_back"] in (None, i["price"]) for i in items):
            return False
        if not 0 < cents <= min(payment["left"], sum(i["price"] - (i["paid_back"] or 0) for i in items)):
            return False
        payment["left"] -= cents
        for item in items:
            part = min(cents, item["price"] - (item["paid_back"] or 0))
            item["paid_back"] = (item["paid_back"] or 0) + part
            item["status"] = "refunded"
            cents -= part
        return True

    def issue_store_credit(self, order_id: str, item_ids: list[str], amount: str) -> bool:
        cents = round(float(amount) * 100)
        items = self._items(order_id, item_ids)
        if items is None or any(i["status"] != "ordered" for i in items):
            return False
        if not 0 < cents <= sum(i["price"] for i in items):
            return False
        self.credit[self.owner[order_id]] += cents
        for item in items:
            item["status"] = "credited"
        return True

    def create_exchange(self, item_id: str, variant_id: str) -> bool:
        item = self.items.get(item_id)
        if item is None or not self.delivered[item["order"]] or item["status"] != "ordered":
            return False
        if variant_id not in self.options or variant_id == item["variant"] or not self.stock[variant_id]:
            return False
        (product, new), (same, old) = self.options[variant_id], self.options[item["variant"]]
        if product != same or new.price_cents != old.price_cents:
            return False
        item["status"] = "exchanged"
        self.stock[variant_id] -= 1
        self.exchanges.add((item_id, variant_id))
        return True

    def add_note(self, order_id: str, text: str) -> bool:
        return order_id in self.owner

    def transfer_to_human(self, reason: str, summary: str) -> bool:
        self.tickets.add(reason)
        return True

    def changes(self, before: DictionaryShop) -> frozenset[Effect]:
        """The difference to how it was, as effects."""
        effects: set[Effect] = {("store_credit", customer, cents) for customer, cents in self.credit.items()}
        effects.update(("exchange", *pair) for pair in self.exchanges)
        effects.update(("ticket", reason) for reason in self.tickets)
        for item_id, item in self.items.items():
            if item["status"] != before.items[item_id]["status"]:
                effects.add(("item", item_id, item["status"]))
        for payment_id, payment in self.payments.items():
            if payment["left"] != before.payments[payment_id]["left"]:
                effects.add(("refund", payment_id, before.payments[payment_id]["left"] - payment["left"]))
        return frozenset(effects)

    def _items(self, order_id: str, item_ids: list[str]) -> list[dict[str, Any]] | None:
        known = [self.items.get(item_id) for item_id in item_ids]
        if not self.delivered.get(order_id) or not known or len(set(item_ids)) != len(item_ids):
            return None
        found = [item for item in known if item is not None and item["order"] == order_id]
        return found if len(found) == len(known) else None


def draw_call(stream: Stream, shop: DictionaryShop) -> tuple[str, dict[str, Any]]:
    """A write that may well be possible, or nearly so."""
    order_id = stream.choice([*shop.owner, *shop.owner, "00000"])
    own = [item_id for item_id, item in shop.items.items() if item["order"] == order_id]
    pool = own if own and stream.chance(0.9) else list(shop.items)
    item_ids = stream.sample(pool, stream.between(1, len(pool)))
    if stream.chance(0.05):
        item_ids = [*item_ids, item_ids[0]] if stream.chance(0.5) else []
    payments = [p for p, payment in shop.payments.items() if payment["order"] == order_id]
    payment_id = stream.choice(payments if payments and stream.chance(0.9) else list(shop.payments))
    price = sum(shop.items[item_id]["price"] for item_id in item_ids)
    left = shop.payments[payment_id]["left"]
    cents = stream.choice((price, price, left, min(price, left), price + 1, left + 1, price // 2, left // 3, 1, 0))
    amount = f"{cents // 100}.{cents % 100:02d}"
    item_id = stream.choice([*shop.items, "1-1"])
    name = stream.choice(("refund", "refund", "refund", "credit", "credit", "exchange", "exchange", "note", "transfer"))
    if name == "refund":
        arguments = {"order_id": order_id, "item_ids": item_ids, "amount": amount, "payment_id": payment_id}
        return "issue_refund", {**arguments, "reason": "damaged"}
    if name == "credit":
        return "issue_store_credit", {"order_id": order_id, "item_ids": item_ids, "amount": amount}
    if name == "exchange":
        siblings = ["V0", *shop.options]
        if item_id in shop.items and stream.chance(0.8):
            product = shop.options[shop.items[item_id]["variant"]][0]
            siblings = [variant for variant, (owner, _) in shop.options.items() if owner == product]
        return "create_exchange", {"item_id": item_id, "variant_id": stream.choice(siblings)}
    if name == "note":
        return "add_note", {"order_id": order_id, "text": "a note"}
    return "transfer_to_human", {"reason": "other", "summary": ""}


@pytest.fixture(scope="module")
def shared_store() -> Store:
    return Store("train")


@pytest.mark.parametrize("seed", range(60))
def test_both_shops_agree(shared_store: Store, world: World, rules: Rules, seed: int) -> None:
    stream = Stream(seed, "dictionary shop")
    shared_store.open(world, "2025-01-20")
    toolkit = CommerceToolkit(shared_store, rules)
    shop = DictionaryShop(world)
    before = copy.deepcopy(shop)
    for number in range(20):
        name, arguments = draw_call(stream, shop)
        expected = getattr(shop, name)(**arguments)
        result = toolkit.call(ToolCall(f"call_{number}", name, arguments))
        assert result.ok == expected, (name, arguments, result.content)
        assert shared_store.effects() == shop.changes(before), (name, arguments)
        assert shared_store.integrity_errors() == []
        for order_id in shop.owner:
            order = json.loads(toolkit.call(ToolCall("c", "get_order", {"order_id": order_id})).content)
            assert {i["item_id"]: i["status"] for i in order["items"]} == {
                item_id: item["status"] for item_id, item in shop.items.items() if item["order"] == order_id
            }
    stock = dict(shared_store.rows("SELECT variant_id, quantity FROM inventory"))
    assert stock == shop.stock


def test_the_draws_reach_every_outcome(world: World) -> None:
    outcomes: Counter[tuple[str, bool]] = Counter()
    for seed in range(60):
        stream, shop = Stream(seed, "dictionary shop"), DictionaryShop(world)
        for _ in range(20):
            name, arguments = draw_call(stream, shop)
            outcomes[name, getattr(shop, name)(**arguments)] += 1
    writes = ("issue_refund", "issue_store_credit", "create_exchange")
    assert all(outcomes[name, done] >= 15 for name in writes for done in (True, False)), outcomes
