"""Constructions that any family's agents use, each in plain words: what is told, claimed and asked for."""

from __future__ import annotations

import pytest

from ss_gym.users.acts import Act
from ss_gym.users.heard import refusals
from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

OWN = {
    ("title", "oak shelf"),
    ("title", "gift card"),
    ("title", "rain coat"),
    ("option", "green"),
    ("money", 4500),
    ("date", "2025-03-10"),
    ("city", "ashbury"),
    ("street", "12 elm"),
}
INVENTORY = Inventory(OWN, {("option", "brown")}, {("days", 30), ("days", 8)})
OFFER = " I can exchange the rain coat for green. Shall I do that?"


def read(family: str, text: str) -> tuple[Act, ...]:
    return load_understanding(family).read(text, INVENTORY)


def grounds(family: str, text: str) -> set[str]:
    return {act.ground for act in refusals(read(family, text)) if act.ground}


def asked(family: str, text: str) -> set[str]:
    return {act.slot for act in read(family, text) if act.kind == "ask"}


def verbs(family: str, text: str, kind: str) -> set[str]:
    return {act.verb for act in read(family, text) if act.kind == kind}


@pytest.mark.parametrize(
    ("family", "text", "ground"),
    [
        # What a condition says counts once it is said to hold, in its sentence or in the next one.
        (
            "exchange",
            "Once a thing has been exchanged we can't exchange it, and that is the case here.",
            "already_exchanged",
        ),
        (
            "exchange",
            "We can't exchange what has been swapped before. That applies to the oak shelf.",
            "already_exchanged",
        ),
        # A participle with "already" is a state, however it hangs in the sentence.
        ("exchange", "With the oak shelf already swapped, I can't exchange it.", "already_exchanged"),
        ("exchange", "You've had the oak shelf swapped already, so no exchange.", "already_exchanged"),
        ("exchange", "It can't be exchanged, having already been exchanged.", "already_exchanged"),
        ("exchange", "I can't do it: the order lists it as exchanged.", "already_exchanged"),
        # "Before" and "in the past" make a completed action one of an earlier day.
        ("exchange", "We exchanged the oak shelf in the past, so I can't do that.", "already_exchanged"),
        ("exchange", "We exchanged that before.", "already_exchanged"),
        ("refund", "I can't refund it, as we'd refunded it before.", "already_refunded"),
        # "Again" of a verification is no second remedy.
        ("exchange", "I tried twice to verify you and it did not work, so I have to decline.", "not_verified"),
        ("exchange", "I can't go on: the verification failed twice.", "not_verified"),
        ("refund", "This is the second time that your details don't match, so I can't verify you.", "not_verified"),
        # Limits that are told as what can't be.
        ("exchange", "A broken thing can't be exchanged more than 30 days after delivery, I'm afraid.", "window"),
        ("exchange", "I can't, because the time we give for that has run out.", "window"),
        ("exchange", "Delivery is more than 8 days back, so I can't exchange it.", "window"),
        ("exchange", "It is too late to exchange the oak shelf.", "window"),
        # An exchange that is not to be had is no lack of stock.
        ("exchange", "Exchanges are not available for gift cards, so I can't.", "gift_card_item"),
        ("exchange", "Our rules exclude gift cards, so I can't exchange it.", "gift_card_item"),
        ("exchange", "I'd need the price to be the same, and it isn't, so I can't exchange it.", "other_price"),
        # A future delivery has not happened; days that go by do not ship.
        ("address_change", "It has been shipped and will probably be delivered on 2025-03-10.", "shipped"),
        ("address_change", "More than 30 days have gone by, so I can't change it.", "window"),
        ("address_change", "It was cancelled, so no delivery will take place and I can't change it.", "cancelled"),
        ("address_change", "That is a place we do not deliver to, so I can't send it there.", "no_delivery"),
        (
            "subscription",
            "It was cancelled already. It can't be paused, nor can it be ended again.",
            "already_cancelled",
        ),
        ("subscription", "In your account I can't find the subscription you mean.", "not_found"),
    ],
)  # fmt: skip
def test_a_refusal_tells_this_ground_and_no_other(family: str, text: str, ground: str) -> None:
    assert grounds(family, text) == {ground}


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("I can't exchange the oak shelf. It was exchanged already.", {"already_exchanged"}),
        ("I can't exchange the gift card. Gift cards do not qualify.", {"gift_card_item"}),
        (
            "It's a final sale. As delivery was over 8 days ago, I can't exchange the oak shelf.",
            {"final_sale", "window"},
        ),
    ],
)
def test_a_reason_beside_the_refusal_of_one_item_stands_although_another_is_exchanged(reason: str, found: set) -> None:
    assert grounds("exchange", reason + OFFER) == found


