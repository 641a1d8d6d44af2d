"""How agents read what a customer wants of a desk for everything, and when they come up with another wish."""

from __future__ import annotations

import re

# Tried in this order: "cancel my subscription" is about a subscription, "it never came, refund me" about money.
_WISHES = {
    "subscription": re.compile(r"subscri|\bpause|\bunpause|\bmonthly|\bresum|\bon hold\b|terminat|reactivat"),
    "address_change": re.compile(
        r"address|redirect|\b(?:to|at|be) (?:flat |no\. ?)?\d+ [a-z]+ [a-z]+|change where|\bpo box|parcel locker|"
        r"\b(?:new|another|right|wrong|different|old) place|elsewhere|somewhere"
    ),
    "refund": re.compile(r"\brefund|\bmoney\b|\breturn|\bsen[dt](?:ing)? (?:.* )?back\b|\btak(?:e|ing) (?:.* )?back\b"),
    "cancel": re.compile(r"\bcancel|\bcall(?:ed)? off|don'?t send me|not have .* after all"),
    "exchange": re.compile(r"\bexchang|\bswap|\bchang(?:e|ing)\b|\binstead\b|(?:another|different) one"),
    "warranty": re.compile(
        r"\breplac|\bwarranty|\bclaim|\bnew (?:one|ones)\b|\bneed (?:a )?new\b|\bfault|\bdefect|\bbroke|"
        r"\b(?:not|n't|longer|stopped) work"
    ),
    "order_status": re.compile(
        r"\bwhere|\bwhen|\bstatus|\bnews\b|\bexpect\b|update|\bword on\b|arriv|\bcheck\b|\blook (?:up|into)|\breceived|"
        r"\bwaiting|\bcom(?:e|ing)\b|\bcame\b|\bhere\b|\bdue\b|happened|going on|become of|\bday\b|\bthere\b|reach|"
        r"deliver|how much longer|getting on|\bstill without|\bgot to\b|turn up|\bup to now|"
        r"how much|know what"
    ),
}
# The words by which wishes are known, which customers mistype, too.
_KEYWORDS = (
    *("subscription", "unsubscribe", "pause", "monthly", "resume", "address", "redirect", "redirected", "place"),
    *(
        "cancel",
        "cancelled",
        "refund",
        "refunded",
        "money",
        "return",
        "back",
        "exchange",
        "exchanged",
        "change",
        "swap",
    ),
    *("changed", "instead", "replace", "replaced", "replacement", "warranty", "status", "coming", "where", "when"),
    *("arrive", "arrived", "send", "sent", "take", "call", "need", "check", "update", "chance", "one", "ones"),
)
# Words that are meant as they stand, although they look like one of these.
_OTHERS = frozenset(("black", "sand", "set", "palace", "bank", "plane", "were", "charge", "charged"))
# What customers say before another wish.
_MARKS = tuple(
    tuple(mark.split())
    for mark in (
        "another thing that i need instead",
        "another thing i need instead",
        "another request instead",
        "one more thing",
        "one more question",
        "one more request",
        "another thing",
        "another question",
        "another request",
        "another matter",
        "different matter",
        "different thing",
        "further thing",
        "further point",
        "next point",
        "what i need instead",
    )
)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def family_of_wish(text: str) -> str:
    """The family of the wish that some words open, in lower case; empty if they do not tell.

    >>> family_of_wish("i'd like to canecl my tea subscription"), family_of_wish("hello")
    ('subscription', '')
    """
    text = _WORD.sub(lambda word: _corrected(word[0]), text)
    return next((family for family, pattern in _WISHES.items() if pattern.search(text)), "")


def another_wish(text: str) -> str:
    """What stands after the words with which a customer comes to another wish; empty if there are none.

    >>> another_wish("Thanks. One mor thing. Cancel my order.")
    '. Cancel my order.'
    """
    words = list(_WORD.finditer(text.lower()))
    for place in range(len(words)):
        for mark in _MARKS:
            window = words[place : place + len(mark)]
            if len(window) == len(mark) and all(_is(word[0], meant) for word, meant in zip(window, mark, strict=True)):
                return text[window[-1].end() :]
    return ""


def _corrected(word: str) -> str:
    """The keyword that a word is with a slip of the hand; else the word."""
    if len(word) < 3 or word in _KEYWORDS or word in _OTHERS:
        return word
    return next((keyword for keyword in _KEYWORDS if _is(word, keyword)), word)


def _is(word: str, meant: str) -> bool:
    """Whether a word is meant, with one slip of the hand at most.

    >>> _is("anohter", "another"), _is("other", "another")
    (True, False)
    """
    if word == meant:
        return True
    if len(meant) < 4 or word[0] != meant[0] or abs(len(word) - len(meant)) > 1:
        return False
    same = next((n for n, (one, other) in enumerate(zip(word, meant, strict=False)) if one != other), len(meant))
    here, there = word[same:], meant[same:]
    if here[1:] in (there[1:], there) or here == there[1:]:
        return True
    return here[:2] == there[:2][::-1] and here[2:] == there[2:]
