"""What holds of every episode, whatever the agent did in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isclose, isfinite
from typing import Any

from ss_gym.commerce.back_end import CommerceBackEnd
from ss_gym.commerce.records import Effect, World, address_text
from ss_gym.commerce.store import Store
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.rewards.outcome import PARTIAL_CREDIT, PENALTIES, TERMS

# Rows of the world that no tool may change.
_FIXED = (
    "customers",
    "addresses",
    "payment_methods",
    "payments",
    "shipments",
    "extended_warranties",
    "refunds",
    "claims",
    "notes",
    "unserved_areas",
    "goodwill_credits",
)
_ENDS = frozenset(("satisfied", "refusal_accepted", "gave_up", "agent", "transfer", "limit"))

Step = tuple[str, float, bool, bool, dict[str, Any]]


def play(
    env: CustomerServiceEnvironment, scenario_id: str, actions: Iterable[str]
) -> tuple[float, dict[str, float], dict[str, Any]]:
    """Plays actions, then silence, to the end of an episode; checks every step on the way.

    Returns:
        The sum of the rewards, the sum of the terms by name, and the last info.
    """
    observation, info = env.reset(options={"scenario_id": scenario_id})
    _check_info(observation, info["messages"], env, info)
    script = iter(actions)
    total, terms, steps, turns = 0.0, dict.fromkeys(TERMS, 0.0), 0, 0
    ended = False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(next(script, ""))
        _check_info(observation, info["messages"][1:], env, info)
        assert isclose(reward, sum(info["reward_terms"].values()), abs_tol=1e-9), "the reward is the sum of its terms"
        for name, value in info["reward_terms"].items():
            terms[name] += value
        total += reward
        steps += 1
        turns += "tool_calls" not in info["messages"][0]
        assert (info["step"], info["turn"]) == (steps, turns)
        assert not (terminated and truncated)
        ended = terminated or truncated
        assert ended or (steps < env.max_steps and turns < env.max_turns), "an episode ends at its limits"
    assert steps <= env.max_steps and turns <= env.max_turns
    _check_end(total, terms, truncated, info)
    return total, terms, info


def _check_info(observation: str, messages: list[dict[str, Any]], env: Any, info: Mapping[str, Any]) -> None:
    assert observation == "\n".join(message["content"] for message in messages)
    assert observation in env.observation_space
    observation.encode()
    json.dumps(
        {key: value for key, value in info.items() if key != "tools"}, allow_nan=False, ensure_ascii=False
    ).encode()


def _check_end(total: float, terms: Mapping[str, float], truncated: bool, info: Mapping[str, Any]) -> None:
    """Sums, caps and the audit of the last step."""
    assert info["episode_terms"] == {name: value for name, value in info["episode_terms"].items() if name in TERMS}
    for name, value in terms.items():
        assert isfinite(value)
        assert isclose(value, info["episode_terms"].get(name, 0.0), abs_tol=1e-9), name
        if name in PENALTIES:
            assert -PENALTIES[name][1] - 1e-9 <= value <= 0.0, f"{name} is above its cap: {value}"
    assert isclose(total, sum(terms.values()), abs_tol=1e-9)
    success, audit = info["success"], info["audit"]
    assert type(success) is bool
    assert terms["success"] == float(success)
    assert 0.0 <= terms["partial"] <= (0.0 if success else PARTIAL_CREDIT)
    assert success == (not audit["failed"]) == (len(audit["passed"]) == 6)
    assert len(audit["passed"]) + len(audit["failed"]) == 6
    assert audit["ended_by"] in _ENDS
    assert truncated == (audit["ended_by"] == "limit")
    assert not (success and (truncated or audit["critical"] or audit["wrong_effects"] or audit["missing_effects"]))


def store_of(env: CustomerServiceEnvironment) -> Store:
    """The shop's database behind an environment, with the world of its scenario."""
    back_end = env.back_end
    assert isinstance(back_end, CommerceBackEnd)
    return back_end._store


def check_store(env: CustomerServiceEnvironment) -> None:
    """What holds of the database at the end of an episode."""
    store, scenario = store_of(env), env.scenario
    assert store.integrity_errors() == []
    assert store.effects() == env.effects
    errors = [
        *_owner_errors(store),
        *_fixed_errors(store, scenario.world),
        *_money_errors(store, scenario.world, env.effects),
        *_state_errors(store, scenario.world, env.effects),
    ]
    assert errors == []


def _owner_errors(store: Store) -> Iterable[str]:
    """Rows of which nobody can tell whose they are."""
    for table in ("refunds", "store_credits"):
        key = "refund_id" if table == "refunds" else "credit_id"
        items = table.removesuffix("s") + "_items"
        for (row,) in store.rows(
            f"SELECT {items}.item_id FROM {items} JOIN {table} USING ({key}) JOIN order_items USING (item_id) "
            f"WHERE {table}.order_id <> order_items.order_id"
        ):
            yield f"{items} of another order: {row}"
    for (row,) in store.rows(
        "SELECT credit_id FROM store_credits JOIN orders USING (order_id) "
        "WHERE orders.customer_id <> store_credits.customer_id"
    ):
        yield f"store credit of somebody else: {row}"
    for (row,) in store.rows(
        "SELECT exchange_id FROM exchanges JOIN order_items USING (item_id) "
        "WHERE exchanges.order_id <> order_items.order_id"
    ):
        yield f"exchange of another order: {row}"


