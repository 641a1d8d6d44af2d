"""A clerk that works by the refund policy with the menu alone: it chooses by name, from what the state tells."""

from __future__ import annotations

from typing import Any

from ss_gym.dialogue.case import Line
from ss_gym.dialogue.state import DialogueState

_FAULTS = ("damaged", "wrong_item", "defective")


class Clerk:
    """Chooses for one conversation."""

    def __init__(self) -> None:
        self._done: set[str] = set()

    def choose(self, state: DialogueState) -> str:
        """The name of the next choice."""
        case = state.case
        if not case.customer_id:
            return self._identify(state)
        if case.order is None:
            return self._find(state)
        if not case.wanted:
            return "ask_item"
        if not case.reason:
            return "ask_reason"
        if case.order.days is None:
            return "refuse_not_delivered"
        if case.reason == "not_received" and any(line.status == "ordered" for line in case.wanted):
            return "transfer_dispute"
        grounds = [self._ground(state, line) for line in case.wanted]
        if "" in grounds:
            return self._refund(state, "quote_ordinary" if any(grounds) else "quote")
        return "refuse_each" if len(set(grounds)) > 1 else self._make_do(state, grounds[0])

    def _first(self, move: str) -> bool:
        new = move not in self._done
        self._done.add(move)
        return new

    def _identify(self, state: DialogueState) -> str:
        if state.failed > 1:
            return "refuse_not_verified"
        if state.failed and self._first("ask_again"):
            return "ask_again"
        return "verify" if state.case.email and state.case.postal_code else "ask_identity"

    def _find(self, state: DialogueState) -> str:
        if state.case.order_number and self._first("read"):
            return "read_order"
        if self._first("list"):
            return "list_orders"
        return "read_order" if state.order_id in state.orders else "refuse_not_found"

    def _ground(self, state: DialogueState, line: Line) -> str:
        terms: Any = state.case.terms
        days = state.case.order.days if state.case.order else None
        assert days is not None
        if line.status != "ordered":
            return "already_refunded"
        if line.category == "gift_card":
            return "gift_card"
        if state.case.reason in _FAULTS and days <= terms.damage_window_days:
            return ""
        return "final_sale" if line.final_sale else "" if days <= terms.return_window_days else "window"

    def _refund(self, state: DialogueState, quote: str) -> str:
        if "issue_refund" in state.results:
            return "report_refund"
        if self._first("quote"):
            return quote
        if state.quoted() > state.case.terms.transfer_limit_cents:
            return "transfer_over_limit"
        if state.heard["wants_other_card"]:
            return "same_method"
        if state.heard["agrees"] and "propose" in self._done:
            return "refund"
        self._first("propose")
        return "propose_refund"

    def _make_do(self, state: DialogueState, ground: str) -> str:
        assert state.case.order is not None and state.case.order.days is not None
        days, terms = state.case.order.days, state.case.terms
        offered = "offer" in self._done
        if offered and state.heard["declines"]:
            self._first("declined")
        if "declined" in self._done:
            return f"refuse_{ground}"
        if ground == "window" and days <= terms.credit_window_days:
            if "issue_store_credit" in state.results:
                return "report_credit"
            if offered and state.heard["takes_credit"]:
                return "credit"
            self._first("offer")
            return "offer_credit"
        if ground == "final_sale" and days <= terms.return_window_days:
            return self._exchange(state, offered)
        return f"refuse_{ground}"

    def _exchange(self, state: DialogueState, offered: bool) -> str:
        if "create_exchange" in state.results:
            return "report_exchange"
        if self._first("options"):
            return "read_options"
        if not state.options:
            return "refuse_final_sale"
        if offered and state.option:
            return "exchange"
        self._first("offer")
        return "offer_exchange"
