"""The tools that change an order before it is sent, and those for an item that fails later."""

from __future__ import annotations

from typing import Any, Literal

from ss_gym.commerce import changes
from ss_gym.commerce.policy import days_between
from ss_gym.commerce.records import dollars
from ss_gym.commerce.store import Store
from ss_gym.tools import Toolkit, tool

NOT_FOUND = {"found": False}


class OrderTools(Toolkit):
    """Cancelling, addresses and warranty claims."""

    _store: Store

    @tool(kind="read")
    def check_cancellation(self, order_id: str) -> dict[str, Any]:
        """Get the facts that a cancellation depends on, such as days since the order; the verdict is yours.

        Args:
            order_id: five digits.
        """
        order = self._store.order_facts(order_id)
        if order is None:
            return NOT_FOUND
        placed_on = self._store.placed_on(order_id)
        return {
            "status": order.status,
            "placed_on": placed_on,
            "days_since_order": days_between(placed_on, self._store.today),
            "expected_on": order.expected_on,
            "items": [
                {"item_id": i.item_id, "final_sale": i.final_sale, "category": i.category, "status": i.status}
                for i in order.items
            ],
        }

    @tool(kind="write")
    def cancel_order(self, order_id: str, item_ids: list[str]) -> dict[str, Any]:
        """Cancel items of an order that was not sent. What they cost goes back to how it was paid by itself.

        Args:
            order_id: five digits.
            item_ids: the items that are cancelled, such as ["12345-1"]; all of them to cancel the order.
        """
        back = changes.cancel_items(self._store, order_id, item_ids)
        return {
            "cancelled": item_ids,
            "refunds": [{"method": label, "amount": dollars(cents)} for label, cents in back],
        }

    @tool(kind="read")
    def check_address_change(self, order_id: str) -> dict[str, Any]:
        """Get the facts that a change of address depends on, such as days since the order; the verdict is yours.

        Args:
            order_id: five digits.
        """
        order = self._store.order_facts(order_id)
        if order is None:
            return NOT_FOUND
        placed_on = self._store.placed_on(order_id)
        return {
            "status": order.status,
            "placed_on": placed_on,
            "days_since_order": days_between(placed_on, self._store.today),
            "expected_on": order.expected_on,
            "total": dollars(sum([item.price_cents for item in order.items if item.status == "ordered"])),
            "gift_cards_only": all([item.category == "gift_card" for item in order.items]),
            "redirected": self._store.row("SELECT 1 FROM destinations WHERE order_id = ?", order_id) is not None,
        }

    @tool(kind="read", role="aside")
    def check_address(self, postal_code: str) -> dict[str, Any]:
        """Find out whether parcels are delivered to a postal code.

        Args:
            postal_code: of the address, such as "AB1 2CD".
        """
        area = "".join(postal_code.split()).upper()[:-3]
        return {"area": area, "served": self._store.row("SELECT 1 FROM unserved_areas WHERE area = ?", area) is None}

    @tool(kind="read")
    def get_shipping_address(self, order_id: str) -> dict[str, Any]:
        """Get where an order goes.

        Args:
            order_id: five digits.
        """
        row = self._store.row(
            "SELECT ifnull(destinations.street, addresses.street), ifnull(destinations.city, addresses.city), "
            "ifnull(destinations.postal_code, addresses.postal_code), status FROM orders "
            "JOIN addresses USING (customer_id) LEFT JOIN destinations USING (order_id) WHERE order_id = ?",
            order_id,
        )
        if row is None:
            return NOT_FOUND
        return {"street": row[0], "city": row[1], "postal_code": row[2], "status": row[3]}

    @tool(kind="write")
    def change_shipping_address(self, order_id: str, street: str, city: str, postal_code: str) -> dict[str, Any]:
        """Send an order that was not sent yet to another address.

        Args:
            order_id: five digits.
            street: street and number, such as "12 Elm Street".
            city: the city.
            postal_code: the postal code.
        """
        address = changes.change_address(self._store, order_id, street, city, postal_code)
        return {"order_id": order_id, **address}

    @tool(kind="read")
    def get_warranty(self, item_id: str) -> dict[str, Any]:
        """Get the facts that a warranty claim depends on; the verdict is yours.

        Args:
            item_id: from get_order, such as "12345-1".
        """
        row = self._store.row(
            "SELECT order_id, order_items.title, category, order_items.status, delivered_on, quantity, ifnull(days, 0) "
            "FROM order_items JOIN variants USING (variant_id) JOIN products USING (product_id) "
            "JOIN inventory USING (variant_id) LEFT JOIN shipments USING (order_id) "
            "LEFT JOIN extended_warranties USING (item_id) WHERE item_id = ?",
            item_id,
        )
        if row is None:
            return NOT_FOUND
        delivered = row[4]
        claims = self._store.rows(
            "SELECT remedy, created_on FROM claims WHERE item_id = ? ORDER BY created_on, claim_id", item_id
        )
        return {
            "title": row[1],
            "category": row[2],
            "status": row[3],
            "delivered_on": delivered,
            "days_since_delivery": days_between(delivered, self._store.today) if delivered else None,
            "extended_warranty_days": row[6],
            "in_stock": row[5] > 0,
            "claims": [{"remedy": remedy, "date": date} for remedy, date in claims],
        }

    @tool(kind="write")
    def create_warranty_claim(self, item_id: str, remedy: Literal["replacement", "repair"]) -> dict[str, Any]:
        """Open a warranty claim for an item.

        Args:
            item_id: the item.
            remedy: what the customer gets.
        """
        return {"claim_id": changes.create_claim(self._store, item_id, remedy), "remedy": remedy}
