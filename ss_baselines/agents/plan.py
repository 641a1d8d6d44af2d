"""How the desk of a family works: what scripted agents read, decide, do and say there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from ss_baselines.agents.judgement import Judge
from ss_baselines.agents.phrasing import Grammar
from ss_gym.dialogue.case import Case
from ss_gym.dialogue.hearing import Heard

if TYPE_CHECKING:
    from ss_baselines.agents.conduct import Conduct
    from ss_baselines.agents.desk import Desk, Moves

# Family -> "module:plan". A string, so that only the desks that are worked at are imported; packages add theirs by
# the entry-point group "ss_baselines.plans".
PLANS: Mapping[str, str] = {
    "address_change": "ss_baselines.agents.address_change:PLAN",
    "cancel": "ss_baselines.agents.cancel:PLAN",
    "exchange": "ss_baselines.agents.exchange:PLAN",
    "order_status": "ss_baselines.agents.order_status:PLAN",
    "refund": "ss_baselines.agents.refund:PLAN",
    "retail": "ss_baselines.agents.retail:PLAN",
    "warranty": "ss_baselines.agents.warranty:PLAN",
    "subscription": "ss_baselines.agents.subscription:PLAN",
}


def _no_reason(heard: Heard) -> str:
    return ""


def _no_slots(case: Case) -> Mapping[str, str]:
    return {}


def _no_details(case: Case, text: str) -> str:
    return text


class WishReader(Protocol):
    """Tells the wishes of a conversation apart.

    Attributes:
        usual: the family of a wish whose words do not tell.
    """

    usual: str

    def family(self, text: str) -> str:
        """The family of the wish that a customer's words open; empty if they do not tell."""
        ...

    def another(self, text: str) -> str:
        """What of a message opens another wish; empty if it goes on with the same."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How the desk of a family works.

    Attributes:
        grammar: the words of the reference agent.
        judge: what the policy gives.
        settle: sees a case through once the order is known.
        grant: gives whatever is asked for.
        stuffing: every word that an audit might look for.
        grounds: reasons of refusal.
        transfers: reasons for handing over.
        facts: tools that are read beside get_order, given the order's number.
        reads_shipment: whether the shipment of an order on its way is read, too.
        reason_of: why a customer asks, from what they say; empty if their words do not tell.
        asks_reason: whether the policy depends on it.
        verify: one attempt at verification with what is known; gives whether it worked. By verify_identity if None.
        read_order: reads an order, or what a number stands for instead, unless it is somebody else's and that
            matters, and sets ``order`` and ``wanted`` of the case. By get_order and ``facts`` if None.
        list_orders: gives the titles in each of the account's orders, by number. By list_orders if None.
        search: looks for what the customer means where they have no number or a wrong one, instead of a look
            through ``list_orders``; the argument says whether it must be the customer's.
        arguments: what its tools call what every agent knows: ``{"loan_id": "order_id"}``.
        slots: what the sentences of a refusal may name besides titles, window, date and number.
        take_details: notes in ``case.details`` what else a message tells of the wish, and gives the rest of it.
        whole_orders: whether a wish is about an order with all its lines.
        wishes: at a desk for the wishes of other families, how they are told apart; the plan of the family that it
            names is then followed for each.
    """

    grammar: Grammar
    judge: Judge
    settle: Callable[[Desk, Conduct], Moves[None]]
    grant: Judge
    stuffing: Callable[[Case], str]
    grounds: tuple[str, ...]
    transfers: tuple[str, ...]
    facts: tuple[str, ...] = ()
    reads_shipment: bool = False
    reason_of: Callable[[Heard], str] = _no_reason
    asks_reason: bool = False
    verify: Callable[[Desk], Moves[bool]] | None = None
    read_order: Callable[[Desk, str, bool], Moves[None]] | None = None
    list_orders: Callable[[Desk], Moves[Mapping[str, Sequence[str]]]] | None = None
    search: Callable[[Desk, bool], Moves[None]] | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    slots: Callable[[Case], Mapping[str, str]] = _no_slots
    take_details: Callable[[Case, str], str] = _no_details
    whole_orders: bool = False
    wishes: WishReader | None = None


@cache
def plan_of(family: str) -> Plan:
    """The plan of a family.

    Raises:
        ValueError: if there is none.
    """
    found = {entry.name: entry.value for entry in entry_points(group="ss_baselines.plans")} | dict(PLANS)
    if family not in found:
        raise ValueError(f"scripted agents have no plan for {family or 'this prompt'!r}: they know {', '.join(found)}")
    module, _, attribute = found[family].partition(":")
    plan: Any = getattr(import_module(module), attribute)
    if not isinstance(plan, Plan):
        raise TypeError(f"the plan of {family}, {found[family]}, must be a Plan, got {plan!r:.80}")
    return plan
