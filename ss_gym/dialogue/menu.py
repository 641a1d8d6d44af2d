"""The menu of a family: what an agent can choose, filled in from the state of the conversation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ss_gym.dialogue.case import Line, cents, dollars, titles
from ss_gym.dialogue.state import DialogueState
from ss_gym.json_text import encode
from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.spelling import nearest

FILE = "menu.yaml"
_SLOT = re.compile(r"{(\w+)}").findall
_KEYS = ("say", "call", "with", "of", "needs", "unless")

# Tools that may be called again with the same arguments.
_REPEATED = frozenset(("verify_identity",))


@dataclass(frozen=True, slots=True)
class Entry:
    """One choice.

    Attributes:
        name: what it is called.
        say: what is said, with slots; empty for a call.
        calls: the tools that are called.
        given: arguments of these that are fixed.
        ordinary: whether calls are about the ordinary ones of the wanted lines only.
        needs: what must hold, one of ``CONDITIONS``; empty for nothing.
        unless: what must not hold.
    """

    name: str
    say: str = ""
    calls: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    ordinary: bool = False
    needs: str = ""
    unless: str = ""


def ordinary(state: DialogueState) -> tuple[Line, ...]:
    """The wanted lines with nothing special about them."""
    return tuple(line for line in state.case.wanted if not remark(line))


def remark(line: Line) -> str:
    """What is special about a line, in words; empty for an ordinary one."""
    if line.status != "ordered":
        return f"it was already {line.status}"
    if line.category == "gift_card":
        return "gift cards are not refundable"
    return "it was a final sale" if line.final_sale else ""


CONDITIONS: Mapping[str, Callable[[DialogueState], bool]] = {
    "identified": lambda state: bool(state.case.email and state.case.postal_code),
    "verified": lambda state: bool(state.case.customer_id),
    "failed": lambda state: state.failed > 0,
    "listed": lambda state: "list_orders" in state.results,
    "read": lambda state: state.case.order is not None,
    "chosen": lambda state: bool(state.case.wanted),
    "reasoned": lambda state: bool(state.case.reason),
    "arrived": lambda state: state.case.order is not None and state.case.order.days is not None,
    "awaited": lambda state: state.case.order is not None and state.case.order.days is None,
    "final": lambda state: any(line.final_sale for line in state.case.wanted),
    "gift": lambda state: any(line.category == "gift_card" for line in state.case.wanted),
    "settled": lambda state: any(line.status != "ordered" for line in state.case.wanted),
    "mixed": lambda state: 0 < len(state.case.wanted) and any(map(remark, state.case.wanted)),
    "agreed": lambda state: state.agreed and state.quoted() > 0,
    "welcome": lambda state: state.agreed and bool(state.case.wanted),
    "named": lambda state: bool(state.option),
    "quoted": lambda state: state.quoted() > 0,
    "refunded": lambda state: "issue_refund" in state.results,
    "credited": lambda state: "issue_store_credit" in state.results,
    "exchanged": lambda state: "create_exchange" in state.results,
}


class FamilyMenu:
    """The choices of a family, from its ``menu.yaml``.

    Args:
        family: whose.

    Attributes:
        names: of the choices, in order.

    Raises:
        FileNotFoundError: if the family has no menu.
        ValueError: if the file is broken; names the file, the line and the field.
    """

    def __init__(self, family: str) -> None:
        data = read_yaml(family, FILE)
        if not isinstance(data, dict) or not data:
            raise field_error(family, FILE, (), "expected a mapping of choices")
        self._entries = tuple(_entry(family, str(name), fields) for name, fields in data.items())
        self.names = tuple(entry.name for entry in self._entries)

    def __len__(self) -> int:
        """How many choices there are."""
        return len(self._entries)

    def choices(self, memory: DialogueState) -> list[str | None]:
        """What each choice is now; None where something is not known that it needs."""
        slots = _slots(memory)
        holds = {name: condition(memory) for name, condition in CONDITIONS.items()}
        return [
            _action(entry, memory, slots)
            if (not entry.needs or holds[entry.needs]) and not (entry.unless and holds[entry.unless])
            else None
            for entry in self._entries
        ]


def _entry(family: str, name: str, fields: Any) -> Entry:
    if not isinstance(fields, dict) or ("say" in fields) == ("call" in fields):
        raise field_error(family, FILE, (name,), "expected a mapping with either say or call")
    for key in fields:
        if key not in _KEYS:
            raise field_error(family, FILE, (name, key), f"is not known; {nearest(key, _KEYS)}")
    for key in ("needs", "unless"):
        if key in fields and fields[key] not in CONDITIONS:
            problem = f"{fields[key]!r:.80} is no condition; {nearest(str(fields[key]), CONDITIONS)}"
            raise field_error(family, FILE, (name, key), problem)
    return Entry(
        name=name,
        say=fields.get("say", ""),
        calls=tuple(fields.get("call", ())),
        given=fields.get("with", {}),
        ordinary=fields.get("of") == "ordinary",
        needs=fields.get("needs", ""),
        unless=fields.get("unless", ""),
    )


def _action(entry: Entry, state: DialogueState, slots: Mapping[str, str]) -> str | None:
    if entry.say:
        if not all(slots.get(name) is not None for name in _SLOT(entry.say)):
            return None
        return entry.say.format_map(slots)
    calls: list[dict[str, Any]] = []
    lines = ordinary(state) if entry.ordinary else state.case.wanted
    for name in entry.calls:
        filled = _arguments(name, state, lines, entry.given)
        if filled is None:
            return None
        if name not in _REPEATED and all((name, encode(arguments)) in state.made for arguments in filled):
            return None
        calls += [{"name": name, "arguments": arguments} for arguments in filled]
    return "".join([f"<tool_call>{encode(call)}</tool_call>" for call in calls])


def _arguments(
    name: str, state: DialogueState, lines: Sequence[Line], given: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """The arguments of each call of a tool that is due; None while one of them is not known."""
    case = state.case
    quote = state.results.get("quote_refund", {})
    order_id = case.order.order_id if case.order else state.order_id
    whole: dict[str, Any] = {"order_id": order_id, "item_ids": [line.item_id for line in lines]}
    reason = case.reason or "changed_mind"
    by_tool: dict[str, list[dict[str, Any]]] = {
        "verify_identity": [{"email": case.email, "postal_code": case.postal_code}],
        "list_orders": [{"customer_id": case.customer_id}],
        "quote_refund": [{**whole, "reason": reason}],
        "issue_refund": [
            {
                "order_id": order_id,
                "item_ids": quoted_ids(state),
                "amount": part["amount"],
                "payment_id": part["payment_id"],
                "reason": reason,
            }
            for part in quote.get("split", ())
        ],
        "issue_store_credit": [{**whole, "amount": _plain(sum(line.price for line in lines))}],
        "get_exchange_options": [{"item_id": line.item_id} for line in lines[:1]],
        "create_exchange": [
            {"item_id": line.item_id, "variant_id": state.options.get(state.option, "")} for line in lines[:1]
        ],
        "end_conversation": [{}],
        "transfer_to_human": [dict(given)],
    }
    found = by_tool.get(name, [{"order_id": order_id}])
    return found if found and all(all(each.values()) for each in found) else None


def quoted_ids(state: DialogueState) -> list[str]:
    """The items of the last quote: all that are wanted, or the ordinary ones where the price tells so."""
    quote = state.results.get("quote_refund", {})
    part = ordinary(state)
    only = part and "price" in quote and cents(quote["price"]) == sum(line.price for line in part)
    return [line.item_id for line in (part if only else state.case.wanted)]


def _plain(amount: int) -> str:
    return dollars(amount)[1:]


def _slots(state: DialogueState) -> dict[str, str]:
    """What is known in words."""
    case, quote = state.case, state.results.get("quote_refund", {})
    quoted = set(quoted_ids(state))
    missing = [name for name, known in (("e-mail address", case.email), ("postal code", case.postal_code)) if not known]
    slots = {
        "unidentified": " and ".join(f"the {name}" for name in missing),
        "titles": titles(case.wanted),
        "price": dollars(state.price()),
    }
    for name in type(case.terms).__dataclass_fields__ if case.terms else ():
        slots[name] = str(getattr(case.terms, name))
    if case.terms and case.terms.WINDOW:
        slots["window"] = slots[case.terms.WINDOW]
    if case.order:
        slots["in_order"] = ", ".join(line.title for line in case.order.lines)
        if case.order.expected_on:
            slots["date"] = case.order.expected_on
    if "refund" in quote:
        slots["refund"] = dollars(cents(quote["refund"]))
        slots["methods"] = " and ".join(f"${part['amount']} to {part['method']}" for part in quote["split"])
        slots["quoted_titles"] = titles(line for line in case.wanted if line.item_id in quoted)
        fee = cents(quote["fee"])
        slots["fee_note"] = f"There is a restocking fee of {slots['restocking_fee_percent']} %. " if fee else ""
    slots["each_refused"] = _refusals(case.wanted)
    slots["rest_refused"] = _refusals(line for line in case.wanted if line.item_id not in quoted)
    if state.options:
        slots["options"] = " or ".join(state.options)
    if state.option:
        slots["option"] = state.option
    return slots


def _refusals(lines: Iterable[Line]) -> str:
    found = [f"I can't refund the {line.title}, because {remark(line)}. " for line in lines if remark(line)]
    return "".join(found)
