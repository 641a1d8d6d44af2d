"""What an agent's words mean at the cancellation desk, and the constructions that any desk shares."""

from __future__ import annotations

import pytest

from ss_gym.users.acts import Act
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

ITEMS = Inventory(own={("title", "oak table"), ("title", "silk scarf")}, policy={("days", 9)})


def read(text: str, family: str = "cancel") -> tuple[Act, ...]:
    return load_understanding(family).read(text, ITEMS)


def grounds(text: str, family: str = "cancel") -> set[str]:
    return {act.ground for act in read(text, family) if act.kind == "refuse"}


def kinds(text: str, family: str = "cancel") -> set[tuple[str, str]]:
    return {(act.kind, act.verb) for act in read(text, family)}


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("The silk scarf can't be cancelled: codes of gift cards are emailed right away.", "gift_card_item"),
        ("No cancellation for the voucher, its code has been issued.", "gift_card_item"),
        ("It can't be cancelled, because it is a gift card and the code has gone out.", "gift_card_item"),
        ("The oak table: previously cancelled.", "already_cancelled"),
        ("The oak table was cancelled, and I can't do that one more time.", "already_cancelled"),
        ("A cancellation of the oak table is already in place.", "already_cancelled"),
        ("I can't cancel something that has been cancelled.", "already_cancelled"),
        ("The cancellation can't be repeated.", "already_cancelled"),
        ("More days than that have gone by, so I can't cancel it.", "window"),
        ("The time allowed for cancelling the oak table has run out.", "window"),
        ("We are past the day on which it could be cancelled.", "window"),
        ("It was ordered too many days ago to be cancelled.", "window"),
        ("Once an order has been dispatched, we can't cancel it.", "shipped"),
        ("I can't cancel it owing to the order having been delivered.", "delivered"),
        ("The reason why I can't cancel it is that order 48213 was shipped.", "shipped"),
        ("I am therefore unable to cancel it: it was shipped.", "shipped"),
        ("Your account doesn't show such an order.", "not_found"),
        ("The order you entered can't be found on your account.", "not_found"),
        ("Please understand that I can't go on, as I couldn't verify you.", "not_verified"),
        ("The check failed twice, so I must refuse.", "not_verified"),
    ],
)
def test_a_refusal_tells_its_ground(text: str, ground: str) -> None:
    assert grounds(text) == {ground}
    assert not {("propose", "cancel"), ("offer", "cancel"), ("confirm_done", "cancel")} & kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "I will look into this with you.",
        "We sent you the code for the verification.",
        "Good to know, thank you.",
        "You entered the order number.",
        "I have already found your order. Would you like the oak table cancelled?",
        "If it was cancelled already, I will tell you.",
        "The code of your gift card will be sent if you buy one.",
        "A new order can be cancelled as long as it has not been shipped.",
    ],
)
def test_what_refuses_nothing(text: str) -> None:
    assert grounds(text) == set()


def test_an_amount_by_the_way_it_was_paid_is_no_claim() -> None:
    assert kinds("I cancel the oak table, and $20.00 goes back the way it was paid. Is that okay?") == {
        ("inform", ""),
        ("propose", "cancel"),
    }


def test_a_fee_for_a_cancellation_is_no_cancellation() -> None:
    assert ("refuse", "cancel") not in kinds("There is no cancellation fee. Shall I cancel the oak table?")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The silk scarf can't be cancelled. It's a gift card. Shall I cancel the oak table for $20.00?", True),
        ("The silk scarf is next. It's on final sale. Shall I cancel the oak table for $20.00?", True),
        ("It's on final sale. Shall I cancel the oak table for $20.00?", False),
        ("I looked at the oak table. It's on final sale. Shall I cancel the oak table for $20.00?", False),
    ],
)
def test_a_fact_beside_a_proposal_refuses_only_another_item(text: str, kept: bool) -> None:
    refused = grounds(text)
    assert bool(refused & {"gift_card_item", "final_sale"}) == kept
    assert ("propose", "cancel") in kinds(text)


# --- constructions that every family shares -------------------------------------------------------


def test_there_is_nothing_i_can_cancel_is_no_offer() -> None:
    assert kinds("There is nothing I can cancel there.") == {("refuse", "cancel")}
    assert kinds("There is nothing we can exchange.", "exchange") == {("refuse", "exchange")}


def test_an_emoji_ends_a_sentence_before_a_capital_letter() -> None:
    assert grounds("Sorry \U0001f614 It's on final sale, so I can't refund it.", "refund") == {"final_sale"}
    assert len({act.sentence for act in read("I'd refund \U0001f600 it, shall I?", "refund")}) == 1


def test_unable_to_is_a_refusal_without_a_verb_before_it() -> None:
    assert ("refuse", "refund") in kinds("Unable to refund the oak table.", "refund")
    assert ("refuse", "refund") in kinds("I am thus not able to refund the oak table.", "refund")


def test_what_was_done_already_is_the_ground_of_its_own_remedy() -> None:
    assert grounds("Status: already paused.", "subscription") == {"already_paused"}
    assert grounds("Status: already active.", "subscription") == {"already_active"}
    assert grounds("Silk scarf: already refunded.", "refund") == {"already_refunded"}


def test_a_reason_after_not_is_not_denied() -> None:
    assert "window" in grounds("Unfortunately not: too many days have passed, so I can't refund it.", "refund")


def test_an_offer_of_more_help_asks_for_no_yes() -> None:
    [act] = [act for act in read("Can I do anything else for you?", "refund") if act.kind == "ask"]
    assert act.slot == "anything_else"
