"""What each offline algorithm makes of conversations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ss_trainers.offline.learner import Setup, Updating
from ss_trainers.offline_text.critics import (
    TextBatchConstrainedLearner,
    TextBEARLearner,
    TextConservativeLearner,
    TextImplicitLearner,
)
from ss_trainers.offline_text.examples import CandidateBatch, Proposed


class CandidateCritic(Updating[CandidateBatch], Protocol):
    """What values candidates."""

    def choose(self, states: Tensor, proposed: Proposed) -> Tensor:
        """Which candidate is said in each state, int64 (N,).

        Args:
            states: float (N, D), scaled.
            proposed: the candidates.
        """
        ...

    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better logged actions are than what is usual in their states, float (N,)."""
        ...


class WeighingCritic(CandidateCritic, Protocol):
    """A critic whose actor is a language model that is cloned by its weights."""

    def weights(self, batch: CandidateBatch) -> Tensor:
        """How much each logged action is to be cloned, float (N,)."""
        ...


@dataclass(frozen=True, slots=True)
class TextRecipe:
    """How an algorithm learns from conversations.

    Attributes:
        chooser: makes a critic, of the algorithm's settings and what else it is made of, that learns from candidates
            and chooses among them; None without.
        weigher: makes a critic that learns from what was logged alone, and weighs what the language model is then
            cloned from; None without.
        conditioned: whether the language model is told what is still to be earned.
    """

    chooser: Callable[[Any, Setup], CandidateCritic] | None = None
    weigher: Callable[[Any, Setup], WeighingCritic] | None = None
    conditioned: bool = False


RECIPES = {
    "bc": TextRecipe(),
    "bcq": TextRecipe(chooser=TextBatchConstrainedLearner),
    "bear": TextRecipe(chooser=TextBEARLearner),
    "cql": TextRecipe(chooser=TextConservativeLearner),
    "decision_transformer": TextRecipe(conditioned=True),
    "iql": TextRecipe(weigher=TextImplicitLearner),
}
