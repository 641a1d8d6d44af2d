"""How a scripted agent hears where an order should go."""

from __future__ import annotations

import re

from ss_gym.dialogue.case import Case

BOX = re.compile(r"PO Box|Parcel Locker")
_CODE = r"[A-Z]{2}\d \d[A-Z]{2}"
_ADDRESS = re.compile(
    r"(?P<street>(?:PO Box|Parcel Locker) \d+|\b\d{1,3} [A-Z][a-z]+ [A-Z][a-z]+),? "
    rf"(?:in )?(?:(?P<before>{_CODE}),? )?(?P<city>[A-Z][a-z]+)(?:,? (?P<after>{_CODE}))?"
)
_NOT = re.compile(r"\b(\d{1,3})\b[^.\d]*?\bnot\b[^.\d]*?\b(\d{1,3})\b")


def take_address(case: Case, text: str) -> str:
    """Notes the address in a message, or a correction of its number, and gives the message without it.

    >>> from types import SimpleNamespace
    >>> case = Case(SimpleNamespace())
    >>> take_address(case, "please send it to 12 Elm Street, Carrow, CW2 3EF. thanks")
    'please send it to . thanks'
    >>> take_address(case, "sorry, number 14, not 12")
    'sorry, number 14, not 12'
    >>> case.details
    {'street': '14 Elm Street', 'city': 'Carrow', 'postal_code': 'CW2 3EF', 'times_told': '1'}
    """
    details = case.details
    found = _ADDRESS.search(text)
    if found:
        postal_code = found["before"] or found["after"] or ""
        if postal_code != details.get("postal_code"):
            details.pop("served", None)
        told = str(int(details.get("times_told", "0")) + 1)
        details.update(street=found["street"], city=found["city"], postal_code=postal_code, times_told=told)
        return text.replace(found[0], "")
    code = re.search(rf"\b{_CODE}\b", text)
    # Before they are verified, it is that of their account.
    if code and case.customer_id and details.get("street") and not details.get("postal_code"):
        details["postal_code"] = code[0]
        return text.replace(code[0], "")
    number, _, name = details.get("street", "").partition(" ")
    correction = _NOT.search(text)
    if correction and correction[2] == number:
        details["street"] = f"{correction[1]} {name}"
    return text


def is_complete(case: Case) -> bool:
    """Whether street, city and postal code are known."""
    return all(case.details.get(name) for name in ("street", "city", "postal_code"))
