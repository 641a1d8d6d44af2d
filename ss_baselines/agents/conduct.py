"""Where agents that hold the same dialogue differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ss_baselines.agents.judgement import Judge
from ss_gym.dialogue.case import Case

Habit = Callable[[Case], bool]


def always(case: Case) -> bool:
    """Whatever the case."""
    return True


def never(case: Case) -> bool:
    """In no case."""
    return False


@dataclass(frozen=True, slots=True)
class Conduct:
    """What an agent does at the points where it may go wrong; by default it goes right.

    Attributes:
        judge: what each line gets; what the plan of the desk says if None.
        wants_postal_code: whether an e-mail alone is not enough to know who it is.
        insists_on_identity: whether it stops where the customer could not be verified.
        checks_owner: whether an order must be the verified customer's.
        doubts_number: whether it searches the account where the number that was told leads nowhere.
        asks_consent: whether the customer is asked before a refund is made.
        keeps_fee: whether the restocking fee is kept.
        heeds_limit: whether a refund above the limit goes to a colleague.
        offers_alternative: whether a refused customer is told what they can have instead.
    """

    judge: Judge | None = None
    wants_postal_code: Habit = always
    insists_on_identity: Habit = always
    checks_owner: Habit = always
    doubts_number: Habit = always
    asks_consent: Habit = always
    keeps_fee: Habit = always
    heeds_limit: Habit = always
    offers_alternative: Habit = always
