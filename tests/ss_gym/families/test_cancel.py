"""The Cancel family: what its policy gives, worked out by hand, and what the database holds."""

import pytest

from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts
from ss_gym.commerce.store import Store
from ss_gym.families import load_family
from ss_gym.families.cancel import KINDS, CancelRules, compile_outcome, grounds_against
from ss_gym.scenarios import SPLITS, Fact

RULES = CancelRules(cancel_window_days=10, final_sale_days=2, transfer_limit_cents=20_000, refund_days=5)
RUG = ItemFacts("48213-1", "V1", "wool rug", "home", 8_000, False, "ordered")
MUG = ItemFacts("48213-2", "V2", "blue mug", "kitchen", 1_250, False, "ordered")
CARD = PaymentFacts("48213-P1", "gift_card", "gift card", 3_000, 0)
VISA = PaymentFacts("48213-P2", "card", "Visa 1111", 6_250, 0)


def order(status: str = "processing", items: tuple[ItemFacts, ...] = (RUG, MUG), owner: str = "C1") -> OrderFacts:
    expected = {"shipped": "2025-03-20", "delivered": "2025-03-10"}.get(status)
    delivered = expected if status == "delivered" else None
    return OrderFacts("48213", owner, status, delivered, expected, items, (CARD, VISA))


@pytest.mark.parametrize(
    ("item", "status", "days", "grounds"),
    [
        (RUG, "processing", 10, set()),
        (RUG, "processing", 11, {"window"}),
        (RUG, "shipped", 3, {"shipped"}),
        (RUG, "delivered", 12, {"shipped", "delivered", "window"}),
        (RUG._replace(final_sale=True), "processing", 2, set()),
        (RUG._replace(final_sale=True), "processing", 3, {"final_sale"}),
        (RUG._replace(final_sale=True), "processing", 11, {"final_sale", "window"}),
        (RUG._replace(category="gift_card"), "processing", 0, {"gift_card_item"}),
        (RUG._replace(status="cancelled"), "shipped", 30, {"already_cancelled"}),
    ],
)
def test_the_reasons_against_an_item(item: ItemFacts, status: str, days: int, grounds: set[str]) -> None:
    assert grounds_against(item, status, days, RULES) == grounds


def test_a_cancelled_order_goes_back_to_the_gift_card_first() -> None:
    outcome = compile_outcome(order(), True, "C1", ["48213-1", "48213-2"], 4, RULES)
    assert outcome.verdict == "cancel"
    assert outcome.effects == {
        ("item", "48213-1", "cancelled"),
        ("item", "48213-2", "cancelled"),
        ("refund", "48213-P1", 3_000),
        ("refund", "48213-P2", 6_250),
        ("order", "48213", "cancelled"),
    }
    assert outcome.facts == (Fact("money", 9_250, "refund"), Fact("days", 5, "arrival"))


def test_a_part_of_an_order_leaves_the_rest_alone() -> None:
    outcome = compile_outcome(order(), True, "C1", ["48213-2"], 4, RULES)
    assert outcome.effects == {("item", "48213-2", "cancelled"), ("refund", "48213-P1", 1_250)}
    late = order(items=(RUG._replace(final_sale=True), MUG))
    mixed = compile_outcome(late, True, "C1", ["48213-1", "48213-2"], 4, RULES)
    assert (mixed.verdict, mixed.grounds) == ("cancel", (frozenset({"final_sale"}),))
    assert mixed.also_true == {"window"}  # "it is on final sale, and too late" names no false reason
    assert outcome.also_true == set()
    assert mixed.effects == outcome.effects


def test_what_is_on_its_way_is_refused_with_its_date() -> None:
    outcome = compile_outcome(order("shipped"), True, "C1", ["48213-1"], 4, RULES)
    assert (outcome.verdict, outcome.grounds) == ("refuse", (frozenset({"shipped"}),))
    assert outcome.facts == (Fact("date", "2025-03-20", "delivery"),)
    assert compile_outcome(order("delivered"), True, "C1", ["48213-1"], 4, RULES).facts == ()


def test_above_the_limit_a_person_decides() -> None:
    dear = order(items=(RUG._replace(price_cents=20_001), MUG))._replace(
        payments=(CARD, VISA._replace(amount_cents=18_251))
    )
    assert compile_outcome(dear, True, "C1", ["48213-1"], 4, RULES).effects == {("ticket", "cancellation_over_limit")}
    assert compile_outcome(dear, True, "C1", ["48213-2"], 4, RULES).verdict == "cancel"


def test_strangers_and_strangers_orders_get_nothing() -> None:
    for outcome, ground in (
        (compile_outcome(order(), False, "C1", ["48213-1"], 4, RULES), "not_verified"),
        (compile_outcome(order(owner="C2"), True, "C1", ["48213-1"], 4, RULES), "not_found"),
        (compile_outcome(None, True, "C1", ["48213-1"], 4, RULES), "not_found"),
    ):
        assert (outcome.verdict, outcome.effects, outcome.grounds) == ("refuse", frozenset(), (frozenset({ground}),))


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_and_its_twin_end_as_the_kind_says(kind: str) -> None:
    family = load_family("cancel")
    ends = next(each.ends for each in KINDS if each.name == kind)
    for seed in range(30):
        base, twin = (family.draw("train", 2 * seed + n, seed, kind) for n in (0, 1))
        assert (base.outcome.verdict, twin.outcome.verdict) == ends and base.outcome != twin.outcome
        assert (base.customer, base.goal.titles, base.goal.order_id) == (
            twin.customer,
            twin.goal.titles,
            twin.goal.order_id,
        )


@pytest.mark.parametrize("split", SPLITS)
def test_the_outcome_is_what_the_policy_gives_for_the_facts_in_the_database(split: str) -> None:
    family, store = load_family("cancel"), Store(split)
    for index in range(200):
        scenario = family.draw(split, index, index // 2)
        store.open(scenario.world, scenario.today)
        assert store.integrity_errors() == []
        goal, customer = scenario.goal, scenario.customer
        home = store.row("SELECT postal_code FROM addresses WHERE customer_id = ?", customer.customer_id)
        found = store.order_facts(goal.true_order_id) if goal.true_order_id else None
        days = 0
        if found is not None:
            placed = store.row(
                "SELECT julianday(?) - julianday(placed_on) FROM orders WHERE order_id = ?",
                scenario.today,
                goal.true_order_id,
            )
            assert placed is not None
            days = int(placed[0])
        verified = home == (customer.postal_code,)
        outcome = compile_outcome(found, verified, customer.customer_id, goal.items, days, scenario.rules)
        assert outcome == scenario.outcome, scenario.id
