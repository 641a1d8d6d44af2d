"""The Exchange policy as pure functions, with numbers worked out by hand."""

import pytest

from ss_gym.commerce.records import ItemFacts, OrderFacts, PaymentFacts
from ss_gym.families.exchange import (
    ExchangeRules,
    OptionFacts,
    Wish,
    compile_outcome,
    decide_item,
    grounds_against,
    grounds_against_option,
)

RULES = ExchangeRules(
    exchange_window_days=30,
    final_sale_days=7,
    fault_window_days=60,
    transfer_limit_cents=20_000,
    refund_days=5,
)


def item(**facts: object) -> ItemFacts:
    return ItemFacts("10000-1", "V1", "hoodie", "clothing", 4_500, False, "ordered")._replace(**facts)


@pytest.mark.parametrize(
    ("facts", "reason", "days", "grounds"),
    [
        ({}, "changed_mind", 30, set()),
        ({}, "changed_mind", 31, {"window"}),
        ({}, "damaged", 60, set()),
        ({}, "defective", 61, {"window"}),
        ({"final_sale": True}, "changed_mind", 7, set()),
        ({"final_sale": True}, "changed_mind", 8, {"final_sale"}),
        ({"final_sale": True}, "changed_mind", 31, {"final_sale", "window"}),
        ({"final_sale": True}, "damaged", 31, set()),
        ({"final_sale": True}, "damaged", 61, {"final_sale", "window"}),
        ({"category": "gift_card"}, "damaged", 1, {"gift_card_item"}),
        ({"category": "gift_card"}, "changed_mind", 31, {"gift_card_item", "window"}),
        ({"status": "exchanged"}, "damaged", 1, {"already_exchanged"}),
        ({"status": "refunded", "final_sale": True}, "changed_mind", 99, {"already_exchanged"}),
    ],
)
def test_reasons_against_an_exchange(facts: dict, reason: str, days: int, grounds: set) -> None:
    assert grounds_against(item(**facts), reason, days, RULES) == grounds


@pytest.mark.parametrize(
    ("price", "quantity", "grounds"),
    [
        (4_500, 1, set()),
        (4_500, 0, {"out_of_stock"}),
        (4_501, 1, {"other_price"}),
        (4_499, 0, {"out_of_stock", "other_price"}),
    ],
)
def test_reasons_against_an_option(price: int, quantity: int, grounds: set) -> None:
    assert grounds_against_option(OptionFacts("V2", price, quantity), 4_500) == grounds


OWN, WANTED, OTHER = OptionFacts("V1", 4_500, 9), OptionFacts("V2", 4_500, 1), OptionFacts("V3", 4_500, 1)
GONE = WANTED._replace(quantity=0)
NONE = OTHER._replace(quantity=0)
STOCK, EITHER = frozenset(("out_of_stock",)), frozenset(("out_of_stock", "other_price"))


@pytest.mark.parametrize(
    ("options", "second", "facts", "takes_refund", "remedy"),
    [
        ((OWN, WANTED, OTHER), "", {}, True, ("exchange", "V2", ())),
        ((OWN, GONE, OTHER), "V3", {}, True, ("other_option", "V3", (STOCK,))),
        # Whoever wants none of what there is keeps the item: a refund is for shelves that are empty.
        ((OWN, GONE, OTHER), "", {}, True, ("refuse", "", (STOCK,))),
        ((OWN, GONE, NONE), "V3", {}, True, ("refund", "", (STOCK,))),
        ((OWN, GONE, NONE), "", {}, False, ("refuse", "", (STOCK,))),
        # Its own option, which is there, is nothing to exchange it for; nor is one that costs more.
        ((OWN, GONE, OTHER._replace(price_cents=5_000)), "V3", {}, True, ("refund", "", (STOCK, EITHER))),
        (
            (OWN, WANTED._replace(price_cents=5_000), NONE),
            "",
            {},
            True,
            ("refund", "", (frozenset(("other_price",)), EITHER)),
        ),
        (
            (OWN, GONE, NONE),
            "",
            {"final_sale": True},
            True,
            ("refuse", "", (STOCK, frozenset(("out_of_stock", "final_sale")))),
        ),
    ],
)
def test_what_an_item_gets(options: tuple, second: str, facts: dict, takes_refund: bool, remedy: tuple) -> None:
    wish = Wish("10000-1", "V2", second, options)
    assert decide_item(item(**facts), wish, "changed_mind", 5, RULES, takes_refund) == remedy


def test_that_a_final_sale_is_too_late_may_be_told_but_is_not_enough() -> None:
    wish = Wish("10000-1", "V2", "", (OWN, WANTED, OTHER))
    found = decide_item(item(final_sale=True), wish, "changed_mind", 8, RULES, True)
    assert found.grounds == (frozenset(("final_sale",)), frozenset(("final_sale", "window")))


def order(*prices: int, status: str = "delivered") -> OrderFacts:
    items = tuple(item(item_id=f"10000-{n}", price_cents=price) for n, price in enumerate(prices, 1))
    delivered = "2025-03-01" if status == "delivered" else None
    payments = (
        PaymentFacts("10000-P1", "gift_card", "gift card", 1_000, 0),
        PaymentFacts("10000-P2", "card", "Visa", sum(prices) - 1_000, 0),
    )
    return OrderFacts("10000", "C1", status, delivered, "2025-03-09", items, payments)


def outcome(facts: OrderFacts | None, quantity: int = 1, verified: bool = True, customer: str = "C1"):
    wishes = [
        Wish(
            one.item_id,
            "V2",
            "",
            (OptionFacts("V1", one.price_cents, 1), OptionFacts("V2", one.price_cents, quantity)),
        )
        for one in (facts.items if facts else ())
    ]
    return compile_outcome(facts, verified, customer, wishes, "changed_mind", True, RULES, "2025-03-06")


def test_items_are_exchanged_up_to_the_limit_together() -> None:
    found = outcome(order(12_000, 8_000))  # 200.00, the limit itself
    assert found.effects == {
        ("exchange", "10000-1", "V2"),
        ("item", "10000-1", "exchanged"),
        ("exchange", "10000-2", "V2"),
        ("item", "10000-2", "exchanged"),
    }
    assert found.consents == (("exchange", {"10000-1", "10000-2"}, 0),)
    assert outcome(order(12_000, 8_001)).effects == {("ticket", "exchange_over_limit")}


def test_a_refund_goes_to_the_gift_card_first() -> None:
    found = outcome(order(4_500), quantity=0)
    assert (found.verdict, found.grounds) == ("refund", (STOCK,))
    assert found.effects == {
        ("item", "10000-1", "refunded"),
        ("refund", "10000-P1", 1_000),
        ("refund", "10000-P2", 3_500),
    }
    assert found.facts == (("money", 4_500, "refund"), ("days", 5, "arrival"))
    assert found.consents == (("refund", {"10000-1"}, 4_500),)


def test_what_is_refused_before_any_item_is_looked_at() -> None:
    assert outcome(None).grounds == ({"not_found"},)
    assert outcome(order(4_500), customer="C2").grounds == ({"not_found"},)
    assert outcome(order(4_500), verified=False).grounds == ({"not_verified"},)
    found = outcome(order(4_500, status="shipped"))
    assert (found.grounds, found.facts) == (({"not_delivered"},), (("date", "2025-03-09", "delivery"),))