def test_a_rule_is_no_reason_where_nothing_else_is_refused() -> None:
    assert grounds("exchange", "Gift cards do not qualify." + OFFER) == set()
    assert grounds("exchange", "It is final sale, but since it is damaged I can exchange it for green.") == set()


@pytest.mark.parametrize(
    "text",
    [
        "Green is in stock and the price is the same.",
        "Green costs the same, the price stays equal.",
        "I swapped it for green, and it has gone through.",
        "Once it has been exchanged it can be worn.",
    ],
)
def test_what_is_in_order_is_no_ground(text: str) -> None:
    assert grounds("exchange", text) == set()


def test_of_other_options_nothing_is_said_against_the_one_that_is_refused() -> None:
    for rest in (
        "All other options are out of stock or at another price.",
        "I can't find anything else at the same price.",
        "There isn't another option at that price.",
        "Another option at the same price is not in stock.",
    ):
        assert grounds("exchange", "Green is sold out. " + rest) == {"out_of_stock"}, rest


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("subscription", "I have changed nothing on your plan."),
        ("subscription", "It is done, and there is nothing for you to pay."),
        ("address_change", "I have changed nothing on the order."),
        ("subscription", "I ended the pause on it, so it runs again."),
    ],
)
def test_what_was_not_done_is_neither_claimed_nor_a_reason(family: str, text: str) -> None:
    assert grounds(family, text) == set()
    assert not verbs(family, text, "confirm_done") & {"address_change", "unsubscribe", "pause"}


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("Here is the plan:\n- End the subscription\n- Fee: none\nIs that fine with you?", "unsubscribe"),
        ("I need your okay before I resume the subscription.", "resume"),
        ("Pause for two months, then. Good to go?", "pause"),
        ("What I would do is resume the subscription. Is that okay?", "resume"),
        ("I would then end the subscription. Shall I?", "unsubscribe"),
    ],
)
def test_what_a_yes_is_wanted_for_is_proposed(text: str, verb: str) -> None:
    assert verbs("subscription", text, "propose") == {verb}


def test_a_yes_to_something_of_several_is_no_consent_to_one_of_them() -> None:
    assert not verbs("subscription", "You spoke of a pause and of ending it for good. Good to go?", "propose")
    assert not verbs("subscription", "I have ended the subscription. Good to go?", "propose")


@pytest.mark.parametrize(
    ("family", "text", "slots"),
    [
        (
            "address_change",
            "Your e-mail and postal code don't match. Please give me both once more.",
            {"email", "postal_code"},
        ),
        (
            "address_change",
            "It must be your postal code, so please send me that and your e-mail.",
            {"email", "postal_code"},
        ),
        ("address_change", "What is your postal code?", {"postal_code"}),
        ("address_change", "Let me ask for your e-mail and postal code.", {"email", "postal_code"}),
        (
            "address_change",
            "I found no account with that. The new one won't do: please tell me the code of your account.",
            {"postal_code"},
        ),
        ("exchange", "Please tell me whether it is faulty or simply not the one you like.", {"reason"}),
    ],
)  # fmt: skip
def test_what_is_pointed_at_is_asked_for(family: str, text: str, slots: set) -> None:
    assert slots <= asked(family, text)


@pytest.mark.parametrize("text", ["We don't do refunds here.", "It is too late to refund it.", "I cannot refund it."])
def test_a_denied_remedy_is_refused_and_not_offered(text: str) -> None:
    acts = read("refund", text)
    assert {act.kind for act in acts} == {"refuse"} and {act.verb for act in acts} <= {"refund", ""}


def test_reading_an_address_back_asks_whether_it_is_right() -> None:
    assert "new_address" not in asked("address_change", "Is that the address you want?")


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("It should have been with you on 2025-03-10.", "delivery"),
        ("It is late: the date was 2025-03-10.", "delivery"),
        ("The delivery dates from 2025-03-10.", "delivered"),
        ("It is too late to look into a delivery of 2025-03-10.", "delivered"),
    ],
)
def test_a_date_is_that_of_the_event(text: str, event: str) -> None:
    acts = read("order_status", text)
    found = {act.slot for act in acts if act.slot and any(value.kind == "date" for value in act.values)}
    assert event in found and "placed" not in found and "late" not in found
