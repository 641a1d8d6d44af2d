"""Feedback on attempts: a judge grades each, or says which of two is better, and that becomes a score.

Lee et al. 2023, "RLAIF vs. RLHF", arXiv:2309.00267. Grades in the loop are their direct RLAIF; the share of comparisons
won in the loop is nearer to Guo et al. 2024, arXiv:2402.04792.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any, Protocol

from ss_gym.rewards.function import RewardFunction
from ss_gym.rewards.pairwise import PairwiseJudge, Preference, flip_rate
from ss_gym.types import MultiTurnTrajectory

Trajectories = Sequence[MultiTurnTrajectory]


class JudgeFailedError(RuntimeError):
    """A judge had nothing to say of any attempt, so that nothing can be learnt from them."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a judge says of attempts.

    Attributes:
        scores: of each attempt; nan where there is none.
        metrics: what there is to tell of the judging.
        reason: why scores are missing, the first that was given; empty if none is missing.
    """

    scores: tuple[float, ...]
    metrics: Mapping[str, float]
    reason: str = ""


class Judge(Protocol):
    """Judges attempts, whole groups of them."""

    def __call__(self, trajectories: Trajectories) -> Feedback:
        """A score for each attempt."""
        ...


def context_of(trajectory: MultiTurnTrajectory) -> dict[str, Any]:
    """What a reward may know of an episode besides its turns: the last info, the outcome, the instructions."""
    return {
        **trajectory.info,
        "system_prompt": trajectory.system_prompt,
        "scenario_id": trajectory.scenario_id,
        "success": trajectory.success,
        "return": trajectory.total_reward,
    }


class Grades:
    """Each attempt is graded by itself.

    Args:
        reward: gives the grades.
    """

    def __init__(self, reward: RewardFunction) -> None:
        self._reward = reward

    def __call__(self, trajectories: Trajectories) -> Feedback:
        """The grade of each attempt."""
        results = self._reward.compute_batch([(one.turns, context_of(one)) for one in trajectories])
        reasons = [reason for result in results for reason in result.missing.values()]
        return Feedback(tuple(result.score for result in results), {}, next(iter(reasons), ""))


class Pairs:
    """Attempts at the same scenario are compared with each other; the score is the share of comparisons won.

    Args:
        comparer: says which of two is better.
        comparisons: how many neighbours, on either side of the group laid out as a ring, each is compared with;
            half of the group or more compares all pairs.
    """

    def __init__(self, comparer: Comparer, comparisons: int) -> None:
        self._comparer, self._comparisons = comparer, comparisons

    def __call__(self, trajectories: Trajectories) -> Feedback:
        """The mean preference for each attempt over the others; nan for one that could not be compared.

        Raises:
            ValueError: if no scenario has two attempts.
        """
        verdicts = self.compared(trajectories)
        won: list[list[float]] = [[] for _ in trajectories]
        for one, other, preference in verdicts:
            if not preference.missing:
                won[one].append(preference.value)
                won[other].append(1.0 - preference.value)
        preferences = [preference for _, _, preference in verdicts]
        reasons = [preference.missing for preference in preferences if preference.missing]
        told = [preference.value for preference in preferences if not preference.missing]
        metrics = {
            "feedback/comparisons": float(len(preferences)),
            "feedback/missing_comparisons": len(reasons) / max(1, len(preferences)),
            "feedback/ties": fmean(value == 0.5 for value in told) if told else 0.0,
        }
        if any(preference.orders for preference in preferences):
            metrics["feedback/flip_rate"] = flip_rate(preferences)
        scores = tuple(fmean(values) if values else math.nan for values in won)
        return Feedback(scores, metrics, next(iter(reasons), ""))

    def compared(self, trajectories: Trajectories) -> list[tuple[int, int, Preference]]:
        """Places of two attempts, and how much the first is preferred.

        Raises:
            ValueError: if no scenario has two attempts.
        """
        pairs = compared_pairs([(one.group_id, one.scenario_id) for one in trajectories], self._comparisons)
        if trajectories and not pairs:
            raise ValueError("no scenario has two attempts to compare: set group_size to 2 or more")
        preferences = self._comparer([(trajectories[one], trajectories[other]) for one, other in pairs])
        return [(*pair, preference) for pair, preference in zip(pairs, preferences, strict=True)]


class Comparer(Protocol):
    """Says which of two attempts is better."""

    def __call__(self, pairs: Sequence[tuple[MultiTurnTrajectory, MultiTurnTrajectory]]) -> Sequence[Preference]:
        """How much the first of each pair is preferred."""
        ...


class ComparedByModel:
    """A language model compares, in both orders; see ``PairwiseJudge``.

    Args:
        judge: the model.
        principles: pairs are judged under one each, in turn; under the judge's own question without any.
    """

    def __init__(self, judge: PairwiseJudge, principles: Sequence[str] = ()) -> None:
        self._judge = judge
        self._questions = [
            f"In which conversation does the assistant keep better to this principle: {principle}"
            for principle in principles
        ] or [judge.question]

    def __call__(self, pairs: Sequence[tuple[MultiTurnTrajectory, MultiTurnTrajectory]]) -> list[Preference]:
        """The judge's preferences."""
        asked = [self._questions[place % len(self._questions)] for place in range(len(pairs))]
        told = [one.system_prompt for one, _ in pairs]
        return self._judge.compare_batch([(one.turns, other.turns) for one, other in pairs], asked, told)


