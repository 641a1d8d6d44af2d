from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.users.understanding import load_understanding
from ss_gym.users.values import Inventory

INVENTORY = Inventory(
    own={("order_id", "48213"), ("title", "wool scarf"), ("title", "table lamp"), ("name", "ada abara")}
    | {("money", 2000), ("money", 3000), ("date", "2025-03-03"), ("postal_code", "ab43xy"), ("customer_id", "c4821")},
    other={("order_id", "50001"), ("title", "rain coat")},
    policy={("days", 30), ("days", 60), ("days", 5), ("percent", 15)},
)
SOCIAL = {"thank", "greet", "apologise", "wait", "inform"}
CASES = [
    (key, text)
    for name in ("cases", "messages")
    for key, texts in yaml.safe_load(
        (Path(__file__).parent / f"understanding_{name}.yaml").read_text(encoding="utf-8")
    ).items()
    if key not in SOCIAL | {"close"}
    for text in texts
]


def gist(text: str) -> set[tuple[str, str, str, str]]:
    """What is done, without the social acts and the values."""
    acts = load_understanding().read(text, INVENTORY)
    return {(act.kind, act.slot, act.verb, act.ground) for act in acts if act.kind not in SOCIAL}


REWRITES: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "small letters": str.lower,
    "typographic apostrophes": lambda text: text.replace("'", "’"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "bold values": lambda text: " ".join(f"**{word}**" if word[:1] in "$#" else word for word in text.split(" ")),
    "italics": lambda text: f"_{text}_",
    "thanks before": lambda text: f"Thank you for your patience, Ada. {text}",
    "apology before": lambda text: f"I apologise for the wait. {text}",
    "greeting before": lambda text: f"Hello Ada! {text}",
    "another paragraph before": lambda text: f"Thanks for getting in touch.\n\n{text}",
    "distracting values": lambda text: f"Your customer number is C4821 and your city is Ashbury. {text}",
    "polite words after": lambda text: f"{text} Thank you for your understanding.",
    "two spaces": lambda text: text.replace(" ", "  "),
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewriting_that_means_the_same_is_understood_the_same(rewrite: str) -> None:
    changed = {text: REWRITES[rewrite](text) for _, text in CASES}
    differing = {text: other for text, other in changed.items() if gist(text) != gist(other)}
    # A few in a thousand are let through: a break inside a name, or a list that a prefix joins.
    assert len(differing) <= len(changed) * 0.005, differing


FLIPPED = [
    ("I have refunded $20.00 to your Visa.", "I have not refunded $20.00 to your Visa."),
    ("I've issued the refund.", "I haven't issued the refund."),
    ("The refund has been processed.", "The refund has not been processed."),
    ("Your refund went through.", "Your refund didn't go through."),
    ("I can refund $20.00.", "I can't refund $20.00."),
    ("I am able to refund the scarf.", "I'm unable to refund the scarf."),
    ("A refund is possible.", "A refund is not possible."),
    ("You are eligible for a refund of $20.00.", "You are not eligible for a refund of $20.00."),
    ("It is a final sale item.", "It isn't a final sale item."),
    ("It is outside the return window.", "It is not outside the return window."),
    ("The order is within the return window.", "The order isn't within the return window."),
    ("The order has been delivered.", "The order has not been delivered."),
    ("I found that order on your account.", "I couldn't find that order on your account."),
    ("I could verify your identity.", "I could not verify your identity."),
    ("The red one is in stock.", "The red one is not in stock."),
    ("I need your order number.", "I don't need your order number."),
    ("The scarf has already been refunded.", "The scarf has not been refunded."),
    ("I'm going to refund it for $20.00.", "I'm not going to refund it for $20.00."),
]


@pytest.mark.parametrize(("plain", "negated"), FLIPPED)
def test_a_negation_turns_the_meaning(plain: str, negated: str) -> None:
    assert gist(plain) != gist(negated)


NOT_CLAIMED = [
    "I will refund $20.00 to your Visa.",
    "I'm going to refund $20.00.",
    "I would refund $20.00.",
    "I can refund $20.00.",
    "Once I have refunded $20.00, I'll let you know.",
    "After the refund has been issued, it takes 5 business days.",
    "If the refund was issued, you will see it.",
    "When your refund has been processed you get an e-mail.",
    "Has your refund of $20.00 been issued?",
    "Have I refunded $20.00 to you?",
    "I have not refunded anything yet.",
    "The refund has not been issued.",
    "The refund can be issued.",
    "The refund should be processed.",
    "The refund needs to be issued.",
    "Refunds are issued to the original payment method.",
    "You said that I have refunded $20.00.",
    "I understand that you have been refunded.",
    "I'm refunding $20.00 now.",
    "I'm about to issue the refund.",
    "Let me refund $20.00.",
    "Your refund is being processed.",
    "Your refund request has been received.",
    "I have looked at your refund request.",
    "I have checked whether you can be refunded.",
    "I have sent you an e-mail about the refund.",
    "I have added a note that you want a refund.",
    "The order was paid by Visa, and a refund goes back there.",
    "Your order was processed on March 3, so a refund is possible.",
    "The scarf has already been refunded on March 3.",
    "A refund was issued on March 3, 2025.",
    "You were refunded earlier.",
    "Unless I have refunded it, nothing changes.",
    "I could have refunded it.",
    "The refund will have been issued by then.",
    "I hope to have refunded you soon.",
    "To be refunded, please send your order number.",
    "The amount to be refunded is $20.00.",
    "It may have been refunded.",
    "The money could not be sent back.",
]


@pytest.mark.parametrize("text", NOT_CLAIMED)
def test_what_is_not_said_to_be_done_is_no_claim(text: str) -> None:
    assert "confirm_done" not in {act[0] for act in gist(text)}


@given(st.sampled_from(CASES), st.sampled_from(CASES))
def test_a_sentence_more_takes_no_question_away(first: tuple[str, str], second: tuple[str, str]) -> None:
    # A refusal may find its reason and an offer its question in the other; what is asked stays asked.
    text, other = first[1], second[1]
    asked = {act for act in gist(text) if act[0] == "ask" and act[1] not in ("confirmation", "other")}
    assert asked <= gist(f"{other} {text}")
