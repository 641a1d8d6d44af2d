"""Subscriptions: what is known of one, and the writes that change it; integrity only, as in ``ledger``."""

from __future__ import annotations

from typing import NamedTuple

from ss_gym.commerce.store import Store
from ss_gym.tools import ToolError


class SubscriptionFacts(NamedTuple):
    """A subscription as the policy engine sees it; ``status`` is active, paused or cancelled."""

    subscription_id: str
    customer_id: str
    title: str
    price_cents: int
    status: str
    started_on: str
    next_charge_on: str | None
    committed_until: str


_SELECT = (
    "SELECT subscription_id, customer_id, title, price_cents, status, started_on, next_charge_on, committed_until "
    "FROM subscriptions WHERE "
)


def subscription(store: Store, subscription_id: str) -> SubscriptionFacts | None:
    """A subscription, or None if there is none of that number."""
    row = store.row(f"{_SELECT} subscription_id = ?", subscription_id)
    return None if row is None else SubscriptionFacts(*row)


def subscriptions_of(store: Store, customer_id: str) -> list[SubscriptionFacts]:
    """The subscriptions of a customer, by number."""
    return [
        SubscriptionFacts(*row)
        for row in store.rows(f"{_SELECT} customer_id = ? ORDER BY subscription_id", customer_id)
    ]


def known_subscription(store: Store, subscription_id: str) -> SubscriptionFacts:
    """The subscription.

    Raises:
        ToolError: if there is none of that number.
    """
    found = subscription(store, subscription_id)
    if found is None:
        raise ToolError(f"there is no subscription {subscription_id}")
    return found


def months_later(date: str, months: int) -> str:
    """The same day some months later; the last of the month where it has no such day.

    >>> months_later("2025-01-31", 1), months_later("2025-11-15", 3)
    ('2025-02-28', '2026-02-15')
    """
    year, month, day = map(int, date.split("-"))
    year, month = year + (month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    return f"{year:04d}-{month:02d}-{min(day, last):02d}"


def months_left(today: str, until: str) -> int:
    """How many months there are until a day, one that is begun counted as a whole; 0 from that day on.

    >>> months_left("2025-03-14", "2025-05-14"), months_left("2025-03-14", "2025-05-15")
    (2, 3)
    """
    (year, month), (last_year, last_month) = [map(int, date.split("-")[:2]) for date in (today, until)]
    months = max(0, 12 * (last_year - year) + last_month - month)
    return months + (until > months_later(today, months))


def early_fee(price_cents: int, months: int, percent: int) -> int:
    """What it costs to leave early: a share of the price of each month that is left, rounded half up to the cent.

    >>> early_fee(1890, 3, 25)  # a quarter of 56.70
    1418
    """
    return (price_cents * months * percent + 50) // 100


def pause(store: Store, subscription_id: str, months: int) -> str:
    """Pauses an active subscription: the next charge comes so many months later.

    Returns:
        The new date of the next charge.

    Raises:
        ToolError: if there is none, it is not active, or the months are not from 1 to 12.
    """
    found = known_subscription(store, subscription_id)
    if found.status != "active":
        raise ToolError(f"subscription {subscription_id} is {found.status}")
    if found.next_charge_on is None:
        raise ToolError(f"subscription {subscription_id} has no next charge that could be put off")
    if not 1 <= months <= 12:
        raise ToolError(f"a pause is from 1 to 12 months long, got {months}")
    date = months_later(found.next_charge_on, months)
    _set(store, subscription_id, "paused", date)
    return date


def resume(store: Store, subscription_id: str) -> str:
    """Resumes a paused subscription; the next charge comes in a month from today.

    Returns:
        The date of the next charge.

    Raises:
        ToolError: if there is none, or it is not paused.
    """
    found = known_subscription(store, subscription_id)
    if found.status != "paused":
        raise ToolError(f"subscription {subscription_id} is {found.status}")
    date = months_later(store.today, 1)
    _set(store, subscription_id, "active", date)
    return date


def cancel(store: Store, subscription_id: str, fee_cents: int) -> None:
    """Ends a subscription, with a fee if there is one.

    Raises:
        ToolError: if there is none, it is cancelled already, or the fee is more than a year's price.
    """
    found = known_subscription(store, subscription_id)
    if found.status == "cancelled":
        raise ToolError(f"subscription {subscription_id} is cancelled already")
    if not 0 <= fee_cents <= 12 * found.price_cents:
        raise ToolError("the fee must be from 0 to twelve monthly prices")
    if fee_cents:
        fee = (store.next_id("F"), subscription_id, fee_cents, store.today)
        store.execute("INSERT INTO fees VALUES (?, ?, ?, ?)", fee)
    _set(store, subscription_id, "cancelled", None)


def _set(store: Store, subscription_id: str, status: str, next_charge_on: str | None) -> None:
    store.execute(
        "UPDATE subscriptions SET status = ?, next_charge_on = ? WHERE subscription_id = ?",
        (status, next_charge_on, subscription_id),
    )
