"""Typed facts in a text: amounts, percentages, times, dates, durations, numbers, addresses and codes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept|"
        "october oct|november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_COUNTS = {
    word: number
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split(), start=2
    )
} | {"twenty": 20, "thirty": 30, "forty": 40, "sixty": 60, "ninety": 90}
_DAYS = {"day": 1, "week": 7, "fortnight": 14}
_UNITS = {"second": "seconds", "sec": "seconds", "minute": "minutes", "min": "minutes", "hour": "hours", "hr": "hours"}
_CURRENCIES = {
    "$": "$",
    "dollar": "$",
    "usd": "$",
    "€": "€",
    "euro": "€",
    "eur": "€",
    "£": "£",
    "pound": "£",
    "gbp": "£",
}

_NUMBER = rf"\d+(?:,\d{{3}})*(?:\.\d+)?|\b(?:{'|'.join(_COUNTS)})\b"
_MONTH = rf"\b(?:{'|'.join(_MONTHS)})\b"
# Tried in this order at each place. Bounded, so that no text takes quadratic time.
_FACT = re.compile(
    rf"(?P<email>[\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,4}})"
    rf"|(?P<iso>\b\d{{4}}-\d{{2}}-\d{{2}})\b"
    rf"|(?P<day1>\b\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month1>{_MONTH})"
    rf"|(?P<month2>{_MONTH}) (?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b"
    rf"|(?P<hours>\b\d{{1,2}})(?::(?P<minutes>\d{{2}}))? ?(?P<half>[ap])\.?m\b\.?"
    rf"|(?P<clock>\b\d{{1,2}}:\d{{2}})\b"
    rf"|(?P<phone>(?<![\w-])\+?\d[\d ()-]{{7,18}}\d(?![\w]))"
    rf"|(?P<code>\b(?:[a-z]{{1,12}}-?\d[a-z\d-]{{0,30}}|\d{{1,12}}-?[a-z]{{2,12}}\d[a-z\d-]{{0,30}})\b)"
    rf"|(?P<sign>[$€£]) ?(?P<amount1>{_NUMBER})"
    rf"|(?P<amount2>{_NUMBER}) ?(?P<currency>euro|dollar|pound|usd|eur|gbp)s?\b"
    rf"|(?P<percent>{_NUMBER}) ?(?:%|percent\b|per cent\b)"
    rf"|(?P<count>{_NUMBER})(?:[ -](?P<kind>working |business )?(?P<unit>day|week|fortnight|month|year|hour|hr"
    rf"|minute|min|second|sec)s?\b)?"
    rf"|(?P<weekday>\b(?:{'|'.join(_WEEKDAYS)}))s?\b",
    re.IGNORECASE,
)


class Fact(NamedTuple):
    """A value and what it is a value of; facts of one kind but another value can contradict each other."""

    kind: str
    value: str | float


@lru_cache(maxsize=1024)
def facts(text: str) -> frozenset[Fact]:
    """The typed facts in a text.

    >>> sorted(facts("Until 12 June you pay $1,200.50, or 20% less within two weeks."))[:2]
    [Fact(kind='date', value='06-12'), Fact(kind='days', value=14.0)]
    >>> facts("at 2 pm") == facts("at 14:00")
    True
    """
    return frozenset(_fact(match) for match in _FACT.finditer(text))


def _fact(match: re.Match[str]) -> Fact:
    found = {name: value.lower() for name, value in match.groupdict().items() if value}
    for name in ("email", "code", "weekday"):
        if name in found:
            return Fact(name, found[name])
    if "phone" in found:
        return Fact("phone", re.sub(r"\D", "", found["phone"]))
    if "percent" in found:
        return Fact("percent", _number(found["percent"]))
    if "iso" in found:
        return Fact("date", found["iso"][5:])
    if month := found.get("month1") or found.get("month2"):
        return Fact("date", f"{_MONTHS[month]:02}-{int(found.get('day1') or found['day2']):02}")
    if "half" in found or "clock" in found:
        return Fact("time", _minutes(found))
    if amount := found.get("amount1") or found.get("amount2"):
        return Fact("money" + _CURRENCIES[found.get("sign") or found["currency"]], _number(amount))
    return _counted(_number(found["count"]), found.get("unit", ""))


def _counted(number: float, unit: str) -> Fact:
    if unit in _DAYS:
        return Fact("days", number * _DAYS[unit])
    return Fact(_UNITS.get(unit, unit + "s" if unit else "number"), number)


def _number(text: str) -> float:
    return float(_COUNTS[text]) if text in _COUNTS else float(text.replace(",", ""))


def _minutes(found: dict[str, str]) -> float:
    if "clock" in found:
        hours, minutes = map(int, found["clock"].split(":"))
    else:
        hours = int(found["hours"]) % 12 + 12 * (found["half"] == "p")
        minutes = int(found.get("minutes", 0))
    return float(60 * hours + minutes)
