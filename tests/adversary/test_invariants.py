"""The checks of random episodes find what they look for."""

from __future__ import annotations

import pytest

from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.families.splits import load_scenario
from ss_gym.rewards.outcome import PENALTIES
from tests.adversary.genes import Genes
from tests.adversary.invariants import check_store, play, store_of
from tests.adversary.values import subjects, values_of


@pytest.fixture
def env():
    made = CustomerServiceEnvironment(family="refund")
    made.reset(options={"scenario_id": "refund/dev/0000"})
    check_store(made)
    return made


DAMAGE = {
    "a refund that no tool made": "INSERT INTO refunds SELECT 'R99', order_id, payment_id, 1, 'damaged', '2025-01-01' "
    "FROM payments LIMIT 1",
    "store credit above what was paid": "INSERT INTO store_credits SELECT 'S99', customer_id, order_id, 99999999, "
    "'2025-01-01' FROM orders LIMIT 1",
    "a fee for a subscription of nobody": "INSERT INTO fees VALUES ('F9', '00000', 100, '2025-01-01')",
    "goodwill credit for somebody else's order": "INSERT INTO goodwill_credits SELECT 'S98', customers.customer_id, "
    "order_id, 100, '2025-01-01' FROM customers, orders WHERE customers.customer_id <> orders.customer_id LIMIT 1",
    "a payment that has changed": "UPDATE payments SET amount_cents = amount_cents + 1",
    "another name": "UPDATE customers SET name = 'x' || name",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found(env, what: str) -> None:
    store = store_of(env)
    store.execute("PRAGMA defer_foreign_keys = ON")
    store.execute(DAMAGE[what])
    env._effects = store.effects()
    with pytest.raises(AssertionError):
        check_store(env)


def test_a_reward_that_is_not_the_sum_of_its_terms_is_found(env, monkeypatch) -> None:
    step = env.step
    monkeypatch.setattr(env, "step", lambda action: (*(result := step(action))[:1], result[1] + 0.01, *result[2:]))
    with pytest.raises(AssertionError, match="sum of its terms"):
        play(env, "refund/dev/0000", [""])


def test_a_penalty_above_its_cap_is_found(env, monkeypatch) -> None:
    monkeypatch.setitem(PENALTIES, "gave_up", (0.2, 0.1))
    play(env, "refund/dev/0000", [])  # the smaller cap is kept
    monkeypatch.setattr(
        env, "conclude", lambda truncated: type(env).conclude(env, truncated)._replace(reward_terms={"gave_up": -0.2})
    )
    with pytest.raises(AssertionError, match="above its cap"):
        play(env, "refund/dev/0000", [])


def test_used_up_genes_choose_what_comes_first() -> None:
    genes = Genes(b"\x03\xff")
    assert [genes.below(10), genes.chance(0.5), genes.chance(0.5), genes.choice("abc")] == [3, True, False, "a"]


def test_the_adversary_knows_both_twins() -> None:
    twins = [load_scenario("refund", "dev", index) for index in (0, 1)]
    both = values_of(twins)
    for twin in twins:
        assert twin.goal.items[0] in both["item_id"]
        assert {row[0] for row in twin.world.orders} <= set(both["order_id"])
        assert str(twin.rules.return_window_days) in both["days"]
        assert subjects(twin) >= set(twin.goal.items)
