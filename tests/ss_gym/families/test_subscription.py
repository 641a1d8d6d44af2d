"""The Subscription family: its policy, its kinds, and what its scenarios hold."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.store import Store
from ss_gym.commerce.subscriptions import SubscriptionFacts, early_fee, months_left, subscription
from ss_gym.families.cases import Kind
from ss_gym.families.parameters import kind_weights
from ss_gym.families.subscription import compile_outcome, grounds_against, make
from ss_gym.families.subscription_cases import KINDS, SubscriptionRules
from ss_gym.scenario_files import read_text, read_yaml
from ss_gym.scenarios import SPLITS, DueConsent, Fact, Outcome, Scenario

FAMILY = make()
# A fee of 50.00 at most, a charge that can't be stopped in its last 5 days, no pause before day 60.
RULES = SubscriptionRules(
    notice_days=5, min_age_days=60, max_pause_months=4, early_fee_percent=25, transfer_limit_cents=5_000
)
TODAY = "2025-03-14"
# Charged in 11 days, running for 140 days; two months and a day of the commitment are left.
ACTIVE = SubscriptionFacts("70001", "C1", "herbal tea", 1_890, "active", "2024-10-25", "2025-03-25", "2025-05-15")
PAUSED = ACTIVE._replace(status="paused")
CANCELLED = ACTIVE._replace(status="cancelled", next_charge_on=None)


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


def rules_of(scenario: Scenario) -> SubscriptionRules:
    assert isinstance(scenario.rules, SubscriptionRules)
    return scenario.rules


def outcome(wish: str, facts: SubscriptionFacts | None, months: int = 0, verified: bool = True) -> Outcome:
    return compile_outcome(wish, months, facts, verified, "C1", TODAY, RULES)


# --- the policy -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "left"),
    [
        ("2025-03-13", 0),
        ("2025-03-14", 0),  # on its last day nothing is left
        ("2025-03-15", 1),
        ("2025-04-14", 1),
        ("2025-04-15", 2),
        ("2026-03-14", 12),
        ("2024-12-31", 0),
    ],
)
def test_a_month_of_the_commitment_that_is_begun_counts_as_a_whole(until: str, left: int) -> None:
    assert months_left(TODAY, until) == left


def test_the_months_left_at_the_end_of_a_short_month() -> None:
    assert months_left("2025-01-31", "2025-02-28") == 1  # a month after 31 January is 28 February
    assert months_left("2025-01-31", "2025-03-01") == 2


@pytest.mark.parametrize(
    ("price", "months", "percent", "fee"),
    [
        (1_890, 3, 25, 1_418),  # a quarter of 56.70 is 14.175
        (1_000, 1, 20, 200),
        (999, 1, 50, 500),  # 4.995
        (1_150, 7, 0, 0),
        (980, 0, 75, 0),
    ],
)
def test_the_early_fee_is_rounded_half_up_to_the_cent(price: int, months: int, percent: int, fee: int) -> None:
    assert early_fee(price, months, percent) == fee


@pytest.mark.parametrize(
    ("wish", "facts", "grounds"),
    [
        ("pause", ACTIVE, set()),
        ("unsubscribe", ACTIVE, set()),
        ("resume", PAUSED, set()),
        ("resume", ACTIVE, {"already_active"}),
        ("pause", PAUSED, {"already_paused"}),
        ("pause", CANCELLED, {"already_cancelled"}),
        ("resume", CANCELLED, {"already_cancelled"}),
        ("unsubscribe", CANCELLED, {"already_cancelled"}),
        ("pause", ACTIVE._replace(next_charge_on="2025-03-20"), set()),  # six days before it
        ("pause", ACTIVE._replace(next_charge_on="2025-03-19"), {"notice"}),  # five
        ("unsubscribe", ACTIVE._replace(next_charge_on="2025-03-15"), {"notice"}),
        ("resume", PAUSED._replace(next_charge_on="2025-03-15"), set()),
        ("pause", ACTIVE._replace(started_on="2025-01-13"), set()),  # on day 60
        ("pause", ACTIVE._replace(started_on="2025-01-14"), {"too_new"}),  # on day 59
        ("unsubscribe", ACTIVE._replace(started_on="2025-01-14"), set()),
        ("pause", ACTIVE._replace(started_on="2025-03-01", next_charge_on="2025-03-16"), {"notice", "too_new"}),
    ],
)
def test_what_stands_against_a_wish(wish: str, facts: SubscriptionFacts, grounds: set[str]) -> None:
    assert grounds_against(wish, facts, TODAY, RULES) == grounds


def test_a_pause_puts_the_next_charge_off_and_tells_its_date() -> None:
    assert outcome("pause", ACTIVE, 3) == Outcome(
        "pause",
        frozenset({("subscription", "70001", "paused", "2025-06-25")}),
        (),
        (Fact("date", "2025-06-25", "next_charge"),),
        (DueConsent("pause", frozenset({"70001"}), 0),),
    )


def test_a_pause_that_is_too_long_becomes_the_longest_which_is_told() -> None:
    longest = outcome("pause", ACTIVE, 4)
    assert longest.effects == {("subscription", "70001", "paused", "2025-07-25")}
    assert outcome("pause", ACTIVE, 7) == longest._replace(
        facts=(Fact("months", 4, "longest_pause"), Fact("date", "2025-07-25", "next_charge"))
    )


def test_a_subscription_that_is_resumed_is_charged_in_a_month() -> None:
    resumed = outcome("resume", PAUSED)
    assert resumed.effects == {("subscription", "70001", "active", "2025-04-14")}
    assert resumed.facts == (Fact("date", "2025-04-14", "next_charge"),)


def test_leaving_early_costs_a_share_of_the_months_left() -> None:
    # Three months are begun: a quarter of 3 x 18.90.
    assert outcome("unsubscribe", ACTIVE) == Outcome(
        "unsubscribe",
        frozenset({("subscription", "70001", "cancelled", ""), ("fee", "70001", 1_418)}),
        (),
        (Fact("money", 1_418, "fee"),),
        (DueConsent("unsubscribe", frozenset({"70001"}), 1_418),),
    )


def test_leaving_after_the_commitment_is_free() -> None:
    free = outcome("unsubscribe", ACTIVE._replace(committed_until=TODAY))
    assert free.effects == {("subscription", "70001", "cancelled", "")}
    assert free.facts == ()
    assert free.consents == (DueConsent("unsubscribe", frozenset({"70001"}), 0),)


def test_a_fee_at_the_limit_is_charged_and_one_above_it_goes_to_a_human() -> None:
    # Ten months: a quarter of 10 x 20.00 is the limit itself.
    at_limit = ACTIVE._replace(price_cents=2_000, committed_until="2026-01-14")
    assert ("fee", "70001", 5_000) in outcome("unsubscribe", at_limit).effects
    above = outcome("unsubscribe", at_limit._replace(price_cents=2_001))
    assert above.verdict == "transfer"
    assert above.effects == {("ticket", "fee_over_limit")}


def test_a_refusal_shortly_before_a_charge_tells_its_date() -> None:
    refused = outcome("pause", ACTIVE._replace(next_charge_on="2025-03-17"), 2)
    assert refused.facts == (Fact("date", "2025-03-17", "next_charge"),)
    assert refused.grounds == (frozenset({"notice"}),)


def test_nobody_but_the_verified_owner_gets_anything() -> None:
    assert outcome("pause", ACTIVE, 2, verified=False).grounds == (frozenset({"not_verified"}),)
    for facts in (None, ACTIVE._replace(customer_id="C2")):
        assert outcome("pause", facts, 2).grounds == (frozenset({"not_found"}),)
        assert outcome("pause", facts, 2).facts == ()


# --- the scenarios --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_kind_and_its_twin_end_as_the_kind_says(kind: Kind) -> None:
    for seed in range(40):
        base, twin = pair("train", seed, kind.name)
        assert (base.outcome.verdict, twin.outcome.verdict) == kind.ends
        assert base.outcome != twin.outcome


# The reason for which the twin of a kind is refused.
GROUNDS = {
    "pause_notice": "notice",
    "pause_too_new": "too_new",
    "pause_paused": "already_paused",
    "pause_cancelled": "already_cancelled",
    "pause_too_long_notice": "notice",
    "pause_too_long_new": "too_new",
    "pause_too_long_paused": "already_paused",
    "pause_too_long_cancelled": "already_cancelled",
    "resume_active": "already_active",
    "resume_cancelled": "already_cancelled",
    "end_notice": "notice",
    "end_early_notice": "notice",
    "end_cancelled": "already_cancelled",
    "pause_foreign": "not_found",
    "resume_foreign": "not_found",
    "end_foreign": "not_found",
    "pause_missing": "not_found",
    "end_missing": "not_found",
    "pause_unverified": "not_verified",
    "resume_unverified": "not_verified",
    "end_unverified": "not_verified",
}


@pytest.mark.parametrize("kind", GROUNDS)
def test_the_twin_of_a_kind_is_refused_for_that_reason_alone(kind: str) -> None:
    for seed in range(40):
        assert pair("train", seed, kind)[1].outcome.grounds == (frozenset({GROUNDS[kind]}),)


@pytest.mark.parametrize("kind", ["end_committed", "end_wrong_number", "end_unknown_number"])
def test_a_longer_commitment_costs_a_fee_where_leaving_was_free(kind: str) -> None:
    for seed in range(40):
        base, twin = pair("train", seed, kind)
        assert [consent.amount_cents for consent in base.outcome.consents] == [0]
        [due] = twin.outcome.consents
        assert 0 < due.amount_cents <= rules_of(twin).transfer_limit_cents


@pytest.mark.parametrize("split", SPLITS)
def test_a_twin_has_the_same_customer_who_knows_and_says_the_same_and_one_row_differs(split: str) -> None:
    for seed in range(200):
        base, twin = pair(split, seed)
        assert base.pair_id == twin.pair_id
        for name in ("today", "rules", "customer", "wording_seed"):
            assert getattr(base, name) == getattr(twin, name)
        assert base.goal._replace(true_order_id="") == twin.goal._replace(true_order_id="")
        changed = {*base.world.subscriptions} ^ {*twin.world.subscriptions}
        accounts = {*base.world.addresses} ^ {*twin.world.addresses}
        assert len({row[0] for row in changed}) + (base.kind.endswith("unverified") and bool(accounts)) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    store = Store(split)
    for seed in range(150):
        for scenario in pair(split, seed):
            store.open(scenario.world, scenario.today)
            assert store.integrity_errors() == []
            customer, goal = scenario.customer, scenario.goal
            home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
            facts = subscription(store, goal.true_order_id) if goal.true_order_id else None
            found = compile_outcome(
                goal.verb,
                int(goal.values[0][1]) if goal.values else 0,
                facts,
                home == (customer.postal_code,),
                customer.customer_id,
                scenario.today,
                rules_of(scenario),
            )
            standing = {"active": "resume", "paused": "pause", "cancelled": "unsubscribe"}
            assert scenario.outcome.standing == ({standing[facts.status]} if facts else set())
            assert found == scenario.outcome._replace(standing=frozenset()), scenario.id


def test_the_words_for_the_length_of_a_pause_say_the_months_that_are_meant() -> None:
    names = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
    seen = set()
    for seed in range(300):
        goal = pair("train", seed, "pause_too_long_new")[0].goal
        [(slot, text)] = goal.details
        number, unit = text.split()
        assert (slot, unit) == ("months", "months")
        assert goal.values[0] == ("months", names.get(number) or int(number))
        seen.add(number.isdigit())
    assert seen == {True, False}


def test_every_kind_and_every_end_occurs_in_train() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(3000)]
    assert {scenario.kind for scenario in scenarios} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert set(ends) == {"pause", "resume", "unsubscribe", "refuse", "transfer"}
    assert ends["refuse"] + ends["transfer"] > 0.3 * 3000


def test_no_single_reason_of_refusal_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(4000)]
    lone = Counter(
        ground
        for s in scenarios
        if s.outcome.verdict == "refuse" and len(s.outcome.grounds) == 1
        for ground in s.outcome.grounds[0]
    )
    assert max(lone.values()) / 4000 <= 0.05


def test_held_out_splits_share_no_product_with_train() -> None:
    goods = read_yaml("world", "subscriptions.yaml")
    titles = [product["title"] for split in SPLITS for product in goods[split]]
    catalogue = read_yaml("world", "catalogue.yaml")
    titles += [product["title"] for split in SPLITS for product in catalogue[split]]
    assert len(set(titles)) == len(titles)
    for split in SPLITS:
        heads = Counter(product["title"].split()[-1] for product in goods[split])
        assert max(heads.values()) == 1, split


def test_dates_of_a_subscription_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            today = date.fromisoformat(scenario.today)
            for _, _, _, _, price, status, started, charge, until in scenario.world.subscriptions:
                assert price > 0
                assert date.fromisoformat(started) < today
                assert until > started
                assert (charge is None) == (status == "cancelled")
                if charge is not None:
                    assert 1 <= (date.fromisoformat(charge) - today).days <= 27


# --- the card -------------------------------------------------------------------------------------

CARD = read_text("subscription", "CARD.md")


def test_the_card_has_the_kinds_their_shares_and_their_ends() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", CARD, re.MULTILINE)
    weights = kind_weights("subscription")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    assert {kind: (base, twin) for kind, _, base, twin in rows} == {kind.name: kind.ends for kind in KINDS}


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(r"\((\d+) % of the training.*?\((\d+) %\).*?\((\d+) %\).*?\((\d+) %\).*?\((\d+) %\)", CARD)
    assert told is not None
    for verdict, percent in zip(
        ("unsubscribe", "refuse", "pause", "resume", "transfer"), map(int, told.groups()), strict=True
    ):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)
