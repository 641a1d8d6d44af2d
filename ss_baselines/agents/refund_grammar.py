"""The words of the reference agent at the refund desk: a few thousand sentences a move."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import CHECKED, COMMON_GRAMMAR, CONSENT, FOUND, MORE, REGRET, SORRY, START
from ss_baselines.agents.phrasing import Grammar

REFUND_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_reason": (
        START,
        FOUND,
        (
            "Why would you like to return it",
            "What is the reason for the return",
            "What is the reason",
            "May I ask the reason",
        ),
        (
            ": did you change your mind, is it damaged or defective, was it the wrong item, or did it never arrive?",
            ": a change of mind, damage, a defect, the wrong item, or did it not arrive?",
            ": is it damaged or defective, the wrong item, did it not arrive, or did you change your mind?",
            "? Is it damaged, defective, the wrong item, did it never arrive, or did you change your mind?",
        ),
        (
            "",
            " It decides what I can do for you.",
            " I need this for the request.",
            " A few words are enough.",
            " Just so that I know.",
        ),
    ),
    "propose": (
        FOUND,
        (
            "I can refund {amount} for the {titles} to {method}. ",
            "For the {titles} I would refund {amount} to {method}. ",
            "I can pay back {amount} for the {titles} to {method}. ",
            "I would refund {amount} for your {titles} to {method}. ",
            "I could refund {amount} for the {titles} to {method}. ",
            "The refund for the {titles} would be {amount}, paid to {method}. ",
            "You would get a refund of {amount} for the {titles} to {method}. ",
        ),
        CONSENT,
    ),
    "propose_split": (
        FOUND,
        (
            "I can refund {amount} in total for the {titles}: {split}. ",
            "For the {titles} I would refund {amount} in total: {split}. ",
            "I would refund {amount} altogether for the {titles}: {split}. ",
            "The refund for the {titles} would be {amount} in total: {split}. ",
        ),
        CONSENT,
    ),
    "explain_fee": (
        ("", "First the fee: ", "One thing first: ", "As for the price: ", "Before we go on: "),
        (
            "there is a restocking fee of {percent} % on electronics, which is {fee}.",
            "we keep a restocking fee of {percent} % ({fee}) on electronics.",
            "for electronics a restocking fee of {percent} % applies, here {fee}.",
            "please note the restocking fee for electronics: {percent} %, which is {fee}.",
        ),
        ("", " That is our policy.", " It is the same for every customer.", " It covers our costs."),
    ),
    "same_method": (
        CHECKED,
        (
            "Refunds always go back to the way you paid, so I can't use another card.",
            "The money can only go back to the payment that was used for the order.",
            "I can only pay it back the way you paid.",
        ),
        ("", " That is our policy.", " It is the same for every customer.", " It keeps your money safe."),
    ),
    "refunded": (
        (
            "",
            "Done. ",
            "Thank you. ",
            "That is done. ",
            "All done. ",
            "Thanks for confirming. ",
            "Perfect. ",
            "Great. ",
        ),
        (
            "I have refunded {amount} for the {titles}. ",
            "I've refunded {amount} for your {titles}. ",
            "Your refund of {amount} for the {titles} has been issued. ",
            "I have issued the refund of {amount} for the {titles}. ",
            "I have just refunded {amount} for the {titles}. ",
        ),
        (
            "The money takes {days} business days to arrive.",
            "It takes {days} business days until the money arrives.",
            "The money arrives within {days} business days.",
            "Please allow {days} business days for the money to arrive.",
            "You will have the money in {days} business days.",
        ),
        MORE,
    ),
    "credited": (
        (
            "",
            "Done. ",
            "Thank you. ",
            "That is done. ",
            "All done. ",
            "Thanks for confirming. ",
            "Perfect. ",
            "Great. ",
        ),
        (
            "I have issued store credit of {amount} for the {titles}.",
            "I have given you {amount} in store credit for the {titles}.",
            "I've issued {amount} of store credit for the {titles}.",
            "The store credit of {amount} for the {titles} has been issued.",
        ),
        MORE,
    ),
    "exchanged": (
        (
            "",
            "Done. ",
            "Thank you. ",
            "That is done. ",
            "All done. ",
            "Thanks for confirming. ",
            "Perfect. ",
            "Great. ",
        ),
        (
            "I have exchanged the {titles} for {option}.",
            "I've exchanged your {titles} for {option}.",
            "The {titles} has been exchanged for {option}.",
            "I have arranged the exchange of the {titles} for {option}.",
        ),
        MORE,
    ),
    "offer_credit": (
        (
            "I can offer you store credit of {amount} instead. ",
            "Instead, I can offer {amount} in store credit. ",
            "What I can offer instead is store credit of {amount}. ",
            "I could give you {amount} of store credit instead. ",
            "As an alternative I can offer store credit of {amount}. ",
        ),
        (
            "Would you like that?",
            "Would you like the store credit?",
            "Is that all right with you?",
            "Shall I do that?",
            "Do you agree?",
        ),
    ),
    "offer_exchange": (
        (
            "I can offer you to exchange the {titles} for another option instead: {options}. ",
            "Instead, I can exchange the {titles} for another option: {options}. ",
            "What I can offer instead is to exchange the {titles} for {options}. ",
            "As an alternative I can exchange the {titles} for {options}. ",
            "I could exchange the {titles} for another option: {options}. ",
        ),
        (
            "Which one would you like?",
            "Which one would you prefer?",
            "Which option would you like?",
            "Would you like that?",
        ),
    ),
    "refuse_window": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be refunded, because the return window of {window} days has passed.",
            "I can't refund the {titles}: the return window of {window} days is over.",
            "I cannot refund the {titles}, since it was delivered more than {window} days ago.",
            "the {titles} cannot be refunded any more, as the return period of {window} days has ended.",
            "it is too late to refund the {titles}: the return window is {window} days.",
        ),
        REGRET,
    ),
    "refuse_final_sale": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be refunded, because it was a final sale.",
            "I can't refund the {titles}, since it was sold as final sale.",
            "I cannot refund the {titles}: it is a final sale item.",
            "final sale items like the {titles} can't be refunded.",
        ),
        REGRET,
    ),
    "refuse_already_refunded": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be refunded again, because it has already been refunded.",
            "I can't refund the {titles} again: it was already refunded.",
            "I cannot refund the {titles}, since it has been refunded before.",
            "the {titles} was already refunded, so I can't refund it a second time.",
        ),
        REGRET,
    ),
    "refuse_gift_card_item": (
        CHECKED,
        SORRY,
        (
            "the {titles} can't be refunded, because gift cards are not refundable.",
            "I can't refund the {titles}: gift cards are not refundable.",
            "I cannot refund the {titles}, since gift cards can't be refunded.",
        ),
        REGRET,
    ),
    "refuse_not_delivered": (
        CHECKED,
        SORRY,
        (
            "I can't refund the {titles} yet, because it has not been delivered. It is expected on {date}.",
            "the {titles} can't be refunded before it is delivered. The expected delivery date is {date}.",
            "I cannot refund the {titles}: the order has not been delivered yet. Delivery is expected on {date}.",
        ),
        REGRET,
    ),
    "refuse_not_found": (
        CHECKED,
        SORRY,
        (
            "I can't find this order on your account, so I can't refund it.",
            "I could not find such an order on your account, so a refund is not possible.",
            "there is no such order on your account, so I cannot refund it.",
            "I cannot refund it, because this order can't be found on your account.",
        ),
        REGRET,
    ),
    "refuse_not_verified": (
        CHECKED,
        SORRY,
        (
            "I can't help with a refund, because I could not verify you.",
            "I cannot give you a refund, since I could not verify your identity.",
            "without a successful verification I can't refund anything.",
            "I can't refund it, because your details could not be verified.",
        ),
        REGRET,
    ),
}
