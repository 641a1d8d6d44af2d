from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.commerce.policy import FAULT_REASONS, days_between, decide, restocking_fee, split_refund
from ss_gym.commerce.records import REASONS, Decision, ItemFacts, OrderFacts, PaymentFacts, Reason, Rules

RULES = Rules(30, 60, 90, 15, 50_000, 5)
DELIVERED = "2025-01-01"


def item(number: int = 1, **changes: Any) -> ItemFacts:
    usual = ItemFacts(f"1-{number}", f"V{number}", "wool scarf", "clothing", 2490, False, "ordered")
    return usual._replace(**changes)


def order(*items: ItemFacts, gift_card: int = 0, **changes: Any) -> OrderFacts:
    total = sum(i.price_cents for i in items)
    payments = [PaymentFacts("1-P2", "card", "Visa 1234", total - gift_card, 0)]
    if gift_card:
        payments.append(PaymentFacts("1-P1", "gift_card", "gift card", gift_card, 0))
    usual = OrderFacts("1", "C1", "delivered", DELIVERED, DELIVERED, tuple(items), tuple(payments))
    return usual._replace(**changes)


def on_day(day: int) -> str:
    return (date.fromisoformat(DELIVERED) + timedelta(days=day)).isoformat()


def outcome(
    facts: OrderFacts,
    reason: Reason = "changed_mind",
    day: int = 10,
    rules: Rules = RULES,
    others: tuple[str, ...] = (),
) -> Decision:
    return decide(facts, "C1", [i.item_id for i in facts.items], reason, rules, on_day(day), lambda _: others)


def only(decision: Decision) -> tuple[str, int, int, str]:
    (one,) = decision.items
    return one.remedy, one.amount_cents, one.fee_cents, one.ground


def test_nobody_verified_gets_nothing():
    assert decide(order(item()), None, ["1-1"], "damaged", RULES, on_day(1), lambda _: ()).ground == "not_verified"


def test_a_missing_order_and_somebody_elses_order_get_the_same_answer():
    missing = decide(None, "C1", ["1-1"], "damaged", RULES, on_day(1), lambda _: ())
    foreign = decide(order(item()), "C2", ["1-1"], "damaged", RULES, on_day(1), lambda _: ())
    assert missing == foreign == Decision("", "not_found", (), ())


@pytest.mark.parametrize("reason", REASONS)
def test_an_order_that_is_not_delivered_is_not_refunded(reason):
    facts = order(item(), status="shipped", delivered_on=None)
    assert outcome(facts, reason) == Decision("", "not_delivered", (), ())


def test_a_delivered_order_that_never_arrived_goes_to_a_human():
    assert outcome(order(item()), "not_received") == Decision("delivery_dispute", "", (), ())
    assert only(outcome(order(item(status="refunded")), "not_received"))[3] == "already_refunded"


@pytest.mark.parametrize("status", ["refunded", "credited", "exchanged"])
@pytest.mark.parametrize("reason", ["damaged", "changed_mind"])
def test_what_was_settled_once_is_not_settled_again(status, reason):
    assert only(outcome(order(item(status=status)), reason)) == ("none", 0, 0, "already_refunded")


@pytest.mark.parametrize("reason", sorted(set(REASONS) - {"not_received"}))
def test_gift_cards_are_not_refunded_for_any_reason(reason):
    facts = order(item(category="gift_card"))
    assert only(outcome(facts, reason, others=("V2",))) == ("none", 0, 0, "gift_card_item")


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (0, ("refund", 2490, 0, "")),
        (30, ("refund", 2490, 0, "")),
        (31, ("store_credit", 2490, 0, "window")),
        (60, ("store_credit", 2490, 0, "window")),
        (61, ("none", 0, 0, "window")),
    ],
)
def test_a_change_of_mind_by_day(day, expected):
    assert only(outcome(order(item()), day=day)) == expected


