"""The Warranty family: solvable, unambiguous, twinned, and the same everywhere."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.records import ItemFacts, OrderFacts
from ss_gym.commerce.store import Store
from ss_gym.families.parameters import kind_weights
from ss_gym.families.warranty import make
from ss_gym.families.warranty_cases import KINDS
from ss_gym.families.warranty_policy import (
    Cover,
    WarrantyRules,
    compile_outcome,
    grounds_against_claim,
    grounds_against_replacement,
    warranty_days,
)
from ss_gym.scenario_files import read_text, read_yaml
from ss_gym.scenarios import SPLITS, DueConsent, Fact, Goal, Outcome, Scenario

FAMILY = make()
RULES = WarrantyRules(
    standard_warranty_days=365,
    electronics_warranty_days=730,
    replace_window_days=60,
    transfer_limit_cents=50_000,
    replacement_days=5,
    repair_days=15,
)
LAMP = ItemFacts("12345-1", "V1", "table lamp", "home", 4_200, False, "ordered")
WATCH = ItemFacts("12345-2", "V2", "smart watch", "electronics", 23_900, False, "ordered")
COVER = Cover(extended_days=0, claimed=False, in_stock=True)
OVER = {"warranty_over", "replace_period", "window"}


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


# --- the policy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "extended", "days"), [("home", 0, 365), ("electronics", 0, 730), ("home", 90, 455), ("toys", 365, 730)]
)
def test_the_warranty_is_that_of_the_category_and_what_was_bought(category: str, extended: int, days: int) -> None:
    assert warranty_days(category, extended, RULES) == days


@pytest.mark.parametrize(
    ("item", "cover", "days", "reason", "grounds"),
    [
        (LAMP, COVER, 365, "defective", set()),
        (LAMP, COVER, 366, "defective", OVER),
        (WATCH, COVER, 730, "stopped_working", set()),
        (WATCH, COVER, 731, "stopped_working", OVER),
        (LAMP, COVER._replace(extended_days=90), 455, "defective", set()),
        (LAMP, COVER._replace(extended_days=90), 456, "defective", OVER),
        (LAMP, COVER, 1, "accident", {"not_covered"}),
        (LAMP, COVER, 366, "worn", OVER | {"not_covered"}),
        (LAMP, COVER._replace(claimed=True), 366, "worn", {"already_claimed"}),
        (LAMP._replace(status="refunded"), COVER._replace(claimed=True), 1, "defective", {"already_refunded"}),
        (LAMP._replace(status="exchanged"), COVER, 1, "defective", {"already_refunded"}),
        (LAMP._replace(category="gift_card"), COVER, 1, "unusable", {"gift_card_item"}),
    ],
)
def test_what_stands_against_any_claim(
    item: ItemFacts, cover: Cover, days: int, reason: str, grounds: set[str]
) -> None:
    assert grounds_against_claim(item, cover, days, reason, RULES) == grounds


@pytest.mark.parametrize(
    ("in_stock", "days", "grounds"),
    [
        (True, 60, set()),
        (True, 61, {"replace_period", "window"}),
        (False, 60, {"out_of_stock"}),
        (False, 61, {"replace_period", "window", "out_of_stock"}),
    ],
)
def test_what_stands_against_a_replacement(in_stock: bool, days: int, grounds: set[str]) -> None:
    assert grounds_against_replacement(COVER._replace(in_stock=in_stock), days, RULES) == grounds


def order(*items: ItemFacts, delivered: str | None = "2025-01-01") -> OrderFacts:
    status = "delivered" if delivered else "shipped"
    return OrderFacts("12345", "C1", status, delivered, delivered or "2025-03-09", items, ())


def outcome(
    found: OrderFacts | None, today: str, covers: dict[str, Cover] | None = None, accepts: tuple[str, ...] = ("repair",)
) -> Outcome:
    items = found.items if found else ()
    goal = Goal(
        "12345",
        "12345",
        tuple(item.item_id for item in items),
        tuple(item.title for item in items),
        "defective",
        0,
        verb="replacement",
        accepts=accepts,
    )
    known = {item.item_id: COVER for item in items} | (covers or {})
    return compile_outcome(found, "C1", known, goal, RULES, today)


def test_a_defect_in_time_is_replaced() -> None:
    # 2025-01-01 and 60 days are 2025-03-02.
    assert outcome(order(LAMP), "2025-03-02") == Outcome(
        "replacement",
        frozenset({("claim", "12345-1", "replacement")}),
        (),
        (Fact("days", 5, "turnaround"),),
        (DueConsent("replacement", frozenset({"12345-1"}), 0),),
    )


def test_a_defect_after_the_time_for_replacements_is_repaired_if_the_customer_takes_that() -> None:
    refused = (frozenset({"replace_period", "window"}),)
    assert outcome(order(LAMP), "2025-03-03") == Outcome(
        "repair",
        frozenset({("claim", "12345-1", "repair")}),
        refused,
        (Fact("days", 15, "turnaround"),),
        (DueConsent("repair", frozenset({"12345-1"}), 0),),
    )
    assert outcome(order(LAMP), "2025-03-03", accepts=()) == Outcome("refuse", frozenset(), refused, (), ())


def test_each_item_is_decided_by_itself() -> None:
    claimed = {"12345-1": COVER._replace(claimed=True)}
    found = outcome(order(LAMP, WATCH), "2025-03-02", claimed)
    assert found.verdict == "replacement"
    assert found.effects == {("claim", "12345-2", "replacement")}
    assert found.grounds == (frozenset({"already_claimed"}),)


def test_an_item_above_the_limit_sends_the_whole_request_to_a_human() -> None:
    dear = WATCH._replace(price_cents=50_001)
    assert outcome(order(LAMP, dear), "2025-03-02").effects == {("ticket", "high_value_claim")}
    assert outcome(order(LAMP, WATCH._replace(price_cents=50_000)), "2025-03-02").verdict == "replacement"
    # An item that gets no claim may cost what it will.
    claimed = {"12345-2": COVER._replace(claimed=True)}
    assert outcome(order(LAMP, dear), "2025-03-02", claimed).verdict == "replacement"


def test_an_order_that_is_not_delivered_has_no_claim_and_its_date_is_told() -> None:
    found = outcome(order(LAMP, delivered=None), "2025-03-02")
    assert found.grounds == (frozenset({"not_delivered"}),)
    assert found.facts == (Fact("date", "2025-03-09", "delivery"),)


def test_an_order_of_somebody_else_is_not_found_and_no_order_neither() -> None:
    for found in (order(LAMP)._replace(customer_id="C2"), None):
        assert outcome(found, "2025-03-02").grounds == (frozenset({"not_found"}),)


# --- the scenarios ---------------------------------------------------------------------------------

# How each kind ends, and how its twin ends.
ENDS = {
    "late": ("replacement", "repair"),
    "out_of_stock": ("replacement", "repair"),
    "late_declined": ("replacement", "refuse"),
    "out_of_stock_declined": ("replacement", "refuse"),
    "warranty_over": ("replacement", "refuse"),
    "extended_warranty": ("repair", "refuse"),
    "electronics": ("repair", "refuse"),
    "accident": ("refuse", "refuse"),
    "wear": ("refuse", "refuse"),
    "already_refunded": ("replacement", "refuse"),
    "already_exchanged": ("replacement", "refuse"),
    "already_claimed": ("replacement", "refuse"),
    "not_delivered": ("replacement", "refuse"),
    "over_limit": ("replacement", "transfer"),
    "foreign_order": ("replacement", "refuse"),
    "missing_order": ("replacement", "refuse"),
    "unverified": ("replacement", "refuse"),
    "wrong_number": ("replacement", "repair"),
    "unknown_number": ("replacement", "repair"),
    "partial_gift_card": ("replacement", "refuse"),
    "partial_claimed": ("replacement", "refuse"),
    "partial_refunded": ("replacement", "repair"),
    "partial_extended": ("repair", "refuse"),
    "whole_order": ("replacement", "replacement"),
}


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_and_its_twin_end_as_the_kind_says(kind: str) -> None:
    for seed in range(40):
        base, twin = pair("train", seed, kind)
        assert (base.outcome.verdict, twin.outcome.verdict) == ENDS[kind]
        assert base.outcome != twin.outcome


@pytest.mark.parametrize("kind", ["accident", "wear"])
def test_two_refusals_of_a_pair_have_no_reason_in_common(kind: str) -> None:
    for seed in range(40):
        base, twin = pair("train", seed, kind)
        assert base.outcome.grounds == (frozenset({"not_covered"}),)
        assert twin.outcome.grounds == (frozenset({"not_found"}),)


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
        for name in ("order_id", "titles", "reason", "verb", "accepts"):
            assert getattr(base.goal, name) == getattr(twin.goal, name)


@pytest.mark.parametrize("split", SPLITS)
def test_a_twin_differs_in_one_table_of_the_database(split: str) -> None:
    for seed in range(200):
        base, twin = pair(split, seed)
        changed = {name for name in base.world._fields if getattr(base.world, name) != getattr(twin.world, name)}
        if base.kind in ("missing_order", "wear"):
            continue  # the order is gone from every table
        # A delivery day moves the dates of the order and of its refunds, a refund is paid, and prices are paid.
        dates = {"shipments", "orders", "notes", "refunds"}
        follows = {
            "late": dates,
            "late_declined": dates,
            "warranty_over": dates,
            "electronics": dates,
            "wrong_number": dates,
            "not_delivered": dates,
            "already_refunded": {"order_items", "refunds"},
            "partial_claimed": {"order_items", "refunds"},
            "over_limit": {"order_items", "payments"},
            "foreign_order": {"customers", "addresses", "orders", "payment_methods"},
            "accident": {"customers", "addresses", "orders", "payment_methods"},
        }
        assert changed and changed <= follows.get(base.kind, changed)
        assert len(changed) == 1 or base.kind in follows


def covers_in(store: Store, found: OrderFacts) -> dict[str, Cover]:
    covers = {}
    for item in found.items:
        bought = store.row("SELECT days FROM extended_warranties WHERE item_id = ?", item.item_id)
        claims = store.rows("SELECT 1 FROM claims WHERE item_id = ?", item.item_id)
        units = store.row("SELECT quantity FROM inventory WHERE variant_id = ?", item.variant_id)
        assert units is not None
        covers[item.item_id] = Cover(bought[0] if bought else 0, bool(claims), units[0] > 0)
    return covers


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    store = Store(split)
    for seed in range(150):
        for scenario in pair(split, seed):
            store.open(scenario.world, scenario.today)
            assert store.integrity_errors() == []
            customer, goal, rules = scenario.customer, scenario.goal, scenario.rules
            assert isinstance(rules, WarrantyRules)
            home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
            asker = customer.customer_id if home == (customer.postal_code,) else None
            found = store.order_facts(goal.true_order_id) if goal.true_order_id else None
            known = covers_in(store, found) if found else {}
            assert compile_outcome(found, asker, known, goal, rules, scenario.today) == scenario.outcome, scenario.id


def test_no_request_is_due_a_replacement_and_a_repair() -> None:
    # Customers weigh one proposal a message, so that such a request could not be agreed to as a whole.
    for seed in range(1500):
        for scenario in pair("train", seed):
            assert len({effect[2] for effect in scenario.outcome.effects if effect[0] == "claim"}) <= 1


def test_every_kind_and_every_end_occurs_in_train_and_replacements_are_about_half() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(3000)]
    assert {scenario.kind for scenario in scenarios} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert set(ends) == {"replacement", "repair", "refuse", "transfer"}
    assert 0.4 < ends["replacement"] / 3000 < 0.5
    assert 0.15 < ends["repair"] / 3000 < 0.25


def test_no_single_reason_of_refusal_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(4000)]
    settles = Counter(
        ground
        for s in scenarios
        if s.outcome.verdict == "refuse"
        for ground in frozenset.intersection(*s.outcome.grounds)
    )
    assert max(settles.values()) / 4000 <= 0.05


def test_in_every_shop_the_times_follow_each_other_and_ordinary_items_are_below_the_limit() -> None:
    rules = read_yaml("warranty", "family.yaml")["rules"]
    for split in SPLITS:
        assert max(rules["replace_window_days"][split]) < min(rules["standard_warranty_days"][split])
        assert max(rules["standard_warranty_days"][split]) < min(rules["electronics_warranty_days"][split])
        assert max(rules["replacement_days"][split]) < min(rules["repair_days"][split])
        products = read_yaml("world", "catalogue.yaml")[split]
        assert 100 * max(product["price"] for product in products) <= min(rules["transfer_limit_cents"][split])


def test_days_and_dates_of_a_world_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            today = date.fromisoformat(scenario.today)
            delivered_on = {}
            for _, order_id, _, shipped, expected, delivered in scenario.world.shipments:
                assert date.fromisoformat(shipped) <= today
                assert delivered is None or date.fromisoformat(shipped) < date.fromisoformat(delivered) < today
                assert delivered is not None or date.fromisoformat(expected) > today
                delivered_on[order_id] = delivered
            for _, item_id, _, created in scenario.world.claims:
                delivered = delivered_on[item_id.partition("-")[0]]
                assert delivered is not None and delivered < created < scenario.today


# --- the card --------------------------------------------------------------------------------------

CARD = read_text("warranty", "CARD.md")


def test_the_card_has_the_kinds_with_their_shares_and_ends() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", CARD, re.MULTILINE)
    weights = kind_weights("warranty")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    assert {kind: (base, twin) for kind, _, base, twin in rows} == ENDS


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    told = re.search(
        r"a replacement \((\d+) %.*?refusal with its reason \((\d+) %\), a repair.*?\((\d+) %\).*?person \((\d+) %\)",
        CARD,
    )
    assert told is not None
    for verdict, percent in zip(("replacement", "refuse", "repair", "transfer"), map(int, told.groups()), strict=True):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)
