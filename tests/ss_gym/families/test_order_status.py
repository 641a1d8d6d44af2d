"""The OrderStatus family: solvable, unambiguous, twinned, and answered by the facts in the database."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.goodwill import given_for
from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts
from ss_gym.commerce.store import Store
from ss_gym.families.order_status import KINDS, make
from ss_gym.families.order_status_policy import (
    Delivery,
    OrderStatusRules,
    Question,
    compile_outcome,
    known_dates,
    latest_shipping_day,
)
from ss_gym.scenario_files import read_text, read_yaml
from ss_gym.scenarios import SPLITS, DueConsent, Fact, Outcome, Scenario

FAMILY = make()
RULES = OrderStatusRules(handling_days=5, patience_days=7, dispute_days=20, delay_credit_cents=800)
TODAY = "2025-03-20"
ITEM = ItemFacts("12345-1", "V1", "wool scarf", "clothing", 2490, False, "ordered")
PAYMENT = PaymentFacts("12345-P1", "card", "Visa 1234", 2490, 0)
ASKED = Question("C1000", verified=True, never_came=False, takes_credit=True, item_ids=("12345-1",))


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


def outcome(
    status: str,
    *,
    placed: str = "2025-03-10",
    expected: str | None = None,
    delivered: str | None = None,
    credited: bool = False,
    refunded: int = 0,
    question: Question = ASKED,
) -> Outcome:
    """What the policy gives for an order of C1000 on 20 March."""
    payments = (PAYMENT._replace(refunded_cents=refunded),)
    order = OrderFacts("12345", "C1000", status, delivered, expected, (ITEM,), payments)
    shipped = "2025-03-11" if status in ("shipped", "delivered") else ""
    return compile_outcome(order, Delivery(placed, shipped, credited), question, RULES, TODAY)


# --- the policy ------------------------------------------------------------------------------------


def test_the_latest_shipping_day_is_the_day_of_the_order_and_the_days_of_handling() -> None:
    assert latest_shipping_day("2025-02-26", RULES) == "2025-03-03"  # 26, 27, 28 February, 1, 2, 3 March


def test_an_order_in_processing_is_told_by_its_latest_shipping_day_and_is_stuck_after_it() -> None:
    last = outcome("processing", placed="2025-03-15")  # day 5 is the 20th, today
    assert (last.verdict, last.facts) == ("inform", (Fact("date", "2025-03-20", "shipping"),))
    assert outcome("processing", placed="2025-03-14").effects == {("ticket", "stuck_order")}


def test_an_order_in_time_is_told_by_its_expected_date() -> None:
    for expected in ("2025-03-20", "2025-03-25"):  # today is not late
        found = outcome("shipped", expected=expected)
        assert (found.verdict, found.facts) == ("inform", (Fact("date", expected, "delivery"),))
        assert found.effects == frozenset()


def test_a_late_order_brings_credit_up_to_the_last_day_of_patience_and_counts_as_lost_after_it() -> None:
    for expected in ("2025-03-19", "2025-03-13"):  # one and seven days late
        found = outcome("shipped", expected=expected)
        assert found.verdict == "store_credit"
        assert found.effects == {("store_credit", "C1000", 800)}
        assert found.facts == (Fact("date", expected, "delivery"), Fact("money", 800, "store_credit"))
        assert found.consents == (DueConsent("store_credit", frozenset({"12345-1"}), 800),)
    assert outcome("shipped", expected="2025-03-12").effects == {("ticket", "lost_parcel")}


def test_credit_is_given_once_and_only_to_those_who_want_it() -> None:
    before = outcome("shipped", expected="2025-03-18", credited=True)
    assert (before.verdict, before.effects) == ("inform", frozenset())
    assert before.also_true == {"already_refunded"}  # to say that they have had it is no lie
    unwanted = Question("C1000", verified=True, never_came=False, takes_credit=False, item_ids=())
    declined = outcome("shipped", expected="2025-03-18", question=unwanted)
    assert (declined.verdict, declined.facts) == ("inform", (Fact("date", "2025-03-18", "delivery"),))


def test_a_delivery_is_told_and_looked_into_up_to_the_last_day_for_a_dispute_if_it_never_came() -> None:
    told = outcome("delivered", expected="2025-03-13", delivered="2025-03-12")
    assert (told.verdict, told.facts) == ("inform", (Fact("date", "2025-03-12", "delivered"),))
    never = Question("C1000", verified=True, never_came=True, takes_credit=True, item_ids=())
    last = outcome("delivered", expected="2025-02-28", delivered="2025-02-28", question=never)  # 20 days ago
    assert last.effects == {("ticket", "delivery_dispute")}
    late = outcome("delivered", expected="2025-02-27", delivered="2025-02-27", question=never)
    assert late.grounds == (frozenset({"window"}),)
    assert late.facts == (Fact("date", "2025-02-27", "delivered"),)


def test_that_nothing_came_changes_nothing_while_the_order_is_not_delivered() -> None:
    never = Question("C1000", verified=True, never_came=True, takes_credit=True, item_ids=())
    assert outcome("shipped", expected="2025-03-21", question=never).verdict == "inform"
    assert outcome("processing", placed="2025-03-18", question=never).verdict == "inform"


def test_a_cancelled_order_is_refused_with_what_was_refunded() -> None:
    found = outcome("cancelled", refunded=2490)
    assert found.grounds == (frozenset({"cancelled"}),)
    assert found.facts == (Fact("money", 2490, "refund"),)
    assert found.known == (Fact("date", "2025-03-10", "placed"),)


def test_strangers_are_told_nothing() -> None:
    unverified = Question("C1000", verified=False, never_came=False, takes_credit=True, item_ids=())
    found = outcome("shipped", expected="2025-03-21", question=unverified)
    assert (found.grounds, found.facts, found.known) == ((frozenset({"not_verified"}),), (), ())
    other = Question("C2000", verified=True, never_came=False, takes_credit=True, item_ids=())
    assert outcome("shipped", expected="2025-03-21", question=other).grounds == (frozenset({"not_found"}),)
    assert compile_outcome(None, None, ASKED, RULES, TODAY).grounds == (frozenset({"not_found"}),)


def test_every_date_of_an_order_is_known_by_what_it_is_the_date_of() -> None:
    order = OrderFacts("12345", "C1000", "shipped", None, "2025-03-18", (ITEM,), (PAYMENT,))
    found = known_dates(order, Delivery("2025-03-10", "2025-03-11", False), RULES, TODAY)
    assert {(fact.about, fact.value) for fact in found} == {
        ("placed", "2025-03-10"),
        ("shipping", "2025-03-15"),
        ("shipped", "2025-03-11"),
        ("delivery", "2025-03-18"),
        ("late", "2025-03-18"),  # it is late, and was due then
    }


# --- scenarios -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_and_its_twin_end_as_the_kind_says(kind: object) -> None:
    name, ends = kind.name, kind.ends  # type: ignore[attr-defined]
    for seed in range(40):
        base, twin = pair("train", seed, name)
        assert (base.outcome.verdict, twin.outcome.verdict) == ends
        assert base.outcome[:5] != twin.outcome[:5]  # not only in what else is known


@pytest.mark.parametrize("split", SPLITS)
def test_a_twin_has_the_same_customer_who_knows_and_says_the_same(split: str) -> None:
    for seed in range(200):
        base, twin = pair(split, seed)
        assert base.pair_id == twin.pair_id
        for name in ("today", "rules", "customer", "wording_seed"):
            assert getattr(base, name) == getattr(twin, name)
        for name in ("order_id", "titles", "reason", "verb", "welcomes"):
            assert getattr(base.goal, name) == getattr(twin.goal, name)


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    store = Store(split)
    for seed in range(150):
        for scenario in pair(split, seed):
            store.open(scenario.world, scenario.today)
            assert store.integrity_errors() == []
            customer, goal = scenario.customer, scenario.goal
            home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
            order = store.order_facts(goal.true_order_id) if goal.true_order_id else None
            row = store.row(
                "SELECT placed_on, ifnull(shipped_on, '') FROM orders LEFT JOIN shipments USING (order_id) "
                "WHERE order_id = ?",
                goal.true_order_id,
            )
            delivery = Delivery(*row, given_for(store, goal.true_order_id) > 0) if row else None
            question = Question(
                customer.customer_id,
                home == (customer.postal_code,),
                goal.reason == "not_received",
                "store_credit" in goal.welcomes,
                goal.items,
            )
            assert isinstance(scenario.rules, OrderStatusRules)
            found = compile_outcome(order, delivery, question, scenario.rules, scenario.today)
            assert found == scenario.outcome, scenario.id


def test_days_and_dates_of_a_world_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            placed = {order_id: placed_on for order_id, _, placed_on, _ in scenario.world.orders}
            for _, order_id, _, shipped, expected, delivered in scenario.world.shipments:
                assert placed[order_id] < shipped <= scenario.today
                assert shipped < expected
                assert delivered is None or shipped < delivered < scenario.today


def test_whoever_says_that_nothing_came_says_so_at_once_and_nobody_else_asks_for_what_has_come() -> None:
    for seed in range(400):
        for scenario in pair("train", seed):
            if any(fact.about == "delivered" for fact in scenario.outcome.known):
                assert scenario.goal.reason in ("gift", "not_received")


def test_every_kind_and_every_end_occurs_and_an_answer_is_about_half() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(3000)]
    assert {scenario.kind for scenario in scenarios} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert set(ends) == {"inform", "store_credit", "refuse", "transfer"}
    assert 0.48 < ends["inform"] / 3000 < 0.58
    assert 0.16 < ends["store_credit"] / 3000 < 0.25


def test_no_single_reason_of_refusal_or_transfer_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(4000)]
    lone: Counter[str] = Counter()
    for scenario in scenarios:
        if scenario.outcome.verdict == "refuse":
            lone.update(scenario.outcome.grounds[0])
        elif scenario.outcome.verdict == "transfer":
            lone.update([str(reason) for _, reason in scenario.outcome.effects])
    assert set(lone) == {
        *("cancelled", "window", "not_found", "not_verified"),
        *("lost_parcel", "delivery_dispute", "stuck_order"),
    }
    assert max(lone.values()) / 4000 <= 0.05


# --- splits ----------------------------------------------------------------------------------------


def test_dates_of_a_split_are_its_own() -> None:
    today = read_yaml("order_status", "family.yaml")["today"]
    for split in SPLITS:
        first, last = today[split]
        assert all(
            date.fromisoformat(first) <= date.fromisoformat(pair(split, seed)[0].today) <= date.fromisoformat(last)
            for seed in range(50)
        )


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    card = read_text("order_status", "CARD.md")
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(
        r"an answer \((\d+) %.*?credit \((\d+) %\), .*?reason \((\d+) %\).*?person \((\d+) %\)",
        card,
    )
    assert told is not None
    for verdict, percent in zip(("inform", "store_credit", "refuse", "transfer"), map(int, told.groups()), strict=True):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)
