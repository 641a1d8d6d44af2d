"""Rewards for what was said: functions of a conversation, and how several of them become one number."""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, TypeAlias, overload

from ss_gym.asynchronous import run, settled
from ss_gym.frozen import FrozenDict
from ss_gym.types import ConversationTurn, Message

Turns: TypeAlias = Sequence[ConversationTurn]
Context: TypeAlias = Mapping[str, Any] | None


class RewardResult(NamedTuple):
    """What a conversation is worth.

    Attributes:
        score: the reward.
        breakdown: what it is made of, by name.
    """

    score: float
    breakdown: Mapping[str, float] = FrozenDict()


Score: TypeAlias = float | RewardResult
Scoring: TypeAlias = Callable[[Turns, Context], Score | Awaitable[Score]]


class RewardFunction:
    """A function of a conversation with a name and a weight.

    >>> def brevity(turns, context=None):
    ...     return 1.0 / sum(len(turn.content.split()) for turn in turns if turn.role == "assistant")
    >>> brief = RewardFunction(brevity, weight=0.5)
    >>> brief.compute([ConversationTurn("user", "Hello?"), ConversationTurn("assistant", "Hello there!")])
    RewardResult(score=0.5, breakdown={'brevity': 0.5})

    Args:
        function: takes the turns, in order and without the system prompt, and a context or None; gives
            a number or a ``RewardResult``, or an awaitable of one.
        name: what it is called in breakdowns and reward terms; the function's own name if empty.
        weight: its part in a sum with other rewards.

    Raises:
        ValueError: if the weight is not a finite number.
    """

    def __init__(self, function: Scoring, name: str = "", weight: float = 1.0) -> None:
        own = getattr(function, "__name__", type(function).__name__)
        self.name = name or ("reward" if own == "<lambda>" else own)
        if not is_finite(weight):
            raise ValueError(f"the weight of {self.name} must be a finite number, got {weight!r}")
        self.weight = float(weight)
        self.__module__, self.__doc__ = getattr(function, "__module__", __name__), function.__doc__
        self._function = function

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A decorated function is pickled by its name, as other functions are."""
        name = getattr(self._function, "__qualname__", "")
        found: Any = sys.modules.get(self.__module__)
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        """Name and weight."""
        return f"{type(self).__name__}({self.name!r}, weight={self.weight:g})"

    def __call__(self, turns: Turns, context: Context = None) -> Score | Awaitable[Score]:
        """What the function gives, as it gives it."""
        return self._function(turns, context)

    async def compute_reward(self, turns: Turns, context: Context = None) -> RewardResult:
        """The reward of a conversation; does not block where the function is asynchronous.

        Args:
            turns: the conversation.
            context: what else the function may need, such as the scenario.

        Raises:
            TypeError: if the function gives no number.
            ValueError: if the number is not finite.
        """
        score = self(turns, context)
        if inspect.isawaitable(score):
            score = await score
        return self.checked(score)

    def compute(self, turns: Turns, context: Context = None) -> RewardResult:
        """The reward of a conversation, waited for; raises as ``compute_reward``."""
        return self.checked(settled(self(turns, context)))

    def compute_batch(self, conversations: Sequence[tuple[Turns, Context]]) -> list[RewardResult]:
        """The rewards of several conversations with their contexts; asynchronous ones run side by side."""

        async def gathered() -> list[RewardResult]:
            return list(await asyncio.gather(*[self.compute_reward(*conversation) for conversation in conversations]))

        return run(gathered())

    def checked(self, score: object) -> RewardResult:
        """What the function gave as a ``RewardResult``; raises as ``compute_reward``."""
        if isinstance(score, RewardResult):
            return score._replace(score=self._number(score.score))
        number = self._number(score)
        return RewardResult(number, {self.name: number})

    def _number(self, score: Any) -> float:
        try:
            number = math.nan if isinstance(score, str) else float(score)
        except OverflowError:  # an integer that no float can hold
            number = math.inf
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(score, str):
            kind = type(score).__name__
            raise TypeError(f"the reward {self.name} must give a number or a RewardResult, got {kind}")
        if not math.isfinite(number):
            raise ValueError(f"the reward {self.name} must be finite, got {number}")
        return number


@overload
def reward_function(function: Scoring, /) -> RewardFunction: ...
@overload
def reward_function(*, weight: float = 1.0, name: str = "") -> Callable[[Scoring], RewardFunction]: ...
def reward_function(
    function: Scoring | None = None, /, *, weight: float = 1.0, name: str = ""
) -> RewardFunction | Callable[[Scoring], RewardFunction]:
    """Makes a reward of a function, as a decorator with or without arguments.

    >>> @reward_function(weight=0.5)
    ... async def politeness(turns, context=None) -> float:
    ...     return float(any("please" in turn.content for turn in turns))
    >>> politeness
    RewardFunction('politeness', weight=0.5)
    >>> politeness.compute([ConversationTurn("assistant", "Your e-mail, please?")]).score
    1.0

    Args:
        function: the function, where there are no arguments.
        weight: see ``RewardFunction``.
        name: see ``RewardFunction``.
    """
    if function is not None:
        return RewardFunction(function)
    return lambda decorated: RewardFunction(decorated, name, weight)


def turns_of(messages: Iterable[Message]) -> list[ConversationTurn]:
    """Messages in OpenAI form as turns, the system prompt left out."""
    return [
        ConversationTurn(
            message["role"], message["content"], tuple(message.get("tool_calls", ())), message.get("tool_call_id", "")
        )
        for message in messages
        if message["role"] != "system"
    ]


def as_reward_function(function: RewardFunction | Scoring) -> RewardFunction:
    """The reward itself, or one that is made of a plain function.

    Raises:
        TypeError: if it is neither.
    """
    if not callable(function):
        raise TypeError(
            f"a reward must be a RewardFunction or a function of the turns and a context, got {function!r:.80}"
        )
    return function if isinstance(function, RewardFunction) else RewardFunction(function)


class CompositeReward(RewardFunction):
    """A weighted sum of rewards: Σ wᵢ sᵢ, divided by Σ wᵢ where it is normalised.

    The breakdown holds the score of each, not weighted.

    >>> long = RewardFunction(lambda turns, context: 1.0, "long", weight=3.0)
    >>> short = RewardFunction(lambda turns, context: 0.0, "short", weight=1.0)
    >>> CompositeReward([long, short]).compute([])
    RewardResult(score=0.75, breakdown={'long': 1.0, 'short': 0.0})
    >>> CompositeReward([long, short], normalise=False).compute([]).score
    3.0

    Args:
        functions: the rewards, each with its weight; plain functions weigh 1.
        normalise: whether to divide by the sum of the weights.
        name: see ``RewardFunction``.
        weight: its own, in another sum.

    Raises:
        ValueError: if there is none, two have one name, or weights that are to be normalised do not
            sum to more than 0.
    """

    def __init__(
        self,
        functions: Sequence[RewardFunction | Scoring],
        normalise: bool = True,
        name: str = "composite",
        weight: float = 1.0,
    ) -> None:
        self.functions = tuple(map(as_reward_function, functions))
        if not self.functions:
            raise ValueError("a composite reward needs at least one reward")
        twice = [name for name, count in Counter(function.name for function in self.functions).items() if count > 1]
        if twice:
            raise ValueError(f"two rewards are called {twice[0]!r}: give one of them another name")
        total = sum(function.weight for function in self.functions)
        if normalise and total <= 0:
            raise ValueError(f"the weights must sum to more than 0 to be normalised, got {total:g}")
        self._divisor = total if normalise else 1.0
        super().__init__(self._sum, name, weight)

    def _sum(self, turns: Turns, context: Context) -> Score | Awaitable[Score]:
        scores = [function(turns, context) for function in self.functions]
        # An event loop costs more than most rewards: it is started only where one of them needs it.
        return self._gathered(scores) if any(map(inspect.isawaitable, scores)) else self._added(scores)

    async def _gathered(self, scores: Sequence[Score | Awaitable[Score]]) -> RewardResult:
        waiting = [index for index, score in enumerate(scores) if inspect.isawaitable(score)]
        given = await asyncio.gather(*[scores[index] for index in waiting])  # type: ignore[arg-type]
        return self._added([*{**dict(enumerate(scores)), **dict(zip(waiting, given, strict=True))}.values()])

    def _added(self, scores: Sequence[object]) -> RewardResult:
        pairs = [(function, function.checked(score)) for function, score in zip(self.functions, scores, strict=True)]
        weighted = sum(function.weight * result.score for function, result in pairs)
        return RewardResult(weighted / self._divisor, {function.name: result.score for function, result in pairs})


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number; True and False, where a number is asked for, are a slip."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False
