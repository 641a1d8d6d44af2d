import pytest

from ss_gym.commerce.draft import Line, OrderDraft, Person, SubscriptionDraft, WorldDraft, day
from ss_gym.commerce.records import PaymentFacts

OWNER = Person("C1000", "Ann Lee", "ann@mail.example", "1 Elm Road", "Leeds", "LS1 2AB")
TODAY = 739_000


def draft(gift_card_cents=0, statuses=("ordered", "ordered"), days=3):
    lines = [Line("V1", "wool scarf", "clothing", 2400), Line("V9", "desk lamp", "home", 3600)]
    for line, status in zip(lines, statuses, strict=True):
        line.status = status
    return OrderDraft("48213", OWNER, lines, days, 4, 2, gift_card_cents, ("card", "Visa 1234"), "UPS")


@pytest.mark.parametrize(
    ("gift", "statuses", "payments"),
    [
        (0, ("ordered", "ordered"), [("P1", "card", "Visa 1234", 6000, 0)]),
        (0, ("refunded", "ordered"), [("P1", "card", "Visa 1234", 6000, 2400)]),
        # What was refunded went to the gift card first: 1,000 of 2,400 cents.
        (
            1000,
            ("refunded", "ordered"),
            [("P1", "gift_card", "gift card", 1000, 1000), ("P2", "card", "Visa 1234", 5000, 1400)],
        ),
        (6000, ("ordered", "refunded"), [("P1", "gift_card", "gift card", 6000, 3600)]),
    ],
)
def test_payments_add_up_to_the_order_and_refunds_go_to_the_gift_card_first(gift, statuses, payments):
    expected = tuple(PaymentFacts(f"48213-{number}", *rest) for number, *rest in payments)
    assert draft(gift, statuses).payments() == expected


def test_an_order_on_its_way_has_an_expected_date_only():
    facts = draft(days=None).facts(TODAY)
    assert (facts.status, facts.delivered_on, facts.expected_on) == ("shipped", None, day(TODAY + 4))


def test_the_rows_of_a_world_are_those_of_its_people_and_orders():
    world = WorldDraft(TODAY, [OWNER], [draft(statuses=("refunded", "ordered"))]).world()
    assert world.customers == (("C1000", "Ann Lee", "ann@mail.example"),)
    assert [row[:4] for row in world.order_items] == [
        ("48213-1", "48213", "V1", "wool scarf"),
        ("48213-2", "48213", "V9", "desk lamp"),
    ]
    assert world.shipments == (("48213-S", "48213", "UPS", day(TODAY - 5), day(TODAY - 3), day(TODAY - 3)),)
    assert world.refunds == (("48213-P1-R", "48213", "48213-P1", 2400, "changed_mind", day(TODAY - 3)),)


def test_bought_warranties_earlier_claims_and_stock_are_rows_of_a_world():
    order = draft(days=90)
    order.lines[0].extended_warranty_days = 365
    order.lines[1].claim = ("repair", 20)
    world = WorldDraft(TODAY, [OWNER], [order], stock={"V9": 0}).world()
    assert world.extended_warranties == (("48213-1", 365),)
    assert world.claims == (("48213-2-W", "48213-2", "repair", day(TODAY - 20)),)
    assert world.stock == (("V9", 0),)


def test_the_rows_of_a_world_hold_its_subscriptions_in_the_order_of_the_schema():
    drawn = SubscriptionDraft(
        "70001", OWNER, "V50001", "espresso beans", 1890, "2024-11-05", "2025-02-05", "2025-05-05"
    )
    world = WorldDraft(TODAY, [OWNER], [], [drawn]).world()
    row = ("70001", "C1000", "V50001", "espresso beans", 1890, "active", "2024-11-05", "2025-02-05", "2025-05-05")
    assert world.subscriptions == (row,)
    assert world.orders == ()
