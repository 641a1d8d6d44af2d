"""How a conversation is seen as text or as token ids.

A view is only settings, so that one serves every row of a batch. What it knows of a conversation is a
state of its own, which grows message by message; nothing is read twice.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Space

from ss_gym.json_text import encode
from ss_gym.rendering import transcript
from ss_gym.spaces import Utterance
from ss_gym.types import Message

Source = Literal["transcript", "observation"]


class View(Protocol):
    """How a conversation is turned into observations."""

    @property
    def space(self) -> Space[Any]:
        """Of the observations."""

    def begin(self) -> Any:
        """The state of a conversation in which nothing was said yet."""

    def add(self, state: Any, observation: Any, messages: Sequence[Message]) -> None:
        """Tells a state what is new.

        Args:
            state: changed in place.
            observation: the environment's.
            messages: the new ones, in OpenAI form.
        """

    def observations(self, states: Sequence[Any]) -> list[Any]:
        """The observations of several conversations."""

    def facts(self, state: Any) -> dict[str, Any]:
        """What goes into the info beside the observation."""


def kept(messages: Sequence[Message], include_system: bool) -> Sequence[Message]:
    """The messages, with or without the system message."""
    return messages if include_system else [message for message in messages if message["role"] != "system"]


def text_in(observation: Any) -> str:
    """An observation that is to be encoded.

    Raises:
        TypeError: if it is no text.
    """
    if not isinstance(observation, str):
        raise TypeError(
            f"source='observation' needs observations that are text, got {type(observation).__name__}: "
            "put this wrapper inside the one that changes them, or use source='transcript'"
        )
    return observation


def check_source(source: object) -> None:
    """Checks what is to be encoded.

    Raises:
        ValueError: if it is neither ``"transcript"`` nor ``"observation"``.
    """
    if source not in ("transcript", "observation"):
        raise ValueError(f"source must be 'transcript' or 'observation', got {source!r:.80}")


class TranscriptView:
    """All that was said as text to read; beyond ``max_chars`` the newest part of it."""

    def __init__(self, include_system: bool, max_chars: int) -> None:
        self.space = Utterance(max_chars)
        self._include_system = include_system

    def begin(self) -> list[str]:
        """No lines."""
        return []

    def add(self, state: list[str], observation: Any, messages: Sequence[Message]) -> None:
        """Appends what was said."""
        lines = transcript(kept(messages, self._include_system))
        if lines:
            state.append(lines)

    def observations(self, states: Sequence[list[str]]) -> list[str]:
        """Joins each once."""
        return ["\n".join(state)[-self.space.max_length :] for state in states]

    def facts(self, state: list[str]) -> dict[str, Any]:
        """Nothing."""
        return {}


class ChatView:
    """All messages as JSON text; beyond ``max_chars`` without the oldest."""

    class State:
        """The messages as JSON text, and how long the list of them is."""

        def __init__(self) -> None:
            self.pieces: deque[str] = deque()
            self.length = 1  # one bracket; each message adds itself and a comma or the other bracket

    def __init__(self, include_system: bool, max_chars: int) -> None:
        self.space = Utterance(max_chars)
        self._include_system = include_system

    def begin(self) -> State:
        """No messages."""
        return self.State()

    def add(self, state: State, observation: Any, messages: Sequence[Message]) -> None:
        """Appends messages, each as JSON text."""
        for message in kept(messages, self._include_system):
            piece = encode(message)
            state.pieces.append(piece)
            state.length += len(piece) + 1
        while state.pieces and state.length > self.space.max_length:
            state.length -= len(state.pieces.popleft()) + 1

    def observations(self, states: Sequence[State]) -> list[str]:
        """Joins each once."""
        return [f"[{','.join(state.pieces)}]" for state in states]

    def facts(self, state: State) -> dict[str, Any]:
        """Nothing."""
        return {}


class TokenView:
    """Token ids, the newest ``max_length`` of them, padded."""

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        source: Source,
        include_system: bool,
        padding_id: int,
        padding_side: Literal["left", "right"],
        vocabulary_size: int | None,
    ) -> None:
        check_source(source)
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}")
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side must be 'left' or 'right', got {padding_side!r:.80}")
        highest = np.iinfo(np.int64).max if vocabulary_size is None else vocabulary_size - 1
        if not 0 <= padding_id <= highest:
            raise ValueError(f"padding_id must be an id of the vocabulary, 0 to {highest}, got {padding_id}")
        self.space = Box(0, highest, (max_length,), np.int64)
        self._encode = encoding_of(tokenizer)
        self._highest = int(highest)
        self._source, self._include_system = source, include_system
        self._padding_id, self._left = padding_id, padding_side == "left"

    def begin(self) -> deque[int]:
        """No tokens; older ones fall out where there are too many."""
        return deque(maxlen=self.space.shape[0])

    def add(self, state: deque[int], observation: Any, messages: Sequence[Message]) -> None:
        """Encodes the new messages one by one, so that what was encoded before stays as it is."""
        if self._source == "observation":
            state.clear()
            state.extend(self._ids(text_in(observation)))
            return
        for message in kept(messages, self._include_system):
            line = transcript([message])
            if line:
                state.extend(self._ids(line + "\n"))

    def observations(self, states: Sequence[deque[int]]) -> list[npt.NDArray[np.int64]]:
        """Pads each."""
        rows = []
        for state in states:
            row = np.full(self.space.shape, self._padding_id, np.int64)
            row[len(row) - len(state) if self._left else 0 :][: len(state)] = state
            rows.append(row)
        return rows

    def facts(self, state: deque[int]) -> dict[str, Any]:
        """How many ids are no padding."""
        return {"num_tokens": len(state)}

    def _ids(self, text: str) -> list[int]:
        ids = list(self._encode(text))
        for token in ids:
            if not isinstance(token, int | np.integer) or not 0 <= token <= self._highest:
                raise ValueError(f"the tokenizer gave {token!r:.80}, which is no id from 0 to {self._highest}")
        return ids


def encoding_of(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """The function from text to ids that a tokenizer is or has.

    Special tokens are left out where ``encode`` takes ``add_special_tokens``: each message would begin
    with one.

    Raises:
        TypeError: if it is no function and has no ``encode``.
    """
    method = getattr(tokenizer, "encode", tokenizer)
    if isinstance(tokenizer, str) or not callable(method):
        raise TypeError(
            f"a tokenizer is a function from str to ids or an object with encode, got {tokenizer!r:.80}: load it first"
        )
    return _Encoding(method, _takes(method, "add_special_tokens"))


class _Encoding:
    """Calls a tokenizer; a class and no closure, so that it can be pickled."""

    def __init__(self, method: Callable[..., Any], plain: bool) -> None:
        self._method = method
        self._settings = {"add_special_tokens": False} if plain else {}

    def __call__(self, text: str) -> Sequence[int]:
        given = self._method(text, **self._settings)
        ids: Sequence[int] = getattr(given, "ids", given)
        return ids


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled functions do not tell
        return False
