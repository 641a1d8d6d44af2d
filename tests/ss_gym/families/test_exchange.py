"""The Exchange family: solvable, unambiguous, twinned, and the same everywhere."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.store import Store
from ss_gym.families.exchange import (
    OptionFacts,
    Wish,
    compile_outcome,
    make,
)
from ss_gym.families.exchange_cases import KINDS
from ss_gym.families.parameters import kind_weights
from ss_gym.scenario_files import read_text
from ss_gym.scenarios import SPLITS, Scenario
from ss_gym.users.inventory import episode_inventory

FAMILY = make()


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


# How each kind ends, and how its twin ends.
ENDS = {
    "window": ("exchange", "refuse"),
    "final_sale": ("exchange", "refuse"),
    "final_sale_in_time": ("exchange", "refuse"),
    "fault_late": ("exchange", "refuse"),
    "fault_final_sale": ("exchange", "refuse"),
    "already_exchanged": ("exchange", "refuse"),
    "not_delivered": ("exchange", "refuse"),
    "sold_out": ("exchange", "other_option"),
    "sold_out_declined": ("exchange", "refuse"),
    "other_price": ("exchange", "other_option"),
    "none_left": ("other_option", "refund"),
    "none_left_split": ("exchange", "refund"),
    "no_other_price": ("exchange", "refund"),
    "refund_declined": ("exchange", "refuse"),
    "last_final_sale": ("refund", "refuse"),
    "over_limit": ("exchange", "transfer"),
    "foreign_order": ("exchange", "refuse"),
    "missing_order": ("exchange", "refuse"),
    "unverified": ("exchange", "refuse"),
    "wrong_number": ("exchange", "other_option"),
    "unknown_number": ("exchange", "other_option"),
    "partial_final_sale": ("exchange", "refuse"),
    "partial_gift_card": ("exchange", "refuse"),
    "partial_exchanged": ("exchange", "refuse"),
    "whole_order": ("exchange", "exchange"),
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
        for name in ("order_id", "titles", "reason", "details", "values", "exchange_option", "accepts"):
            assert getattr(base.goal, name) == getattr(twin.goal, name)


def scenarios(count: int) -> list[Scenario]:
    return [FAMILY.draw("train", index, index // 2) for index in range(count)]


# --- the policy, by the database -------------------------------------------------------------------


def options_in(store: Store, variant_id: str) -> tuple[OptionFacts, ...]:
    rows = store.rows(
        "SELECT other.variant_id, other.price_cents, quantity FROM variants AS own JOIN variants AS other "
        "USING (product_id) JOIN inventory ON inventory.variant_id = other.variant_id WHERE own.variant_id = ?",
        variant_id,
    )
    return tuple(OptionFacts(*row) for row in rows)


def variant_called(store: Store, variant_id: str, name: str) -> str:
    row = store.row(
        "SELECT variant_id FROM variants WHERE option = ? AND product_id = "
        "(SELECT product_id FROM variants WHERE variant_id = ?)",
        name,
        variant_id,
    )
    assert row is not None
    return row[0]


def wished(scenario: Scenario) -> dict[str, str]:
    """The option that the customer asks for in words, by title."""
    [(slot, text)] = scenario.goal.details
    if slot == "option":
        return {scenario.goal.titles[0]: text}
    parts = [part.partition(" for the ") for part in re.split(r", | and (?=[\w ]+ for the )", text)]
    return {title: option for option, _, title in parts}


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    store = Store(split)
    for seed in range(150):
        for scenario in pair(split, seed):
            store.open(scenario.world, scenario.today)
            assert store.integrity_errors() == []
            goal, customer = scenario.goal, scenario.customer
            home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
            facts = store.order_facts(goal.true_order_id) if goal.true_order_id else None
            named = wished(scenario)
            wishes = [
                Wish(
                    item.item_id,
                    variant_called(store, item.variant_id, named[item.title]),
                    goal.exchange_variant,
                    options_in(store, item.variant_id),
                )
                for item in (facts.items if facts else ())
                if item.item_id in goal.items
            ]
            wishes.sort(key=lambda wish: goal.items.index(wish.item_id))
            found = compile_outcome(
                facts,
                home == (customer.postal_code,),
                customer.customer_id,
                wishes,
                goal.reason,
                goal.accepts == ("refund",),
                scenario.rules,
                scenario.today,
            )
            assert found == scenario.outcome, scenario.id


def test_an_item_costs_what_its_option_costs_today() -> None:
    store = Store("train")
    for seed in range(200):
        for scenario in pair("train", seed):
            store.open(scenario.world, scenario.today)
            for item_id in scenario.goal.items:
                prices = store.row(
                    "SELECT order_items.price_cents, variants.price_cents FROM order_items "
                    "JOIN variants USING (variant_id) WHERE item_id = ?",
                    item_id,
                )
                assert prices is None or prices[0] == prices[1], scenario.id


def test_what_is_in_stock_can_not_be_known_by_heart() -> None:
    quantities: dict[str, set[bool]] = {}
    for scenario in scenarios(2000):
        for variant_id, quantity in scenario.world.stock:
            quantities.setdefault(variant_id, set()).add(quantity > 0)
    assert sum(len(seen) == 2 for seen in quantities.values()) > 0.9 * len(quantities)


def test_whoever_hears_an_option_knows_whether_it_is_the_one_that_was_asked_for() -> None:
    for scenario in scenarios(300):
        inventory = episode_inventory(scenario)
        for name in wished(scenario).values():
            assert inventory.value("option", name).owner == "own"
        if scenario.goal.exchange_option:
            assert inventory.value("option", scenario.goal.exchange_option).owner == "other"


# --- shares and splits -----------------------------------------------------------------------------


def test_every_kind_and_every_end_occurs_in_train_and_exchanges_are_about_half() -> None:
    drawn = scenarios(3000)
    assert {scenario.kind for scenario in drawn} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in drawn)
    assert set(ends) == {"exchange", "other_option", "refund", "refuse", "transfer"}
    assert 0.43 < ends["exchange"] / 3000 < 0.53


def test_no_single_reason_of_refusal_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    lone: Counter[str] = Counter()
    for scenario in scenarios(4000):
        if scenario.outcome.verdict == "refuse":
            lone.update(frozenset.intersection(*scenario.outcome.grounds))
    assert max(lone.values()) / 4000 <= 0.05


def test_days_and_dates_of_a_world_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            today = date.fromisoformat(scenario.today)
            for _, _, _, shipped, expected, delivered in scenario.world.shipments:
                assert date.fromisoformat(shipped) <= today
                assert delivered is None or date.fromisoformat(shipped) < date.fromisoformat(delivered) < today
                assert delivered is not None or date.fromisoformat(expected) > today


# --- the card --------------------------------------------------------------------------------------


def test_the_card_lists_the_kinds_with_their_shares_and_ends() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", read_text("exchange", "CARD.md"), re.MULTILINE)
    weights = kind_weights("exchange")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    assert {kind: (base, twin) for kind, _, base, twin in rows} == ENDS


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    card = read_text("exchange", "CARD.md")
    ends = Counter(scenario.outcome.verdict for scenario in scenarios(4000))
    told = re.search(
        r"exchange \((\d+) %.*?reason \((\d+) %\), .*?another option \((\d+) %\), a refund \((\d+) %\).*?\((\d+) %\)",
        card,
    )
    assert told is not None
    for verdict, percent in zip(
        ("exchange", "refuse", "other_option", "refund", "transfer"), map(int, told.groups()), strict=True
    ):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)
