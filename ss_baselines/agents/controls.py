"""Controls: agents that converse well and always come to the same result."""

from __future__ import annotations

from functools import partial

from ss_baselines.agents.conduct import Conduct, never
from ss_baselines.agents.desk import Desk, Moves
from ss_baselines.agents.dialogue import DialogueAgent
from ss_baselines.agents.identification import ask_reason, identify, locate, read_order
from ss_baselines.agents.moves import grounds_in_words, see_off, transfer

_CAREFUL = Conduct()


def _grant(desk: Desk) -> Moves[None]:
    """Verifies, asks, and grants; never lets a rule stand in the way."""
    case = desk.case
    conduct = Conduct(judge=desk.plan.grant, checks_owner=never, heeds_limit=never)
    yield from identify(desk, conduct)
    yield from locate(desk, conduct)
    while case.order is None:
        case.order_number = ""
        yield from desk.say(desk.words("ask_order"))
        if case.order_number:
            yield from read_order(desk, case.order_number, check_owner=False)
    if desk.plan.asks_reason:
        yield from ask_reason(desk)
    yield from desk.plan.settle(desk, conduct)


def _refuse(desk: Desk, ground: str = "") -> Moves[None]:
    """Verifies, reads the order, and refuses for the same reason whatever it found."""
    yield from identify(desk, _CAREFUL)
    yield from locate(desk, _CAREFUL)
    yield from see_off(desk, grounds_in_words(desk, ground or desk.plan.grounds[0], desk.case.wanted_titles))


def _transfer(desk: Desk, reason: str = "") -> Moves[None]:
    """Verifies, reads the order, and hands over whatever it found."""
    yield from identify(desk, _CAREFUL)
    yield from locate(desk, _CAREFUL)
    yield from transfer(desk, reason or desk.plan.transfers[0])


class AlwaysGrant(DialogueAgent):
    """Grants whatever is asked for, with verification, consent and thanks."""

    def __init__(self) -> None:
        super().__init__(_grant)


class AlwaysRefuse(DialogueAgent):
    """Refuses every customer, well read and with a reason.

    Args:
        ground: the reason, one of those of the policy; the first that the desk has if empty.
    """

    def __init__(self, ground: str = "") -> None:
        super().__init__(partial(_refuse, ground=ground))


class AlwaysTransfer(DialogueAgent):
    """Hands every customer to a colleague.

    Args:
        reason: what the ticket says; the first that the desk has if empty.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(partial(_transfer, reason=reason))