class ComparedByGrade:
    """The attempt with the better grade is preferred.

    Args:
        reward: gives the grades.
    """

    def __init__(self, reward: RewardFunction) -> None:
        self._reward = reward

    def __call__(self, pairs: Sequence[tuple[MultiTurnTrajectory, MultiTurnTrajectory]]) -> list[Preference]:
        """1, 0, or 0.5 where both have the same grade."""
        distinct = {id(one): one for pair in pairs for one in pair}
        results = self._reward.compute_batch([(one.turns, context_of(one)) for one in distinct.values()])
        graded = dict(zip(distinct, results, strict=True))
        return [_by_grade(graded[id(one)], graded[id(other)]) for one, other in pairs]


def _by_grade(one: Any, other: Any) -> Preference:
    reasons = [*one.missing.values(), *other.missing.values()]
    if math.isnan(one.score) or math.isnan(other.score):
        return Preference(math.nan, missing=next(iter(reasons), "the grade is missing"))
    return Preference(0.5 if one.score == other.score else float(one.score > other.score))


def compared_pairs(groups: Sequence[Hashable], comparisons: int) -> list[tuple[int, int]]:
    """Which attempts are compared: those of a group that are near each other on a ring.

    >>> compared_pairs([7, 7, 7, 7, 9], comparisons=1)
    [(0, 1), (0, 3), (1, 2), (2, 3)]

    Args:
        groups: of each attempt, what those that may be compared have in common.
        comparisons: how far neighbours may be.

    Returns:
        places of the first and the second attempt of each pair.
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    return [
        (group[one], group[other])
        for group in members.values()
        for one, other in combinations(range(len(group)), 2)
        if min(other - one, len(group) - other + one) <= comparisons
    ]


def rewarded(trajectory: MultiTurnTrajectory, score: float, environment_share: float) -> MultiTurnTrajectory:
    """The episode with a score on its last reply, beside a share of what the environment paid.

    Whether it was a success is for the judge to say now, so that is left out.

    Args:
        trajectory: the episode.
        score: nan if it is missing, which makes the return nan as well.
        environment_share: what the environment's rewards are multiplied by; they are left out if it is 0.
    """
    share = environment_share
    turns = [replace(turn, reward=share * turn.reward if share else 0.0) for turn in trajectory.turns]
    last = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=None)
    if last is not None:
        turns[last] = replace(turns[last], reward=turns[last].reward + score)
    return replace(trajectory, turns=tuple(turns), success=None)


def agreement(trajectories: Trajectories, scores: Sequence[float]) -> float:
    """How often a judge prefers, of two attempts at a scenario, the one that earned more; a tie is half; nan if none.

    Args:
        trajectories: with the environment's own rewards.
        scores: the judge's.
    """
    earned = [one.total_reward for one in trajectories]
    agreed = []
    for one, other in compared_pairs([(one.group_id, one.scenario_id) for one in trajectories], len(trajectories)):
        difference = (earned[one] - earned[other]) * (scores[one] - scores[other])
        if earned[one] != earned[other] and not math.isnan(difference):
            agreed.append(0.5 if difference == 0 else float(difference > 0))
    return fmean(agreed) if agreed else math.nan
