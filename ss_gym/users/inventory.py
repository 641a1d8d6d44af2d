"""Whose value is whose in an episode: the customer's, another customer's, or the policy's."""

from __future__ import annotations

from typing import cast

from ss_gym.commerce.records import World, address_values
from ss_gym.commerce.rules import typed_values
from ss_gym.scenarios import Scenario
from ss_gym.users.values import Inventory, Key


def episode_inventory(scenario: Scenario) -> Inventory:
    """The typed values that an agent may meet in a scenario of the shop, by owner."""
    rules, world, customer_id = scenario.rules, cast(World, scenario.world), scenario.customer.customer_id
    own: set[Key] = {("email", scenario.customer.email.lower()), ("postal_code", _plain(scenario.customer.postal_code))}
    other: set[Key] = set()
    _add_accounts(world, customer_id, own, other)
    _add_orders(world, customer_id, own, other)
    _add_others(world, customer_id, own, other)
    own.update([("title", title) for title in scenario.goal.titles])
    # A date that is due need not stand in the database yet: it may be what a write makes of it.
    own.update([(fact.kind, fact.value) for fact in scenario.outcome.facts if fact.kind in ("money", "date")])
    own.update([("money", int(effect[2])) for effect in scenario.outcome.effects if effect[0] == "refund"])
    own.add(("money", scenario.goal.paid_cents))
    own.update(scenario.goal.values)  # type: ignore[arg-type]
    other.update(scenario.goal.others)  # type: ignore[arg-type]
    own.update(scenario.goal.mistaken)  # type: ignore[arg-type]
    own.update(
        [("date", fact.value) for fact in (*scenario.outcome.facts, *scenario.outcome.known) if fact.kind == "date"]
    )
    policy: set[Key] = {*typed_values(rules), ("date", scenario.today)}
    return Inventory(own, other, policy)


def _add_accounts(world: World, customer_id: str, own: set[Key], other: set[Key]) -> None:
    for account, name, email in world.customers:
        keys = own if account == customer_id else other
        keys.add(("customer_id", account.lower()))
        keys.add(("name", name.lower()))
        keys.add(("email", email.lower()))
    for _, account, street, city, postal_code in world.addresses:
        keys = own if account == customer_id else other
        keys.update(address_values(street, city, postal_code))  # type: ignore[arg-type]


def _add_orders(world: World, customer_id: str, own: set[Key], other: set[Key]) -> None:
    owners = {}
    for order_id, account, placed_on, _ in world.orders:
        keys = owners[order_id] = own if account == customer_id else other
        keys.add(("order_id", order_id))
        keys.add(("date", placed_on))
    totals = dict.fromkeys(owners, 0)
    for item_id, order_id, _, title, price, _, _ in world.order_items:
        keys = owners[order_id]
        keys.add(("item_id", item_id.lower()))
        keys.add(("money", price))
        keys.add(("title", title))
        totals[order_id] += price
    for order_id, total in totals.items():
        owners[order_id].add(("money", total))
    for _, order_id, _, shipped_on, expected_on, delivered_on in world.shipments:
        keys = owners[order_id]
        keys.update((("date", shipped_on), ("date", expected_on)))
        if delivered_on:
            keys.add(("date", delivered_on))
    for payment_id, order_id, _, amount in world.payments:
        keys = owners[order_id]
        keys.add(("payment_id", payment_id.lower()))
        keys.add(("money", amount))


def _add_others(world: World, customer_id: str, own: set[Key], other: set[Key]) -> None:
    """Addresses that orders go to, subscriptions and claims."""
    if world.destinations:
        owners = {order_id: account for order_id, account, _, _ in world.orders}
        for order_id, street, city, postal_code in world.destinations:
            keys = own if owners[order_id] == customer_id else other
            keys.update(address_values(street, city, postal_code))  # type: ignore[arg-type]
    for number, account, _, title, price, _, started, charged, committed in world.subscriptions:
        keys = own if account == customer_id else other
        keys.update((("order_id", number), ("title", title), ("money", price)))
        keys.update([("date", date) for date in (started, charged, committed) if date])
    if world.claims:
        accounts = {order_id: account for order_id, account, _, _ in world.orders}
        for _, item_id, _, created_on in world.claims:
            keys = own if accounts[item_id.partition("-")[0]] == customer_id else other
            keys.add(("date", created_on))


def _plain(postal_code: str) -> str:
    return postal_code.replace(" ", "").lower()
