"""What is known in a conversation, by the names that menus give it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ss_gym.dialogue.addresses import BOX
from ss_gym.dialogue.case import cents
from ss_gym.dialogue.state import DialogueState

Value = bool | float | str | tuple[str, ...] | None
_TRUTHS = {"yes": True, "no": False}
_AMOUNT = re.compile(r"\d+\.\d\d").fullmatch


def _undeliverable(state: DialogueState) -> bool | None:
    details = state.case.details
    if not details.get("street") and not details.get("served"):
        return None
    return details.get("served") == "no" or BOX.match(details.get("street", "")) is not None


# Facts that are put together from several things that were read or told.
_SPECIAL: Mapping[str, Callable[[DialogueState], Value]] = {
    "reason": lambda state: state.case.reason or None,
    "status": lambda state: state.case.order.status if state.case.order else None,
    "price": lambda state: state.price() if state.case.wanted else None,
    "dearest": lambda state: max([line.price for line in state.case.wanted], default=None),
    "payments": lambda state: (
        tuple(method for _, method in state.case.order.payments) if state.case.order is not None else None
    ),
    "wish": lambda state: state.wished[1] or None,
    "undeliverable": _undeliverable,
}


def value_of(state: DialogueState, name: str) -> Value:
    """What is known of a fact, amounts in cents and yes or no as a truth value; None where nothing is.

    Args:
        state: of the conversation.
        name: ``reason`` of the wish, ``status`` of the order or subscription, ``price`` of the lines that are wanted
            and that of the ``dearest``, the methods of its ``payments``, the ``wish`` that can't be had in exchange
            (gone, or dearer: of another price), whether an address is ``undeliverable``; a field of what tools told
            of the order; a detail that was told; a tool and a field of its last result, of whatever order, with
            ``_`` between them.
    """
    if name in _SPECIAL:
        return _SPECIAL[name](state)
    case = state.case
    found = case.order.facts.get(name) if case.order is not None else None
    if found is None:
        found = case.details.get(name)
    if found is None:
        of_tools = [(tool, result) for tool, result in state.results.items() if name.startswith(f"{tool}_")]
        found = next((result.get(name[len(tool) + 1 :]) for tool, result in of_tools), None)
    if isinstance(found, str):
        truth = _TRUTHS.get(found)
        if truth is None:
            return cents(found) if _AMOUNT(found) else int(found) if found.isdecimal() else found
        return truth
    if isinstance(found, list | tuple):
        return tuple(map(str, found))
    return found if isinstance(found, int | float) or found is None else str(found)


def number_of(state: DialogueState, name: str) -> float | None:
    """A fact as a number; None where it is not known or is none."""
    value = value_of(state, name)
    return float(value) if isinstance(value, int | float) else None
