"""What scripted agents read out of a customer's message."""

from __future__ import annotations

import pytest

from ss_gym.dialogue.hearing import hear
from ss_gym.streams import Stream
from ss_gym.users.acts import CustomerAct
from ss_gym.users.persona import draw_persona
from ss_gym.users.wording import Wording

REASONS = ("changed_mind", "damaged", "wrong_item", "defective", "not_received")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("my order is 48213.", "48213"),
        ("it's 48 213, thanks", "48213"),
        ("order #48213", "48213"),
        ("I paid $48213.00", ""),
        ("call 0123456789", ""),
        ("a.b48213@mail.example", ""),
    ],
)
def test_order_numbers_are_told_from_other_numbers(text: str, number: str) -> None:
    assert hear(text).order_number == number


def test_email_and_postal_code_are_read_from_one_message() -> None:
    heard = hear("Sure: ada.khan7@mail.example and ab4 1cd.")
    assert (heard.email, heard.postal_code, heard.order_number) == ("ada.khan7@mail.example", "ab4 1cd", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is not damaged, I just changed my mind", "changed_mind"),
        ("they never arrived", "not_received"),
        ("that's not what arrived in my parcel... you sent me the wrong item", "wrong_item"),
        ("the screen doesn't work", "defective"),
        ("it came broken", "damaged"),
        ("Waiting for your reply", ""),
        ("I want my money back", ""),
    ],
)
def test_reasons_are_read_or_left_open(text: str, reason: str) -> None:
    assert hear(text).reason == reason


@pytest.mark.parametrize("text", ["Yes please", "ok, go ahead", "$24.00 works for me, yes", "sure, that's fine"])
def test_agreement(text: str) -> None:
    assert hear(text).agrees


@pytest.mark.parametrize(
    "text",
    [
        "no thanks",
        "ok, but how much is it?",
        "yes, but on my other card",
        "I don't think that's right",
        "are you sure?",
        "May I ask why it is less than $112.50?",
        "that's wrong, I paid $20.00",
    ],
)
def test_what_is_no_agreement(text: str) -> None:
    assert not hear(text).agrees


@pytest.mark.parametrize("text", ["store credit is fine", "I'll take the store credit", "make it store credit", "ok"])
def test_store_credit_is_taken(text: str) -> None:
    assert hear(text).takes_credit


@pytest.mark.parametrize("text", ["no store credit please", "keep your store credit", "I'll pss on the store credit"])
def test_store_credit_is_not_taken(text: str) -> None:
    assert not hear(text).takes_credit


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_no_customer_of_the_family_is_read_wrongly(split: str) -> None:
    """Unread is allowed, since the agent asks again; a wrong reason or a false yes is not."""
    wording = Wording.load("refund")
    unread = 0
    for number in range(150):
        stream, persona = Stream(number, split), draw_persona(Stream(number, split, "persona"), split)
        reason = REASONS[number % 5]
        told = wording.say(
            [CustomerAct("give_reason", {"reason": reason, "item": "table lamp"})], stream, persona, split
        )
        assert hear(told).reason in ("", reason), told
        unread += not hear(told).reason
        plainly = CustomerAct("plain_reason", {"reason": reason, "item": "table lamp"})
        assert hear(wording.say([plainly], stream, persona.without_noise(), split)).reason == reason
        for kind in ("no", "ask_amount", "ask_why", "push_back", "dispute_ground", "demand_card", "decline_credit"):
            refused = wording.say([CustomerAct(kind)], stream, persona, split)
            assert not hear(refused).agrees, refused
            assert not hear(refused).takes_credit, refused
    assert unread < 30
