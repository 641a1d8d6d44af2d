"""The words of the reference agent at the exchange desk."""

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

EXCHANGE_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_reason": (
        START,
        FOUND,
        (
            "Why would you like to exchange it",
            "What is the reason for the exchange",
            "What is the reason",
            "May I ask the reason",
        ),
        (
            ": is it damaged or defective, or would you simply prefer another one?",
            ": damage, a defect, or a change of mind?",
            "? Is it damaged, is it defective, or did you change your mind?",
            ": did you change your mind, or is it damaged or defective?",
        ),
        ("", " It decides what I can do for you.", " I need this for the request.", " A few words are enough."),
    ),
    "ask_option": (
        START,
        FOUND,
        (
            "Which option would you like instead of the {titles}?",
            "What would you like to exchange the {titles} for?",
            "Which size, colour or version would you like instead of the {titles}?",
            "Which other option of the {titles} would you like?",
            "For which option should I exchange the {titles}?",
        ),
        ("", " Then I can see whether it is in stock.", " I will check the stock for you.", " Just name the one."),
    ),
    "propose_exchange": (
        FOUND,
        (
            "I can exchange the {swaps}. ",
            "I would exchange the {swaps}. ",
            "I could exchange the {swaps}, at no cost to you. ",
            "It is in stock, so I can exchange the {swaps}. ",
            "Good news: I can exchange the {swaps}. ",
            "The exchange is possible: the {swaps}. ",
        ),
        CONSENT,
    ),
    "exchanged": (
        DONE,
        (
            "I have exchanged the {swaps}.",
            "I've exchanged the {swaps}.",
            "I have just exchanged the {swaps} for you.",
            "I have arranged the exchange of the {swaps}.",
        ),
        MORE,
    ),
    "offer_options": (
        (
            "I can exchange it for another option instead: {options}. ",
            "Instead, I can offer you {options}. ",
            "What I can offer is an exchange for {options}. ",
            "At the same price I could exchange it for {options}. ",
            "In stock at the same price I have {options}. ",
            "I could give you {options} for it. ",
            "{options} would be possible at the same price. ",
            "Available at the same price: {options}. ",
        ),
        (
            "",
            "That would cost you nothing. ",
            "There is nothing to pay for it. ",
            "I can do that right away. ",
            "It would be no trouble. ",
        ),
        (
            "Which one would you like?",
            "Would you like that instead?",
            "Which would you prefer?",
            "Is there one that you would like?",
            "Would that be all right?",
            "What would you like?",
        ),
    ),
    "offer_refund": (
        (
            "There is no other option at the same price, but I can refund {amount} for the {titles} instead. ",
            "No other option is in stock at this price, so I can offer you a refund of {amount}. ",
            "I can't offer another option, but I could refund {amount} to how you paid. ",
            "What I can offer instead is a refund of {amount} for the {titles}. ",
            "Instead I can refund the full {amount}. ",
            "Nothing else is left at this price, so I could pay you back {amount}. ",
        ),
        (
            "",
            "It goes back to how you paid. ",
            "You would get all of it. ",
            "That is what it cost. ",
            "There is no fee for that. ",
            "I can do that right away. ",
        ),
        CONSENT,
    ),
    "refunded": (
        DONE,
        (
            "I have refunded {amount} for the {titles}. ",
            "I've refunded {amount} for your {titles}. ",
            "Your refund of {amount} for the {titles} has been issued. ",
            "I have just refunded {amount} for the {titles}. ",
        ),
        (
            "The money takes {days} business days to arrive.",
            "It takes {days} business days until the money arrives.",
            "Please allow {days} business days for the money to arrive.",
            "You will have the money in {days} business days.",
        ),
        MORE,
    ),
    "refuse_out_of_stock": (
        CHECKED,
        SORRY,
        (
            "the {titles} is out of stock in {option}.",
            "I can't exchange the {titles} for {option}, because it is sold out.",
            "{option} is out of stock at the moment.",
            "we have no {option} left in stock.",
            "{option} is sold out, so I can't exchange the {titles} for it.",
        ),
    ),
    "refuse_other_price": (
        CHECKED,
        SORRY,
        (
            "{option} does not cost the same, so I can't exchange the {titles} for it.",
            "I can't exchange the {titles} for {option}, because it has a different price.",
            "{option} has another price, and we exchange at the same price only.",
            "I cannot exchange the {titles} for {option}, since the price is not the same.",
        ),
    ),
    "refuse_window": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be exchanged, because the exchange window of {window} days has passed.",
            "I can't exchange the {titles}: the exchange window of {window} days is over.",
            "I cannot exchange the {titles}, since it was delivered more than {window} days ago.",
            "it is too late to exchange the {titles}: the exchange window is {window} days.",
        ),
        REGRET,
    ),
    "refuse_fault_window": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be exchanged, because faults can be reported for {window} days, and these have passed.",
            "I can't exchange the {titles}: the window of {window} days for faulty items is over.",
            "I cannot exchange the {titles}, since it was delivered more than {window} days ago.",
            "it is too late to exchange the {titles}: faulty items are exchanged within {window} days.",
        ),
        REGRET,
    ),
    "refuse_final_sale": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be exchanged any more, because it was a final sale.",
            "I can't exchange the {titles}: it is a final sale item, and the {window} days for these are over.",
            "I cannot exchange the {titles}, since it was sold as final sale.",
            "the {titles} was a final sale item, which can be exchanged for {window} days only, so it is too late.",
        ),
        REGRET,
    ),
    "refuse_already_exchanged": (
        CHECKED,
        SORRY,
        (
            "I can't exchange the {titles}: it was already {done}.",
            "the {titles} can't be exchanged, because it has already been {done}.",
            "I cannot exchange the {titles}, since it has been {done} before.",
            "the {titles} was already {done}, so I can't exchange it now.",
        ),
        REGRET,
    ),
    "refuse_gift_card_item": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be exchanged, because gift cards can't be exchanged.",
            "I can't exchange the {titles}: gift cards can't be exchanged.",
            "I cannot exchange the {titles}, since we don't exchange gift cards.",
        ),
        REGRET,
    ),
    "refuse_not_delivered": (
        CHECKED,
        SORRY,
        (
            "I can't exchange the {titles} yet, because it has not been delivered. It is expected on {date}.",
            "the {titles} can't be exchanged before it is delivered. The expected delivery date is {date}.",
            "I cannot exchange the {titles}: the order has not been delivered yet. Delivery is expected on {date}.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account, so I can't exchange it.",
            "I could not find such an order on your account, so an exchange is not possible.",
            "there is no such order on your account, so I cannot exchange it.",
            "I cannot exchange it, because this order can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't help with an exchange, because I could not verify you.",
            "I cannot exchange anything, since I could not verify your identity.",
            "without a successful verification I can't exchange anything.",
            "I can't exchange it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
