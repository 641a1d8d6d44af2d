"""Where agents that hold the same dialogue differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ss_baselines.agents.case import Case
from ss_baselines.agents.judgement import Judge, judge_by_policy

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
        judge: what each line gets.
        insists_on_identity: whether it stops where the customer could not be verified.
        checks_owner: whether an order must be the verified customer's.
        looks_for_order: whether it searches the account where the number is wrong or missing.
        asks_consent: whether the customer is asked before a refund is made.
        keeps_fee: whether the restocking fee is kept.
        heeds_limit: whether a refund above the limit goes to a colleague.
        offers_alternative: whether a refused customer is told what they can have instead.
    """

    judge: Judge = judge_by_policy
    insists_on_identity: Habit = always
    checks_owner: Habit = always
    looks_for_order: Habit = always
    asks_consent: Habit = always
    keeps_fee: Habit = always
    heeds_limit: Habit = always
    offers_alternative: Habit = always
