"""How things are put rather than what they are called: plans, states, answers to one's own questions, headings."""

from __future__ import annotations

import pytest

from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

_RUG = Inventory(
    own={("title", "rug"), ("title", "lamp"), ("money", 2000), ("option", "blue"), ("date", "2025-05-03")},
    policy={("days", 7)},
)
_TOLD = ("ask", "propose", "offer", "confirm_done", "refuse")


def told(family: str, text: str) -> list[str]:
    """The acts of a message that do more than inform: what is asked, done, offered or refused, and why."""
    return [
        " ".join(filter(None, (act.kind, act.slot, act.verb, act.ground)))
        for act in load_understanding(family).read(text, _RUG)
        if act.kind in _TOLD
    ]


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("cancel", "The cancellation is prepared, with $20.00 to be paid back."),
        ("cancel", "If you want, I'll cancel it, and $20.00 will be on its way to your card."),
        ("cancel", "We could've cancelled it last week."),
        ("cancel", "The day by which it had to be cancelled is behind us."),
        ("cancel", "What keeps me from cancelling the rug is this: the order was made too long ago."),
        ("subscription", "I'd put it on hold for you."),
        ("subscription", "I'm all set to resume it."),
        ("warranty", "Let's have the rug repaired."),
        ("warranty", "What I can do:\n- have the rug repaired"),
        ("exchange", "Okay. Exchanged for…?"),
        ("address_change", "It would be sent to another address."),
    ],
)
def test_what_is_planned_or_possible_is_not_done(family: str, text: str) -> None:
    assert not [act for act in told(family, text) if act.startswith("confirm_done")]


@pytest.mark.parametrize(
    ("family", "text", "act"),
    [
        ("cancel", "I have cancelled the rug, with $20.00 going back to your card.", "confirm_done cancel"),
        ("subscription", "Your subscription is active now.", "confirm_done resume"),
        ("warranty", "The replacement of the rug is under way with an open claim.", "confirm_done replacement"),
        ("warranty", "Your replacement is on its way.", "confirm_done replacement"),
        ("exchange", "The rug has been exchanged. The lamp can't be exchanged.", "confirm_done exchange"),
    ],
)
def test_what_is_done_is_still_heard(family: str, text: str, act: str) -> None:
    assert act in told(family, text)


@pytest.mark.parametrize(
    ("family", "text", "acts"),
    [
        # A state beside a bare refusal is its reason, whichever comes first.
        ("subscription", "Your plan is active. I made no changes.", ["refuse already_active"]),
        ("subscription", "There's nothing for me to pause: your plan is on hold.", ["refuse pause already_paused"]),
        ("exchange", "The rug was exchanged. So I can't exchange it.", ["refuse exchange already_exchanged"]),
        # One's own question, answered.
        ("exchange", "Can the rug be exchanged? No, it is final sale.", ["refuse exchange final_sale"]),
        # A reason announced as one.
        ("cancel", "I can't cancel it. The reason: gift cards are sent by email.", ["refuse cancel gift_card_item"]),
        # A code is sent, not the order; an order that has gone out is.
        (
            "cancel",
            "I can't cancel it, as it's a gift card whose code you have been sent.",
            ["refuse cancel gift_card_item"],
        ),
        ("cancel", "Cancelling is not an option now that the parcel has gone out.", ["refuse cancel shipped"]),
        ("cancel", "It was cancelled before, so there's nothing left for me to cancel.", ["refuse already_cancelled"]),
        # What is on an account is no account.
        ("cancel", "That one doesn't come up when I search your account.", ["refuse not_found"]),
        ("address_change", "These details haven't found you.", ["refuse not_verified"]),
        ("address_change", "There is no parcel: it was cancelled, so nothing is on its way.", ["refuse cancelled"]),
        ("address_change", "A voucher? Your gift card is delivered by email.", ["refuse gift_card_item"]),
        ("warranty", "I can't open a claim: it didn't fail because of a defect.", ["refuse not_covered"]),
        ("warranty", "What happened is not under warranty.", ["refuse not_covered"]),
        ("warranty", "The rug's warranty has ended.", ["refuse warranty_over"]),
        ("order_status", "It's under way and not late.", []),
    ],
)
def test_reasons(family: str, text: str, acts: list[str]) -> None:
    assert told(family, text) == acts


@pytest.mark.parametrize(
    ("family", "text", "acts"),
    [
        ("cancel", "It's not too late to cancel the rug.", ["offer cancel"]),
        ("cancel", "You're not too late for the rug.", []),
        ("cancel", "No order is opened before we know you.", []),
        ("exchange", "I can't see orders without verifying you, so please send me your e-mail.", ["ask email"]),
        ("subscription", "Ending your plan.\n- Fee: none\n\nDo you confirm?", ["propose unsubscribe"]),
        ("subscription", "Please confirm: end of your subscription.", ["propose unsubscribe"]),
        ("warranty", "I'll open a repair claim if you say yes. So?", ["propose repair"]),
        ("warranty", "A repair is what the warranty still gives you. Do you want it?", ["propose repair"]),
        (
            "address_change",
            "Your e-mail and postal code don't go together. Shall we have another go? Please send me both.",
            ["ask email", "ask postal_code"],
        ),
    ],
)
def test_what_is_asked_and_offered(family: str, text: str, acts: list[str]) -> None:
    heard = told(family, text)
    assert [act for act in heard if act in acts] == acts
    assert not [act for act in heard if act.startswith(("refuse", "confirm_done"))] or "confirmation" in heard


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("It has been sent, and we are expecting 3 May 2025.", "delivery"),
        ("It has been sent, and 3 May 2025 is when it is due.", "delivery"),
        ("At the latest it gets sent on 3 May 2025.", "shipping"),
        ("It is too late for that: delivered on 3 May 2025.", "delivered"),
        ("It hasn't come on 3 May 2025, the day for which it was planned.", "delivery"),
    ],
)
def test_what_a_date_is_the_date_of(text: str, event: str) -> None:
    dated = [a.slot for a in load_understanding("order_status").read(text, _RUG) if a.slot and a.values]
    assert event in dated
