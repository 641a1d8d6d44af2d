"""The words of the reference agent at the desk for changes of address."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import (
    CHECKED,
    COMMON_GRAMMAR,
    CONSENT,
    DONE,
    FOUND,
    MORE,
    REGRET,
    REQUEST,
    SORRY,
    START,
)
from ss_baselines.agents.phrasing import Grammar

_PLACE = ("{street}, {city}, {postal_code}", "{street} in {city}, {postal_code}", "{street}, {postal_code} {city}")

ADDRESS_CHANGE_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_new_address": (
        START,
        REQUEST,
        ("the new address", "the full new address", "the complete new address"),
        ("", ", with the postal code", ", with street, city and postal code"),
        ("?",),
    ),
    "ask_rest_of_address": (
        START,
        REQUEST,
        ("the postal code of the new address", "the full new address, with its postal code"),
        ("?",),
        ("", " It is still missing.", " I need it for the parcel.", " I can't send it without."),
    ),
    "propose_change": (
        FOUND,
        (
            "I can send your order with the {titles} to ",
            "I would change the delivery address of the {titles} to ",
            "I can change the address of your order with the {titles} to ",
            "I would redirect the order with the {titles} to ",
            "The {titles} would go to this new address: ",
        ),
        _PLACE,
        (". ",),
        CONSENT,
    ),
    "changed": (
        DONE,
        (
            "I have changed the address to ",
            "I've changed the delivery address of the {titles} to ",
            "The delivery address has been changed to ",
            "I have redirected your order with the {titles} to ",
        ),
        _PLACE,
        (". ",),
        (
            "The parcel comes {days} days later.",
            "It will arrive {days} days later.",
            "This delays the parcel by {days} days.",
            "Please note that it takes {days} more days now.",
        ),
        MORE,
    ),
    "ask_other_address": (
        CHECKED,
        SORRY,
        (
            "we don't deliver to that address. ",
            "we do not deliver there. ",
            "we can't deliver to this address. ",
        ),
        (
            "Is there another address that I could send it to?",
            "Do you have another address?",
            "Could you give me another address?",
            "Which other address could it go to?",
        ),
    ),
    "refuse_no_delivery": (
        CHECKED,
        SORRY,
        (
            "I can't change the address, because we don't deliver there.",
            "I cannot send the {titles} there, since we do not deliver to that address.",
            "the address can't be changed: we don't deliver to that address.",
        ),
        REGRET,
    ),
    "refuse_cancelled": (
        CHECKED,
        SORRY,
        (
            "I can't change the address, because this order was cancelled.",
            "the address can't be changed: the order with the {titles} has been cancelled.",
            "I cannot redirect the {titles}, since the order is cancelled.",
        ),
        REGRET,
    ),
    "refuse_shipped": (
        CHECKED,
        SORRY,
        (
            "I can't change the address, because the order has been shipped already. It is expected on {date}.",
            "the address can't be changed any more: the {titles} was shipped. The expected delivery date is {date}.",
            "I cannot redirect the order, since it has already been sent. Delivery is expected on {date}.",
            "the {titles} is on its way, so I can't change the address. It should arrive on {date}.",
        ),
        REGRET,
    ),
    "refuse_delivered": (
        CHECKED,
        SORRY,
        (
            "I can't change the address, because the {titles} has been delivered already.",
            "the address can't be changed any more: the order was delivered.",
            "I cannot redirect the {titles}, since the order was already delivered.",
        ),
        REGRET,
    ),
    "refuse_gift_card_item": (
        CHECKED,
        SORRY,
        (
            "I can't change an address here: gift cards are sent by e-mail.",
            "there is no address to change, because gift cards are sent by e-mail.",
            "I cannot send the {titles} to an address, since gift cards come by e-mail.",
        ),
        REGRET,
    ),
    "refuse_paypal": (
        CHECKED,
        SORRY,
        (
            "I can't change the address, because the order was paid by PayPal.",
            "the address can't be changed: you paid with PayPal, so it goes to the address that PayPal gave us.",
            "I cannot redirect the {titles}, since an order paid by PayPal goes to the address from PayPal only.",
        ),
        REGRET,
    ),
    "refuse_already_changed": (
        CHECKED,
        SORRY,
        (
            "I can't change the address again: it was already changed.",
            "the address of the {titles} was already changed once, so I can't change it a second time.",
            "I cannot redirect the order, since it has been redirected before.",
        ),
        REGRET,
    ),
    "refuse_window": (
        CHECKED,
        SORRY,
        (
            "the address can't be changed, because the window of {window} days has passed.",
            "I can't change the address: the window of {window} days is over.",
            "I cannot redirect the order, since it was placed more than {window} days ago.",
            "it is too late to change the address: that is possible up to {window} days after the order only.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account, so I can't change its address.",
            "I could not find such an order on your account, so I can't redirect it.",
            "there is no such order on your account, so I cannot change the address.",
            "I cannot redirect it, because this order can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't change an address, because I could not verify you.",
            "I cannot help with the address, since I could not verify your identity.",
            "without a successful verification I can't change anything.",
            "I can't redirect it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
