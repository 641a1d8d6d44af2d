"""Subscriptions: what is known of them, and how they are paused, resumed and ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.commerce.store import Store
from ss_gym.commerce.subscriptions import (
    SubscriptionFacts,
    cancel,
    known_subscription,
    months_later,
    pause,
    resume,
    subscription,
    subscriptions_of,
)
from ss_gym.commerce.toolkit import CommerceToolkit
from ss_gym.families.subscription_cases import SubscriptionRules
from ss_gym.tools import ToolError
from ss_gym.types import ToolCall, ToolResult

Call = Callable[..., ToolResult]

ACTIVE = SubscriptionFacts(
    "70001", "C4821", "cotton socks", 950, "active", "2024-11-05", "2025-02-05", "2025-05-05"
)  # fmt: skip


def value(result: ToolResult) -> Any:
    assert result.ok, result.content
    return json.loads(result.content)


def test_a_subscription_is_known_by_its_number(wide_store: Store) -> None:
    assert subscription(wide_store, "70001") == known_subscription(wide_store, "70001") == ACTIVE
    assert subscription(wide_store, "70000") is None
    with pytest.raises(ToolError, match="there is no subscription 70000"):
        known_subscription(wide_store, "70000")


def test_the_subscriptions_of_a_customer_come_by_number(wide_store: Store) -> None:
    found = subscriptions_of(wide_store, "C4821")
    assert [(each.subscription_id, each.status, each.next_charge_on) for each in found] == [
        ("70001", "active", "2025-02-05"),
        ("70002", "paused", "2025-03-31"),
    ]
    assert subscriptions_of(wide_store, "C1") == []


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        ("2025-02-05", 1, "2025-03-05"),
        ("2025-02-05", 12, "2026-02-05"),
        ("2025-12-05", 1, "2026-01-05"),
        ("2025-11-30", 13, "2026-12-30"),
        ("2025-01-31", 1, "2025-02-28"),
        ("2024-01-31", 1, "2024-02-29"),  # a leap year
        ("2000-01-31", 1, "2000-02-29"),  # so is every fourth century,
        ("2099-12-31", 2, "2100-02-28"),  # but no other
        ("2024-02-29", 12, "2025-02-28"),
        ("2025-03-31", 1, "2025-04-30"),
        ("2025-08-31", 1, "2025-09-30"),
        ("2025-03-31", 0, "2025-03-31"),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last_of_the_month(day: str, months: int, later: str) -> None:
    assert months_later(day, months) == later


@given(st.dates(date(2000, 1, 1), date(2080, 1, 1)), st.integers(0, 120))
def test_no_month_is_skipped_and_the_day_is_lost_only_where_there_is_none(day: date, months: int) -> None:
    later = date.fromisoformat(months_later(day.isoformat(), months))
    assert 12 * later.year + later.month == 12 * day.year + day.month + months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(1)).day == 1)


# --- pausing and resuming -------------------------------------------------------------------------


def test_a_pause_puts_the_next_charge_off_by_its_months(wide_store: Store) -> None:
    assert wide_store.atomically(pause, wide_store, "70001", 3) == "2025-05-05"  # three months after 5 February
    assert subscription(wide_store, "70001") == ACTIVE._replace(status="paused", next_charge_on="2025-05-05")
    assert wide_store.effects() == {("subscription", "70001", "paused", "2025-05-05")}
    assert wide_store.integrity_errors() == []


@pytest.mark.parametrize(("months", "date"), [(1, "2025-03-05"), (12, "2026-02-05")])
def test_a_pause_is_from_one_to_twelve_months_long(wide_store: Store, months: int, date: str) -> None:
    assert wide_store.atomically(pause, wide_store, "70001", months) == date


def test_a_subscription_resumes_with_a_charge_in_a_month_from_today(wide_store: Store) -> None:
    assert wide_store.atomically(resume, wide_store, "70002") == "2025-02-20"  # today is 20 January
    assert wide_store.effects() == {("subscription", "70002", "active", "2025-02-20")}
    assert wide_store.integrity_errors() == []


def test_what_counts_is_how_a_subscription_is_left(wide_store: Store) -> None:
    wide_store.atomically(pause, wide_store, "70001", 2)
    wide_store.atomically(resume, wide_store, "70001")
    assert wide_store.effects() == {("subscription", "70001", "active", "2025-02-20")}
    wide_store.atomically(pause, wide_store, "70001", 1)
    assert wide_store.effects() == {("subscription", "70001", "paused", "2025-03-20")}


@pytest.mark.parametrize(
    ("write", "arguments", "problem"),
    [
        (pause, ("70001", 0), "a pause is from 1 to 12 months long, got 0"),
        (pause, ("70001", 13), "a pause is from 1 to 12 months long, got 13"),
        (pause, ("70001", -1), "a pause is from 1 to 12 months long, got -1"),
        (pause, ("70002", 1), "subscription 70002 is paused"),
        (pause, ("70003", 1), "subscription 70003 is cancelled"),
        (pause, ("70000", 1), "there is no subscription 70000"),
        (resume, ("70001",), "subscription 70001 is active"),
        (resume, ("70003",), "subscription 70003 is cancelled"),
        (resume, ("70000",), "there is no subscription 70000"),
        (cancel, ("70003", 0), "subscription 70003 is cancelled already"),
        (cancel, ("70000", 0), "there is no subscription 70000"),
        (cancel, ("70001", 11401), "the fee must be from 0 to twelve monthly prices"),  # 12 times 9.50 is 114.00
        (cancel, ("70001", -1), "the fee must be from 0 to twelve monthly prices"),
    ],
)
def test_a_change_that_can_not_be_changes_nothing(
    wide_store: Store, write: Callable[..., Any], arguments: tuple[Any, ...], problem: str
) -> None:
    before = wide_store.rows("SELECT * FROM subscriptions")
    with pytest.raises(ToolError, match=problem):
        wide_store.atomically(write, wide_store, *arguments)
    assert wide_store.effects() == frozenset()
    assert wide_store.rows("SELECT * FROM subscriptions") == before
    assert wide_store.rows("SELECT * FROM fees") == []


# --- ending ---------------------------------------------------------------------------------------


def test_a_subscription_ends_with_a_fee(wide_store: Store) -> None:
    wide_store.atomically(cancel, wide_store, "70001", 2850)
    assert subscription(wide_store, "70001") == ACTIVE._replace(status="cancelled", next_charge_on=None)
    assert wide_store.rows("SELECT * FROM fees") == [("F1", "70001", 2850, "2025-01-20")]
    assert wide_store.effects() == {("subscription", "70001", "cancelled", ""), ("fee", "70001", 2850)}
    assert wide_store.integrity_errors() == []


def test_a_fee_may_be_twelve_monthly_prices(wide_store: Store) -> None:
    wide_store.atomically(cancel, wide_store, "70001", 12 * 950)
    assert wide_store.row("SELECT amount_cents FROM fees") == (11400,)


def test_a_paused_subscription_ends_without_a_fee(wide_store: Store) -> None:
    wide_store.atomically(cancel, wide_store, "70002", 0)
    assert wide_store.rows("SELECT * FROM fees") == []
    assert wide_store.effects() == {("subscription", "70002", "cancelled", "")}
    assert wide_store.integrity_errors() == []


# --- tools ----------------------------------------------------------------------------------------


def test_the_tools_show_subscriptions(wide_call: Call) -> None:
    socks = {
        "subscription_id": "70001",
        "title": "cotton socks",
        "price": "9.50",
        "status": "active",
        "started_on": "2024-11-05",
        "next_charge_on": "2025-02-05",
        "committed_until": "2025-05-05",
    }
    assert value(wide_call("get_subscription", subscription_id="70001")) == {"customer_id": "C4821", **socks}
    listed = value(wide_call("list_subscriptions", customer_id="C4821"))["subscriptions"]
    assert [each["subscription_id"] for each in listed] == ["70001", "70002"]
    assert listed[0] == socks
    assert value(wide_call("get_subscription", subscription_id="70000")) == {"found": False}
    assert value(wide_call("list_subscriptions", customer_id="C1")) == {"subscriptions": []}


def test_the_tools_change_subscriptions(wide_store: Store, wide_call: Call) -> None:
    paused = value(wide_call("pause_subscription", subscription_id="70001", months=1))
    assert paused == {"status": "paused", "next_charge_on": "2025-03-05"}
    active = value(wide_call("resume_subscription", subscription_id="70002"))
    assert active == {"status": "active", "next_charge_on": "2025-02-20"}
    ended = value(wide_call("cancel_subscription", subscription_id="70001", fee="9.50"))
    assert ended == {"status": "cancelled", "fee": "9.50"}
    assert value(wide_call("cancel_subscription", subscription_id="70002", fee="0.00"))["fee"] == "0.00"
    assert wide_store.effects() == {
        ("subscription", "70001", "cancelled", ""),
        ("fee", "70001", 950),
        ("subscription", "70002", "cancelled", ""),
    }


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("pause_subscription", {"months": 13}, "from 1 to 12 months long, got 13"),
        ("pause_subscription", {"months": "two"}, '"months"'),
        ("cancel_subscription", {"fee": "-1.00"}, '"fee"'),
        ("cancel_subscription", {"fee": "114.01"}, "twelve monthly prices"),
    ],
)
def test_a_tool_that_refuses_says_why(
    wide_store: Store, wide_call: Call, name: str, arguments: dict[str, Any], problem: str
) -> None:
    result = wide_call(name, subscription_id="70001", **arguments)
    assert not result.ok
    assert problem in json.loads(result.content)["error"]
    assert wide_store.effects() == frozenset()


# --- what a change depends on ---------------------------------------------------------------------


def test_the_facts_that_a_change_depends_on_and_the_fee_by_the_rules_of_the_shop(wide_store: Store) -> None:
    rules = SubscriptionRules(5, 60, 4, early_fee_percent=25, transfer_limit_cents=5_000)
    toolkit = CommerceToolkit(wide_store, rules)

    def checked(number: str) -> Any:
        return value(toolkit.call(ToolCall("call_1", "check_subscription", {"subscription_id": number})))

    # Today is 20 January: 76 days after 5 November, 16 before 5 February; a fourth month ends after 5 May.
    assert checked("70001") == {
        "status": "active",
        "days_since_start": 76,
        "days_to_charge": 16,
        "committed_months_left": 4,
        "early_fee": "9.50",  # a quarter of 4 x 9.50
    }
    assert checked("70003")["days_to_charge"] is None
    assert (checked("70002")["committed_months_left"], checked("70002")["early_fee"]) == (0, "0.00")
    assert checked("70000") == {"found": False}
    assert wide_store.effects() == frozenset()


def test_a_shop_without_a_rule_for_it_charges_no_early_fee(wide_call: Call) -> None:
    assert value(wide_call("check_subscription", subscription_id="70001"))["early_fee"] == "0.00"
