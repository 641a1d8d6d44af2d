"""What customers say of their wish, at the desks of different families: read by keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from ss_gym.dialogue.addresses import take_address
from ss_gym.dialogue.case import Case
from ss_gym.dialogue.hearing import Heard

# --- warranty ----------------------------------------------------------------------------------------

# Tried in this order: what was dropped may be called broken as well. What none of them finds is asked for again.
_FAILURES = {
    "accident": re.compile(
        r"\b(?:accident|drop+ed (?:it|them|my|the)|fell (?:off|down|to the)|(?:it|them) fall|a fall|knocked|spilled|"
        r"poured|chewed|(?:stepped|sat|landed) on|ran over|threw|slipped out|tumbled|pushed (?:it|them)|tripped|trod)\b"
    ),
    "worn": re.compile(r"\b(?:worn|wore|wear|used up|used to death|heavy use|daily use|constant use|all the use)\b"),
    "defect": re.compile(
        r"\b(?:defect\w*|fault\w*|normal use|(?:came|come|fell) (?:apart|to pieces)|by (?:itself|themselves)|failed|"
        r"gave (?:out|way|up)|stop\w* (?:working|responding)|died|dead|quit|packed up|nothing happens|worked|"
        r"(?:won't|don't|doesn't|not|no longer|can't|would not)(?: \w+)? (?:works?|start|turn|switch)\w*|"
        r"no longer works?|can't use|(?:can't be|be) used|no use|unusable|wrong with|as (?:it|they) should|"
        r"can't be (?:switched|turned)|can't get (?:it|them) to)\b"
    ),
}


def why_it_failed(heard: Heard) -> str:
    """Why an item failed: accident, worn or defect; empty where the words do not tell."""
    return _first(_FAILURES, heard.text)


# --- subscription ------------------------------------------------------------------------------------

# Tried in this order: "end the pause" resumes, and "I don't want to end it, just a pause" pauses.
_CHANGES = {
    "resume": re.compile(
        r"resum|reactivat|restart|\bun-?paus|(?:end|lift|stop)\w* \w+ (?:pause|hold)|"
        r"(?:start|run|take|get|active|going|moving|running)\b.*\b(?:again|going|up again)\b|active again"
    ),
    "pause": re.compile(r"\bpaus|on hold|\bsuspend|\bfreez|\bbreak\b"),
    "unsubscribe": re.compile(
        r"cancel|\bend(?:s|ed|ing)?\b|\bstop|\bquit|\bclose|terminat|unsubscri|get out of|rather not go on"
    ),
}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MONTHS = re.compile(rf"\b(\d{{1,3}}|{'|'.join(_NUMBERS)}) months?\b")


def change_of_subscription(heard: Heard) -> str:
    """What a customer wants of their subscription; empty if their words do not tell."""
    return _first(_CHANGES, heard.text)


def months_of(said: str) -> int:
    """For how many months; 0 if the words do not tell.

    >>> months_of("please pause it for two months"), months_of("please pause it")
    (2, 0)
    """
    found = _MONTHS.search(said)
    if found is None:
        return 0
    return int(found[1]) if found[1].isdigit() else _NUMBERS.index(found[1]) + 1


def take_months(case: Case, text: str) -> str:
    """Notes for how many months, if a message tells, and gives the message."""
    if months := months_of(text.lower()):
        case.details["months"] = str(months)
    return text


# --- order status ------------------------------------------------------------------------------------

# What is heard wrongly would decide the case; what is not heard is said again once the customer is told of a delivery.
_NOTHING_CAME = re.compile(
    r"\b(?:never|nothing|not|ha[sv]e?n'?t|didn'?t|isn'?t|aren'?t)(?: \w+){0,2} "
    r"(?:arriv\w+|rec[ei]+ved?|deliver\w+|reach\w*|turn\w* up|came|come|got|get|here|there|sign|delivery)\b"
    r"|\bno (?:sign|delivery|parcel) |\bno [a-z]+(?: [a-z]+)? here\b|\bstill without\b|\bgot nothing\b|\bnowhere\b"
)


def never_came(heard: Heard) -> str:
    """``not_received`` where the customer says that nothing has come; else empty."""
    return "not_received" if _NOTHING_CAME.search(heard.text) else ""


# --- exchange ----------------------------------------------------------------------------------------

# Tried in this order; what none of them finds is asked for again.
_WHYS = {
    "damaged": r"damag\w*|br[eo]k\w*|crush\w*|torn\b",
    "defective": r"defect\w*|fault\w*|failed\b|(?:fell|came) apart|gave up",
    "changed_mind": (
        r"(?:pick|chos|chose|choos|choice)\w*|suit\b|right for me|really for me|chang\w* (?:of|my) mind|mistake\b"
        r"|go with|the other one|like this one|thought again|think about it|thoughts?\b|got it wrong|wrong ones?\b"
        r"|nothing(?: i|')s wrong|badly\b"
    ),
}
_WHY = {reason: re.compile(rf"\b(?:{pattern})") for reason, pattern in _WHYS.items()}


def why_another(heard: Heard) -> str:
    """Why they want another option: damaged, defective or changed_mind; empty where the words do not tell."""
    return _first(_WHY, heard.text)


def option_named(said: str, options: Iterable[str], title: str = "") -> str:
    """The option that some words, in lower case, speak of; for that title, if one is given.

    >>> option_named("i'd like the large one", ["medium", "large"])
    'large'
    >>> option_named("small for the hoodie and large for the shirt", ["small", "large"], "shirt")
    'large'
    """
    for option in sorted(options, key=len, reverse=True):
        words = option.lower() + (f" for the {title}" if title else "")
        if re.search(rf"\b{re.escape(words)}\b", said):
            return option
    return ""


# --- all of them ---------------------------------------------------------------------------------------


def _first(patterns: Mapping[str, re.Pattern[str]], text: str) -> str:
    return next((name for name, pattern in patterns.items() if pattern.search(text)), "")


# Why customers ask, by the family whose policy it is about; empty where their words do not tell.
REASONS: Mapping[str, Callable[[Heard], str]] = {
    "refund": lambda heard: heard.reason,
    "exchange": why_another,
    "order_status": never_came,
    "subscription": change_of_subscription,
    "warranty": why_it_failed,
}
# What else a message tells of a wish is noted in the case; they give the message without what is no longer needed.
DETAILS: Mapping[str, Callable[[Case, str], str]] = {"address_change": take_address, "subscription": take_months}
