"""Conditions on the state of a conversation, as menus write them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ss_gym.dialogue.facts import number_of, value_of
from ss_gym.dialogue.lines import Remarks
from ss_gym.dialogue.state import DialogueState
from ss_gym.spelling import nearest

Holds = Callable[[DialogueState, Remarks], bool]

NAMED: Mapping[str, Holds] = {
    "identified": lambda state, _: bool(state.case.email and state.case.postal_code),
    "verified": lambda state, _: bool(state.case.customer_id),
    "failed": lambda state, _: state.failed > 0,
    "listed": lambda state, _: state.listed,
    "missing": lambda state, _: state.listed and state.order_id not in state.orders and state.case.order is None,
    "read": lambda state, _: state.case.order is not None,
    "chosen": lambda state, _: bool(state.case.wanted),
    "reasoned": lambda state, _: bool(state.case.reason),
    "awaited": lambda state, _: state.case.order is not None and state.case.order.days is None,
    "final": lambda state, _: any(line.final_sale for line in state.case.wanted),
    "gift": lambda state, _: any(line.category == "gift_card" for line in state.case.wanted),
    "settled": lambda state, _: any(line.status != "ordered" for line in state.case.wanted),
    "mixed": lambda state, remarks: any(map(remarks.remark, state.case.wanted)),
    "agreed": lambda state, _: state.agreed and state.quoted() > 0,
    "welcome": lambda state, _: state.agreed and bool(state.case.wanted),
    "approved": lambda state, _: state.approved,
    "named": lambda state, _: bool(state.option),
    "quoted": lambda state, _: state.quoted() > 0,
    "satisfied": lambda state, _: state.heard["satisfied"],
    "refunded": lambda state, _: "issue_refund" in state.results,
    "credited": lambda state, _: "issue_store_credit" in state.results,
    "exchanged": lambda state, _: "create_exchange" in state.results,
}

_COMPARED = re.compile(r"([A-Za-z_]\w*) (<=|<|>=|>) (\w+)").fullmatch
_EQUAL = re.compile(r"([A-Za-z_]\w*) = (\w+(?: or \w+)*)").fullmatch
_ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds or not.

    Attributes:
        text: as the menu writes it.
        holds: whether it does, in a state of a family with these remarks.
    """

    text: str
    holds: Holds


def read_condition(
    text: str,
    tools: Collection[str],
    flags: Collection[str],
    rules: Collection[str],
    words: Mapping[str, Collection[str]],
) -> Condition:
    """Reads a condition, which is one of these.

    * a name of ``NAMED``;
    * a tool: it has given a result;
    * a flag of the menu: that fact is known, and neither zero nor no;
    * ``fact < rule``, with ``<``, ``<=``, ``>`` or ``>=``, and a rule of the policy or a whole number (amounts are in
      cents): the fact is known and compares so;
    * ``fact = word`` or ``fact = word or word``: the fact is known and is one of these; yes and no for truth values.

    Blanks around the signs are needed.

    Args:
        text: the condition.
        tools: names of the tools.
        flags: facts that the menu lists as such.
        rules: names of the policy's rules.
        words: what facts can be, by their names, for those whose words are known.

    Raises:
        ValueError: if it is none of these; says why.
    """
    text = " ".join(text.split())
    if text in NAMED:
        return Condition(text, NAMED[text])
    if text in list(tools):
        return Condition(text, lambda state, _: text in state.results)
    if text in list(flags):
        return Condition(text, lambda state, _: bool(value_of(state, text)))
    if found := _EQUAL(text):
        for word in found[2].split(" or "):
            if word not in words.get(found[1], [word]) or word in list(rules):
                raise ValueError(f"{found[1]} is never {word!r:.80}; {nearest(word, words.get(found[1], ()))}")
        return Condition(text, _is_one_of(found[1], frozenset(found[2].split(" or "))))
    if found := _COMPARED(text):
        if not found[3].isdecimal() and found[3] not in list(rules):
            raise ValueError(f"{text!r:.80} must end with a rule or a number; {nearest(found[3], rules)}")
        return Condition(text, _compares(found[1], _ORDERS[found[2]], found[3]))
    if re.search(r"[<>=]", text):
        form = "it is written 'fact < rule', 'fact = word' or 'fact = word or word', with blanks and single words"
        raise ValueError(f"{text!r:.80} is no comparison: {form}")
    known = (*NAMED, *flags, *tools)
    raise ValueError(f"{text!r:.80} is no condition, flag, tool or comparison; {nearest(text, known)}")


def _is_one_of(fact: str, words: Collection[str]) -> Holds:
    def holds(state: DialogueState, _: Remarks) -> bool:
        value = value_of(state, fact)
        if isinstance(value, bool):
            return ("yes" if value else "no") in words
        values = value if isinstance(value, tuple) else (str(value),)
        return value is not None and any(each in words for each in values)

    return holds


def _compares(fact: str, order: Callable[[float, float], bool], limit: str) -> Holds:
    def holds(state: DialogueState, _: Remarks) -> bool:
        value = number_of(state, fact)
        if value is None:
            return False
        return order(value, float(limit if limit.isdecimal() else getattr(state.case.terms, limit)))

    return holds
