"""Rewards for what was said: functions of a conversation, and how several of them become one number."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any, NamedTuple, TypeAlias, overload

from ss_gym.asynchronous import run, settled, side_by_side
from ss_gym.frozen import FrozenDict
from ss_gym.types import ConversationTurn, Message

Turns: TypeAlias = Sequence[ConversationTurn]
Context: TypeAlias = Mapping[str, Any] | None

# How many conversations of a batch an asynchronous reward works on at once.
CONCURRENCY = 64


class MissingReward(Exception):
    """A reward that can't be given, with the reason: a judge did not answer, or there is nothing to compare with.

    It is no reward of 0. Whoever asks for one conversation has to decide what to do without it.
    """


class RewardResult(NamedTuple):
    """What a conversation is worth.

    Attributes:
        score: the reward; not a number only where a batch had to go on without it.
        breakdown: what it is made of, by name.
        missing: why parts of it could not be given, by name; the score is that of the others.
    """

    score: float
    breakdown: Mapping[str, float] = FrozenDict()
    missing: Mapping[str, str] = FrozenDict()


Score: TypeAlias = float | RewardResult
Scoring: TypeAlias = Callable[[Turns, Context], Score | Awaitable[Score]]


class RewardFunction:
    """A function of a conversation with a name and a weight.

    >>> def brevity(turns, context=None):
    ...     return 1.0 / sum(len(turn.content.split()) for turn in turns if turn.role == "assistant")
    >>> brief = RewardFunction(brevity, weight=0.5)
    >>> brief.compute([ConversationTurn("user", "Hello?"), ConversationTurn("assistant", "Hello there!")])
    RewardResult(score=0.5, breakdown={'brevity': 0.5}, missing={})

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
            MissingReward: if there is nothing that it could give.
        """
        score = self(turns, context)
        if inspect.isawaitable(score):
            score = await score
        return self.checked(score)

    def compute(self, turns: Turns, context: Context = None) -> RewardResult:
        """The reward of a conversation, waited for; raises as ``compute_reward``."""
        return self.checked(settled(self(turns, context)))

    def compute_or_miss(self, turns: Turns, context: Context = None) -> RewardResult:
        """The reward of a conversation, waited for; with the score nan and the reason where it is missing."""
        try:
            return self.compute(turns, context)
        except MissingReward as reason:
            return self.missed(reason)

    def compute_batch(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """The rewards of several conversations, waited for; see ``compute_rewards``."""
        return run(self.compute_rewards(conversations, concurrency))

    async def compute_rewards(
        self, conversations: Sequence[tuple[Turns, Context]], concurrency: int = CONCURRENCY
    ) -> list[RewardResult]:
        """The rewards of several conversations; asynchronous ones run side by side.

        A batch goes on without what is missing: the score is then not a number (nan), and ``missing``
        tells why. Leave such conversations out, before any mean is taken.

        Args:
            conversations: each with its context.
            concurrency: how many may be under way at once.

        Raises:
            TypeError: see ``compute_reward``; so for ``ValueError``. The others are then given up.
        """
        return await side_by_side([partial(self._given, *one) for one in conversations], concurrency)

    def compute_turns(self, turns: Turns, context: Context = None) -> list[RewardResult]:
        """The rewards of the conversation up to each reply of the agent, in order; see ``compute_rewards``."""
        return self.compute_batch([(begun, context) for begun in up_to_each_reply(turns)])

    def missed(self, reason: object) -> RewardResult:
        """The result that says that this reward is missing."""
        return RewardResult(math.nan, {}, {self.name: str(reason)})

    async def _given(self, turns: Turns, context: Context) -> RewardResult:
        try:
            return await self.compute_reward(turns, context)
        except MissingReward as reason:
            return self.missed(reason)

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


def up_to_each_reply(turns: Turns) -> list[Turns]:
    """The conversation up to each thing that the agent said to the user; tool calls are not said to anybody."""
    ends = [place for place, turn in enumerate(turns, 1) if turn.role == "assistant" and not turn.tool_calls]
    return [turns[:end] for end in ends]


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


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number; True and False, where a number is asked for, are a slip."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False
