"""The AddressChange family: solvable, unambiguous, twinned, and the same everywhere."""

import re
from collections import Counter
from datetime import date

import pytest

from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts, address_text
from ss_gym.commerce.store import Store
from ss_gym.families.address_change import (
    KINDS,
    AddressChangeRules,
    compile_outcome,
    grounds_against,
    is_delivered_to,
    make,
)
from ss_gym.families.parameters import kind_weights
from ss_gym.scenario_files import read_text, read_yaml
from ss_gym.scenarios import SPLITS, DueConsent, Fact, Outcome, Scenario
from ss_gym.users.inventory import episode_inventory

FAMILY = make()
CARD = read_text("address_change", "CARD.md")
RULES = AddressChangeRules(change_window_days=10, transfer_limit_cents=30_000, delay_days=2)
STREET = ("12 Elm Street", "Carrow", "CW2 3EF")
OTHER = ("7 Mill Lane", "Hartwell", "HW5 1AB")
BOX = ("PO Box 40", "Carrow", "CW2 3EF")


def pair(split: str, seed: int, kind: str | None = None) -> tuple[Scenario, Scenario]:
    return FAMILY.draw(split, 2 * seed, seed, kind), FAMILY.draw(split, 2 * seed + 1, seed, kind)


def order(status: str = "processing", *prices: int, category: str = "home", paid_by: str = "card") -> OrderFacts:
    prices = prices or (4_000,)
    items = tuple(ItemFacts(f"1-{n}", "V1", "rug", category, price, False, "ordered") for n, price in enumerate(prices))
    payments = (PaymentFacts("1-P1", paid_by, "it", sum(prices), 0),)
    delivered = "2025-03-02" if status == "delivered" else None
    expected = "2025-03-09" if status == "shipped" else delivered
    return OrderFacts("12345", "C1", status, delivered, expected, items, payments)


def outcome(
    facts: OrderFacts | None = None,
    *wishes: tuple[str, str, str],
    verified: bool = True,
    customer_id: str = "C1",
    redirected: bool = False,
    unserved: tuple[str, ...] = (),
    days: int = 4,
) -> Outcome:
    return compile_outcome(
        facts, verified, customer_id, redirected, wishes or (STREET,), unserved, days=days, rules=RULES
    )


# How each kind ends, and how its twin ends.
ENDS = {
    "window": ("address_change", "refuse"),
    "shipped": ("address_change", "refuse"),
    "delivered": ("address_change", "refuse"),
    "cancelled": ("address_change", "refuse"),
    "paypal": ("address_change", "refuse"),
    "already_changed": ("address_change", "refuse"),
    "gift_card": ("address_change", "refuse"),
    "over_limit": ("address_change", "transfer"),
    "foreign_order": ("address_change", "refuse"),
    "missing_order": ("address_change", "refuse"),
    "unverified": ("address_change", "refuse"),
    "wrong_number": ("address_change", "refuse"),
    "unknown_number": ("address_change", "refuse"),
    "two_orders": ("address_change", "refuse"),
    "old_postal_code": ("address_change", "refuse"),
    "no_postal_code": ("address_change", "refuse"),
    "wrong_house_number": ("address_change", "transfer"),
    "no_delivery": ("address_change", "refuse"),
    "second_address": ("address_change", "address_change"),
    "second_no_number": ("address_change", "address_change"),
    "second_no_postal_code": ("address_change", "address_change"),
    "box_or_street": ("address_change", "refuse"),
    "box": ("refuse", "refuse"),
}


# --- the policy -----------------------------------------------------------------------------------


def test_an_order_in_processing_is_redirected_up_to_the_last_day_of_the_window() -> None:
    assert outcome(order(), days=10) == Outcome(
        "address_change",
        frozenset({("address", "12345", "12 elm street, carrow, cw23ef")}),
        (),
        (Fact("days", 2, "delay"),),
        (DueConsent("address_change", frozenset({"12345"}), 0),),
    )
    assert outcome(order(), days=11).grounds == (frozenset({"window"}),)


@pytest.mark.parametrize(
    ("facts", "redirected", "days", "grounds"),
    [
        (order(), False, 10, set()),
        (order("cancelled"), False, 4, {"cancelled"}),
        (order("cancelled"), True, 12, {"cancelled", "already_changed", "window"}),
        (order("shipped"), False, 4, {"shipped"}),
        (order("delivered"), False, 30, {"shipped", "delivered", "window"}),
        (order(category="gift_card"), False, 4, {"gift_card_item"}),
        (order(paid_by="paypal"), False, 4, {"paypal"}),
        (order(), True, 4, {"already_changed"}),
    ],
)
def test_every_reason_that_is_true_stands_against_a_change(
    facts: OrderFacts, redirected: bool, days: int, grounds: set[str]
) -> None:
    assert grounds_against(facts, redirected, days, RULES) == grounds


