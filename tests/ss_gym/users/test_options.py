"""Where the wish is about a size or colour: what agents say of it, as the customer understands it."""

from __future__ import annotations

import pytest

from ss_gym.users.acts import Act
from ss_gym.users.heard import Heard
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

INVENTORY = Inventory(
    {("title", "fleece hoodie"), ("option", "large"), ("money", 4500)},
    {("option", "medium"), ("option", "small"), ("option", "extra large")},
    {("days", 30), ("days", 9)},
)


def read(text: str) -> tuple[Act, ...]:
    return load_understanding("exchange").read(text, INVENTORY)


def options_of(act: Act | None) -> set[object]:
    return {value.value for value in act.values if value.kind == "option"} if act else set()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("I can swap your fleece hoodie for the large. Would you like me to do that?", {"large"}),
        ("Large is in stock! Shall I go ahead and exchange the fleece hoodie for it?", {"large"}),
        ("So that's the fleece hoodie swapped for a large, is that right?", {"large"}),
        ("Would it be okay if I exchanged the fleece hoodie for the extra large one?", {"extra large"}),
        ("We have medium and small in stock. Would you like one of those?", {"medium", "small"}),
        ("How about medium instead?", {"medium"}),
    ],
)
def test_an_exchange_is_proposed_for_an_option(text: str, options: set) -> None:
    proposal = Heard(read(text)).proposal
    assert proposal is not None and (proposal.verb, options_of(proposal)) == ("exchange", options)


@pytest.mark.parametrize(
    "text",
    [
        "You'd like to exchange the fleece hoodie for large, is that right?",
        "Large is sold out and there isn't another option at the same price.",
        "As a final sale item, it could be exchanged up to 9 days after delivery; that time has passed.",
        "It has been exchanged already; only one exchange is possible.",
    ],
)
def test_no_exchange_is_proposed(text: str) -> None:
    assert Heard(read(text)).proposal is None


@pytest.mark.parametrize(
    "text",
    [
        "Which size would you like instead?",
        "What would you like to exchange the fleece hoodie for?",
        "Do you have a particular colour in mind?",
        "Let me know the option that you want.",
    ],
)
def test_it_is_asked_which_one(text: str) -> None:
    assert Heard(read(text)).asked == ["preference"]


@pytest.mark.parametrize(
    ("text", "grounds"),
    [
        ("I'm afraid the large is out of stock.", {"out_of_stock"}),
        ("We don't have large any more. I can offer you medium instead.", {"out_of_stock"}),
        ("There's no large left.", {"out_of_stock"}),
        ("The large costs more than your fleece hoodie. Medium costs the same; would you like it?", {"other_price"}),
        ("Large is $56.25 rather than $45.00.", {"other_price"}),
        ("I can't exchange it for large, since the price is not the same.", {"other_price"}),
        ("The large is sold out, and no other option is available at the same price.", {"out_of_stock"}),
        # What is said of options that nobody asked for refuses nothing.
        ("Large is in stock, but medium is sold out. Shall I exchange it for large?", set()),
        ("The exchange costs nothing, and the large is at the same price. Shall I make it?", set()),
        ("Your exchange is complete, and the large will be on its way soon.", set()),
        ("I have exchanged it for large. It will arrive in three days.", set()),
        ("It was already exchanged, so I can't do it again.", {"already_exchanged"}),
        ("Store credit was issued for it before, so I can't exchange it.", {"already_exchanged"}),
    ],
)
def test_reasons_of_refusal(text: str, grounds: set) -> None:
    assert Heard(read(text)).grounds == grounds
