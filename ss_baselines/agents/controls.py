"""Controls: agents that converse well and always come to the same result."""

from __future__ import annotations

from functools import partial

from ss_baselines.agents.case import Case
from ss_baselines.agents.conduct import Conduct, never
from ss_baselines.agents.desk import Desk, Moves
from ss_baselines.agents.dialogue import DialogueAgent
from ss_baselines.agents.identification import ask_reason, identify, locate, read_order
from ss_baselines.agents.judgement import Ruling, Verdict
from ss_baselines.agents.reference_grammar import REFERENCE_GRAMMAR
from ss_baselines.agents.settlement import grounds_in_words, see_off, settle, transfer

_CAREFUL = Conduct()


def grant_everything(case: Case) -> Ruling:
    """A full refund of every line that was asked for."""
    return Ruling(verdicts=tuple(Verdict(line, "refund", reason="damaged") for line in case.wanted))


def _grant(desk: Desk) -> Moves[None]:
    """Verifies, asks, and grants; never lets a rule stand in the way."""
    case = desk.case
    conduct = Conduct(judge=grant_everything, checks_owner=never, heeds_limit=never)
    yield from identify(desk, conduct)
    yield from locate(desk, conduct)
    while case.order is None:
        case.order_number = ""
        yield from desk.say(desk.words("ask_order"))
        if case.order_number:
            yield from read_order(desk, case.order_number, check_owner=False)
    yield from ask_reason(desk)
    yield from settle(desk, conduct)


def _refuse(desk: Desk, ground: str) -> Moves[None]:
    """Verifies, reads the order, and refuses for the same reason whatever it found."""
    yield from identify(desk, _CAREFUL)
    yield from locate(desk, _CAREFUL)
    yield from see_off(desk, grounds_in_words(desk, ground, desk.case.wanted_titles))


def _transfer(desk: Desk, reason: str) -> Moves[None]:
    """Verifies, reads the order, and hands over whatever it found."""
    yield from identify(desk, _CAREFUL)
    yield from locate(desk, _CAREFUL)
    yield from transfer(desk, reason)


class AlwaysGrant(DialogueAgent):
    """Refunds the full price of whatever is asked for, with verification, consent and thanks."""

    def __init__(self) -> None:
        super().__init__(_grant, REFERENCE_GRAMMAR)


class AlwaysRefuse(DialogueAgent):
    """Refuses every customer, well read and with a reason.

    Args:
        ground: the reason, one of those of the policy.
    """

    def __init__(self, ground: str = "window") -> None:
        super().__init__(partial(_refuse, ground=ground), REFERENCE_GRAMMAR)


class AlwaysTransfer(DialogueAgent):
    """Hands every customer to a colleague.

    Args:
        reason: what the ticket says.
    """

    def __init__(self, reason: str = "refund_over_limit") -> None:
        super().__init__(partial(_transfer, reason=reason), REFERENCE_GRAMMAR)
