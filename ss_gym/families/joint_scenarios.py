"""Scenarios of several wishes: from a scenario for each to the one of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ss_gym.commerce.records import World
from ss_gym.scenarios import Goal, Outcome, Scenario

# How a wish ends that is taken back.
WITHDRAWN = "withdrawn"
# What the worlds of several wishes of one customer have in common.
_SHARED = ("customers", "addresses", "unserved_areas")


def united(worlds: Sequence[World]) -> World:
    """All rows of some worlds, the same customers once."""
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


def together(index: int, parts: Sequence[Scenario]) -> list[Scenario]:
    """The same wishes in the world of all."""
    if len(parts) == 1:
        return list(parts)
    world = united([cast(World, part.world) for part in parts])
    return [replace(part, index=index, world=world) for part in parts]


def joined_goal(parts: Sequence[Scenario]) -> Goal:
    """The wishes that stand together: what they are about and what was paid for it; the rest is that of the first."""
    goals = [part.goal for part in parts if not part.goal.withdraws]
    if len(goals) == 1:
        return goals[0]
    return goals[0]._replace(
        items=tuple([item for goal in goals for item in goal.items]),
        titles=tuple([title for goal in goals for title in goal.titles]),
        paid_cents=sum([goal.paid_cents for goal in goals]),
        details=tuple([detail for goal in goals for detail in goal.details]),
        values=tuple([value for goal in goals for value in goal.values]),
        others=tuple([value for goal in goals for value in goal.others]),
        mistaken=tuple([value for goal in goals for value in goal.mistaken]),
    )


def joined_outcome(parts: Sequence[Scenario]) -> Outcome:
    """The right ends together; the verdict is a transfer, a refusal of everything, or the first that is neither."""
    outcomes = [part.outcome for part in parts]
    if len(outcomes) == 1:
        return outcomes[0]
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
