"""The tools for subscriptions."""

from __future__ import annotations

from typing import Any

from ss_gym.commerce import subscriptions
from ss_gym.commerce.order_tools import NOT_FOUND
from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import dollars
from ss_gym.commerce.rules import PolicyRules
from ss_gym.commerce.store import Store
from ss_gym.tools import Money, Toolkit, tool


class SubscriptionTools(Toolkit):
    """Reading, pausing, resuming and ending subscriptions."""

    _store: Store
    _rules: PolicyRules

    @tool(kind="read")
    def list_subscriptions(self, customer_id: str) -> dict[str, Any]:
        """List the subscriptions of a customer.

        Args:
            customer_id: from verify_identity, such as "C1234".
        """
        found = subscriptions.subscriptions_of(self._store, customer_id)
        return {"subscriptions": [_shown(each) for each in found]}

    @tool(kind="read")
    def get_subscription(self, subscription_id: str) -> dict[str, Any]:
        """Get a subscription: what it is for, price a month, status, dates.

        Args:
            subscription_id: five digits.
        """
        found = subscriptions.subscription(self._store, subscription_id)
        return NOT_FOUND if found is None else {"customer_id": found.customer_id, **_shown(found)}

    @tool(kind="read")
    def check_subscription(self, subscription_id: str) -> dict[str, Any]:
        """Get the facts that a change depends on, and the fee as if it were ended today; the verdict is yours.

        Args:
            subscription_id: five digits.
        """
        found = subscriptions.subscription(self._store, subscription_id)
        if found is None:
            return NOT_FOUND
        today, charge = self._store.today, found.next_charge_on
        left = subscriptions.months_left(today, found.committed_until)
        percent = getattr(self._rules, "early_fee_percent", 0)
        return {
            "status": found.status,
            "days_since_start": days_between(found.started_on, today),
            "days_to_charge": days_between(today, charge) if charge else None,
            "committed_months_left": left,
            "early_fee": dollars(subscriptions.early_fee(found.price_cents, left, percent)),
        }

    @tool(kind="write")
    def pause_subscription(self, subscription_id: str, months: int) -> dict[str, Any]:
        """Pause an active subscription: the next charge comes so many months later than it would have.

        Args:
            subscription_id: five digits.
            months: how long.
        """
        return {"status": "paused", "next_charge_on": subscriptions.pause(self._store, subscription_id, months)}

    @tool(kind="write")
    def resume_subscription(self, subscription_id: str) -> dict[str, Any]:
        """Resume a paused subscription; the next charge comes in a month from today.

        Args:
            subscription_id: five digits.
        """
        return {"status": "active", "next_charge_on": subscriptions.resume(self._store, subscription_id)}

    @tool(kind="write")
    def cancel_subscription(self, subscription_id: str, fee: Money) -> dict[str, Any]:
        """End a subscription.

        Args:
            subscription_id: five digits.
            fee: what the customer is charged for leaving early, such as "9.90"; "0.00" if nothing.
        """
        subscriptions.cancel(self._store, subscription_id, fee)
        return {"status": "cancelled", "fee": dollars(fee)}


def _shown(found: subscriptions.SubscriptionFacts) -> dict[str, Any]:
    return {
        "subscription_id": found.subscription_id,
        "title": found.title,
        "price": dollars(found.price_cents),
        "status": found.status,
        "started_on": found.started_on,
        "next_charge_on": found.next_charge_on,
        "committed_until": found.committed_until,
    }
