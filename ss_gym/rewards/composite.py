"""Several rewards as one number."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from ss_gym.asynchronous import abandon, side_by_side
from ss_gym.rewards.function import (
    CONCURRENCY,
    Context,
    MissingReward,
    RewardFunction,
    RewardResult,
    Score,
    Scoring,
    Turns,
    as_reward_function,
    up_to_each_reply,
)

Asked: TypeAlias = Score | Awaitable[Score] | MissingReward


class TurnwiseReward(RewardFunction):
    """The mean of a reward over the agent's replies, each with the conversation up to it.

    Replies whose reward is missing do not count. Without a reply, the function is asked about the
    conversation as it is.

    >>> from ss_gym.types import ConversationTurn
    >>> first = RewardFunction(lambda turns, context: float(len(turns) == 2), "first")
    >>> talk = [ConversationTurn(role, "…") for role in ("user", "assistant", "user", "assistant")]
    >>> TurnwiseReward(first).compute(talk).score
    0.5

    Args:
        function: the reward; name and weight are taken from it.
    """

    def __init__(self, function: RewardFunction | Scoring) -> None:
        self.function = as_reward_function(function)
        super().__init__(self._mean, self.function.name, self.function.weight)

    async def compute_rewards(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """See ``RewardFunction``: the replies of all conversations are one batch of the function."""
        begun = [up_to_each_reply(turns) or [turns] for turns, _ in conversations]
        flat = [(part, context) for parts, (_, context) in zip(begun, conversations, strict=True) for part in parts]
        results = iter(await self.function.compute_rewards(flat, concurrency))
        return [self._added([next(results) for _ in parts]) for parts in begun]

    def _mean(self, turns: Turns, context: Context) -> Score | Awaitable[Score]:
        scores: list[Asked] = []
        for begun in up_to_each_reply(turns) or [turns]:
            scores.append(_asked(self.function, begun, context, scores))
        if any(map(inspect.isawaitable, scores)):
            return self._waited_for(scores)
        return _present(self._added([_result(self.function, score) for score in scores]))

    async def _waited_for(self, scores: Sequence[Asked]) -> RewardResult:
        results = await _settled([self.function] * len(scores), scores)
        return _present(self._added(results))

    def _added(self, results: Sequence[RewardResult]) -> RewardResult:
        given = [result for result in results if not math.isnan(result.score)]
        if not given:
            return results[0]
        names = list(dict.fromkeys(name for result in given for name in result.breakdown))
        columns = {name: [result.breakdown[name] for result in given if name in result.breakdown] for name in names}
        missing = {name: reason for result in results for name, reason in result.missing.items()}
        score = sum(result.score for result in given) / len(given)
        return RewardResult(score, {name: sum(values) / len(values) for name, values in columns.items()}, missing)


class CompositeReward(RewardFunction):
    """A weighted sum of rewards: Σ wᵢ sᵢ, divided by Σ wᵢ where it is normalised.

    The breakdown holds the score of each, not weighted. A part that is missing is left out where the
    sum is normalised, and its weight with it. A sum that is not normalised has no value without one
    of its parts, and is then missing itself.

    >>> long = RewardFunction(lambda turns, context: 1.0, "long", weight=3.0)
    >>> short = RewardFunction(lambda turns, context: 0.0, "short", weight=1.0)
    >>> CompositeReward([long, short]).compute([])
    RewardResult(score=0.75, breakdown={'long': 1.0, 'short': 0.0}, missing={})
    >>> CompositeReward([long, short], normalise=False).compute([]).score
    3.0

    Args:
        functions: the rewards, each with its weight; plain functions weigh 1.
        normalise: whether to divide by the sum of the weights.
        name: see ``RewardFunction``.
        weight: its own, in another sum.
        per: ``"conversation"`` asks each reward once, about all of it; ``"turn"`` takes the mean of its
            scores over the agent's replies, each with the conversation up to it.

    Raises:
        ValueError: if there is none, two have one name, weights that are to be normalised do not sum to
            more than 0, or ``per`` is something else.
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction | Scoring],
        normalise: bool = True,
        name: str = "composite",
        weight: float = 1.0,
        per: Literal["conversation", "turn"] = "conversation",
    ) -> None:
        if per not in ("conversation", "turn"):
            raise ValueError(f"per must be 'conversation' or 'turn', got {per!r}")
        self.functions = tuple(map(as_reward_function, functions))
        if not self.functions:
            raise ValueError("a composite reward needs at least one reward")
        twice = [name for name, count in Counter(function.name for function in self.functions).items() if count > 1]
        if twice:
            raise ValueError(f"two rewards are called {twice[0]!r}: give one of them another name")
        total = sum(function.weight for function in self.functions)
        if normalise and total <= 0:
            raise ValueError(f"the weights must sum to more than 0 to be normalised, got {total:g}")
        self.normalise = normalise
        self._parts = self.functions if per == "conversation" else tuple(map(TurnwiseReward, self.functions))
        super().__init__(self._sum, name, weight)

    async def compute_rewards(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """See ``RewardFunction``: each part gets the whole batch, so that it can make one of it."""
        calls = [partial(part.compute_rewards, conversations, concurrency) for part in self._parts]
        columns = await side_by_side(calls, len(calls))
        return [self._added(results) for results in zip(*columns, strict=True)]

    def _sum(self, turns: Turns, context: Context) -> Score | Awaitable[Score]:
        scores: list[Asked] = []
        for part in self._parts:
            scores.append(_asked(part, turns, context, scores))
        # An event loop costs more than most rewards: it is started only where one of them needs it.
        if any(map(inspect.isawaitable, scores)):
            return self._waited_for(scores)
        return _present(self._added([_result(part, score) for part, score in zip(self._parts, scores, strict=True)]))

    async def _waited_for(self, scores: Sequence[Asked]) -> RewardResult:
        return _present(self._added(await _settled(self._parts, scores)))

    def _added(self, results: Sequence[RewardResult]) -> RewardResult:
        pairs = list(zip(self.functions, results, strict=True))
        given = [(function, result) for function, result in pairs if not math.isnan(result.score)]
        breakdown = {function.name: result.score for function, result in given}
        missing = {_path(function, part): why for function, result in pairs for part, why in result.missing.items()}
        weights = sum(function.weight for function, _ in given)
        if not given or (len(given) < len(pairs) and not (self.normalise and weights > 0)):
            return RewardResult(math.nan, breakdown, missing)
        score = self.combined([(function, result.score) for function, result in given])
        return RewardResult(score, breakdown, missing)

    def combined(self, given: Sequence[tuple[RewardFunction, float]]) -> float:
        """The scores that are there, with their functions, as one number."""
        weighted = sum(function.weight * score for function, score in given)
        return weighted / sum(function.weight for function, _ in given) if self.normalise else weighted


def _asked(function: RewardFunction, turns: Turns, context: Context, before: Sequence[object]) -> Asked:
    """What a part gives, or why it gives nothing; if it raises, those ``before`` it are given up."""
    try:
        return function(turns, context)
    except MissingReward as reason:
        return reason
    except BaseException:
        abandon(before)
        raise


async def _settled(functions: Sequence[RewardFunction], scores: Sequence[Asked]) -> list[RewardResult]:
    async def one(function: RewardFunction, score: Asked) -> RewardResult:
        try:
            return _result(function, await score if inspect.isawaitable(score) else score)
        except MissingReward as reason:
            return function.missed(reason)

    calls = [partial(one, function, score) for function, score in zip(functions, scores, strict=True)]
    try:
        return await side_by_side(calls, len(calls))
    finally:
        abandon(scores)  # those that had not begun when one raised


def _result(function: RewardFunction, score: object) -> RewardResult:
    return function.missed(score) if isinstance(score, MissingReward) else function.checked(score)


def _present(result: RewardResult) -> RewardResult:
    if math.isnan(result.score):
        raise MissingReward("; ".join(f"{name}: {reason}" for name, reason in result.missing.items()))
    return result


def _path(function: RewardFunction, part: str) -> str:
    return part if part == function.name else f"{function.name}.{part}"
