"""Conversations as vectors of a fixed size, without a model: what critics of logged conversations read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from math import log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ss_gym.actions import action_message, parse_action
from ss_gym.agents.conversation import content_of
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.json_text import is_deeper
from ss_gym.types import Message
from ss_gym.wrappers.hashing import FloatArray, unit

_WORD = re.compile(r"\w+")
# Names of things, dates and prices: what one conversation has and no other. Numbers of two digits are rules and
# amounts (30 days, 3 bags), and mean the same everywhere.
_LONG_NUMBER = re.compile(r"\d{3,}")
# Eighths of a vector: the instructions, all that was said since, the agent's last action, what came last from others.
_EIGHTHS = (1, 3, 2, 2)
_INSTRUCTIONS, _HISTORY, _ACTION, _ANSWERED = range(4)
_DEEPEST = 32
_SAYS = "(says)"  # in place of a tool's name, where the agent speaks


@dataclass(frozen=True, slots=True)
class HashedText:
    r"""Turns the messages of a conversation into a vector, by signed feature hashing.

    .. math:: \phi_i = \sum_{g:\, h(g) = i} \xi(g)\,\log(1 + n_g)

    for features g that occur n times, with an index h and a sign ξ from BLAKE2b (Weinberger et al. 2009,
    arXiv:0902.2206, definition 1), so that vectors are the same on every platform and with every
    ``PYTHONHASHSEED``. Features are words and pairs of words by the role that says them, without capitals, names of
    tools, names and values of their arguments, and which tool follows which. Each digit of a number of three digits
    or more counts as 0.

    A vector has four parts, each of L2 norm 1, or 0 where there is nothing of the kind: the instructions (an eighth),
    all that was said after them (three eighths), the agent's last action, and the messages of others that came last (a
    quarter each). So instructions that never change, and a long past, do not drown what is at hand.

    >>> text = HashedText(64)
    >>> hello = [{"role": "user", "content": "Where is my parcel?"}]
    >>> text(hello).shape, text.after(hello, ["On its way.", "I don't know."]).shape
    ((64,), (2, 64))

    Attributes:
        size: of the vectors; a multiple of 8.
        seed: other seeds put features in other places.

    Raises:
        ValueError: if the size is no positive multiple of 8, or the seed does not fit 64 bits.
    """

    size: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a size that can't be parted."""
        if self.size < 8 or self.size % 8:
            raise ValueError(f"the size of hashed text must be a multiple of 8 from 8 up, got {self.size}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"the seed of hashed text must be a whole number of at most 64 bits, got {self.seed}")

    def __call__(self, messages: Sequence[Message]) -> FloatArray:
        """The vector of a conversation, float32 (size,).

        Args:
            messages: in OpenAI form; none make the zero vector.
        """
        vector: FloatArray = self._scaled([self._read(messages).raw()])[0]
        return vector

    def steps(self, conversation: LoggedConversation) -> tuple[FloatArray, FloatArray]:
        """The vectors before and after each action, each message read once.

        Args:
            conversation: of T actions.

        Returns:
            float32 (T, size) each: of all that each action answers, which is a state; and of the same with the action.
        """
        reading, own = self._read(()), frozenset(conversation.episode.own_places)
        states: list[NDArray[np.float64]] = []
        actions: list[NDArray[np.float64]] = []
        for place, message in enumerate(conversation.messages):
            if place in own:
                states.append(reading.raw())
            reading.add(message)
            if place in own:
                actions.append(reading.raw())
        return self._scaled(states), self._scaled(actions)

    def after(self, messages: Sequence[Message], actions: Sequence[str]) -> FloatArray:
        """The vectors of a conversation that goes on with each of some actions, such as the candidates for one step.

        They are those that ``steps`` gives for logged actions.

        Args:
            messages: all that the action answers, read once.
            actions: what the agent may write, (N,): text, or ``<tool_call>`` blocks.

        Returns:
            float32 (N, size).
        """
        before, rows = self._read(messages), list[NDArray[np.float64]]()
        for action in actions:
            reading = before.copy()
            reading.add(action_message(parse_action(action)))
            rows.append(reading.raw())
        return self._scaled(rows)

    @property
    def parts(self) -> tuple[slice, ...]:
        """Where the four parts of a vector are: instructions, all that was said, last action, what it answers."""
        ends = [self.size * sum(_EIGHTHS[:count]) // 8 for count in range(len(_EIGHTHS) + 1)]
        return tuple(slice(start, end) for start, end in pairwise(ends))

    def _read(self, messages: Sequence[Message]) -> _Reading:
        reading = _Reading([_Bag([0.0] * (part.stop - part.start), self.seed) for part in self.parts])
        for message in messages:
            reading.add(message)
        return reading

    def _scaled(self, rows: Sequence[NDArray[np.float64]]) -> FloatArray:
        raw = np.array(rows, dtype=np.float64).reshape(len(rows), self.size)
        return np.concatenate([unit(raw[:, part]) for part in self.parts], axis=1)


@dataclass(slots=True)
class _Bag:
    """Features that were counted, and their hashed sums, which grow with them."""

    sums: list[float]
    seed: int
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, features: Counter[str]) -> None:
        """Counts features that occurred."""
        for feature, count in features.items():
            before = self.counts.get(feature, 0)
            rise = log1p(before + count) - log1p(before)
            bits = _bits(feature, self.seed)
            self.sums[(bits >> 1) % len(self.sums)] += rise if bits & 1 else -rise
            self.counts[feature] = before + count

    def emptied(self) -> _Bag:
        """Another one with nothing in it."""
        return _Bag([0.0] * len(self.sums), self.seed)

    def copy(self) -> _Bag:
        """Another one with the same in it."""
        return _Bag(self.sums.copy(), self.seed, self.counts.copy())


@dataclass(slots=True)
class _Reading:
    """A conversation as far as it was read: a bag for each part of the vector."""

    bags: list[_Bag]
    did_last: str = ""
    own_last: bool = False

    def add(self, message: Message) -> None:
        """Reads the next message."""
        role, features = message["role"], Counter(_features(message))
        if role == "system":
            self.bags[_INSTRUCTIONS].add(features)
            return
        own = role == "assistant"
        place = _ACTION if own else _ANSWERED
        if own or self.own_last:
            self.bags[place] = self.bags[place].emptied()
        self.bags[place].add(features)
        if own:
            done = [self.did_last, *([name for name, _ in _calls(message)] or [_SAYS])]
            features.update(f"then {first} {second}" for first, second in pairwise(done))
            self.did_last = done[-1]
        self.bags[_HISTORY].add(features)
        self.own_last = own

    def raw(self) -> NDArray[np.float64]:
        """The vector so far, float64 (size,), before its parts are scaled."""
        return np.array([value for bag in self.bags for value in bag.sums])

    def copy(self) -> _Reading:
        """Another one that has read the same."""
        return replace(self, bags=[bag.copy() for bag in self.bags])


def _features(message: Message) -> Iterator[str]:
    """What a message is made of, apart from what was before it."""
    yield from _words(message["role"], content_of(message))
    for name, arguments in _calls(message):
        yield f"call {name}"
        for path, value in _leaves(arguments, ""):
            yield f"argument {name}{path}"
            yield from _words(f"value {path}", str(value))


def _words(kind: str, text: str) -> Iterator[str]:
    """The words of a text and the pairs of neighbours among them."""
    for line in text.casefold().splitlines():
        words = _WORD.findall(_LONG_NUMBER.sub(lambda digits: "0" * len(digits[0]), line))
        yield from (f"{kind}: {word}" for word in words)
        yield from (f"{kind}: {first} {second}" for first, second in pairwise(words))


def _calls(message: Message) -> Iterator[tuple[str, Any]]:
    """Names and arguments of the tools that a message calls."""
    for call in message.get("tool_calls") or ():
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield name, _read_json(arguments) if isinstance(arguments, str) else arguments


def _read_json(text: str) -> Any:
    """The value of a JSON text; the text itself where it is none, or too deep to be the arguments of a tool."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if is_deeper(value, _DEEPEST) else value


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The values of nested arguments, each with the names that lead to it."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, path)
    else:
        yield path, value


@lru_cache(maxsize=1 << 16)
def _bits(feature: str, seed: int) -> int:
    """A number of 64 bits that is drawn for a feature: where it goes, and with which sign."""
    salt = seed.to_bytes(8, "little")
    return int.from_bytes(
        blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest(), "little"
    )
