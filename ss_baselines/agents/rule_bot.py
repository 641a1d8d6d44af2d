"""The rule bot: a decent flow chart of the kind that shops put in front of their staff."""

from __future__ import annotations

from functools import partial

from ss_baselines.agents.conduct import Conduct, never
from ss_baselines.agents.dialogue import DialogueAgent, serve


class RuleBot(DialogueAgent):
    """Follows the rules, but has no branch for customers off the beaten path.

    It believes the order number that it is told instead of looking for the order, and does not
    think of alternatives once the answer is no.
    """

    def __init__(self) -> None:
        conduct = Conduct(doubts_number=never, offers_alternative=never)
        super().__init__(partial(serve, conduct=conduct))
