"""The words of the reference agent at the warranty desk."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import (
    CHECKED,
    COMMON_GRAMMAR,
    CONSENT,
    DONE,
    FOUND,
    MORE,
    REGRET,
    SORRY,
    START,
)
from ss_baselines.agents.phrasing import Grammar

_FREE = (
    "",
    " It is free of charge.",
    " That costs you nothing.",
    " There is no charge for it.",
)

WARRANTY_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_reason": (
        START,
        (
            "Could you tell me what happened to it?",
            "Can you tell me how it failed?",
            "What is wrong with it?",
            "What happened to it?",
            "May I ask what went wrong?",
            "Could you describe the problem?",
        ),
        (
            "",
            " Then I can see what the warranty covers.",
            " I need it for the claim.",
            " Did it fail by itself, was there an accident, or is it worn?",
            " Was it a defect, an accident, or wear?",
        ),
    ),
    "propose_replacement": (
        FOUND,
        (
            "I can open a claim for a replacement of the {titles}. ",
            "I would open a warranty claim and replace the {titles}. ",
            "The {titles} can be replaced under the warranty. ",
            "I can send you a replacement for the {titles}. ",
            "We can replace your {titles}. ",
            "I can have the {titles} replaced for you. ",
        ),
        CONSENT,
    ),
    "replaced": (
        DONE,
        (
            "I have opened the claim for a replacement of the {titles}. ",
            "I've arranged a replacement for your {titles}. ",
            "The replacement of the {titles} has been arranged. ",
            "I have just ordered a replacement for the {titles}. ",
            "Your claim is open, and the {titles} will be replaced. ",
        ),
        (
            "It takes {days} business days.",
            "You will have it in {days} business days.",
            "Please allow {days} business days for it.",
            "That takes {days} business days.",
        ),
        MORE,
    ),
    "offer_repair": (
        (
            "What I can do is open a claim for a repair of the {titles}.",
            "I can offer you a repair of the {titles} instead.",
            "But we can repair the {titles} for you.",
            "However, I can have the {titles} repaired.",
            "I could open a claim to repair the {titles}.",
        ),
        _FREE,
        tuple(f" {question}" for question in CONSENT),
    ),
    "repaired": (
        DONE,
        (
            "I have opened the claim for a repair of the {titles}. ",
            "I've arranged the repair of your {titles}. ",
            "The repair of the {titles} has been arranged. ",
            "I have just booked the repair of the {titles}. ",
        ),
        (
            "It takes {days} business days.",
            "You will have it back in {days} business days.",
            "Please allow {days} business days for it.",
            "That takes {days} business days.",
        ),
        MORE,
    ),
    "refuse_not_delivered": (
        CHECKED,
        SORRY,
        (
            "I can't open a claim for the {titles} yet, because it is not delivered by our records. It is expected on "
            "{date}.",
            "a claim for the {titles} is not possible yet: the order has not been delivered, and the expected date is "
            "{date}.",
            "our records say that the {titles} has not been delivered, so I can't open a claim. Delivery is expected "
            "on {date}.",
        ),
        REGRET,
    ),
    "refuse_already_refunded": (
        CHECKED,
        SORRY,
        (
            "I can't open a claim for the {titles}, because it was already refunded.",
            "a claim for the {titles} is not possible: it has already been refunded.",
            "I cannot replace the {titles}, since you have already got your money back for it.",
        ),
        REGRET,
    ),
    "refuse_already_exchanged": (
        CHECKED,
        SORRY,
        (
            "I can't open a claim for the {titles}, because it was already exchanged.",
            "a claim for the {titles} is not possible: it has been exchanged before.",
            "I cannot replace the {titles}, since it was exchanged earlier and is no longer yours.",
        ),
        REGRET,
    ),
    "refuse_already_claimed": (
        CHECKED,
        SORRY,
        (
            "I can't open another claim for the {titles}, because there is one already.",
            "there has been a claim for the {titles} before, so I can't open a second one.",
            "a claim for the {titles} was already opened, and we can only take one claim an item.",
            "I cannot replace the {titles}, since a claim for it was made earlier.",
        ),
        REGRET,
    ),
    "refuse_gift_card_item": (
        CHECKED,
        SORRY,
        (
            "I can't open a claim for the {titles}, because gift cards have no warranty.",
            "the {titles} can't be replaced: gift cards come without a warranty.",
            "there is no warranty on gift cards, so I cannot replace the {titles}.",
        ),
        REGRET,
    ),
    "refuse_not_covered": (
        CHECKED,
        SORRY,
        (
            "I can't replace the {titles}, because accidents and wear are not covered by the warranty.",
            "the {titles} can't be replaced: the warranty only covers defects, not accidents or wear.",
            "I cannot open a claim for the {titles}, since the warranty doesn't cover accidents and wear.",
        ),
        REGRET,
    ),
    "refuse_warranty_over": (
        CHECKED,
        SORRY,
        (
            "I can't replace the {titles}, because the warranty has expired.",
            "the warranty of the {titles} is over, so I can't open a claim.",
            "I cannot open a claim for the {titles}, since the warranty has ended.",
            "the {titles} can't be replaced any more: the warranty has run out.",
        ),
        REGRET,
    ),
    "refuse_replace_period": (
        CHECKED,
        SORRY,
        (
            "I can't replace the {titles} any more, because the time for replacements is over.",
            "the {titles} can't be replaced: the replacement period of {window} days has passed.",
            "I cannot replace the {titles}, since it was delivered more than {window} days ago.",
            "it is too late to replace the {titles}: that is possible up to {window} days after delivery only.",
        ),
        ("",),
    ),
    "refuse_out_of_stock": (
        CHECKED,
        SORRY,
        (
            "I can't replace the {titles}, because it is out of stock.",
            "the {titles} can't be replaced: it is sold out.",
            "I cannot send a replacement for the {titles}, since there is none left in stock.",
            "the {titles} is out of stock, so I can't replace it.",
        ),
        ("",),
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account, so I can't open a claim.",
            "I could not find such an order on your account, so a replacement is not possible.",
            "there is no such order on your account, so I cannot replace anything.",
            "I cannot open a claim, because this order can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't open a claim, because I could not verify you.",
            "I cannot help with the warranty, since I could not verify your identity.",
            "without a successful verification I can't open a claim.",
            "I can't replace it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
