"""What is known in a conversation: as words for sentences, and as arguments for tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from ss_gym.arguments import Argument
from ss_gym.dialogue.case import Line, cents, dollars, titles
from ss_gym.dialogue.lines import Remarks
from ss_gym.dialogue.state import DialogueState
from ss_gym.tools import Tool

# What a sentence can do without.
_MAY_BE_EMPTY = frozenset(("each_refused", "fee_note", "rest_refused"))


def slots(state: DialogueState, remarks: Remarks) -> dict[str, str]:
    """What is known, in words by name; what is not known is not there."""
    case = state.case
    missing = [name for name, known in (("e-mail address", case.email), ("postal code", case.postal_code)) if not known]
    plain = remarks.ordinary(case.wanted)
    found = {
        **_read(state),
        **{name: value for name, value in case.details.items() if value},
        "unidentified": " and ".join(f"the {name}" for name in missing),
        "titles": titles(case.wanted),
        "price": dollars(state.price()),
        "ordinary_titles": titles(plain),
        "ordinary_price": dollars(sum(line.price for line in plain)),
        "each_refused": remarks.refusals(case.wanted),
        "listed": ", ".join(title for held in state.orders.values() for title in held),
    }
    for name in [field.name for field in fields(case.terms)] if case.terms else ():
        value = getattr(case.terms, name)
        found[name] = str(value)
        if name.endswith("_cents"):
            found[name.removesuffix("_cents")] = dollars(value)
    if case.terms and case.terms.WINDOW:
        found["window"] = found[case.terms.WINDOW]
    if case.order:
        found["in_order"] = ", ".join(line.title for line in case.order.lines)
        if case.order.expected_on:
            found["date"] = case.order.expected_on
    if state.options:
        found["options"] = " or ".join(state.options)
    if state.option:
        found["option"] = state.option
    if state.wished[0]:
        found["wished"] = state.wished[0]
    found |= _quote(state, remarks, found)
    return {name: text for name, text in found.items() if text or name in _MAY_BE_EMPTY}


def _read(state: DialogueState) -> dict[str, str]:
    """What tools gave: facts of the order by their names, other results with the tool's name before it."""
    found: dict[str, str] = {}
    for name, result in state.results.items():
        found |= {f"{name}_{key}": str(value) for key, value in result.items() if isinstance(value, str | int)}
    if order := state.case.order:
        found |= {key: str(value) for key, value in order.facts.items() if isinstance(value, str | int)}
        found["refunded"] = dollars(order.refunded)
    if "cancel_order" in state.results:
        gone, back = state.results["cancel_order"]["cancelled"], state.results["cancel_order"]["refunds"]
        found["cancelled_titles"] = titles(line for line in state.case.wanted if line.item_id in gone)
        found["cancelled_amount"] = dollars(sum(cents(part["amount"]) for part in back))
    return found


def _quote(state: DialogueState, remarks: Remarks, found: Mapping[str, str]) -> dict[str, str]:
    """What the last quote comes to."""
    quote, wanted = state.results.get("quote_refund", {}), state.case.wanted
    quoted = remarks.quoted(state)
    rest = remarks.refusals(line for line in wanted if line not in quoted)
    if "refund" not in quote:
        return {"rest_refused": rest}
    percent = found.get("restocking_fee_percent", "")
    return {
        "rest_refused": rest,
        "refund": dollars(cents(quote["refund"])),
        "methods": " and ".join(f"${part['amount']} to {part['method']}" for part in quote["split"]),
        "quoted_titles": titles(quoted),
        "fee_note": f"There is a restocking fee of {percent} %. " if cents(quote["fee"]) else "",
    }


def calls_of(
    tool: Tool, state: DialogueState, lines: Sequence[Line], given: dict[str, Any], remarks: Remarks
) -> list[dict[str, Any]] | None:
    """The arguments of each call of a tool that is due, found by their names; None while one of them is not known.

    A tool that takes an item is called once for each line, and one that takes a payment once for each part of the
    last quote.

    Args:
        tool: which.
        state: what is known.
        lines: those that the call is about.
        given: arguments that are fixed.
        remarks: which lines are ordinary.
    """
    known = _arguments(state, lines) | given
    rows: list[dict[str, Any]] = [{}]
    if "payment_id" in tool.arguments:
        quoted = [line.item_id for line in remarks.quoted(state)]
        parts = state.results.get("quote_refund", {}).get("split", ())
        rows = [{"item_ids": quoted, "amount": part["amount"], "payment_id": part["payment_id"]} for part in parts]
    elif "item_id" in tool.arguments:
        rows = [{"item_id": line.item_id} for line in lines]
    filled = [
        {name: _as_argument(row.get(name, known.get(name)), argument) for name, argument in tool.arguments.items()}
        for row in rows
    ]
    return filled if filled and all(all(value or value == 0 for value in call.values()) for call in filled) else None


def _as_argument(value: Any, argument: Argument) -> Any:
    """A value as a tool takes it: whole numbers as such, amounts without a sign before them."""
    if not isinstance(value, str):
        return value
    return int(value) if argument.schema.get("type") == "integer" and value.isdigit() else value.removeprefix("$")


def _arguments(state: DialogueState, lines: Sequence[Line]) -> dict[str, Any]:
    """What is known, as arguments by the names that tools give them."""
    case = state.case
    number = case.order.order_id if case.order else state.order_id
    details = {name: value for name, value in case.details.items() if name not in ("email", "postal_code")}
    return {
        **details,
        "email": case.email,
        "postal_code": case.postal_code,
        "customer_id": case.customer_id,
        "order_id": number,
        "subscription_id": number,
        "item_ids": [line.item_id for line in lines],
        "reason": case.reason or "changed_mind",
        "amount": dollars(sum(line.price for line in lines))[1:] if lines else "",
        "variant_id": state.options.get(state.option, ""),
    }