def _fixed_errors(store: Store, world: World) -> Iterable[str]:
    """Rows of the world that no tool may change, and that are no longer there."""
    for table in _FIXED:
        if rows := getattr(world, table):
            kept = set(store.rows(f"SELECT * FROM {table}"))
            yield from (f"{table} has lost or changed {row}" for row in rows if row not in kept)


def _money_errors(store: Store, world: World, effects: frozenset[Effect]) -> Iterable[str]:
    """Money that the effects do not tell of, that was never paid, or that went back twice."""
    refunded, given = ([row[0] for row in rows] for rows in (world.refunds, world.goodwill_credits))
    moved = {
        "refund": (
            f"SELECT payment_id, amount_cents FROM refunds WHERE refund_id NOT IN ({_slots(refunded)})",
            refunded,
        ),
        "store_credit": (
            "SELECT customer_id, amount_cents FROM store_credits UNION ALL "
            f"SELECT customer_id, amount_cents FROM goodwill_credits WHERE credit_id NOT IN ({_slots(given)})",
            given,
        ),
        "fee": ("SELECT subscription_id, amount_cents FROM fees", ()),
    }
    for kind, (query, before) in moved.items():
        told = {(effect[1], effect[2]) for effect in effects if effect[0] == kind}
        totals: dict[str, int] = {}
        for subject, cents in store.rows(query, *before):
            totals[subject] = totals.get(subject, 0) + cents
        found = set(totals.items())
        if told != found:
            yield f"{kind}: the effects say {sorted(told)}, the books {sorted(found)}"
    for problem, query in _MONEY.items():
        yield from (f"{problem}: {row[0]}" for row in store.rows(query))
    yield from (f"an effect that no remedy has: {effect}" for effect in effects if effect[0] == "other")


def _slots(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


def _state_errors(store: Store, world: World, effects: frozenset[Effect]) -> Iterable[str]:
    """Claims, addresses and subscriptions that are not as the world and the effects say."""
    claims = {row[1:3] for row in store.rows("SELECT * FROM claims") if row not in world.claims}
    if claims != (told := {effect[1:] for effect in effects if effect[0] == "claim"}):
        yield f"claim: the effects say {sorted(told)}, the books {sorted(claims)}"
    rows = {row[0]: row for row in store.rows("SELECT * FROM destinations")}
    before = {row[0]: row for row in world.destinations}
    moved = {order_id for order_id in rows.keys() | before.keys() if rows.get(order_id) != before.get(order_id)}
    addresses = {(order_id, address_text(*rows[order_id][1:])) for order_id in moved & rows.keys()}
    if moved - rows.keys() or not addresses <= {effect[1:] for effect in effects if effect[0] == "address"}:
        yield f"address: {sorted(moved)} changed without an effect"
    now = {row[0]: row for row in store.rows("SELECT * FROM subscriptions")}
    told = {effect[1:] for effect in effects if effect[0] == "subscription"}
    for row in world.subscriptions:
        status, charged = now[row[0]][5], now[row[0]][7]
        if now[row[0]][5:8:2] != row[5:8:2] and (row[0], status, charged or "") not in told:
            yield f"subscription {row[0]} changed without an effect"


_PAID = "(SELECT ifnull(sum(amount_cents), 0) FROM payments WHERE payments.order_id = orders.order_id)"
_BACK = "(SELECT ifnull(sum(amount_cents), 0) FROM {} AS back WHERE back.order_id = orders.order_id)"
_MONEY = {
    "more went back for an order than was paid": "SELECT order_id FROM orders WHERE "
    f"{_BACK.format('refunds')} + {_BACK.format('store_credits')} > {_PAID}",
    "refund to a method that did not pay": "SELECT refund_id FROM refunds LEFT JOIN payments USING (payment_id) "
    "WHERE payments.order_id IS NULL OR payments.order_id <> refunds.order_id",
    "an item has two remedies": "SELECT item_id FROM (SELECT item_id FROM store_credit_items "
    "UNION ALL SELECT item_id FROM exchanges UNION ALL SELECT DISTINCT item_id FROM refund_items) "
    "GROUP BY item_id HAVING count(*) > 1",
    "a fee above a year's price": "SELECT fee_id FROM fees JOIN subscriptions USING (subscription_id) "
    "GROUP BY subscription_id HAVING sum(amount_cents) > 12 * price_cents",
    "a fee for a subscription that goes on": "SELECT fee_id FROM fees JOIN subscriptions USING (subscription_id) "
    "WHERE status <> 'cancelled'",
}
