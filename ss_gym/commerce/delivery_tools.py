"""The tools for where an order is and when it comes, and for saying sorry when it is late."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from ss_gym.commerce import goodwill
from ss_gym.commerce.order_tools import NOT_FOUND
from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import dollars
from ss_gym.commerce.store import Store
from ss_gym.tools import Money, ToolError, Toolkit, tool

_MOST_DAYS = 3_650


class DeliveryTools(Toolkit):
    """Delivery dates and goodwill credit."""

    _store: Store

    @tool(kind="read")
    def check_delivery(self, order_id: str) -> dict[str, Any]:
        """Get the facts that an answer about a delivery depends on; the verdict is yours.

        Args:
            order_id: five digits.
        """
        row = self._store.row(
            "SELECT status, placed_on, carrier, shipped_on, expected_on, delivered_on "
            "FROM orders LEFT JOIN shipments USING (order_id) WHERE order_id = ?",
            order_id,
        )
        if row is None:
            return NOT_FOUND
        status, placed_on, carrier, shipped_on, expected_on, delivered_on = row
        today, late = self._store.today, None
        if status == "shipped":
            late = max(0, days_between(expected_on, today))
        given = goodwill.given_for(self._store, order_id)
        return {
            "status": status,
            "placed_on": placed_on,
            "days_since_order": days_between(placed_on, today),
            "carrier": carrier,
            "shipped_on": shipped_on,
            "expected_on": expected_on,
            "days_late": late,
            "delivered_on": delivered_on,
            "days_since_delivery": days_between(delivered_on, today) if delivered_on else None,
            "goodwill_credit": dollars(given) if given else None,
        }

    @tool(kind="read", role="aside")
    def date_after(self, day: str, days: int) -> dict[str, Any]:
        """Work out the date some days after another one.

        Args:
            day: the first date, such as "2025-01-31".
            days: how many days later, such as 3.
        """
        try:
            first = date.fromisoformat(day)
        except ValueError:
            raise ToolError(
                f'date_after: argument "day" must be a date such as "2025-01-31", got {day!r:.40}'
            ) from None
        if not 0 <= days <= _MOST_DAYS:
            raise ToolError(f'date_after: argument "days" must be from 0 to {_MOST_DAYS}')
        try:
            return {"date": (first + timedelta(days)).isoformat()}
        except OverflowError:
            raise ToolError("date_after: there is no such date in the calendar") from None

    @tool(kind="write")
    def give_goodwill_credit(self, order_id: str, amount: Money) -> dict[str, Any]:
        """Give store credit to whoever placed an order, as an apology.

        Args:
            order_id: five digits.
            amount: the credit, such as "5.00".
        """
        credit_id = goodwill.give(self._store, order_id, amount)
        return {"credit_id": credit_id, "amount": dollars(amount)}
