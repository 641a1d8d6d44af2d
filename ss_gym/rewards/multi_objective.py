"""Several objectives at once: as one number, and as what no other result is better than."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ss_gym.rewards.composite import CompositeReward
from ss_gym.rewards.function import RewardFunction, RewardResult, Scoring

Scalarise: TypeAlias = Literal["weighted", "chebyshev", "lexicographic"]
# Of the weighted sum, so that of two results with the same worst objective the better one is preferred.
_AUGMENTATION = 0.01


class MultiObjectiveReward(CompositeReward):
    """Objectives in [0, 1] as one number in [0, 1]; the breakdown holds each of them.

    With weights w that sum to 1:

    * ``weighted``: Σ wᵢ sᵢ. It finds results on the convex part of the Pareto front only.
    * ``chebyshev``: the worst weighted distance from the ideal counts, 1 − maxᵢ wᵢ(1 − sᵢ) / maxᵢ wᵢ, and a
      hundredth of the weighted sum, scaled to [0, 1]: the augmented Chebyshev norm (Steuer and Choo 1983,
      Mathematical Programming 26). It finds every result of the front.
    * ``lexicographic``: the objectives in the order given, compared in steps of 1/``levels``: the first
      decides, the next among equals. Weights do not count. The digits ⌊levels · sᵢ⌋ are those of a number of
      base levels + 1.

    An objective that is missing is left out, and its weight with it.

    >>> kind = RewardFunction(lambda turns, context: 1.0, "kind", weight=0.75)
    >>> right = RewardFunction(lambda turns, context: 0.2, "right", weight=0.25)
    >>> [round(MultiObjectiveReward([right, kind], how).compute([]).score, 3) for how in get_args(Scalarise)]
    [0.8, 0.734, 0.267]

    Args:
        functions: the objectives, the most important first where that counts.
        scalarise: how they become one number.
        levels: see above; 2 to 1000.
        name: see ``RewardFunction``.
        weight: see ``RewardFunction``.
        per: see ``CompositeReward``.

    Raises:
        ValueError: as ``CompositeReward``; if an argument is outside its range or a weight negative; when it is
            computed, if an objective is not in [0, 1].
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction | Scoring],
        scalarise: Scalarise = "weighted",
        levels: int = 10,
        name: str = "multi_objective",
        weight: float = 1.0,
        per: Literal["conversation", "turn"] = "conversation",
    ) -> None:
        super().__init__(functions, True, name, weight, per)
        if scalarise not in get_args(Scalarise):
            raise ValueError(f"scalarise must be one of {', '.join(get_args(Scalarise))}, got {scalarise!r}")
        if not 2 <= levels <= 1000:
            raise ValueError(f"levels must be from 2 to 1000, got {levels}")
        for function in self.functions:
            if function.weight < 0:
                raise ValueError(f"the weight of an objective must not be negative, got {function!r}")
        self.scalarise: Scalarise = scalarise
        self.levels = levels

    def combined(self, given: Sequence[tuple[RewardFunction, float]]) -> float:
        """The objectives that are there as one number."""
        for function, score in given:
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"the objective {function.name} must be from 0 to 1, got {score}")
        scores = [score for _, score in given]
        if self.scalarise == "lexicographic":
            return lexicographic(scores, self.levels)
        weights = [function.weight for function, _ in given]
        return weighted(scores, weights) if self.scalarise == "weighted" else chebyshev(scores, weights)


def weighted(scores: Sequence[float], weights: Sequence[float]) -> float:
    """Σ wᵢ sᵢ / Σ wᵢ."""
    return sum(weight * score for weight, score in zip(weights, scores, strict=True)) / sum(weights)


def chebyshev(scores: Sequence[float], weights: Sequence[float]) -> float:
    """The augmented Chebyshev norm as a reward; see ``MultiObjectiveReward``."""
    worst = max(weight * (1.0 - score) for weight, score in zip(weights, scores, strict=True)) / max(weights)
    return (1.0 - worst + _AUGMENTATION * weighted(scores, weights)) / (1.0 + _AUGMENTATION)


def lexicographic(scores: Sequence[float], levels: int) -> float:
    """The scores as digits of a number, the first the most significant; see ``MultiObjectiveReward``."""
    value = 0
    for score in scores:
        value = value * (levels + 1) + math.floor(levels * score + 1e-9)
    return value / float((levels + 1) ** len(scores) - 1)


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """The results that no other is better than.

    Attributes:
        objectives: names of what is compared.
        places: where they stand in the list that was given, in order.
        points: their scores, one row each, in the order of ``objectives``.
        dominated: how many results are worse than another in one objective and better in none.
        hypervolume: of what they dominate above the reference point, for two objectives; else None.
    """

    objectives: tuple[str, ...]
    places: tuple[int, ...]
    points: tuple[tuple[float, ...], ...]
    dominated: int
    hypervolume: float | None


def pareto_front(
    results: Sequence[RewardResult | Mapping[str, float]],
    objectives: Sequence[str] = (),
    reference: float = 0.0,
) -> ParetoFront:
    """The results that no other is better than, higher being better; equal ones are all kept.

    >>> front = pareto_front([{"kind": 0.9, "right": 0.2}, {"kind": 0.4, "right": 0.8}, {"kind": 0.3, "right": 0.5}])
    >>> front.places, round(front.hypervolume, 2)
    ((0, 1), 0.42)

    Args:
        results: as rewards give them, or scores by name.
        objectives: which names of their breakdowns count; by default those that the first has.
        reference: the point that the hypervolume is measured from, in each objective.

    Raises:
        ValueError: if there is no result, no objective, or a result lacks one: leave out what is missing.
    """
    rows = [dict(result.breakdown if isinstance(result, RewardResult) else result) for result in results]
    names = tuple(objectives) or tuple(rows[0] if rows else ())
    if not names:
        raise ValueError("a Pareto front needs at least one result with at least one objective")
    for place, row in enumerate(rows):
        for name in names:
            if not math.isfinite(row.get(name, math.nan)):
                raise ValueError(f"result {place} has no {name!r}: leave out results with a missing objective")
    points = [tuple(float(row[name]) for name in names) for row in rows]
    kept = [place for place, point in enumerate(points) if not any(_is_better(other, point) for other in points)]
    front = tuple(points[place] for place in kept)
    volume = _area(front, reference) if len(names) == 2 else None
    return ParetoFront(names, tuple(kept), front, len(points) - len(kept), volume)


def _is_better(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(one >= other for one, other in zip(first, second, strict=True))


def _area(points: Sequence[tuple[float, ...]], reference: float) -> float:
    """The area that a front dominates: a staircase, summed up from the right."""
    area, height = 0.0, reference
    for x, y in sorted(points, reverse=True):
        if x > reference and y > height:
            area += (x - reference) * (y - height)
            height = y
    return area
