from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.users.acts import Act, Value
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

OWN = {
    ("order_id", "48213"),
    ("item_id", "48213-1"),
    ("payment_id", "48213-p1"),
    ("customer_id", "c4821"),
    ("title", "wool scarf"),
    ("title", "cast iron pan"),
    ("name", "ada abara"),
    ("email", "ada.abara@example.com"),
    ("postal_code", "ab43xy"),
    ("city", "ashbury"),
    ("money", 2000),
    ("date", "2025-03-04"),
}
INVENTORY = Inventory(
    own=OWN,
    other={("order_id", "50001"), ("title", "rain coat"), ("email", "bela@example.com"), ("name", "bela chen")},
    policy={("days", 30), ("days", 5), ("percent", 15), ("date", "2025-04-03")},
)


def values(text: str, inventory: Inventory = INVENTORY) -> list[Value]:
    """The values of a message, each once, in order."""
    acts = load_understanding().read(text, inventory)
    return list(dict.fromkeys(value for act in acts for value in act.values))


def found(text: str) -> list[tuple[str, int | str]]:
    return [(value.kind, value.value) for value in values(text)]


@pytest.mark.parametrize(
    ("written", "cents"),
    [
        ("$20", 2000),
        ("$20.00", 2000),
        ("$ 20.50", 2050),
        ("20.00", 2000),
        ("20 dollars", 2000),
        ("20.00 dollars", 2000),
        ("USD 20.00", 2000),
        ("USD 20", 2000),
        ("20 USD", 2000),
        ("US$20.00", 2000),
        ("twenty dollars", 2000),
        ("$1,234.50", 123450),
        ("1,234.50", 123450),
        ("$20,00", 2000),
        ("**$20.00**", 2000),
        ("($20.00)", 2000),
        ("$20.00.", 2000),
        ("$20.00,", 2000),
    ],
)
def test_money_is_read_in_cents(written: str, cents: int) -> None:
    assert found(f"The amount is {written} for this") == [("money", cents)]


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("2025-03-04", "2025-03-04"),
        ("March 4, 2025", "2025-03-04"),
        ("March 4 2025", "2025-03-04"),
        ("March 4th, 2025", "2025-03-04"),
        ("Mar 4, 2025", "2025-03-04"),
        ("4 March 2025", "2025-03-04"),
        ("4th of March 2025", "2025-03-04"),
        ("the 4th of March, 2025", "2025-03-04"),
        ("03/04/2025", "2025-03-04"),
        ("3/4/25", "2025-03-04"),
        ("2025/03/04", "2025-03-04"),
        ("March 4", "2025-03-04"),
        ("4 March", "2025-03-04"),
        ("December 24", "--12-24"),
        ("25/12/2025", "2025-12-25"),
    ],
)
def test_dates_are_read_as_iso_with_the_known_year_if_none_is_written(written: str, date: str) -> None:
    assert found(f"It was delivered on {written} to you") == [("date", date)]


def test_a_date_that_reads_both_ways_is_the_one_that_is_known() -> None:
    # 4 March is known, and so is 3 April: the American order wins where both are.
    assert found("It came on 03/04/2025")[0] == ("date", "2025-03-04")
    assert found("It came on 04/03/2025")[0] == ("date", "2025-04-03")
    only_march = Inventory({("date", "2025-03-04")})
    assert values("It came on 04/03/2025", only_march) == [Value("date", "2025-03-04", "own")]


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("30 days", [30]),
        ("30-day window", [30]),
        ("thirty days", [30]),
        ("forty-five days", [45]),
        ("five business days", [5]),
        ("5 working days", [5]),
        ("3-5 business days", [3, 5]),
        ("3–5 business days", [3, 5]),
        ("5 to 7 business days", [5, 7]),
        ("two weeks", [14]),
        ("day 30", [30]),
    ],
)
def test_spans_of_time_are_read_in_days(written: str, days: list[int]) -> None:
    assert found(f"It takes {written} in all") == [("days", number) for number in days]


@pytest.mark.parametrize("written", ["15%", "15 %", "15 percent", "15 per cent", "fifteen percent"])
def test_percents(written: str) -> None:
    assert found(f"The fee is {written}.") == [("percent", 15)]


