"""Facts of a conversation as numbers, by the names that menus give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ss_gym.dialogue.addresses import BOX
from ss_gym.dialogue.case import cents
from ss_gym.dialogue.state import DialogueState

_AMOUNT = re.compile(r"\d+\.\d\d").fullmatch


def _to_a_box(state: DialogueState) -> bool:
    return BOX.match(state.case.details.get("street", "")) is not None


def _exceeds(state: DialogueState, name: str, rule: str) -> bool:
    """Whether a fact is known and more than a rule allows."""
    value = fact(state, name)
    return value is not None and value > getattr(state.case.terms, rule)


def _within(state: DialogueState, name: str, rule: str, more: int = 0) -> bool:
    """Whether a fact is known and not more than a rule, or that and so much more."""
    value = fact(state, name)
    return value is not None and value <= getattr(state.case.terms, rule) + more


def _is(state: DialogueState, *names: str) -> bool:
    return all([fact(state, name) for name in names])


# Facts that are no result of a tool.
_SPECIAL: Mapping[str, Callable[[DialogueState], float | None]] = {
    "price": lambda state: state.price() if state.case.wanted else None,
    "dearest": lambda state: max([line.price for line in state.case.wanted], default=None),
    "paypal": lambda state: (
        "PayPal" in [method for _, method in (state.case.order.payments if state.case.order else ())]
    ),
    "served": lambda state: state.case.details.get("served") == "yes",
    "out_of_stock": lambda state: state.case.order is not None and state.case.order.facts.get("in_stock") is False,
    "fee_paid": lambda state: state.results.get("cancel_subscription", {}).get("fee", "0.00") != "0.00",
    "late": lambda state: _exceeds(state, "days_since_delivery", "replace_window_days"),
    "too_late": lambda state: _exceeds(state, "days_since_order", "change_window_days"),
    "soon_charged": lambda state: _within(state, "days_to_charge", "notice_days"),
    "too_new": lambda state: _is(state, "asks_pause") and _within(state, "days_since_start", "min_age_days", -1),
    "too_long": lambda state: _exceeds(state, "months", "max_pause_months"),
    "already_active": lambda state: _is(state, "asks_resume", "active"),
    "already_paused": lambda state: _is(state, "asks_pause", "paused"),
    "fee_due": lambda state: _is(state, "asks_unsubscribe", "committed_months_left"),
    "uncovered": lambda state: state.case.reason in ("accident", "worn") and bool(state.case.wanted),
    "wish_gone": lambda state: state.wished[1] == "gone",
    "wish_dearer": lambda state: state.wished[1] == "dearer",
    "undeliverable": lambda state: state.case.details.get("served") == "no" or _to_a_box(state),
}

# Of orders and of subscriptions.
_STATUSES = frozenset(("processing", "shipped", "delivered", "cancelled", "active", "paused"))


def fact(state: DialogueState, name: str) -> float | None:
    """A number or flag that was read or told, amounts in cents; None where it is not known.

    Args:
        state: of the conversation.
        name: of something that a tool told, of a detail of the wish, a status that the order or subscription may have,
            ``asks_`` and a reason, or one of those above.
    """
    case = state.case
    if name in _SPECIAL:
        return _SPECIAL[name](state)
    if name in _STATUSES:
        return case.order is not None and case.order.status == name
    if name.startswith("asks_"):
        return case.reason == name.removeprefix("asks_")
    value = case.order.facts.get(name) if case.order is not None else None
    if value is None:
        value = case.details.get(name)
    if isinstance(value, str):
        return cents(value) if _AMOUNT(value) else float(value) if value.isdecimal() else float(bool(value))
    return None if value is None else float(value if isinstance(value, int | float) else bool(value))
