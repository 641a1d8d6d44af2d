"""What a yes is wanted to where the question does not say it, and other words of the warranty desk."""

from __future__ import annotations

import pytest

from ss_gym.users.acts import Act
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

ITEMS = Inventory(own={("title", "oak table"), ("title", "silk scarf")}, policy={("days", 9)})


def read(text: str, family: str = "warranty") -> tuple[Act, ...]:
    return load_understanding(family).read(text, ITEMS)


def proposed(text: str, family: str = "warranty") -> list[str]:
    return [act.verb for act in read(text, family) if act.kind == "propose"]


def grounds(text: str) -> set[str]:
    return {act.ground for act in read(text) if act.kind == "refuse"}


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("You are due a repair of the oak table. I would open a claim. Are you happy with that?", "repair"),
        ("The remedy for the oak table is a replacement. Shall I open the claim?", "replacement"),
        ("May I have your permission to open a claim? It would be for a repair.", "repair"),
        ("- Oak table: replacement\n\nDo I have your go-ahead?", "replacement"),
        (
            "The oak table can't be replaced, as it is sold out. What is left is a repair. Shall I open a claim?",
            "repair",
        ),
        ("I would have replaced it, but it's out of stock. Would you take a repair? With your yes I start.", "repair"),
    ],
)
def test_a_question_for_a_yes_is_about_what_is_said_to_be_due(text: str, verb: str) -> None:
    assert proposed(text) == [verb]


@pytest.mark.parametrize(
    "text",
    [
        "I understand that you want a replacement. Shall I open your order?",
        "You need a repair, I see. May I go on?",
        "If a replacement is due, you will hear from me. Shall I go ahead?",
        "A replacement may be due. Shall I look into it?",
        "To arrange a replacement I need to know the cause. What would you say it was?",
        "No replacement is possible. Is that okay?",
        "The replacement has been made. Is that okay?",
        "I can't replace it. Can I do anything else for you?",
    ],
)
def test_a_question_for_a_yes_is_about_nothing_else(text: str) -> None:
    assert proposed(text) == []


def test_a_desk_without_remedies_of_its_own_wants_an_amount() -> None:
    assert proposed("A refund is due. Is that okay?", "refund") == []


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("There's already been an exchange of the oak table, so a replacement isn't possible.", "already_refunded"),
        ("It can't be replaced, given that a refund has already come through.", "already_refunded"),
        ("I found an earlier claim for the oak table, so I can't open a further one.", "already_claimed"),
        ("A claim for the oak table is already in our records.", "already_claimed"),
        ("I can't open another one.", "already_claimed"),
        ("Gift cards are not covered by the warranty, so no claim can be opened.", "gift_card_item"),
        ("Claims are not available for gift cards.", "gift_card_item"),
        ("Our records don't show the order as delivered, so I can't open a claim.", "not_delivered"),
        ("A replacement is ruled out, because the replacement period is over.", "replace_period"),
    ],
)
def test_a_refusal_tells_its_ground(text: str, ground: str) -> None:
    assert grounds(text) == {ground}