@pytest.mark.parametrize("written", ["48213", "#48213", "# 48213", "order 48 213", "no. 48213", "**48213**", "(48213)"])
def test_order_numbers(written: str) -> None:
    assert ("order_id", "48213") in found(f"I found order {written} here.")


def test_ids_names_and_places_are_known_by_the_inventory() -> None:
    text = "Ada Abara (C4821, ada.abara@example.com) of Ashbury, AB4 3XY: item 48213-1, paid as 48213-P1"
    assert values(text) == [
        Value("name", "ada abara", "own"),
        Value("customer_id", "c4821", "own"),
        Value("email", "ada.abara@example.com", "own"),
        Value("city", "ashbury", "own"),
        Value("postal_code", "ab43xy", "own"),
        Value("item_id", "48213-1", "own"),
        Value("payment_id", "48213-p1", "own"),
    ]


def test_an_item_is_known_by_its_title_or_by_its_last_word_after_an_article() -> None:
    assert found("The cast iron pan and the wool scarf") == [("title", "cast iron pan"), ("title", "wool scarf")]
    assert found("I see the scarf and your pan") == [("title", "wool scarf"), ("title", "cast iron pan")]
    assert found("We sell scarf pins") == []


def test_the_owner_of_a_value() -> None:
    own, other, policy, unknown = values("Orders 48213 and 50001, 30 days, order 77777.")
    assert (own.owner, other.owner, policy.owner, unknown.owner) == ("own", "other", "policy", "unknown")


def test_own_comes_before_policy_and_policy_before_other() -> None:
    inventory = Inventory({("money", 1)}, {("money", 1), ("money", 2)}, {("money", 1), ("money", 2)})
    assert [value.owner for value in values("$0.01 and $0.02", inventory)] == ["own", "policy"]


def test_values_keep_to_their_sentence() -> None:
    acts = load_understanding().read("The scarf was $24.90. It came on 2025-03-04.", INVENTORY)
    assert [(act.sentence, [value.kind for value in act.values]) for act in acts] == [
        (0, ["title", "money"]),
        (1, ["date"]),
    ]


@pytest.mark.parametrize("text", ["e.g. the scarf", "It is order no. 48213", "approx. $20.00 in all"])
def test_abbreviations_end_no_sentence(text: str) -> None:
    assert {act.sentence for act in load_understanding().read(text, INVENTORY)} <= {0}


def test_plain_numbers_are_no_values() -> None:
    assert found("There are 2 items in 1 order, in size 42.") == []


@given(st.integers(0, 10**7))
def test_any_amount_is_read_back(cents: int) -> None:
    assert found(f"That makes ${cents // 100:,}.{cents % 100:02d} for you")[0] == ("money", cents)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    load_understanding().read(text, INVENTORY)


@pytest.mark.parametrize(
    "piece",
    [
        "1.",
        "9",
        " ",
        "a",
        "a@",
        "a.",
        "\t",
        "\n",
        "$9",
        "1/",
        "1-",
        "9,",
        "a'",
        "٣",
        "²",
        "½",
        "🙂",
        "\u202e",
        "\x00",
        "(",
        "?!",
        "no. ",
        "day 9",
        "$",
        "#",
        "@",
    ],
)
def test_odd_and_endless_text_is_read_without_an_error(piece: str) -> None:
    acts = load_understanding().read(piece * (100_000 // len(piece)), INVENTORY)
    assert all(isinstance(act, Act) for act in acts)


def test_a_message_without_end_gives_no_more_acts_than_a_person_reads() -> None:
    text = "I can refund $20. I can offer $30 store credit instead. Is that ok? " * 1500
    assert len([act for act in load_understanding().read(text, INVENTORY) if act.kind != "inform"]) < 10_000


@pytest.mark.parametrize("text", ["5.5.5%", "1,2,3 percent", "6.5,7", "12.p5", "12.p5usd", "91.p3%"])
def test_a_number_with_several_points_is_no_value_and_no_error(text: str) -> None:
    assert found(text) == []
    assert found(f"I can refund {text} and then $20.00.") == [("money", 2000)]


@given(st.text(st.sampled_from("0123456789.,-/p$#%@ '\n?!:;()abde"), max_size=40))
def test_no_jumble_of_digits_and_marks_is_an_error(text: str) -> None:
    for value in values(text):
        assert value.value != ""
