"""Conditions of menus, on states of a conversation."""

from __future__ import annotations

import json
from dataclasses import fields
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
    rules = [field.name for field in fields(RULES)]
    words = {"status": ("processing", "shipped", "delivered")}
    return read_condition(text, tools, ["open_box", "fee", "notes"], rules, words).holds(given, REMARKS)


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
    given = state(check_return_eligibility={"open_box": True, "fee": "0.00", "notes": []})
    assert not holds("notes", given)
    given.case.details["open_box"] = "no"  # what tools told of the order counts for more
    assert holds("open_box", given) and not holds("fee", given)
    assert holds("get_order", given) and not holds("issue_refund", given)


def heard(*said: str) -> DialogueState:
    """A refund conversation in which the customer said these things, after the order was read."""
    given = state(quote_refund={"refund": "36.50", "price": "40.00", "split": []})
    given.case.customer_id, given.case.family = "C1", "refund"
    for text in said:
        given.append({"role": "user", "content": text})
    return given


def with_item(**changes: Any) -> DialogueState:
    return state({**ORDER, "items": [{**ITEM, **changes}]})


OPTIONS = {"price": "40.00", "options": [{"option": "red", "variant_id": "V1", "in_stock": True, "price": "40.00"}]}
FOUND = {"verify_identity": {"verified": False}}
# Name -> a state in which it holds, and one in which it does not.
CASES = {
    "identified": (heard("I am ada@mail.example, AB4 1CD"), heard("I am ada@mail.example")),
    "verified": (state(), state(**FOUND)),
    "failed": (state(**FOUND), state()),
    "listed": (state(list_orders={"orders": []}), state()),
    "missing": (state({**ORDER, "customer_id": "C2"}, list_orders={"orders": []}), state(list_orders={"orders": []})),
    "read": (state(), state({**ORDER, "customer_id": "C2"})),
    "chosen": (state(), state({**ORDER, "items": [ITEM, {**ITEM, "title": "mat"}]})),
    "reasoned": (heard("It is damaged"), heard("Hello")),
    "awaited": (state(), state(check_return_eligibility={"days_since_delivery": 3})),
    "final": (state(), with_item(final_sale=False)),
    "gift": (with_item(category="gift_card"), state()),
    "settled": (with_item(status="refunded"), state()),
    "mixed": (state(), with_item(final_sale=False)),
    "agreed": (heard("Yes, please"), heard("No, thanks")),
    "welcome": (heard("Yes, please"), heard("No, thanks")),
    "approved": (heard("Yes, please"), heard("No, thanks")),
    "named": (state(get_exchange_options=OPTIONS), state()),
    "quoted": (heard(), state()),
    "satisfied": (heard("That was all, thank you, bye!"), heard("And what about the lamp?")),
    "refunded": (state(issue_refund={"refunded": "1.00"}), state()),
    "credited": (state(issue_store_credit={"amount": "1.00"}), state()),
    "exchanged": (state(create_exchange={"exchange_id": "1"}), state()),
}


@pytest.mark.parametrize("name", NAMED)
def test_each_name_holds_in_one_state_and_not_in_another(name: str) -> None:
    yes, no = CASES[name]
    if name == "named":
        yes.append({"role": "user", "content": "The red one, please"})
    assert holds(name, yes) and not holds(name, no)


def test_a_state_in_which_nothing_is_known_is_no_error() -> None:
    empty = DialogueState()
    for text in ("days_since_delivery > return_window_days", "payments = PayPal", "undeliverable = no", *NAMED):
        assert not holds(text, empty), text


def test_amounts_are_cents_and_results_have_their_tool_before_them() -> None:
    given = state(quote_refund={"refund": "36.50", "split": []})
    assert (number_of(given, "quote_refund_refund"), number_of(given, "price")) == (3650, 4000)
    assert value_of(given, "quote_refundXrefund") is None
    assert value_of(given, "quote_refund_colour") is None and number_of(given, "status") is None


def test_facts_of_another_order_are_not_taken_for_those_of_this_one() -> None:
    given = state()
    call = {"id": "9", "function": {"name": "check_return_eligibility", "arguments": '{"order_id": "20002"}'}}
    given.append({"role": "assistant", "content": "", "tool_calls": [call]})
    given.append({"role": "tool", "content": '{"days_since_delivery": 3}', "tool_call_id": "9"})
    assert value_of(given, "days_since_delivery") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no condition"),
        ("read it", "did you mean 'read'"),
        ("price > ", "it is written 'fact < rule'"),
        ("price != 5", "it is written 'fact < rule'"),
        ("5 > 3", "it is written 'fact < rule'"),
        ("price = ", "it is written"),
        ("a = b or", "it is written"),
        ("price > WINDOW", "must end with a rule or a number"),
        ("price > return_windw_days", "did you mean 'return_window_days'"),
        ("status = deliverd", "status is never 'deliverd'; did you mean 'delivered'"),
        ("price = return_window_days", "price is never 'return_window_days'"),
    ],
)
def test_what_is_no_condition_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        holds(text, state())
