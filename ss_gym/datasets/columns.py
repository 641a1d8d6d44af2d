"""What is kept in memory of each conversation: some hundred bytes, so that the rest can stay on the disk."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, fields
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ss_gym.datasets.conversation import LoggedConversation, pair_of
from ss_gym.datasets.fingerprints import Keys, key_of, plain_words

# Bits of the column ``flags``.
JUDGED, SUCCESS, TERMINATED, TRUNCATED, REWARDED, TOKENS, LOGPROBS = (1 << bit for bit in range(7))


class Span(NamedTuple):
    """Where the text of a conversation is.

    Attributes:
        file: number of the file.
        offset: its first byte; of rows in memory, its number.
        length: bytes.
        line: the line where it begins, counted from 1.
    """

    file: int
    offset: int
    length: int
    line: int


@dataclass(frozen=True, slots=True)
class Columns:
    """One entry for each of N conversations, in the order of the log.

    Attributes:
        file: uint32 (N,); see ``Span``, so for the next three.
        offset: uint64 (N,).
        length: uint32 (N,).
        line: uint32 (N,).
        total: float64 (N,); the return as it was logged.
        score: float64 (N,); NaN where the log gives none.
        flags: uint8 (N,); which of the constants of this module hold.
        turns: uint32 (N,); what the agent said to the customer.
        steps: uint32 (N,); actions.
        words: uint32 (N,); of customer and agent.
        tokens: uint32 (N,); that the agent sampled.
        scenario: uint64 (N,); key of the task, 0 where there is none; so for the next two.
        pair: uint64 (N,); key that the task shares with its twin.
        customer: uint64 (N,).
        text: uint64 (N,); key of what was said and called, but for capitals, punctuation and blanks.
        content: uint64 (N,); key of messages, calls, actions, rewards and success.
        calls: uint32 (N,); tool calls.
        called: uint32 (all calls,); the number in ``tools`` of each call, one conversation after the other.
        tools: their names.
    """

    file: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    line: NDArray[np.uint32]
    total: NDArray[np.float64]
    score: NDArray[np.float64]
    flags: NDArray[np.uint8]
    turns: NDArray[np.uint32]
    steps: NDArray[np.uint32]
    words: NDArray[np.uint32]
    tokens: NDArray[np.uint32]
    scenario: Keys
    pair: Keys
    customer: Keys
    text: Keys
    content: Keys
    calls: NDArray[np.uint32]
    called: NDArray[np.uint32]
    tools: tuple[str, ...]

    def __len__(self) -> int:
        """N."""
        return len(self.file)

    def span(self, row: int) -> Span:
        """Where the text of a conversation is."""
        return Span(int(self.file[row]), int(self.offset[row]), int(self.length[row]), int(self.line[row]))

    def holds(self, flag: int) -> NDArray[np.bool_]:
        """Bool (N,); where a flag is set."""
        return np.asarray(self.flags & flag != 0)


_CODES = {np.uint8: "B", np.uint32: "I", np.uint64: "Q", np.float64: "d"}
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("offset", "scenario", "pair", "customer", "text", "content"), np.uint64),
    **dict.fromkeys(("file", "length", "line", "turns", "steps", "words", "tokens", "calls", "called"), np.uint32),
    **dict.fromkeys(("total", "score"), np.float64),
    "flags": np.uint8,
}


class GrowingColumns:
    """Columns in the making; the memory of one is handed over, not copied."""

    def __init__(self) -> None:
        self._arrays: dict[str, array[Any]] = {name: array(_CODES[kind]) for name, kind in _TYPES.items()}
        self._tools: dict[str, int] = {}

    def append(self, span: Span, conversation: LoggedConversation) -> None:
        """Adds a conversation.

        Raises:
            OverflowError: if a number has no room in its column.
        """
        facts = self._facts(conversation)
        for name, value in zip(Span._fields, span, strict=True):
            self._arrays[name].append(value)
        for name, fact in facts.items():
            self._arrays[name].append(fact)

    def done(self) -> Columns:
        """All that was added."""
        taken = {one.name: self._arrays[one.name] for one in fields(Columns) if one.name in _TYPES}
        columns: dict[str, Any] = {name: np.frombuffer(held, _TYPES[name]) for name, held in taken.items() if held}
        empty = {name: np.zeros(0, _TYPES[name]) for name, held in taken.items() if not held}
        for column in columns.values():
            column.setflags(write=False)
        return Columns(**columns, **empty, tools=tuple(self._tools))

    def _facts(self, conversation: LoggedConversation) -> dict[str, int | float]:
        episode = conversation.episode
        said = [message["content"] for message in episode.messages if message["role"] in ("user", "assistant")]
        calls = [call["function"] for message in episode.messages for call in message.get("tool_calls", ())]
        for call in calls:
            self._arrays["called"].append(self._tools.setdefault(call["name"], len(self._tools)))
        words = plain_words(said)
        text = " ".join([*words, *plain_words([f"{call['name']} {call['arguments']}" for call in calls])])
        parts = [part for message in episode.messages for part in (message["role"], message["content"])]
        parts += [part for call in calls for part in (call["name"], call["arguments"])]
        content = "\x1f".join([*parts, *map(str, episode.actions), *map(repr, episode.rewards), repr(episode.success)])
        tokens = episode.tokens
        return {
            "total": episode.total_reward,
            "score": nan if conversation.score is None else conversation.score,
            "flags": _flags(conversation),
            "turns": conversation.turns,
            "steps": len(episode.actions),
            "words": len(words),
            "tokens": 0 if tokens is None else sum(map(len, tokens.logprobs)),
            "scenario": _key(conversation.scenario),
            "pair": _key(pair_of(conversation.scenario)),
            "customer": _key(conversation.customer),
            "text": key_of(text),
            "content": key_of(content),
            "calls": len(calls),
        }


def _key(text: str) -> int:
    return key_of(text) if text else 0


def _flags(conversation: LoggedConversation) -> int:
    episode = conversation.episode
    return (
        JUDGED * (episode.success is not None)
        | SUCCESS * bool(episode.success)
        | TERMINATED * episode.terminated
        | TRUNCATED * episode.truncated
        | REWARDED * conversation.rewarded
        | TOKENS * (episode.tokens is not None)
        | LOGPROBS * (conversation.action_logprobs is not None or episode.tokens is not None)
    )
