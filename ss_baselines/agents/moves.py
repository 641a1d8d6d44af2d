"""Moves that the dialogues of all families share: handing over, refusing, proposing, saying goodbye."""

from __future__ import annotations

from collections.abc import Callable

from ss_baselines.agents.desk import Desk, Moves, tool_call
from ss_gym.commerce.rules import window_of
from ss_gym.dialogue.case import dollars
from ss_gym.dialogue.hearing import Heard

MOST_REPEATS = 6  # of one proposal or refusal, before the agent lets it rest


def transfer(desk: Desk, reason: str) -> Moves[None]:
    """Hands the conversation to a colleague."""
    summary = f"Request about {desk.case.wanted_titles}."
    yield from desk.call(tool_call("transfer_to_human", reason=reason, summary=summary))


def grounds_in_words(desk: Desk, ground: str, titles: str) -> Callable[[], str]:
    """Says why something is refused, in other words each time."""
    case = desk.case
    slots = {
        "titles": titles or "it",
        "window": str(window_of(case.terms)),
        "date": case.order.expected_on if case.order else "",
        "delivered": case.order.facts.get("delivered_on") or "" if case.order else "",
        "number": case.order_number,
        "done": next((line.status for line in case.wanted if line.status != "ordered"), "exchanged"),
        "option": case.option or "that option",
        "amount": dollars(case.order.refunded if case.order else 0),
        **desk.plan.slots(case),
    }
    return lambda: desk.words(f"refuse_{ground}", **slots)


def see_off(desk: Desk, words: Callable[[], str], reasons: Callable[[], str] = str, asked: bool = False) -> Moves[None]:
    """Says how the matter ended, again as long as there are questions.

    Args:
        desk: whose case it is.
        words: says how it ended.
        reasons: what goes before it if the customer asks why.
        asked: whether they have asked already.
    """
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(f"{reasons() if asked else ''} {words()}".lstrip())
        if heard.satisfied and not heard.asks:
            return
        asked = True


def agreed(
    desk: Desk, text: Callable[[], str], answer: Callable[[Heard], str] = lambda heard: ""
) -> Moves[Heard | None]:
    """Says a proposal until the customer agrees; gives the message that agrees, or None.

    Args:
        desk: whose case it is.
        text: the proposal, in other words each time.
        answer: what goes before it the next time, given what the customer said.
    """
    before = ""
    for _ in range(MOST_REPEATS):
        heard = yield from desk.say(f"{before} {text()}".lstrip())
        if heard.agrees:
            return heard
        if heard.leaves:
            return None
        before = answer(heard)
    return None
