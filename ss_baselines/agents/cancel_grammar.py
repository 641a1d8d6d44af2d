"""The words of the reference agent at the cancellation desk."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import CHECKED, COMMON_GRAMMAR, CONSENT, DONE, FOUND, MORE, REGRET, SORRY
from ss_baselines.agents.phrasing import Grammar

CANCEL_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "propose_cancel": (
        FOUND,
        (
            "I can cancel the {titles}; {amount} would go back to how you paid. ",
            "I would cancel the {titles}, and {amount} goes back to how you paid. ",
            "I can cancel your {titles} and you get {amount} back the way you paid. ",
            "I could cancel the {titles}: you would get back {amount}. ",
            "The {titles} can still be cancelled, and you would get {amount} back. ",
            "You would get {amount} back if I cancel the {titles}. ",
        ),
        CONSENT,
    ),
    "cancelled": (
        DONE,
        (
            "I have cancelled the {titles}. ",
            "I've cancelled your {titles}. ",
            "The {titles} has been cancelled. ",
            "I have just cancelled the {titles} for you. ",
            "Your {titles} is now cancelled. ",
        ),
        (
            "You get {amount} back, which takes {days} business days.",
            "{amount} goes back to you and takes {days} business days to arrive.",
            "You will have {amount} back in {days} business days.",
            "Please allow {days} business days for the {amount} to arrive.",
        ),
        MORE,
    ),
    "refuse_shipped": (
        CHECKED,
        SORRY,
        (
            "I can't cancel the {titles}, because it has been shipped already. It is expected on {date}.",
            "the {titles} can't be cancelled any more: it was shipped. The expected delivery date is {date}.",
            "I cannot cancel the {titles}, since the order has already been sent. Delivery is expected on {date}.",
            "the {titles} is on its way to you, so I can't cancel it. It should arrive on {date}.",
        ),
        REGRET,
    ),
    "refuse_delivered": (
        CHECKED,
        SORRY,
        (
            "I can't cancel the {titles}, because it has been delivered already.",
            "the {titles} can't be cancelled any more: it was delivered.",
            "I cannot cancel the {titles}, since the order was already delivered.",
        ),
        REGRET,
    ),
    "refuse_already_cancelled": (
        CHECKED,
        SORRY,
        (
            "I can't cancel the {titles} again: it was already cancelled.",
            "the {titles} was already cancelled, so I can't cancel it a second time.",
            "I cannot cancel the {titles}, since it has been cancelled before.",
        ),
        REGRET,
    ),
    "refuse_gift_card_item": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be cancelled, because gift cards can't be cancelled.",
            "I can't cancel the {titles}: gift cards can't be cancelled.",
            "I cannot cancel the {titles}, since gift cards are sent at once.",
        ),
        REGRET,
    ),
    "refuse_final_sale": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be cancelled any more, because it was a final sale.",
            "I can't cancel the {titles}, since it was sold as final sale.",
            "I cannot cancel the {titles}: it is a final sale item, and it is too late for that.",
        ),
        REGRET,
    ),
    "refuse_window": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be cancelled, because the cancellation window of {window} days has passed.",
            "I can't cancel the {titles}: the cancellation window of {window} days is over.",
            "I cannot cancel the {titles}, since it was ordered more than {window} days ago.",
            "it is too late to cancel the {titles}: that is possible up to {window} days after the order only.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account, so I can't cancel it.",
            "I could not find such an order on your account, so a cancellation is not possible.",
            "there is no such order on your account, so I cannot cancel it.",
            "I cannot cancel it, because this order can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't cancel anything, because I could not verify you.",
            "I cannot help with a cancellation, since I could not verify your identity.",
            "without a successful verification I can't cancel anything.",
            "I can't cancel it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
