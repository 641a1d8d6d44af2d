"""Conditions of menus, on states of a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ss_gym.dialogue.conditions import NAMED, read_condition
from ss_gym.dialogue.facts import number_of, value_of
from ss_gym.dialogue.lines import Remarks
from ss_gym.dialogue.state import DialogueState
from ss_gym.families import load_family

RULES = load_family("refund").rules
REMARKS = Remarks({"final_sale": "it was a final sale"}, "I can't refund the {title}, because {remark}.")
ITEM = {
    "item_id": "1-1",
    "title": "lamp",
    "price": "40.00",
    "category": "home",
    "final_sale": True,
    "status": "ordered",
}
ORDER = {
    "order_id": "10001",
    "customer_id": "C1",
    "status": "delivered",
    "items": [ITEM],
    "payments": [{"payment_id": "P1", "method": "Visa"}, {"payment_id": "P2", "method": "PayPal"}],
    "refunds": [],
}


def state(order: dict[str, Any] | None = None, **results: dict[str, Any]) -> DialogueState:
    """After an order was read, and other tools of it gave results."""
    made = DialogueState()
    made.case.terms = RULES(30, 60, 10, 0, 50_000, 5)
    made.case.customer_id = "C1"
    for number, (name, result) in enumerate({"get_order": order or ORDER, **results}.items()):
        call = {"id": str(number), "function": {"name": name, "arguments": '{"order_id": "10001"}'}}
        made.append({"role": "assistant", "content": "", "tool_calls": [call]})
        made.append({"role": "tool", "content": json.dumps(result), "tool_call_id": str(number)})
    return made


def holds(text: str, given: DialogueState) -> bool:
    tools = load_family("refund").tools
    return read_condition(text, tools, ["open_box", "fee"], RULES.__dataclass_fields__).holds(given, REMARKS)


@pytest.mark.parametrize(("days", "over"), [(None, False), (29, False), (30, False), (31, True)])
def test_a_comparison_holds_only_where_the_fact_is_known(days: int | None, over: bool) -> None:
    given = state(check_return_eligibility={"days_since_delivery": days})
    assert holds("days_since_delivery > return_window_days", given) is over
    assert holds("days_since_delivery <= return_window_days", given) is (days is not None and not over)
    assert holds("days_since_delivery >= 31", given) is over
    assert holds("days_since_delivery < 31", given) is (days is not None and not over)


def test_words_are_compared_with_facts_of_any_kind() -> None:
    given = state(check_return_eligibility={"open_box": False})
    assert holds("status = delivered", given) and holds("status = shipped or delivered", given)
    assert holds("payments = PayPal", given) and not holds("payments = cash", given)
    assert holds("open_box = no", given) and not holds("open_box = yes", given)
    assert not holds("reason = damaged", given) and not holds("colour = None", given)


def test_flags_and_tools() -> None:
    given = state(check_return_eligibility={"open_box": True, "fee": "0.00"})
    assert holds("open_box", given) and not holds("fee", given)
    assert holds("get_order", given) and not holds("issue_refund", given)


def test_names_are_those_that_are_documented() -> None:
    given = state()
    held = {name for name in NAMED if holds(name, given)}
    assert held == {"verified", "read", "chosen", "awaited", "final", "mixed"}


def test_amounts_are_cents_and_results_have_their_tool_before_them() -> None:
    given = state(quote_refund={"refund": "36.50", "split": []})
    assert (number_of(given, "quote_refund_refund"), number_of(given, "price")) == (3650, 4000)
    assert value_of(given, "quote_refund_colour") is None and number_of(given, "status") is None


def test_facts_of_another_order_are_not_taken_for_those_of_this_one() -> None:
    given = state()
    call = {"id": "9", "function": {"name": "check_return_eligibility", "arguments": '{"order_id": "20002"}'}}
    given.append({"role": "assistant", "content": "", "tool_calls": [call]})
    given.append({"role": "tool", "content": '{"days_since_delivery": 3}', "tool_call_id": "9"})
    assert value_of(given, "days_since_delivery") is None


@pytest.mark.parametrize("text", ["", "read it", "price > ", "price > limit", "price = ", "a = b or", "a == b"])
def test_what_is_no_condition_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no condition|must end with a rule"):
        holds(text, state())
