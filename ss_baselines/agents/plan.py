"""How the desk of a family works: what scripted agents read, decide, do and say there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ss_baselines.agents.case import Case
from ss_baselines.agents.hearing import Heard
from ss_baselines.agents.judgement import Judge
from ss_baselines.agents.phrasing import Grammar

if TYPE_CHECKING:
    from ss_baselines.agents.conduct import Conduct
    from ss_baselines.agents.desk import Desk, Moves

# Family -> "module:plan". A string, so that only the desks that are worked at are imported.
PLANS: Mapping[str, str] = {
    "cancel": "ss_baselines.agents.cancel:PLAN",
    "order_status": "ss_baselines.agents.order_status:PLAN",
    "refund": "ss_baselines.agents.refund:PLAN",
}


def _no_reason(heard: Heard) -> str:
    return ""


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


@cache
def plan_of(family: str) -> Plan:
    """The plan of a family.

    Raises:
        ValueError: if there is none.
    """
    if family not in PLANS:
        raise ValueError(f"scripted agents have no plan for {family or 'this prompt'!r}: they know {', '.join(PLANS)}")
    module, _, attribute = PLANS[family].partition(":")
    plan: Any = getattr(import_module(module), attribute)
    assert isinstance(plan, Plan)
    return plan
