"""What an agent's sentences mean at the warranty desk: which period is over, what is not covered, what was before."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from ss_gym.families import load_family
from ss_gym.families.warranty_policy import WarrantyRules
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act
from ss_gym.users.inventory import episode_inventory
from ss_gym.users.understanding import load_understanding
from ss_gym.users.vocabulary import named

# A shop whose times are no other numbers of a scenario.
RULES = WarrantyRules(330, 500, 63, 78_000, 5, 16)


@cache
def scenario() -> Scenario:
    family = load_family("warranty")
    return next(s for seed in range(400) if (s := family.draw("train", 0, seed, "late")).goal.titles == ("table lamp",))


def read(text: str) -> list[Act]:
    return list(load_understanding("warranty").read(text, episode_inventory(replace(scenario(), rules=RULES))))


def grounds(text: str) -> set[str]:
    return {act.ground for act in read(text) if act.kind == "refuse" and act.ground}


def proposed(text: str) -> set[str]:
    return {act.verb for act in read(text) if act.kind == "propose"}


@pytest.mark.parametrize(
    "text",
    [
        "Your warranty has expired.",
        "The 330-day warranty is over, so I can't replace it.",
        "You are out of warranty.",
        "The guarantee ran out last month.",
        "Your table lamp is no longer covered.",
        "The warranty of 330 days has passed.",
        "Your table lamp falls outside the warranty period.",
        "It isn't under warranty any longer.",
        "It's past the 330 days of warranty.",
        "The warranty lasted 330 days.",
    ],
)
def test_that_the_warranty_is_over_is_never_taken_for_the_time_for_replacements(text: str) -> None:
    assert grounds(text) == {"warranty_over"}


@pytest.mark.parametrize(
    "text",
    [
        "Your table lamp is still under warranty, but the replacement period of 63 days is over.",
        "The warranty is still valid, but it's too late for a replacement.",
        "You're outside the 63-day replacement window, though your warranty is still active.",
        "It's beyond the 63 days for a new one; the warranty still gives you a free repair.",
        "Your table lamp was delivered 100 days ago, which is more than the 63 days we replace within.",
        "We only replace items within 63 days, so I can't send a new one.",
        "It is too late to replace the table lamp.",
    ],
)
def test_that_the_time_for_replacements_is_over_says_nothing_of_the_warranty(text: str) -> None:
    assert grounds(text) and grounds(text) <= {"replace_period", "window"}


@pytest.mark.parametrize(
    "text",
    [
        "Accidental damage and normal wear aren't covered by our warranty, so I can't open a claim.",
        "The warranty only covers manufacturing defects.",
        "Our warranty doesn't cover accidents.",
        "Accidents and wear fall outside the warranty, so I'm not able to replace it.",
        "Since you dropped it, I can't replace it.",
        "Wear and tear is excluded from the warranty.",
    ],
)
def test_accidents_and_wear_are_told(text: str) -> None:
    assert grounds(text) == {"not_covered"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The table lamp was already refunded.", "already_refunded"),
        ("You have already received a refund for the table lamp.", "already_refunded"),
        ("The table lamp has been exchanged before, so it is no longer yours.", "already_refunded"),
        ("A claim has already been filed for the table lamp.", "already_claimed"),
        ("I can't open a second claim.", "already_claimed"),
        ("There is already a claim on file for it.", "already_claimed"),
        ("The table lamp was already repaired on 2024-03-01.", "already_claimed"),
        ("Gift cards have no warranty, so I can't replace it.", "gift_card_item"),
        ("We have none left in stock, so a replacement isn't possible.", "out_of_stock"),
        ("Our records show that the table lamp hasn't been delivered yet.", "not_delivered"),
        ("Your order is still on its way, so I can't open a claim.", "not_delivered"),
    ],
)
def test_the_other_reasons_are_told(text: str, expected: str) -> None:
    assert grounds(text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "It's not out of warranty, so I can send a new one.",
        "The warranty covers defects, so I can replace your table lamp.",
        "It failed by itself and wasn't dropped, so it's covered: I can replace the table lamp. Okay?",
        "I have passed your warranty claim on to our warehouse. The replacement takes 5 business days.",
        "Your replacement table lamp should arrive in 5 business days.",
        "The new one is on its way; it takes 5 business days.",
        "Once we have received the table lamp, the repair takes 16 business days.",
    ],
)
def test_what_goes_well_tells_no_reason(text: str) -> None:
    assert grounds(text) == set()


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("I can open a claim for a replacement. Shall I go ahead?", "replacement"),
        ("Would you like me to send you a new table lamp?", "replacement"),
        ("We can swap your table lamp for a new one. Do you agree?", "replacement"),
        ("I can't replace it, but we can fix the table lamp for you. Is that OK?", "repair"),
        ("I can offer a repair instead of a replacement. Would you like that?", "repair"),
    ],
)
def test_a_proposal_names_its_remedy(text: str, verb: str) -> None:
    assert proposed(text) == {verb}


def test_only_a_ground_may_be_a_period() -> None:
    assert named({"G_OVER": "ground over period"}).periods
    for meaning in ("ground over time", "slot colour period", "ground over period more"):
        with pytest.raises(ValueError, match=r"must be remedy|no kind of value called period"):
            named({"G_OVER": meaning})
