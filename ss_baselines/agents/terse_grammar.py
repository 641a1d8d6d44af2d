"""The words of the demonstrator: short and regular, a handful of sentences a move.

A model of a million parameters must learn to speak like this. There are no titles, since it would
have to spell products that it has never seen.
"""

from __future__ import annotations

from ss_baselines.agents.phrasing import Grammar

TERSE_GRAMMAR: Grammar = {
    "ask_both": (
        (
            "What is your e-mail and postal code?",
            "May I have your e-mail and postal code?",
            "Please tell me your e-mail and postal code.",
        ),
    ),
    "ask_email": (("What is your e-mail?", "May I have your e-mail?", "Please tell me your e-mail."),),
    "ask_postal_code": (
        ("What is your postal code?", "May I have your postal code?", "Please tell me your postal code."),
    ),
    "ask_again": (
        ("That does not match. ", "I can't find that. "),
        ("Please tell me your e-mail and postal code again.", "What is your e-mail and postal code?"),
    ),
    "ask_order": (("What is your order number?", "May I have the order number?"),),
    "ask_item": (("Which item is it?", "Which item do you mean?"),),
    "ask_reason": (("Why do you want to return it: change of mind, damaged, defective, wrong item or not received?",),),
    "propose": (
        ("I can refund {amount} to {method}. ", "I would refund {amount} to {method}. "),
        ("Is that OK?", "Shall I go ahead?", "Do you agree?"),
    ),
    "propose_split": (
        ("I can refund {amount} in total: {split}. ", "I would refund {amount} in total: {split}. "),
        ("Is that OK?", "Shall I go ahead?", "Do you agree?"),
    ),
    "explain_fee": (("The restocking fee is {percent} %.", "We keep a restocking fee of {percent} %."),),
    "same_method": (("I can only refund to the way you paid.",),),
    "refunded": (
        ("I have refunded {amount}. ", "I refunded {amount}. "),
        ("It takes {days} business days. ", "The money arrives in {days} business days. "),
        ("Anything else?", "Is there anything else?"),
    ),
    "credited": (("I have issued {amount} store credit. ",), ("Anything else?", "Is there anything else?")),
    "exchanged": (("I have exchanged it for {option}. ",), ("Anything else?", "Is there anything else?")),
    "offer_credit": (
        ("I can give you {amount} store credit instead. ", "I can offer {amount} store credit instead. "),
        ("Is that OK?", "Would you like that?"),
    ),
    "offer_exchange": (("I can exchange it for {options} instead. ",), ("Which one would you like?",)),
    "refuse_window": (
        (
            "Sorry, I can't refund it: the return window is over.",
            "Sorry, I can't refund it: the {window} days are over.",
        ),
    ),
    "refuse_final_sale": (
        ("Sorry, I can't refund it: it was a final sale.", "Sorry, final sale items can't be refunded."),
    ),
    "refuse_already_refunded": (("Sorry, I can't refund it: it was already refunded.",),),
    "refuse_gift_card_item": (
        ("Sorry, I can't refund it: gift cards are not refundable.", "Sorry, gift cards can't be refunded."),
    ),
    "refuse_not_delivered": (("Sorry, I can't refund it: it is not delivered yet. It is expected on {date}.",),),
    "refuse_not_found": (("Sorry, I can't find this order on your account, so I can't refund it.",),),
    "refuse_not_verified": (("Sorry, I can't refund it: I could not verify you.",),),
    "nothing_done": (("OK, I have not changed anything. ",), ("Anything else?",)),
    "failed": (("Sorry, that did not work. ",), ("Anything else?",)),
}
