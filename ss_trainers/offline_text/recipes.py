"""What each offline algorithm makes of conversations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

from torch import Tensor

from ss_trainers.offline.learner import Setup, Updating
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline_text.critics import (
    TextBatchConstrainedLearner,
    TextBEARLearner,
    TextConservativeLearner,
    TextImplicitLearner,
)
from ss_trainers.offline_text.examples import CandidateBatch, Proposed
from ss_trainers.offline_text.ilql import TokenHeadsLearner
from ss_trainers.offline_text.token_rows import TokenRows


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


class GuidingCritic(Updating[TokenRows], Protocol):
    """What values single tokens."""

    def guided(self, states: Tensor, logits: Tensor) -> Tensor:
        """What a language model's logits become, float (R, V).

        Args:
            states: float (R, D), scaled.
            logits: float (R, V).
        """
        ...

    def advantages(self, batch: TokenRows) -> Tensor:
        """How much better logged tokens are than what is usual in their states, float (N,)."""
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
        guide: makes a critic that learns from the tokens that were logged, and steers the language model token by
            token; None without.
        free: settings of the algorithm that nothing learnt depends on.
        heeded: settings of the algorithm that have a part in text at all; the others are those of its numeric form.
    """

    chooser: Callable[[Any, Setup], CandidateCritic] | None = None
    weigher: Callable[[Any, Setup], WeighingCritic] | None = None
    conditioned: bool = False
    guide: Callable[[Any, Setup], GuidingCritic] | None = None
    free: tuple[str, ...] = ()
    heeded: tuple[str, ...] = ()

    def unheeded(self, config: OfflineConfig) -> list[str]:
        """Settings that differ from their defaults, and have no part."""
        return [
            entry.name
            for entry in fields(config)
            if entry.name not in (*self.free, *self.heeded) and getattr(config, entry.name) != entry.default
        ]


_CRITIC = ("hidden_dim", "num_epochs", "learning_rate", "gamma", "target_rate")

RECIPES = {
    "bc": TextRecipe(),
    "bcq": TextRecipe(chooser=TextBatchConstrainedLearner, heeded=(*_CRITIC, "minimum_weight", "threshold")),
    "bear": TextRecipe(chooser=TextBEARLearner, heeded=(*_CRITIC, "mmd_limit", "mmd_kernel", "mmd_sigma")),
    "cql": TextRecipe(chooser=TextConservativeLearner, heeded=(*_CRITIC, "conservative_weight", "gap_limit")),
    "decision_transformer": TextRecipe(conditioned=True, free=("target_return",), heeded=("gamma",)),
    "ilql": TextRecipe(
        guide=TokenHeadsLearner, free=("beta", "threshold"), heeded=(*_CRITIC, "expectile", "conservatism")
    ),
    "iql": TextRecipe(weigher=TextImplicitLearner, heeded=(*_CRITIC, "expectile", "beta", "weight_cap")),
}