def test_a_gift_card_beside_something_else_is_sent_in_a_parcel() -> None:
    mixed = order("processing", 5_000, 2_500)
    mixed = mixed._replace(items=(mixed.items[0]._replace(category="gift_card"), mixed.items[1]))
    assert outcome(mixed).verdict == "address_change"


def test_a_shipped_order_is_refused_with_its_date_and_a_delivered_one_without() -> None:
    assert outcome(order("shipped")).facts == (Fact("date", "2025-03-09", "delivery"),)
    assert outcome(order("delivered")).facts == ()


def test_a_parcel_above_the_limit_goes_to_a_human_and_one_at_the_limit_does_not() -> None:
    assert outcome(order("processing", 20_000, 10_000)).verdict == "address_change"  # 300.00 of 300.00
    above = outcome(order("processing", 20_000, 10_001))
    assert (above.verdict, above.effects) == ("transfer", frozenset({("ticket", "high_value_redirect")}))
    # What is late is refused, whatever it is worth.
    assert outcome(order("processing", 30_001), days=11).verdict == "refuse"


def test_nothing_is_delivered_to_boxes_and_to_areas_that_are_not_served() -> None:
    assert is_delivered_to(STREET, ["HW5", "CW"])
    assert not is_delivered_to(STREET, ["CW2"])
    assert not is_delivered_to(BOX, [])
    assert not is_delivered_to(("Parcel Locker 3", "Carrow", "CW2 3EF"), [])
    assert outcome(order(), BOX).grounds == outcome(order(), STREET, unserved=("CW2",)).grounds
    assert outcome(order(), BOX) == Outcome("refuse", frozenset(), (frozenset({"no_delivery"}),), (), ())


def test_the_second_address_is_used_where_the_first_is_refused_for_a_reason() -> None:
    assert outcome(order(), STREET, OTHER).effects == {("address", "12345", address_text(*STREET))}
    second = outcome(order(), STREET, OTHER, unserved=("CW2",))
    assert second.effects == {("address", "12345", "7 mill lane, hartwell, hw51ab")}
    assert (second.verdict, second.grounds) == ("address_change", (frozenset({"no_delivery"}),))
    assert outcome(order(), BOX, OTHER, unserved=("HW5",)).verdict == "refuse"


def test_strangers_and_other_peoples_orders_are_refused_before_anything_else() -> None:
    assert outcome(order("shipped"), verified=False).grounds == (frozenset({"not_verified"}),)
    assert outcome(order("shipped"), customer_id="C2") == outcome(None)
    assert outcome(None).grounds == (frozenset({"not_found"}),)
    # That there is no delivery to a box is true for everybody, and may be told to anybody, but is not the reason.
    for refused, ground in ((outcome(None, BOX), "not_found"), (outcome(order(), BOX, verified=False), "not_verified")):
        assert (refused.grounds, refused.also_true) == ((frozenset({ground}),), {"no_delivery"})


# --- the scenarios --------------------------------------------------------------------------------


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
        for name in ("today", "rules", "customer", "wording_seed"):
            assert getattr(base, name) == getattr(twin, name)
        for name in ("order_id", "titles", "details", "slips", "seconds", "values", "mistaken"):
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
            number = goal.true_order_id
            placed = store.row("SELECT placed_on FROM orders WHERE order_id = ?", number)
            texts = [text for _, text in (*goal.details, *goal.seconds)]
            assert isinstance(scenario.rules, AddressChangeRules)
            found = compile_outcome(
                order=store.order_facts(number) if number else None,
                verified=home == (customer.postal_code,),
                customer_id=customer.customer_id,
                redirected=store.row("SELECT 1 FROM destinations WHERE order_id = ?", number) is not None,
                wishes=[parts(text) for text in texts],
                unserved=[area for (area,) in store.rows("SELECT area FROM unserved_areas")],
                days=days_between(placed[0], scenario.today) if placed else 0,
                rules=scenario.rules,
            )
            assert found == scenario.outcome, scenario.id


def parts(text: str) -> tuple[str, str, str]:
    """Street, city and postal code of an address as customers write it down, in any of three forms."""
    words = text.replace(",", "").split()
    at = next(n for n, word in enumerate(words) if n > 1 and any(map(str.isdigit, word)) and word[0].isalpha())
    code = " ".join(words[at : at + 2])
    if at + 2 == len(words):
        return " ".join(words[: at - 1]), words[at - 1], code
    return " ".join(words[:at]), words[-1], code


