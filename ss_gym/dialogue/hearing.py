"""How a scripted agent reads a customer: values by their form, everything else by keywords."""

from __future__ import annotations

import re
from dataclasses import dataclass

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_POSTAL_CODE = re.compile(r"\b[A-Za-z]{1,2}\d[A-Za-z\d]?\s?\d[A-Za-z]{2}\b")
# Five digits, maybe in two groups, that are no part of an amount or of another number.
_ORDER_NUMBER = re.compile(r"(?<![\d$.])(\d{2} ?\d{3}|\d{3} \d{2})(?!\d|\.\d)")


def _any(*patterns: str) -> re.Pattern[str]:
    """A pattern that finds any of these as whole words."""
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b")


_DOES_NOT = r"(?:do(?:es)?|did|ha(?:s|ve|d)|is|are|wo|ca|could|would)n'?t"

# Tried in this order: "it is not damaged, I changed my mind" is a change of mind. What none of them
# finds is asked for again; what one finds wrongly would decide the case, so they err on the safe side.
_REASONS = {
    "changed_mind": _any(
        r"chang\w* (?:of|my) \w+",
        r"nothing(?: i|')s wrong",
        "no fault",
        r"second thou\w+",
        "decided",
        "after all",
        "not for me",
        "regret",
        "not as keen",
        r"(?:use|need) for (?:it|them|the)",
        rf"(?:{_DOES_NOT}|no longer|not)(?: really| just| actually)* (?:want|need|like|suit) (?:it|them|the|me|my)",
    ),
    "wrong_item": _any(
        r"wrong (?:\w+ )?(?:item|product|thing|article)",
        "not what (?:came|arrived|i ordered)",
        r"(?:never|didn'?t) order\w*",
        "(?:something|product|item) (?:else|different)",
        "(?:another|a different) (?:item|product|thing)",
        "(?:is|are) not (?:mine|the ones? i ordered)",
        "got another",
    ),
    "not_received": _any(
        rf"(?:never|not|still|{_DOES_NOT}|no)(?: \w+)? (?:arriv|rec[ei]|deliv|reach)\w*",
        rf"(?:never|did not|{_DOES_NOT})(?: ever)? (?:g[eo]t|c[ao]me?|show\w*|turn\w* up)",
        r"(?:nothing|no parcel|no delivery)(?: \w+)? (?:arriv\w*|came|was deliv\w*)",
        "received nothing",
        "never seen",
        "no sign of",
        "still without",
        "where (?:is|are)",
        "waiting for (?:it|them|my|the)",
    ),
    "defective": _any(
        r"defect\w*",
        r"fault\w*",
        rf"(?:{_DOES_NOT}|not) (?:work|turn|switch|start)\w*",
        r"(?:stop\w*|quit|never) work\w*",
        "failed",
        "(?:fell|came) apart",
        "gave out",
    ),
    "damaged": _any(
        r"damag\w*", r"br[eo]k\w*", r"crack\w*", r"smash\w*", r"crush\w*", r"shatter\w*", "torn", "in pieces", "was wet"
    ),
}
_HURRY = _any(
    "(?:a|in) hurry",
    "hurry up",
    "(?:be|make it|make this|done|so|go) quick(?:ly)?",
    "quickly please",
    "(?:much|short|any) time",
    "time is short",
    "(?:a|five) minutes?",
    "all day",
    "just do it",
    "faster",
    "speed this up",
    "sort it out (?:now|quickly)",
    "get (?:this|it) done",
    "get on with",
    "run soon",
    "keep it short",
)
_NEGATIVE = _any(
    "no",
    "nope",
    "not",
    "never",
    "wrong",
    "instead",
    "pass on",
    r"keep (?:\w+ )?store",
    _DOES_NOT,
    "other card",
    "new card",
)
_AFFIRMATIVE = _any(
    "yes",
    "yeah",
    "yep",
    "sure",
    "o[ke]+y?",
    "certainly",
    "absolutely",
    "fine",
    "agree",
    "go ahead",
    "all ?right",
    "alright",
    "very well",
    "sounds good",
    "works for me",
    "happy with",
    "right",
    "do it",
    r"it is(?=\W*$)",
    "yup",
    "agreed",
    "correct",
)
_TAKES = _any("take", "then", "works", "make it", "settle", "live with", "accept", "give me", "will do", "happy")
_YES = re.compile(r"^(?:yes|yeah|yep|yup)\b|\byes\W*$")
_ALTERNATIVE = _any("credit", r"exchang\w*", r"swap\w*", "another one", "different one", "want that", "a no", "say no")
_SENTENCE_END = re.compile(r"(?:[!?\n]|\.(?!\d))+\s*")
_QUESTION = re.compile(r"(?:[^.!?]|\.(?=\d))*\?")
_OTHER_CARD = _any("(?:other|another|different|new) (?:card|one)", "card i didn'?t")
_GOODBYE = _any(
    "bye", "goodbye", "see you", "have a (?:nice|good|great)", "take care", "so long", "i'm (?:off|out|done)", "give up"
)
_SATISFIED = _any(
    "that(?:'?s| is| was) (?:all|it|everything)",
    "that (?:does|did) it",
    "i'?m (?:good|fine)",
    "nothing (?:else|more)",
    "no more",
    "that covers",
    "we'?re done",
    "thanks",
    "thank you",
    "cheers",
    "would be all",
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message of the customer holds, as far as the agent can tell.

    Attributes:
        text: the message in lower case.
        email: an e-mail address; empty if there is none.
        postal_code: likewise.
        order_number: likewise, its digits together.
    """

    text: str
    email: str = ""
    postal_code: str = ""
    order_number: str = ""

    @property
    def reason(self) -> str:
        """Why the customer wants the money back; empty where the words do not tell."""
        return next((reason for reason, pattern in _REASONS.items() if pattern.search(self.text)), "")

    @property
    def hurries(self) -> bool:
        """Whether the customer asks to be quick."""
        return _HURRY.search(self.text) is not None

    @property
    def asks(self) -> bool:
        """Whether it holds a question."""
        return "?" in self.text

    @property
    def statements(self) -> str:
        """The message without its questions."""
        return _QUESTION.sub("", self.text).strip() if "?" in self.text else self.text

    @property
    def agrees(self) -> bool:
        """Whether it holds a yes, with nothing against it."""
        if self.wants_other_card:
            return False
        statements = self.statements
        if _YES.search(statements):
            return True
        return _AFFIRMATIVE.search(statements) is not None and _NEGATIVE.search(statements) is None

    @property
    def takes_credit(self) -> bool:
        """Whether it accepts an offer of store credit, if only after a sigh ("I can't believe it. Credit then.")."""
        if self.agrees:
            return True
        return any(
            "credit" in sentence
            and (_TAKES.search(sentence) or _AFFIRMATIVE.search(sentence))
            and not _NEGATIVE.search(sentence)
            for sentence in _SENTENCE_END.split(self.statements)
        )

    @property
    def declines(self) -> bool:
        """Whether it says no to an alternative, and not just that it would rather have the money."""
        if self.agrees or not _NEGATIVE.search(self.statements):
            return False
        return _ALTERNATIVE.search(self.text) is not None or self.text.startswith("no")

    @property
    def wants_other_card(self) -> bool:
        """Whether the money should go to a card that did not pay."""
        return _OTHER_CARD.search(self.text) is not None

    @property
    def leaves(self) -> bool:
        """Whether the customer says goodbye."""
        return _GOODBYE.search(self.text) is not None

    @property
    def satisfied(self) -> bool:
        """Whether the customer needs nothing more."""
        return self.leaves or (not self.asks and _SATISFIED.search(self.text) is not None)


def hear(text: str) -> Heard:
    """Reads a message of the customer.

    >>> hear("It's order 48 213, the lamp arrived broken.").order_number
    '48213'
    >>> hear("Yes, $24.00 is fine").agrees
    True
    """
    email = _EMAIL.search(text)
    rest = text.replace(email[0], " ") if email else text
    postal_code = _POSTAL_CODE.search(rest)
    if postal_code:
        rest = rest.replace(postal_code[0], " ")
    number = _ORDER_NUMBER.search(rest)
    return Heard(
        text=text.lower().replace("’", "'"),
        email=email[0].rstrip(".") if email else "",
        postal_code=postal_code[0] if postal_code else "",
        order_number=number[0].replace(" ", "") if number else "",
    )
