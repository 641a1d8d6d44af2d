"""The state of a conversation from the agent's side, kept up to date message by message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ss_gym.commerce.prompt import family_of, read_rules
from ss_gym.dialogue.case import Case, Order, cents, named
from ss_gym.dialogue.hearing import hear
from ss_gym.dialogue.wishes import DETAILS, REASONS, option_named
from ss_gym.families import load_family
from ss_gym.types import Message

# What can be told of a message of the customer; see ``ss_gym.dialogue.hearing.Heard``.
HEARD = ("agrees", "asks", "declines", "takes_credit", "wants_other_card", "leaves", "satisfied")
_NOTHING_HEARD = dict.fromkeys(HEARD, False)

# Tools that tell facts of an order or a subscription that was read.
_FACTS = frozenset(
    "check_address_change check_cancellation check_delivery check_return_eligibility check_subscription get_shipment "
    "get_shipping_address".split()
)
# Tools that read what a wish is about, and what its number is called there.
_READERS = {"get_order": "order_id", "get_subscription": "subscription_id"}


class DialogueState:
    """What is known so far; ``append`` takes in one message of the conversation, the system message first.

    Attributes:
        case: what the customer said of themselves and their wish, and the order that it is about.
        heard: what can be told of the customer's last message, by ``HEARD``; nothing once the agent has called
            a tool since.
        agreed: whether the customer said yes in their last message.
        approved: the same, if what their wish is about was known by then.
        made: the calls so far, by tool and arguments.
        failed: failed attempts at verification.
        orders: the titles in each order of the customer's account, or their subscriptions, once they were listed.
        results: the last result of each tool, by its name.
        replies: how often the agent has spoken.
        steps: how often it has acted.
    """

    def __init__(self) -> None:
        self.case = Case(None, "")
        self.heard: Mapping[str, bool] = _NOTHING_HEARD
        self.agreed = self.approved = False
        self.made: set[tuple[str, str]] = set()
        self.failed = 0
        self.orders: dict[str, list[str]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.replies = 0
        self.steps = 0
        self._found: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
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
    def listed(self) -> bool:
        """Whether the orders or subscriptions of their account were read."""
        return "list_orders" in self.results or "list_subscriptions" in self.results

    @property
    def order_id(self) -> str:
        """The order to read next: the number that was told, or the one that holds what they speak of."""
        case = self.case
        if self.orders and case.order is None and case.order_number not in self.orders:
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
        """The option that the customer has named and can have; the only one there is if they agree."""
        options = self.options
        if not options:
            return ""
        chosen = option_named(self._said_of_options(), options)
        return chosen or (next(iter(options)) if len(options) == 1 and self.heard["agrees"] else "")

    @property
    def wished(self) -> tuple[str, str]:
        """The option that they want of those that were read, and why it can't be had; empty where there is nothing."""
        found = self.results.get("get_exchange_options", {})
        options = {each["option"]: each for each in found.get("options", ())}
        name = option_named(self._said_of_options(), options)
        if not name or name in self.options:
            return name, ""
        return name, "dearer" if options[name]["in_stock"] else "gone"

    def _said_of_options(self) -> str:
        """The customer's words without the titles of what they want to exchange, which may sound like an option."""
        said = self.case.said
        for line in self.case.wanted:
            said = said.replace(line.title.lower(), "")
        return said

    def _hear(self, text: str) -> None:
        case = self.case
        heard = hear(DETAILS[case.family](case, text) if case.family in DETAILS else text)
        # Each of these reads the text again: once is enough.
        told = self.heard = {name: bool(getattr(heard, name)) for name in HEARD}
        self.agreed = told["agrees"] or told["takes_credit"]
        self.approved = self.agreed and case.order is not None
        case.email = heard.email or case.email
        case.postal_code = heard.postal_code or case.postal_code
        case.order_number = heard.order_number or case.order_number
        if not case.reason and case.family in REASONS:
            case.reason = REASONS[case.family](heard)
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
            self.made.add((name, call["function"]["arguments"]))
            try:
                arguments = json.loads(call["function"]["arguments"])
            except (TypeError, ValueError):
                arguments = {}
            self._running[call["id"]] = (name, arguments)

    def _read(self, name: str, arguments: Mapping[str, Any], content: str) -> None:
        try:
            result = json.loads(content)
        except ValueError:
            return
        if not isinstance(result, dict) or "error" in result:
            return
        self.results[name] = result
        if name == "verify_identity":
            self.case.customer_id = result.get("customer_id", "") if result["verified"] else ""
            self.failed += not result["verified"]
        elif name == "list_orders":
            self.orders = {each["order_id"]: each["items"] for each in result["orders"]}
        elif name == "list_subscriptions":
            self.orders = {each["subscription_id"]: [each["title"]] for each in result["subscriptions"]}
        elif name == "check_address":
            self.case.details["served"] = "yes" if result["served"] else "no"
        elif name == "get_warranty":
            self._read_warranty(str(arguments.get("item_id")), result)
        elif name in _READERS:
            self._read_subject(result if result.get("customer_id") == self.case.customer_id else {}, _READERS[name])
        elif name in _FACTS and self._found and self._found["order_id"] in arguments.values():
            self._facts |= {key: value for key, value in result.items() if key != "items"}
            self._look()

    def _read_subject(self, found: dict[str, Any], number: str) -> None:
        """Takes in an order or a subscription; an empty one if it is not theirs."""
        self._facts = {}
        if found and number != "order_id":
            self._facts = {**found, "expected_on": found["next_charge_on"]}
            keys = ("title", "price", "status")
            item = {"item_id": found[number], "category": "", "final_sale": False, **{key: found[key] for key in keys}}
            found = {**found, "order_id": found[number], "items": [item], "payments": (), "refunds": ()}
        # A line's status changes with what is read of it later.
        self._found = {**found, "items": [dict(each) for each in found["items"]]} if found else {}
        self.case.wanted = ()
        self._look()

    def _read_warranty(self, item_id: str, found: dict[str, Any]) -> None:
        """Takes in the warranty of a line, whose status it may change: claimed, or expired."""
        case = self.case
        if case.order is None or "claims" not in found:
            return
        usual = case.terms.standard_warranty_days
        if found["category"] == "electronics":
            usual = case.terms.electronics_warranty_days
        days = found["days_since_delivery"]
        status = "expired" if days is not None and days > usual + found["extended_warranty_days"] else ""
        for item in self._found["items"]:
            if item["item_id"] == item_id and item["status"] == "ordered":
                item["status"] = "claimed" if found["claims"] else status or "ordered"
                if item["status"] == "ordered":
                    self._facts["in_stock"] = self._facts.get("in_stock", True) and found["in_stock"]
        self._facts["days_since_delivery"] = days
        wanted = [line.item_id for line in case.wanted]
        self._look()
        assert case.order is not None
        case.wanted = tuple(line for line in case.order.lines if line.item_id in wanted)

    def _look(self) -> None:
        """Puts together what is known of the order, and finds in it what they speak of."""
        case = self.case
        case.order = Order.from_tools(self._found, self._facts) if self._found else None
        if case.order is not None and not case.wanted:
            case.wanted = case.order.lines if len(case.order.lines) == 1 else case.lines_named(case.order.lines)

    def price(self) -> int:
        """The cents that the wanted lines cost."""
        return sum(line.price for line in self.case.wanted)

    def quoted(self) -> int:
        """The cents of the last quote; 0 if there is none."""
        quote = self.results.get("quote_refund", {})
        return cents(quote["refund"]) if "refund" in quote else 0

    def quoted_price(self) -> int | None:
        """The cents that the lines of the last quote cost; None if there is none."""
        quote = self.results.get("quote_refund", {})
        return cents(quote["price"]) if "price" in quote else None