@pytest.mark.parametrize("reason", sorted(FAULT_REASONS))
@pytest.mark.parametrize("final_sale", [False, True])
@pytest.mark.parametrize("day", [0, 31, 90])
def test_the_shops_fault_is_refunded_in_full_up_to_the_damage_window(reason, final_sale, day):
    facts = order(item(final_sale=final_sale, category="electronics"))
    assert only(outcome(facts, reason, day)) == ("refund", 2490, 0, "")


def test_a_fault_reported_too_late_is_a_change_of_mind():
    assert only(outcome(order(item()), "damaged", 91)) == ("none", 0, 0, "window")
    assert only(outcome(order(item(final_sale=True)), "damaged", 91)) == ("none", 0, 0, "final_sale")
    short = replace(RULES, damage_window_days=5)
    assert only(outcome(order(item(category="electronics")), "defective", 6, short)) == ("refund", 2116, 374, "")


@pytest.mark.parametrize(
    ("day", "others", "expected"),
    [
        (30, ("V2",), ("exchange", 0, 0, "final_sale")),
        (30, (), ("none", 0, 0, "final_sale")),
        (31, ("V2",), ("none", 0, 0, "final_sale")),
    ],
)
def test_final_sale_is_exchanged_within_the_return_window_if_another_option_is_in_stock(day, others, expected):
    assert only(outcome(order(item(final_sale=True)), day=day, others=others)) == expected


def test_electronics_keep_a_fee_in_the_return_window_and_none_as_credit():
    facts = order(item(category="electronics", price_cents=14_900))
    assert only(outcome(facts, day=30)) == ("refund", 12_665, 2235, "")
    assert only(outcome(facts, day=31)) == ("store_credit", 14_900, 0, "window")


def test_the_transfer_limit_is_for_the_total_after_fees():
    def at(price: int) -> Decision:
        return outcome(order(item(price_cents=price)))

    assert at(50_000).transfer == ""
    assert at(50_001) == Decision("refund_over_limit", "", (), ())
    pair = order(item(1, price_cents=25_000), item(2, price_cents=25_001))
    assert outcome(pair).transfer == "refund_over_limit"
    with_fee = order(item(price_cents=58_000, category="electronics"))
    assert outcome(with_fee).refund_cents == 49_300
    assert outcome(with_fee, day=31).items[0].remedy == "store_credit"


def test_items_are_decided_one_by_one():
    facts = order(item(1), item(2, final_sale=True), item(3, status="refunded"), item(4, category="gift_card"))
    assert [i.ground for i in outcome(facts).items] == ["", "final_sale", "already_refunded", "gift_card_item"]
    assert outcome(facts).split == (("1-P2", 2490),)


def test_gift_cards_are_paid_back_first():
    assert outcome(order(item(), gift_card=1000)).split == (("1-P1", 1000), ("1-P2", 1490))
    assert outcome(order(item(1), item(2), gift_card=4000)).split == (("1-P1", 4000), ("1-P2", 980))


def test_what_was_paid_back_before_is_not_paid_again():
    payments = (PaymentFacts("P1", "card", "Visa", 3000, 0), PaymentFacts("P2", "gift_card", "gift card", 2000, 1500))
    assert split_refund(payments, 0) == ()
    assert split_refund(payments, 400) == (("P2", 400),)
    assert split_refund(payments, 3500) == (("P2", 500), ("P1", 3000))
    with pytest.raises(ValueError, match="1 cents more than what is left"):
        split_refund(payments, 3501)
    with pytest.raises(ValueError, match="negative"):
        split_refund(payments, -1)


def test_fees_round_half_up_per_item():
    assert restocking_fee(1990, 15) == 299  # 298.5
    assert restocking_fee(1010, 15) == 152  # 151.5
    assert restocking_fee(990, 15) == 149  # 148.5
    assert restocking_fee(333, 10) == 33  # 33.3
    assert restocking_fee(1000, 0) == 0
    two = order(item(1, category="electronics", price_cents=1990), item(2, category="electronics", price_cents=1010))
    assert outcome(two).refund_cents == 1990 - 299 + 1010 - 152


