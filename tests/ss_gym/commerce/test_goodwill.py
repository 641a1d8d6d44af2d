"""The tools for deliveries: facts and dates, and credit as an apology."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ss_gym.commerce import goodwill
from ss_gym.commerce.draft import OrderDraft, Person
from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError
from ss_gym.types import ToolResult

from .conftest import TODAY, WIDE_WORLD

Call = Callable[..., ToolResult]


def value(result: ToolResult) -> Any:
    assert result.ok, result.content
    return json.loads(result.content)


def test_the_facts_of_an_order_on_its_way(wide_call: Call) -> None:
    assert value(wide_call("check_delivery", order_id="48215")) == {
        "status": "shipped",
        "placed_on": "2025-01-18",
        "days_since_order": 2,
        "carrier": "DHL",
        "shipped_on": "2025-01-19",
        "expected_on": "2025-01-23",
        "days_late": 0,
        "delivered_on": None,
        "days_since_delivery": None,
        "goodwill_credit": None,
    }


def test_the_facts_of_an_order_that_was_not_sent_and_of_one_that_has_arrived(wide_call: Call) -> None:
    waiting = value(wide_call("check_delivery", order_id="48216"))
    assert (waiting["status"], waiting["days_since_order"], waiting["shipped_on"]) == ("processing", 1, None)
    arrived = value(wide_call("check_delivery", order_id="48213"))
    assert (arrived["delivered_on"], arrived["expected_on"]) == ("2025-01-04", "2025-01-05")
    assert (arrived["days_since_delivery"], arrived["days_late"]) == (16, None)  # the 4th to the 20th
    assert value(wide_call("check_delivery", order_id="99999")) == {"found": False}


def test_days_late_are_counted_from_the_expected_date(wide_store: Store, wide_call: Call) -> None:
    wide_store.open(WIDE_WORLD, "2025-01-27")  # expected on the 23rd
    assert value(wide_call("check_delivery", order_id="48215"))["days_late"] == 4


def test_a_date_after_another(wide_call: Call) -> None:
    assert value(wide_call("date_after", day="2024-02-27", days=3)) == {"date": "2024-03-01"}  # a leap year
    assert value(wide_call("date_after", day="2025-01-31", days=0)) == {"date": "2025-01-31"}
    for day, days in (("31 January", 1), ("2025-02-30", 1), ("2025-01-31", -1), ("9999-12-31", 1)):
        assert not wide_call("date_after", day=day, days=days).ok


def test_goodwill_credit_goes_to_whoever_placed_the_order(wide_store: Store, wide_call: Call) -> None:
    assert value(wide_call("give_goodwill_credit", order_id="48215", amount="8.00")) == {
        "credit_id": "S1",
        "amount": "8.00",
    }
    assert wide_store.effects() == {("store_credit", "C4821", 800)}
    assert wide_store.integrity_errors() == []
    assert value(wide_call("check_delivery", order_id="48215"))["goodwill_credit"] == "8.00"


def test_whether_an_order_may_bring_credit_again_is_for_the_policy_to_say(wide_store: Store, wide_call: Call) -> None:
    given = (("48215-G", "C4821", "48215", 500, "2025-01-19"),)
    wide_store.open(WIDE_WORLD._replace(goodwill_credits=given), TODAY)
    assert goodwill.given_for(wide_store, "48215") == 500
    assert wide_call("give_goodwill_credit", order_id="48215", amount="3.00").ok
    assert wide_store.effects() == {("store_credit", "C4821", 300)}  # the first was before this conversation
    assert goodwill.given_for(wide_store, "48215") == 800


@pytest.mark.parametrize("order_id, amount", [("48215", "0.00"), ("48215", "50.01"), ("99999", "5.00")])
def test_no_credit_for_nothing_above_the_cap_or_for_no_order(wide_store: Store, order_id: str, amount: str) -> None:
    cents = int(amount.replace(".", ""))
    with pytest.raises(ToolError):
        wide_store.atomically(goodwill.give, wide_store, order_id, cents)
    assert wide_store.effects() == frozenset()


def test_credit_on_somebody_elses_order_is_a_contradiction(wide_store: Store) -> None:
    wide_store.execute("INSERT INTO goodwill_credits VALUES ('S9', 'C5190', '48215', 500, '2025-01-20')")
    assert wide_store.integrity_errors() == ["goodwill credit for somebody else's order: S9"]


def test_a_delivery_may_come_before_the_day_for_which_it_was_expected() -> None:
    person = Person("C1000", "Ada Novak", "ada@mail.example", "1 Elm Street", "Ashbury", "AB407")
    order = OrderDraft("12345", person, [], 3, 2, 4, 0, ("paypal", "PayPal"), "UPS")
    assert order.facts(739_303)[3:5] == ("2025-02-18", "2025-02-18")  # the ordinal of 2025-02-21
    order.early_days = 2
    assert order.facts(739_303)[3:5] == ("2025-02-18", "2025-02-20")