def test_an_order_can_be_told_from_another_by_what_the_customer_says() -> None:
    for seed in range(100):
        for scenario in pair("train", seed, "two_orders"):
            assert scenario.goal.order_id == ""
            orders = [line[1] for line in scenario.world.order_items if line[3] in scenario.goal.titles]
            assert orders == [scenario.goal.true_order_id]


def test_a_slip_is_wrong_and_the_customer_knows_better() -> None:
    for seed in range(100):
        scenario, _ = pair("train", seed, "wrong_house_number")
        goal = scenario.goal
        (slip,), ((slot, right),) = goal.slips, goal.details
        assert slip.slot == slot == "new_address"
        assert parts(slip.text)[0] == parts(right)[0].replace(slip.right, slip.wrong, 1) != parts(right)[0]
        assert parts(slip.text)[1:] == parts(right)[1:]
        assert not set(goal.mistaken) & set(goal.values)
        assert set(goal.mistaken) <= set(episode_inventory(scenario).own)


def test_the_new_postal_code_is_never_that_of_the_account() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            account = next(row[4] for row in scenario.world.addresses if row[1] == scenario.customer.customer_id)
            for _, text in (*scenario.goal.details, *scenario.goal.seconds):
                assert parts(text)[2] not in (account, scenario.customer.postal_code)


def test_every_kind_and_every_end_occurs_in_train_and_changes_are_about_half() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(3000)]
    assert {scenario.kind for scenario in scenarios} == {kind.name for kind in KINDS}
    ends = Counter(scenario.outcome.verdict for scenario in scenarios)
    assert set(ends) == {"address_change", "refuse", "transfer"}
    plain = sum(s.outcome.verdict == "address_change" and not s.outcome.grounds for s in scenarios)
    assert 0.45 < plain / 3000 < 0.55


def test_no_single_reason_of_refusal_settles_more_than_a_twentieth_of_the_scenarios() -> None:
    scenarios = [FAMILY.draw("train", index, index // 2) for index in range(4000)]
    lone = Counter(ground for s in scenarios if s.outcome.verdict == "refuse" for ground in s.outcome.grounds[0])
    assert len(lone) == 10
    assert max(lone.values()) / 4000 <= 0.05


def test_the_delay_is_never_as_long_as_the_window() -> None:
    # "2 days later" must not be taken for the window, nor the other way round.
    parameters = read_yaml("address_change", "family.yaml")
    every = {
        name: {value for split in SPLITS for value in values[split]} for name, values in parameters["rules"].items()
    }
    assert not every["change_window_days"] & every["delay_days"]


def test_days_and_dates_of_a_world_fit_together() -> None:
    for seed in range(300):
        for scenario in pair("train", seed):
            today = date.fromisoformat(scenario.today)
            for _, _, _, shipped, expected, delivered in scenario.world.shipments:
                assert date.fromisoformat(shipped) <= today
                assert delivered is None or date.fromisoformat(shipped) < date.fromisoformat(delivered) < today
                assert delivered is not None or date.fromisoformat(expected) > today


# --- the card -------------------------------------------------------------------------------------


def test_the_kinds_their_shares_and_their_ends_on_the_card_are_those_of_the_generator() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) % \| (\w+) \| (\w+) \| ", CARD, re.MULTILINE)
    weights = kind_weights("address_change")
    total = sum(weights.values())
    assert {kind: share for kind, share, *_ in rows} == {kind: f"{100 * w / total:.1f}" for kind, w in weights.items()}
    assert {kind: (base, twin) for kind, _, base, twin in rows} == ENDS


def test_the_ends_occur_as_often_as_the_card_says() -> None:
    told = re.search(r"a change \((\d+) %.*?reason \((\d+) %\).*?person \((\d+) %\)", CARD)
    assert told is not None
    ends = Counter(FAMILY.draw("train", index, index // 2).outcome.verdict for index in range(4000))
    for verdict, percent in zip(("address_change", "refuse", "transfer"), map(int, told.groups()), strict=True):
        assert 100 * ends[verdict] / 4000 == pytest.approx(percent, abs=2)


def test_customers_of_a_split_say_nothing_that_another_split_says() -> None:
    for section in read_yaml("address_change", "phrases.yaml").values():
        for name, entry in section.items():
            blocks = [set(entry[block].splitlines()) for block in ("train", "dev", "test") if block in entry]
            assert sum(map(len, blocks)) == len(set().union(*blocks)) or not blocks, name