def test_days_cross_leap_days():
    assert days_between("2024-02-28", "2024-03-01") == 2
    assert days_between("2025-02-28", "2025-03-01") == 1
    assert days_between("2025-03-01", "2025-02-28") == -1


@pytest.mark.parametrize("item_ids", [[], ["1-1", "1-1"], ["1-1", "2-1"]])
def test_a_request_names_items_of_the_order_once(item_ids):
    with pytest.raises(ValueError, match="item"):
        decide(order(item()), "C1", item_ids, "changed_mind", RULES, on_day(1), lambda _: ())


def test_contradicting_dates_raise():
    with pytest.raises(ValueError, match="delivered, but its date is None"):
        outcome(order(item(), delivered_on=None))
    with pytest.raises(ValueError, match="2025-01-01 \\(today 2024-12-31\\)"):
        outcome(order(item()), day=-1)


prices = st.integers(min_value=1, max_value=200_000)
items = st.lists(
    st.builds(
        item,
        price_cents=prices,
        category=st.sampled_from(["clothing", "electronics", "gift_card"]),
        final_sale=st.booleans(),
        status=st.sampled_from(["ordered", "ordered", "ordered", "refunded", "credited", "exchanged"]),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: [one._replace(item_id=f"1-{n}", variant_id=f"V{n}") for n, one in enumerate(found, 1)])
rule_sets = st.builds(
    lambda window, credit, damage, fee, limit: Rules(window, window + credit, damage, fee, limit, 5),
    st.integers(1, 60),
    st.integers(0, 60),
    st.integers(1, 150),
    st.integers(0, 50),
    st.integers(1000, 600_000),
)


@settings(deadline=None)
@given(items, rule_sets, st.sampled_from(REASONS), st.integers(0, 160), st.floats(0, 1), st.booleans())
def test_whatever_the_request_the_money_adds_up(found, rules, reason, day, share, stocked):
    facts = order(*found)
    gift = int(facts.payments[0].amount_cents * share)
    back = sum(i.price_cents for i in found if i.status == "refunded")
    facts = order(*found, gift_card=gift)
    paid_back = dict(split_refund(facts.payments, back))
    payments = tuple(p._replace(refunded_cents=paid_back.get(p.payment_id, 0)) for p in facts.payments)
    facts = facts._replace(payments=payments)
    decision = outcome(facts, reason, day, rules, ("V9",) if stocked else ())
    assert decision.refund_cents == sum(cents for _, cents in decision.split) <= rules.transfer_limit_cents
    left = {p.payment_id: p.amount_cents - p.refunded_cents for p in facts.payments}
    assert all(0 < cents <= left[payment_id] for payment_id, cents in decision.split)
    by_id = {i.item_id: i for i in found}
    for one in decision.items:
        price = by_id[one.item_id].price_cents
        assert (one.remedy == "refund") == (one.ground == "")
        assert one.amount_cents + one.fee_cents == (price if one.remedy in ("refund", "store_credit") else 0)
        assert one.fee_cents == 0 or by_id[one.item_id].category == "electronics"
    assert not (decision.transfer or decision.ground) or (decision.items, decision.split) == ((), ())


@settings(deadline=None)
@given(prices, st.integers(0, 100))
def test_a_fee_is_the_nearest_cent_and_never_more_than_the_price(price, percent):
    fee = restocking_fee(price, percent)
    assert 0 <= fee <= price
    assert -50 < 100 * fee - price * percent <= 50


@settings(deadline=None)
@given(items, rule_sets, st.sampled_from(REASONS), st.integers(0, 160))
def test_waiting_never_makes_a_remedy_better(found, rules, reason, day):
    worth = {"refund": 3, "exchange": 2, "store_credit": 1, "none": 0}
    generous = replace(rules, transfer_limit_cents=10**9)
    today, tomorrow = (outcome(order(*found), reason, d, generous, ("V9",)) for d in (day, day + 1))
    assert all(worth[a.remedy] >= worth[b.remedy] for a, b in zip(today.items, tomorrow.items, strict=True))
