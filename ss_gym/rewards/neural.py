"""A learned reward: anything that scores a batch of conversations, found by a string and loaded when it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from ss_gym.attributes import named_attribute
from ss_gym.rewards.function import CONCURRENCY, Context, MissingReward, RewardFunction, RewardResult, Turns
from ss_gym.spelling import nearest

ENTRY_POINT_GROUP = "ss_gym.reward_models"


class ConversationScorer(Protocol):
    """What a learned reward has to be."""

    def __call__(self, conversations: Sequence[tuple[Turns, Context]]) -> Sequence[float]:
        """A score for each conversation with its context, in order; nan where it has none."""
        ...


class NeuralReward(RewardFunction):
    """The score of a learned model, batched.

    The model is no part of a pickle if it was named: it is loaded again where the reward arrives.

    >>> def length(conversations):
    ...     return [float(len(turns)) for turns, context in conversations]
    >>> NeuralReward(length, squash=True).compute([]).score
    0.5

    Args:
        model: a ``ConversationScorer``; ``"package.module:name"`` of one, or of a class that gives one without
            arguments; or ``"NAME://LOCATION"``, for the entry point ``NAME`` in the group
            ``ss_gym.reward_models``, which is called with the location.
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
        squash: whether to map the scores to (0, 1) by 1 / (1 + exp(−s)), as for the logits of a preference
            model. Where they are 0 is then arbitrary: centre them on a reference set.
        batch_size: most conversations in one call.

    Raises:
        ValueError: if the string is of neither form or the batch size is below 1; when it is first asked, if there
            is no such entry point; if it gives another number of scores.
        ImportError: when it is first asked, if the module can't be imported.
        MissingReward: when one conversation is computed, if the model has no score for it.
    """

    def __init__(
        self,
        model: ConversationScorer | str,
        weight: float = 1.0,
        name: str = "neural",
        squash: bool = False,
        batch_size: int = 32,
    ) -> None:
        super().__init__(self._scored, name, weight)
        if isinstance(model, str) and ":" not in model:
            raise ValueError(f"a learned reward is 'package.module:name' or 'NAME://LOCATION', got {model!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.model, self.squash, self.batch_size = model, squash, batch_size
        self._loaded: ConversationScorer | None = None if isinstance(model, str) else model

    def __getstate__(self) -> dict[str, Any]:
        """Without a model that can be loaded again."""
        return {**vars(self), "_loaded": None if isinstance(self.model, str) else self._loaded}

    @property
    def scorer(self) -> ConversationScorer:
        """The model; loaded when it is first asked."""
        if self._loaded is None:
            assert isinstance(self.model, str)
            self._loaded = load_scorer(self.model)
        return self._loaded

    async def compute_rewards(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """See ``RewardFunction``: the model is asked in batches, one after the other."""
        return [
            result
            for start in range(0, len(conversations), self.batch_size)
            for result in self._batch(conversations[start : start + self.batch_size])
        ]

    def _scored(self, turns: Turns, context: Context = None) -> RewardResult:
        (result,) = self._batch([(turns, context)])
        if result.missing:
            raise MissingReward(result.missing[self.name])
        return result

    def _batch(self, conversations: Sequence[tuple[Turns, Context]]) -> list[RewardResult]:
        scores = [float(score) for score in self.scorer(conversations)]
        if len(scores) != len(conversations):
            raise ValueError(f"{self.name}: {len(conversations)} conversations got {len(scores)} scores")
        return [self._result(score) for score in scores]

    def _result(self, score: float) -> RewardResult:
        if math.isnan(score):
            return self.missed("the model has no score for the conversation")
        if not self.squash:
            return self.checked(score)
        # Written so that no exponent overflows.
        small = math.exp(-abs(score))
        squashed = 1.0 / (1.0 + small) if score >= 0 else small / (1.0 + small)
        return RewardResult(squashed, {self.name: squashed, f"{self.name}.raw": score})


def load_scorer(model: str, **options: Any) -> ConversationScorer:
    """The learned reward of a name; raises as ``NeuralReward``.

    Args:
        model: the name.
        **options: keywords of the entry point of a name ``"NAME://LOCATION"``.
    """
    scheme, separator, location = model.partition("://")
    if separator:
        installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
        if scheme not in installed:
            raise ValueError(f"no learned reward {scheme!r} for {model!r}; {nearest(scheme, installed)}")
        scorer: Any = installed[scheme].load()(location, **options)
    else:
        found = named_attribute(model, "learned reward")
        scorer = found() if isinstance(found, type) else found
    if not callable(scorer):
        raise ValueError(f"{model!r} is no function of conversations, but {type(scorer).__name__}")
    checked: ConversationScorer = scorer
    return checked
