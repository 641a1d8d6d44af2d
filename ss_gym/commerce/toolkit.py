"""The tools of the shop: what an agent can read and do.

Results are terse, with short keys and no more nesting than needed, because small models read them.
A question about something that does not exist has the answer ``{"found": false}`` and is no error:
the number may well be the customer's mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ss_gym.commerce import ledger
from ss_gym.commerce.delivery_tools import DeliveryTools
from ss_gym.commerce.order_tools import NOT_FOUND, OrderTools
from ss_gym.commerce.policy import FAULT_REASONS, days_between, restocking_fee, split_refund
from ss_gym.commerce.prompt import Topic, policy_section
from ss_gym.commerce.records import ItemFacts, OrderFacts, ReturnReason, TransferReason, dollars
from ss_gym.commerce.rules import PolicyRules
from ss_gym.commerce.store import Store
from ss_gym.commerce.subscription_tools import SubscriptionTools
from ss_gym.spelling import nearest
from ss_gym.tools import Money, Tool, ToolError, tool, with_options

MAX_VERIFICATION_ATTEMPTS = 2
_TRANSFER = "transfer_to_human"


class CommerceToolkit(OrderTools, DeliveryTools, SubscriptionTools):
    """The tools for one conversation, and what they know of it.

    Args:
        store: the database, with a world open.
        rules: the shop's parameters.
        family: whose policy the agent works by.
        tools: those of its tools that it offers; all of them if None.

    Attributes:
        verified_customer: the customer who passed verification last, or None.
        failed_attempts: failed verifications so far.
    """

    def __init__(
        self, store: Store, rules: PolicyRules, *, family: str = "refund", tools: Mapping[str, Tool] | None = None
    ) -> None:
        if tools is not None:
            self.tools = tools
        self.verified_customer: str | None = None
        self.failed_attempts = 0
        self._store = store
        self._rules = rules
        self._family = family

    def execute(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Runs a tool; one that fails has changed nothing.

        Raises:
            ToolError: when the tool refuses, or an argument is text that no database can hold.
        """
        try:
            if tool.kind == "read":
                return tool.function(self, **arguments)
            return self._store.atomically(tool.function, self, **arguments)
        except UnicodeEncodeError:
            # JSON can escape half of a surrogate pair, which UTF-8 can't hold.
            raise ToolError(f"{tool.name}: an argument holds a character that is not valid Unicode") from None

    @tool(kind="read", role="aside")
    def find_customer(self, email: str) -> dict[str, Any]:
        """Find an account by e-mail. This does not verify anybody.

        Args:
            email: the account's e-mail.
        """
        row = self._store.row("SELECT customer_id, name FROM customers WHERE email = ?", email.strip())
        return {"customer_id": row[0], "name": row[1]} if row else NOT_FOUND

    @tool(kind="read", role="verify")
    def verify_identity(self, email: str, postal_code: str) -> dict[str, Any]:
        """Verify the customer by what they told you.

        Args:
            email: the e-mail that the customer gave.
            postal_code: the postal code that the customer gave.
        """
        if self.failed_attempts < MAX_VERIFICATION_ATTEMPTS:
            given = _plain(postal_code)
            for customer_id, name, known in self._store.rows(
                "SELECT customer_id, name, postal_code FROM customers JOIN addresses USING (customer_id) "
                "WHERE email = ?",
                email.strip(),
            ):
                if _plain(known) == given:
                    self.verified_customer = customer_id
                    return {"verified": True, "customer_id": customer_id, "name": name}
            self.failed_attempts += 1
        return {"verified": False, "attempts_left": MAX_VERIFICATION_ATTEMPTS - self.failed_attempts}

    @tool(kind="read")
    def get_order(self, order_id: str) -> dict[str, Any]:
        """Get an order with its items, payments, refunds and, if there are any, notes.

        Args:
            order_id: five digits, such as "12345".
        """
        order = self._store.order_facts(order_id)
        if order is None:
            return NOT_FOUND
        notes = self._store.rows("SELECT text FROM notes WHERE order_id = ? ORDER BY created_on, note_id", order_id)
        found = {
            "order_id": order_id,
            "customer_id": order.customer_id,
            "status": order.status,
            "placed_on": self._store.placed_on(order_id),
            "items": [_item(item) for item in order.items],
            "payments": [
                {"payment_id": p.payment_id, "method": p.label, "amount": dollars(p.amount_cents)}
                for p in order.payments
            ],
            "refunds": self._refunds(order),
        }
        if notes:
            found["notes"] = [text for (text,) in notes]
        return found

    @tool(kind="read")
    def list_orders(self, customer_id: str) -> dict[str, Any]:
        """List the orders of a customer.

        Args:
            customer_id: from verify_identity, such as "C1234".
        """
        orders: dict[str, dict[str, Any]] = {}
        for order_id, placed_on, status, title in self._store.rows(
            "SELECT order_id, placed_on, orders.status, title FROM orders JOIN order_items USING (order_id) "
            "WHERE customer_id = ? ORDER BY order_id, item_id",
            customer_id,
        ):
            entry = orders.setdefault(
                order_id, {"order_id": order_id, "placed_on": placed_on, "status": status, "items": []}
            )
            entry["items"].append(title)
        return {"orders": list(orders.values())}

    @tool(kind="read")
    def get_shipment(self, order_id: str) -> dict[str, Any]:
        """Get where an order is: status, expected and actual delivery date.

        Args:
            order_id: five digits.
        """
        row = self._store.row(
            "SELECT status, carrier, expected_on, delivered_on FROM orders LEFT JOIN shipments USING (order_id) "
            "WHERE order_id = ?",
            order_id,
        )
        if row is None:
            return NOT_FOUND
        return {"status": row[0], "carrier": row[1], "expected_on": row[2], "delivered_on": row[3]}

    @tool(kind="read", role="aside")
    def get_exchange_options(self, item_id: str) -> dict[str, Any]:
        """List the other options of an item's product, with price and stock.

        Args:
            item_id: from get_order, such as "12345-1".
        """
        rows = self._store.rows(
            "SELECT own.variant_id, own.option, own.price_cents, "
            "other.variant_id, other.option, other.price_cents, quantity "
            "FROM order_items JOIN variants AS own USING (variant_id) JOIN variants AS other USING (product_id) "
            "JOIN inventory ON inventory.variant_id = other.variant_id "
            "WHERE item_id = ? ORDER BY length(other.variant_id), other.variant_id",
            item_id,
        )
        if not rows:
            return NOT_FOUND
        return {
            "option": rows[0][1],
            "price": dollars(rows[0][2]),
            "options": [
                {"variant_id": variant, "option": option, "price": dollars(price), "in_stock": quantity > 0}
                for own, _, _, variant, option, price, quantity in rows
                if variant != own
            ],
        }

    @tool(kind="read", role="aside")
    def get_policy(self, topic: Topic) -> dict[str, Any]:
        """Read a section of the policy.

        Args:
            topic: which section.
        """
        return {"text": policy_section(self._family, topic, self._rules, self._store.today)}

    @tool(kind="read")
    def check_return_eligibility(self, order_id: str) -> dict[str, Any]:
        """Get the facts that eligibility depends on, such as days since delivery; the verdict is yours.

        Args:
            order_id: five digits.
        """
        order = self._store.order_facts(order_id)
        if order is None:
            return NOT_FOUND
        delivered = order.delivered_on
        return {
            "status": order.status,
            "delivered_on": delivered,
            "days_since_delivery": days_between(delivered, self._store.today) if delivered else None,
            "items": [
                {"item_id": i.item_id, "final_sale": i.final_sale, "category": i.category, "status": i.status}
                for i in order.items
            ],
        }

    @tool(kind="read")
    def quote_refund(self, order_id: str, item_ids: list[str], reason: ReturnReason) -> dict[str, Any]:
        """Work out fee, amount and split over the payments, as if a refund were allowed; it may not be.

        Args:
            order_id: five digits.
            item_ids: the items, such as ["12345-1"].
            reason: why the customer wants the refund.
        """
        order = ledger.known_order(self._store, order_id)
        items = ledger.items_of(order, item_ids)
        for item in items:
            ledger.require_ordered(item)
        price = sum([item.price_cents for item in items])
        fee = 0 if reason in FAULT_REASONS else sum([self._fee(item) for item in items])
        return {
            "price": dollars(price),
            "fee": dollars(fee),
            "refund": dollars(price - fee),
            "split": _split(order, price - fee),
        }

    @tool(kind="write")
    def issue_refund(
        self, order_id: str, item_ids: list[str], amount: Money, payment_id: str, reason: ReturnReason
    ) -> dict[str, Any]:
        """Refund items of an order to one of its payments.

        Args:
            order_id: five digits.
            item_ids: the items that are refunded.
            amount: what this payment gets back, such as "24.00".
            payment_id: from get_order or quote_refund, such as "12345-P1".
            reason: why.
        """
        refund_id, payment = ledger.issue_refund(self._store, order_id, item_ids, amount, payment_id, reason)
        return {"refund_id": refund_id, "amount": dollars(amount), "method": payment.label}

    @tool(kind="write")
    def issue_store_credit(self, order_id: str, item_ids: list[str], amount: Money) -> dict[str, Any]:
        """Give store credit for items of an order.

        Args:
            order_id: five digits.
            item_ids: the items that are credited.
            amount: the credit, such as "24.00".
        """
        credit_id = ledger.issue_store_credit(self._store, order_id, item_ids, amount)
        return {"credit_id": credit_id, "amount": dollars(amount)}

    @tool(kind="write")
    def create_exchange(self, item_id: str, variant_id: str) -> dict[str, Any]:
        """Exchange an item for another option of the same product.

        Args:
            item_id: the item.
            variant_id: from get_exchange_options, such as "V12".
        """
        exchange_id, option = ledger.create_exchange(self._store, item_id, variant_id)
        return {"exchange_id": exchange_id, "option": option}

    @tool(kind="write")
    def add_note(self, order_id: str, text: str) -> dict[str, Any]:
        """Leave a note for colleagues on an order.

        Args:
            order_id: five digits.
            text: the note.
        """
        ledger.known_order(self._store, order_id)
        note_id = self._store.next_id("N")
        self._store.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", (note_id, order_id, text, self._store.today))
        return {"note_id": note_id}

    @tool(kind="end", role="transfer")
    def transfer_to_human(self, reason: TransferReason, summary: str) -> dict[str, Any]:
        """Hand the conversation over to a human colleague, which ends it for you.

        Args:
            reason: which case of the policy it is.
            summary: what the colleague must know.
        """
        ticket_id = self._store.next_id("T")
        self._store.execute("INSERT INTO tickets VALUES (?, ?, ?, ?)", (ticket_id, reason, summary, self._store.today))
        return {"ticket_id": ticket_id}

    @tool(kind="end")
    def end_conversation(self) -> dict[str, Any]:
        """End the conversation when all is settled."""
        return {"ended": True}

    def _refunds(self, order: OrderFacts) -> list[dict[str, Any]]:
        if not any([payment.refunded_cents for payment in order.payments]):
            return []
        rows = self._store.rows(
            "SELECT payment_id, amount_cents, created_on FROM refunds "
            "WHERE order_id = ? ORDER BY created_on, refund_id",
            order.order_id,
        )
        return [{"payment_id": a, "amount": dollars(b), "date": c} for a, b, c in rows]

    def _fee(self, item: ItemFacts) -> int:
        if item.category != "electronics":
            return 0
        return restocking_fee(item.price_cents, getattr(self._rules, "restocking_fee_percent", 0))


@cache
def offered(names: tuple[str, ...], transfers: tuple[str, ...]) -> Mapping[str, Tool]:
    """Some of the tools, in this order.

    Args:
        names: which.
        transfers: the reasons for which a conversation may be handed over.

    Raises:
        ValueError: if there is no tool of a name; says the nearest.
    """
    found = {}
    for name in names:
        if name not in CommerceToolkit.tools:
            raise ValueError(f"there is no tool {name!r}; {nearest(name, CommerceToolkit.tools)}")
        found[name] = CommerceToolkit.tools[name]
    if _TRANSFER in found:
        found[_TRANSFER] = with_options(found[_TRANSFER], "reason", transfers)
    return found


def _item(item: ItemFacts) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "title": item.title,
        "price": dollars(item.price_cents),
        "category": item.category,
        "final_sale": item.final_sale,
        "status": item.status,
    }


def _split(order: OrderFacts, cents: int) -> list[dict[str, str]]:
    labels = {payment.payment_id: payment.label for payment in order.payments}
    return [
        {"payment_id": payment_id, "method": labels[payment_id], "amount": dollars(part)}
        for payment_id, part in split_refund(order.payments, cents)
    ]


def _plain(postal_code: str) -> str:
    return "".join(postal_code.split()).casefold()
