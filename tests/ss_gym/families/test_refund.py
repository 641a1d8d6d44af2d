"""The Refund family: solvable, unambiguous, twinned, and the same everywhere."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.policy import decide
from ss_gym.commerce.store import Store
from ss_gym.families.outcomes import compile_outcome
from ss_gym.families.refund import make
from ss_gym.families.refund_cases import KINDS
from ss_gym.families.splits import load_scenario
from ss_gym.scenario_files import read_text
from ss_gym.scenarios import SPLITS, Scenario

FAMILY = make()


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


# How each kind ends, and how its twin ends.
ENDS = {
    "window_credit": ("refund", "store_credit"),
    "window_late": ("refund", "refuse"),
    "window_declined": ("refund", "refuse"),
    "final_sale": ("refund", "refuse"),
    "final_sale_exchange": ("refund", "exchange"),
    "restocking_fee": ("refund", "store_credit"),
    "damaged_final_sale": ("refund", "refuse"),
    "damaged_late": ("refund", "refuse"),
    "damaged_twice": ("refund", "refuse"),
    "already_refunded": ("refund", "refuse"),
    "not_delivered": ("refund", "refuse"),
    "not_received": ("refuse", "transfer"),
    "foreign_order": ("refund", "refuse"),
    "missing_order": ("refund", "refuse"),
    "wrong_number": ("refund", "store_credit"),
    "unverified": ("refund", "refuse"),
    "over_limit": ("refund", "transfer"),
    "mixed_payment": ("refund", "store_credit"),
    "partial_final_sale": ("refund", "refuse"),
    "partial_gift_card": ("refund", "refuse"),
    "whole_order": ("refund", "refund"),
    "unknown_number": ("refund", "store_credit"),
    "other_card": ("refund", "store_credit"),
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_and_its_twin_end_as_the_kind_says(kind: str) -> None:
    for seed in range(40):
        base, twin = pair("train", seed, kind)
        assert (base.outcome.verdict, twin.outcome.verdict) == ENDS[kind]
        assert base.outcome != twin.outcome


@pytest.mark.parametrize("split", SPLITS)
def test_a_twin_has_the_same_customer_who_knows_and_says_the_same(split: str) -> None:
    for seed in range(200):
        base, twin = pair(split, seed)
        assert base.pair_id == twin.pair_id
        assert (base.today, base.rules, base.customer, base.wording_seed) == (
            twin.today,
            twin.rules,
            twin.customer,
            twin.wording_seed,
        )
        for name in ("order_id", "titles", "reason", "accepts_credit", "exchange_option", "wants_other_card"):
            assert getattr(base.goal, name) == getattr(twin.goal, name)


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    store = Store(split)
    for seed in range(150):
        for scenario in pair(split, seed):
            store.open(scenario.world, scenario.today)
            assert store.integrity_errors() == []
            customer = scenario.customer
            home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
            verified = customer.customer_id if home == (customer.postal_code,) else None
            order = store.order_facts(scenario.goal.true_order_id) if scenario.goal.true_order_id else None
            goal, rules, today = scenario.goal, scenario.rules, scenario.today
            decision = decide(order, verified, goal.items, goal.reason, rules, today, store.in_stock)
            outcome = compile_outcome(decision, order, goal, rules, today)
            assert outcome == scenario.outcome, scenario.id


def test_every_kind_and_every_end_occurs_in_train_and_refunds_are_about_half() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(3000)]
    assert {scenario.kind for scenario in scenarios} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert set(ends) == {"refund", "store_credit", "exchange", "refuse", "transfer"}
    assert 0.45 < ends["refund"] / 3000 < 0.55


def test_no_single_reason_of_refusal_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(4000)]
    lone = Counter(
        ground
        for s in scenarios
        if s.outcome.verdict == "refuse" and len(s.outcome.grounds) == 1
        for ground in s.outcome.grounds[0]
    )
    assert max(lone.values()) / 4000 <= 0.05


def test_a_scenario_outside_the_frozen_list_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="refund/dev/9999"):
        load_scenario("refund", "dev", 9999)


def test_days_and_dates_of_a_world_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            today = date.fromisoformat(scenario.today)
            for _, _, _, shipped, expected, delivered in scenario.world.shipments:
                assert date.fromisoformat(shipped) <= today
                assert delivered is None or date.fromisoformat(shipped) < date.fromisoformat(delivered) < today
                assert delivered is not None or date.fromisoformat(expected) > today


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    card = read_text("refund", "CARD.md")
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(
        r"a refund \((\d+) %.*?reason \((\d+) %\), store credit \((\d+) %\), .*?person \((\d+) %\).*?\((\d+) %\)",
        card,
    )
    assert told is not None
    for verdict, percent in zip(
        ("refund", "refuse", "store_credit", "transfer", "exchange"), map(int, told.groups()), strict=True
    ):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)
