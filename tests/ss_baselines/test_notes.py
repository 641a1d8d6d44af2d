"""What an agent notes for itself is what the tools showed."""

from __future__ import annotations

import itertools
import re

import pytest

from ss_baselines.agents.notes import findings, limit_check, listing
from ss_baselines.tiny.demonstrations import episodes
from ss_gym.commerce.records import Rules
from ss_gym.dialogue.case import Case, Line, Order

TERMS = Rules(30, 60, 90, 15, 50_000, 5)
LAMP = Line("48213-1", "table lamp", 1_999, "home", False, "ordered")
VOUCHER = Line("48213-2", "birthday gift card", 5_000, "gift_card", False, "ordered")
BOOTS = Line("48213-3", "hiking boots", 8_900, "shoes", True, "ordered")
REFUNDED = Line("48213-4", "yoga mat", 2_500, "sports", True, "refunded")


def case(days: int | None, *wanted: Line, reason: str = "changed_mind") -> Case:
    order = Order("48213", "C4821", "delivered", wanted, (("48213-P1", "Visa 1234"),), days, "2025-07-03")
    return Case(TERMS, reason=reason, order=order, wanted=wanted)


@pytest.mark.parametrize(
    ("days", "reason", "windows"),
    [
        (30, "changed_mind", "return 30 of 30: in"),
        (31, "changed_mind", "return 31 of 30: over, credit 31 of 60: in"),
        (61, "changed_mind", "return 61 of 30: over, credit 61 of 60: over"),
        (9, "damaged", "return 9 of 30: in, damage 9 of 90: in"),
        (91, "defective", "return 91 of 30: over, credit 91 of 60: over, damage 91 of 90: over"),
    ],
)
def test_days_stand_beside_the_windows_that_matter(days: int, reason: str, windows: str) -> None:
    assert findings(case(days, LAMP, reason=reason)) == f"table lamp 1 19.99, {windows}"


def test_what_is_special_about_an_item_stands_behind_it() -> None:
    note = findings(case(3, LAMP, VOUCHER, BOOTS, REFUNDED))
    assert note == (
        "table lamp 1 19.99, birthday gift card 2 50.00 gift card, hiking boots 3 89.00 final sale, "
        "yoga mat 4 25.00 refunded, return 3 of 30: in"
    )


def test_there_may_be_no_order_or_no_delivery() -> None:
    assert findings(Case(TERMS)) == "no order"
    assert findings(case(None, LAMP)) == "table lamp 1 19.99, not delivered"


def test_a_refund_is_weighed_against_the_limit() -> None:
    assert limit_check(case(3, LAMP), 50_000) == "limit 500.00 of 500.00: in"
    assert limit_check(case(3, LAMP), 50_001) == "limit 500.01 of 500.00: over"


def test_orders_are_read_up_to_what_is_wanted_or_to_the_end() -> None:
    orders = {"11111": ["yoga mat", "table lamp"], "22222": ["rug", "tea pot"]}
    assert listing(orders, {"yoga mat"}) == '11111["yoga mat'
    assert listing(orders, {"rug", "tea pot"}) == '11111["yoga mat","table lamp"],22222["rug'
    assert listing(orders, {"wool scarf"}) == '11111["yoga mat","table lamp"],22222["rug","tea pot"]'
    assert listing({}, {"rug"}) == ""


@pytest.mark.parametrize(("name", "takes_notes"), [("demonstrator", True), ("reference", False)])
def test_notes_are_thoughts_that_nobody_else_sees(name: str, takes_notes: bool) -> None:
    played = [conversation for conversation, _ in itertools.islice(episodes(name, first_seed=7), 20)]
    written = [completion.text for conversation in played for completion in conversation.completions.values()]
    assert any("<think>" in text for text in written) == takes_notes
    seen = [str(message["content"]) for conversation in played for message in conversation]
    assert not any("think>" in text or re.search(r"return \d+ of", text) for text in seen)
