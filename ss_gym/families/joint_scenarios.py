"""Scenarios of several wishes: from a scenario for each to the one of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ss_gym.commerce.records import World
from ss_gym.scenarios import Goal, Outcome, Scenario

# How a wish ends that is taken back.
WITHDRAWN = "withdrawn"
# What the worlds of several wishes of one customer have in common.
_SHARED = ("customers", "addresses", "unserved_areas")


def united(worlds: Sequence[World]) -> World:
    """All rows of some worlds, the same customers once."""
    if len(worlds) == 1:
        return worlds[0]
    rows = [tuple([row for table in tables for row in table]) for tables in zip(*worlds, strict=True)]
    return World(
        *[
            tuple(dict.fromkeys(table)) if name in _SHARED else table
            for name, table in zip(World._fields, rows, strict=True)
        ]
    )


def withdrawn(part: Scenario) -> Scenario:
    """The same wish, of a customer who takes it back: nothing must be done, and what is true may be told."""
    outcome = part.outcome
    true = outcome.also_true.union(*outcome.grounds)
    known = (*outcome.known, *outcome.facts)
    return replace(
        part,
        goal=part.goal._replace(withdraws=True),
        outcome=Outcome(WITHDRAWN, frozenset(), (), (), (), known, true, outcome.standing),
    )


def joined(whole: Scenario, parts: Sequence[Scenario]) -> Scenario:
    """A scenario with parts: each gets its name and its world, and it gets their goals and outcomes."""
    named = [replace(part, id=whole.id, index=whole.index, world=whole.world) for part in parts]
    return replace(
        whole,
        goal=_goal([part.goal for part in parts]),
        outcome=_outcome([part.outcome for part in parts]),
        parts=tuple(named),
    )


def _goal(goals: Sequence[Goal]) -> Goal:
    """The wishes that stand together: what they are about and what was paid for it; the rest is that of the first."""
    goals = [goal for goal in goals if not goal.withdraws]
    return goals[0]._replace(
        items=tuple([item for goal in goals for item in goal.items]),
        titles=tuple([title for goal in goals for title in goal.titles]),
        paid_cents=sum([goal.paid_cents for goal in goals]),
        details=tuple([detail for goal in goals for detail in goal.details]),
        values=tuple([value for goal in goals for value in goal.values]),
        others=tuple([value for goal in goals for value in goal.others]),
        mistaken=tuple([value for goal in goals for value in goal.mistaken]),
    )


def _outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """The right ends together; the verdict is a transfer, a refusal of everything, or the first that is neither."""
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict != WITHDRAWN]
    granted = [verdict for verdict in verdicts if verdict != "refuse"]
    return Outcome(
        verdict="transfer" if "transfer" in granted else granted[0] if granted else "refuse",
        effects=frozenset().union(*[outcome.effects for outcome in outcomes]),
        grounds=tuple([grounds for outcome in outcomes for grounds in outcome.grounds]),
        facts=tuple([fact for outcome in outcomes for fact in outcome.facts]),
        consents=tuple([consent for outcome in outcomes for consent in outcome.consents]),
        known=tuple([fact for outcome in outcomes for fact in outcome.known]),
        also_true=frozenset().union(*[outcome.also_true for outcome in outcomes]),
        standing=frozenset().union(*[outcome.standing for outcome in outcomes]),
    )
