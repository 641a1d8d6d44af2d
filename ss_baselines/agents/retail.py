"""The desk for everything: each wish is worked at as its own family's desk does."""

from __future__ import annotations

from ss_baselines.agents.common_grammar import COMMON_GRAMMAR, MORE, START
from ss_baselines.agents.conduct import Conduct
from ss_baselines.agents.desk import Desk, Moves
from ss_baselines.agents.judgement import Ruling
from ss_baselines.agents.phrasing import Grammar
from ss_baselines.agents.plan import Plan
from ss_baselines.agents.wishes import another_wish, family_of_wish
from ss_gym.dialogue.case import Case

RETAIL_GRAMMAR: Grammar = {
    **COMMON_GRAMMAR,
    "ask_wish": (
        START,
        ("What can I do for you?", "How can I help you?", "What would you like me to do?"),
    ),
    "ask_more": (("", "I see. ", "I understand. ", "All right. "), tuple(question.strip() for question in MORE)),
}


class _Wishes:
    """Reads wishes by their words."""

    # What is taken for the wish where no words tell.
    usual = "order_status"

    def family(self, text: str) -> str:
        return family_of_wish(text)

    def another(self, text: str) -> str:
        return another_wish(text)


def _of_a_family(desk: Desk, conduct: Conduct) -> Moves[None]:
    raise AssertionError("every wish is settled at the desk of its family")


def _nothing(case: Case) -> Ruling:
    return Ruling()


PLAN = Plan(
    grammar=RETAIL_GRAMMAR,
    judge=_nothing,
    settle=_of_a_family,
    grant=_nothing,
    stuffing=lambda case: "",
    grounds=(),
    transfers=(),
    wishes=_Wishes(),
)
