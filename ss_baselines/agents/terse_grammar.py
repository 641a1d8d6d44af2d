"""Words that are easily learnt: short and regular, one sentence a move.

A model of a million parameters must learn to speak like this, and every choice of words is noise
that it would have to learn before the choice of what to do. There are no titles, since it would
have to spell products that it has never seen.
"""

from __future__ import annotations

from functools import cache

from ss_baselines.agents.phrasing import Grammar
from ss_baselines.agents.plan import plan_of

_WORDS = {
    "ask_both": "What is your e-mail and postal code?",
    "ask_email": "What is your e-mail?",
    "ask_postal_code": "What is your postal code?",
    "ask_again": "That does not match. What is your e-mail and postal code?",
    "ask_order": "What is your order number?",
    "ask_item": "Which item is it?",
    "ask_reason": "Why do you want to return it: change of mind, damaged, defective, wrong item or not received?",
    "propose": "I can refund {amount} to {method}. Is that OK?",
    "propose_split": "I can refund {amount} in total: {split}. Is that OK?",
    "explain_fee": "The restocking fee is {percent} %.",
    "same_method": "I can only refund to the way you paid.",
    "refunded": "I have refunded {amount}. It takes {days} business days. Anything else?",
    "credited": "I have issued {amount} store credit. Anything else?",
    "exchanged": "I have exchanged it for {option}. Anything else?",
    "offer_credit": "I can give you {amount} store credit instead. Is that OK?",
    "offer_exchange": "I can exchange it for {options} instead. Which one would you like?",
    "refuse_window": "Sorry, I can't refund it: the return window is over.",
    "refuse_final_sale": "Sorry, I can't refund it: it was a final sale.",
    "refuse_already_refunded": "Sorry, I can't refund it: it was already refunded.",
    "refuse_gift_card_item": "Sorry, I can't refund it: gift cards are not refundable.",
    "refuse_not_delivered": "Sorry, I can't refund it: it is not delivered yet. It is expected on {date}.",
    "refuse_not_found": "Sorry, I can't find this order on your account, so I can't refund it.",
    "refuse_not_verified": "Sorry, I can't refund it: I could not verify you.",
    "nothing_done": "OK, I have not changed anything. Anything else?",
    "failed": "Sorry, that did not work. Anything else?",
}

TERSE_GRAMMAR: Grammar = {move: ((sentence,),) for move, sentence in _WORDS.items()}


@cache
def terse_words(family: str) -> Grammar:
    """The first wording of each move at a family's desk; at that for refunds, the one that the tiny agent knows.

    Raises:
        ValueError: if scripted agents have no plan for the family.
    """
    if family == "refund":
        return TERSE_GRAMMAR
    return {move: tuple((part[0],) for part in parts) for move, parts in plan_of(family).grammar.items()}
