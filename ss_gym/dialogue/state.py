"""The state of a conversation from the agent's side, kept up to date message by message."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ss_gym.commerce.prompt import family_of, read_rules
from ss_gym.dialogue.case import Case, Order, cents, named
from ss_gym.dialogue.hearing import hear
from ss_gym.families import load_family
from ss_gym.types import Message

# What can be told of a message of the customer; see ``ss_gym.dialogue.hearing.Heard``.
HEARD = ("agrees", "asks", "declines", "takes_credit", "wants_other_card", "leaves", "satisfied")
_NOTHING_HEARD = dict.fromkeys(HEARD, False)

# What is read of an order, beside the order itself.
_ORDER_FACTS = ("check_return_eligibility", "check_cancellation", "get_shipment", "get_shipping_address")


class DialogueState:
    """What is known so far; ``append`` takes in one message of the conversation, the system message first.

    Attributes:
        case: what the customer said of themselves and their wish, and the order that it is about.
        heard: what can be told of the customer's last message, by ``HEARD``; nothing once the agent has called
            a tool since.
        agreed: whether the customer said yes in their last message.
        made: the calls so far that no later message has put in another light.
        failed: failed attempts at verification.
        orders: the titles in each order of the customer's account, once they were listed.
        results: the last result of each tool, by its name.
        calls: how often each tool was called.
        replies: how often the agent has spoken.
        steps: how often it has acted.
    """

    def __init__(self) -> None:
        self.case = Case(None, "")
        self.heard: Mapping[str, bool] = _NOTHING_HEARD
        self.agreed = False
        self.made: set[tuple[str, str]] = set()
        self.failed = 0
        self.orders: dict[str, list[str]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self.replies = 0
        self.steps = 0
        self._order: dict[str, Any] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._running: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def append(self, message: Message) -> None:
        """Takes in a message."""
        role, content = message["role"], message["content"]
        if role == "system":
            family = family_of(content)
            self.case = Case(read_rules(content, load_family(family).rules), family)
        elif role == "user":
            self._hear(content)
        elif role == "assistant":
            self._act(message)
        elif (call := self._running.pop(message.get("tool_call_id", ""), None)) is not None:
            self._read(*call, content)

    @property
    def order_id(self) -> str:
        """The order to read next: the number that was told, or the one that holds what they speak of."""
        case = self.case
        if self.orders and case.order is None:
            wanted = named(case.said, [title for titles in self.orders.values() for title in titles])
            return next((number for number, titles in self.orders.items() if wanted.intersection(titles)), "")
        return case.order_number

    @property
    def options(self) -> dict[str, str]:
        """The variants that can be had in exchange, by option; empty until they were read."""
        found = self.results.get("get_exchange_options", {})
        same = [each for each in found.get("options", ()) if each["in_stock"] and each["price"] == found["price"]]
        return {each["option"]: each["variant_id"] for each in same}

    @property
    def option(self) -> str:
        """The option that the customer has named; the only one there is if they agree."""
        options = self.options
        if not options:
            return ""
        chosen = next((name for name in sorted(options, key=len, reverse=True) if name in self.case.said), "")
        return chosen or (next(iter(options)) if len(options) == 1 and self.heard["agrees"] else "")

    def _hear(self, text: str) -> None:
        heard = hear(text)
        # Each of these reads the text again: once is enough.
        told = self.heard = {name: bool(getattr(heard, name)) for name in HEARD}
        self.agreed = told["agrees"] or told["takes_credit"]
        case = self.case
        case.email = heard.email or case.email
        case.postal_code = heard.postal_code or case.postal_code
        case.order_number = heard.order_number or case.order_number
        case.reason = case.reason or heard.reason
        case.said += f" {heard.text}"
        case.hurried = case.hurried or heard.hurries
        if case.order is not None and not case.wanted:
            case.wanted = case.lines_named(case.order.lines)

    def _act(self, message: Message) -> None:
        self.steps += 1
        calls = message.get("tool_calls", ())
        self.replies += not calls
        self.heard = _NOTHING_HEARD if calls else self.heard
        for call in calls:
            name = call["function"]["name"]
            self.calls[name] += 1
            self.made.add((name, call["function"]["arguments"]))
            try:
                arguments = json.loads(call["function"]["arguments"])
            except (TypeError, ValueError):
                arguments = {}
            self._running[call["id"]] = (name, arguments)

    def _read(self, name: str, arguments: Mapping[str, Any], content: str) -> None:
        result = json.loads(content)
        if not isinstance(result, dict) or "error" in result:
            return
        self.results[name] = result
        if name == "verify_identity":
            self.case.customer_id = result.get("customer_id", "") if result["verified"] else ""
            self.failed += not result["verified"]
        elif name == "list_orders":
            self.orders = {each["order_id"]: each["items"] for each in result["orders"]}
        elif name == "get_order" or name in _ORDER_FACTS:
            self._read_order(name, result)

    def _read_order(self, name: str, result: dict[str, Any]) -> None:
        case = self.case
        if name == "get_order":
            own = result.get("customer_id") == case.customer_id
            self._order, self._facts = (result if own else {}), {}
            case.wanted = ()
        else:
            self._facts[name] = result
        case.order = Order.from_tools(self._order, *self._facts.values()) if self._order else None
        if case.order is not None and not case.wanted:
            case.wanted = case.order.lines if len(case.order.lines) == 1 else case.lines_named(case.order.lines)

    def price(self) -> int:
        """The cents that the wanted lines cost."""
        return sum(line.price for line in self.case.wanted)

    def quoted(self) -> int:
        """The cents of the last quote; 0 if there is none."""
        quote = self.results.get("quote_refund", {})
        return cents(quote["refund"]) if "refund" in quote else 0
