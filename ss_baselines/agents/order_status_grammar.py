"""The words of the reference agent that tells where orders are."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import CHECKED, COMMON_GRAMMAR, CONSENT, DONE, FOUND, MORE, REGRET, SORRY
from ss_baselines.agents.phrasing import Grammar

_PATIENCE = (
    "",
    " Thank you for your patience.",
    " I hope that helps.",
    " You don't need to do anything.",
    " We will do our best.",
    " Please bear with us until then.",
    " I hope this answers your question.",
    " It is in good hands.",
)
_APOLOGY = (
    "I'm sorry about that. ",
    "I am sorry for the wait. ",
    "My apologies for that. ",
    "I'm sorry that you have to wait. ",
    "We are sorry about this. ",
    "Please accept my apologies. ",
)

ORDER_STATUS_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "not_shipped": (
        FOUND,
        (
            "Your order with the {titles} has not been shipped yet. It will be shipped by {date} at the latest.",
            "The {titles} is still being prepared and will be sent out on {date} at the latest.",
            "We are still preparing the {titles}: it ships no later than {date}.",
            "The {titles} is still in our warehouse. The latest day on which it will be shipped is {date}.",
            "It is not shipped yet, but the {titles} will leave our warehouse by {date}.",
            "Your {titles} is being packed. We ship it on {date} at the latest.",
        ),
        _PATIENCE,
        MORE,
    ),
    "on_time": (
        FOUND,
        (
            "Your {titles} is on its way and should arrive on {date}.",
            "The {titles} has been shipped. It is expected on {date}.",
            "The {titles} was shipped, and the expected delivery date is {date}.",
            "The {titles} is with the carrier and will be delivered on {date}.",
            "It is on its way: you can expect the {titles} on {date}.",
            "The carrier plans to deliver the {titles} on {date}.",
        ),
        _PATIENCE,
        MORE,
    ),
    "delivered": (
        FOUND,
        (
            "The {titles} was delivered on {date}.",
            "Your {titles} has been delivered. That was on {date}.",
            "The {titles} arrived on {date}.",
            "According to the carrier, the {titles} was handed over on {date}.",
            "The {titles} has arrived: the day of the delivery was {date}.",
            "It was on {date} that the {titles} was delivered.",
        ),
        ("", " I hope that helps.", " I hope this answers your question.", " So it has reached its goal."),
        MORE,
    ),
    "late": (
        FOUND,
        _APOLOGY,
        (
            "The {titles} is late: it was expected on {date}. It is still on its way to you.",
            "The {titles} should have arrived on {date}, so it is late. It is still with the carrier.",
            "The {titles} was due on {date} and has been delayed on its way.",
            "The carrier wanted to deliver the {titles} on {date}, but it is running late.",
            "The expected delivery date of the {titles} was {date}, so it is overdue.",
        ),
        MORE,
    ),
    "offer_credit": (
        FOUND,
        _APOLOGY,
        (
            "The {titles} is late: it was expected on {date}. ",
            "The {titles} should have arrived on {date}, so it is late. ",
            "The {titles} was due on {date} and is delayed. ",
            "The expected delivery date of the {titles} was {date}, so it is overdue. ",
        ),
        (
            "As an apology I can give you {amount} of store credit. ",
            "For the delay I would like to offer you {amount} in store credit. ",
            "I can offer you a store credit of {amount} for the wait. ",
            "As a gesture of goodwill I would give you store credit of {amount}. ",
        ),
        CONSENT,
    ),
    "credited": (
        DONE,
        (
            "I have given you {amount} of store credit.",
            "I have added {amount} of store credit to your account.",
            "The store credit of {amount} is on your account now.",
            "I've issued your store credit of {amount}.",
        ),
        MORE,
    ),
    "refuse_cancelled": (
        CHECKED,
        SORRY,
        (
            "the order with the {titles} was cancelled, so it won't come. {amount} was refunded to you.",
            "the {titles} is not coming: the order was cancelled, and you got a refund of {amount}.",
            "this order was cancelled. The refund for it was {amount}.",
            "the order with the {titles} has been cancelled, and {amount} went back to you.",
        ),
        REGRET,
    ),
    "refuse_window": (
        CHECKED,
        SORRY,
        (
            "it is too late to look into it: the {titles} was delivered on {delivered}, more than {window} days ago.",
            "I can't look into it any more, since the {titles} was delivered on {delivered} and that is possible for "
            "{window} days only.",
            "the {titles} was delivered on {delivered}, and the time limit of {window} days for a report has passed.",
            "we can't investigate it any more, because the {window} days after the delivery on {delivered} are over.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account.",
            "I could not find such an order on your account.",
            "there is no such order on your account.",
            "this order can't be found on your account, so I can't tell you anything about it.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't tell you anything about the order, because I could not verify you.",
            "I cannot help with this order, since I could not verify your identity.",
            "without a successful verification I can't give out anything about orders.",
            "I can't look into it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
