"""A dataset in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ss_gym.datasets.columns import (
    JUDGED,
    LOGPROBS,
    REWARDED,
    SUCCESS,
    TERMINATED,
    TOKENS,
    TRUNCATED,
    Columns,
)
from ss_gym.datasets.groups import group_keys
from ss_gym.datasets.index import LogIndex
from ss_gym.datasets.records import Skips
from ss_gym.datasets.selection import Selection, is_copy, quality_of

# Fewer conversations than this say little of how an agent does.
_FEW = 30
# Conversations whose calls are counted at once, so that memory does not grow with their number.
_AT_ONCE = 2**16


class Spread(NamedTuple):
    """How some values are spread.

    Attributes:
        mean: their mean.
        low: the least.
        quarter: a quarter of them is at most this.
        median: half of them is.
        three_quarters: three quarters are.
        high: the greatest.
    """

    mean: float
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Spread | None:
        """The spread of some values; None if there is none."""
        if not len(values):
            return None
        return cls(float(values.mean()), *map(float, np.quantile(values, [0, 0.25, 0.5, 0.75, 1])))

    def __str__(self) -> str:
        """In a line."""
        low, quarter, median, three, high = (f"{value:.4g}" for value in self[1:])
        return f"mean {self.mean:.4g}, from {low} to {high}, quartiles {quarter}, {median} and {three}"


class Histogram(NamedTuple):
    """How many values lie where.

    Attributes:
        counts: of each bin.
        successes: how many of them are of conversations that succeeded.
        edges: of the bins, one more than there are bins.
    """

    counts: tuple[int, ...]
    successes: tuple[int, ...]
    edges: tuple[float, ...]

    @classmethod
    def of(
        cls, values: NDArray[Any], succeeded: NDArray[np.bool_], whole: bool = False, most: int = 30
    ) -> Histogram | None:
        """The histogram of some values; None if there is none.

        Args:
            values: one a conversation.
            succeeded: which conversations did.
            whole: whether they are whole numbers, which the bins are to be centred on.
            most: bins at most.
        """
        if not len(values):
            return None
        low, high = float(values.min()), float(values.max())
        if whole:
            width = max(1, -(-int(high - low + 1) // most))
            edges = np.arange(low - 0.5, high + width + 0.4, width)
        else:
            edges = np.linspace(low, high, most + 1) if high > low else np.array([low - 0.5, low + 0.5])
        counts, _ = np.histogram(values, edges)
        successes, _ = np.histogram(values[succeeded], edges)
        return cls(tuple(map(int, counts)), tuple(map(int, successes)), tuple(map(float, edges)))


class ToolUse(NamedTuple):
    """How a tool is used.

    Attributes:
        calls: how often it is called.
        conversations: in how many conversations.
    """

    calls: int
    conversations: int


@dataclass(frozen=True, slots=True)
class DatasetStatistics:
    """A dataset in numbers.

    Attributes:
        conversations: how many there are.
        of: how many the log has that are conversations at all.
        formats: how many files there are in each format.
        customers: how many different ones are told; so for scenarios.
        scenarios: see there.
        groups: parts that ``split`` does not part.
        turns: what the agent says to the customer in a conversation.
        steps: its actions in a conversation.
        words: of customer and agent in a conversation.
        judged: conversations of which the log tells whether they succeeded.
        successes: those that did.
        terminated: conversations that ended by themselves.
        truncated: those that a limit ended.
        rewarded: conversations with rewards.
        returns: of those with rewards, as they were logged.
        scored: conversations with a score of the log's own.
        quality: where it is known.
        with_tokens: conversations with the ids that the agent sampled.
        with_logprobs: conversations with the log-probabilities of its actions.
        tokens: that it sampled, all in all.
        exact_copies: conversations that are a copy of one before them.
        same_texts: conversations with the words of one before them, copies among them.
        tools: name -> how it is used, the one of most calls first.
        reward_scale: what rewards are multiplied by.
        skips: what was passed over in the log, by the reason.
        left_out: conversations of the log that the configuration leaves out, by the reason.
        histograms: of returns, quality, turns and words, by these names.
    """

    conversations: int
    of: int
    formats: Mapping[str, int]
    customers: int
    scenarios: int
    groups: int
    turns: Spread | None
    steps: Spread | None
    words: Spread | None
    judged: int
    successes: int
    terminated: int
    truncated: int
    rewarded: int
    returns: Spread | None
    scored: int
    quality: Spread | None
    with_tokens: int
    with_logprobs: int
    tokens: int
    exact_copies: int
    same_texts: int
    tools: Mapping[str, ToolUse]
    reward_scale: float
    skips: Mapping[str, Skips]
    left_out: Mapping[str, int]
    histograms: Mapping[str, Histogram]

    @property
    def success_rate(self) -> float | None:
        """The share of successes among the conversations that were judged; None if none was."""
        return self.successes / self.judged if self.judged else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever learns from these conversations should know, a sentence each."""
        same = self.returns is not None and self.returns.low == self.returns.high
        unnamed = not self.customers and not self.scenarios
        notes = (
            (self.conversations < _FEW, f"Estimates made of {self.conversations} conversations are rough."),
            (not self.rewarded, "No conversation has a reward: only imitation can be learned."),
            (same, "All returns are the same: there is nothing to tell good from bad by."),
            (self.judged > 0 == self.successes, "No conversation succeeded."),
            (self.judged > 0 and self.successes == self.judged, "Every conversation succeeded."),
            (unnamed, "Neither customers nor tasks are told: a split can keep apart what has the same words, no more."),
            (self.groups == 1 < self.conversations, "All conversations hang together: there is nothing to split."),
            (not self.with_logprobs, "No log-probabilities are told: importance weights need a model of the agent."),
        )
        return tuple(note for holds, note in notes if holds)

    @property
    def spreads(self) -> dict[str, Spread]:
        """The spreads that are known, by what they are of."""
        named = {
            "turns": self.turns,
            "steps": self.steps,
            "words": self.words,
            "return": self.returns,
            "quality": self.quality,
        }
        return {name: spread for name, spread in named.items() if spread is not None}

    def counts(self) -> list[tuple[str, str]]:
        """What was counted, in words."""
        rate = f"{self.success_rate:.1%} of {self.judged:,}" if self.success_rate is not None else "not told"
        scale = [("rewards are multiplied by", f"{self.reward_scale:g}")] if self.reward_scale != 1.0 else []
        return [
            ("conversations", f"{self.conversations:,} of {self.of:,}"),
            ("formats", ", ".join(f"{name} ({count:,})" for name, count in self.formats.items()) or "in memory"),
            ("customers", f"{self.customers:,}" if self.customers else "not told"),
            ("scenarios", f"{self.scenarios:,}" if self.scenarios else "not told"),
            ("groups that a split keeps together", f"{self.groups:,}"),
            ("success", rate),
            ("with rewards", f"{self.rewarded:,}"),
            ("scored by the log", f"{self.scored:,}"),
            ("ended by themselves", f"{self.terminated:,}"),
            ("ended by a limit", f"{self.truncated:,}"),
            ("with token ids", f"{self.with_tokens:,} ({self.tokens:,} tokens sampled)"),
            ("with log-probabilities", f"{self.with_logprobs:,}"),
            ("exact copies", f"{self.exact_copies:,}"),
            ("same text as another before", f"{self.same_texts:,}"),
            *scale,
        ]

    def __str__(self) -> str:
        """The figures, a line each, and the notes below them."""
        rows = [*self.counts(), *((name, str(spread)) for name, spread in self.spreads.items())]
        rows += [(f"skipped: {reason}", f"{skips.times:,}") for reason, skips in self.skips.items()]
        rows += [(f"left out: {reason}", f"{count:,}") for reason, count in self.left_out.items()]
        width = max(len(name) for name, _ in rows)
        return "\n".join([*(f"{name:<{width}}  {figure}" for name, figure in rows), *self.notes])


def statistics_of(index: LogIndex, rows: NDArray[np.int64], selection: Selection) -> DatasetStatistics:
    """The statistics of some conversations of a log.

    Args:
        index: of the log.
        rows: int64 (N,); which of its conversations.
        selection: what they were selected by.
    """
    columns = index.columns
    quality = quality_of(columns, rows, selection.return_range)
    known = ~np.isnan(quality)
    paid = columns.total[rows][columns.holds(REWARDED)[rows]]

    def count(flag: int) -> int:
        return int(columns.holds(flag)[rows].sum())

    names = list(index.formats.values())
    return DatasetStatistics(
        conversations=len(rows),
        of=len(columns),
        formats={name: names.count(name) for name in dict.fromkeys(names)},
        customers=_different(columns.customer[rows]),
        scenarios=_different(columns.scenario[rows]),
        groups=_different(group_keys(columns)[rows]),
        turns=Spread.of(columns.turns[rows]),
        steps=Spread.of(columns.steps[rows]),
        words=Spread.of(columns.words[rows]),
        judged=count(JUDGED),
        successes=count(SUCCESS),
        terminated=count(TERMINATED),
        truncated=count(TRUNCATED),
        rewarded=len(paid),
        returns=Spread.of(paid),
        scored=int((~np.isnan(columns.score[rows])).sum()),
        quality=Spread.of(quality[known]),
        with_tokens=count(TOKENS),
        with_logprobs=count(LOGPROBS),
        tokens=int(columns.tokens[rows].sum(dtype=np.int64)),
        exact_copies=int(is_copy(columns.content[rows]).sum()),
        same_texts=int(is_copy(columns.text[rows]).sum()),
        tools=_tools(columns, rows),
        reward_scale=selection.reward_scale,
        skips=index.skips,
        left_out=selection.left_out,
        histograms=_histograms(columns, rows, quality),
    )


def _histograms(columns: Columns, rows: NDArray[np.int64], quality: NDArray[np.float64]) -> dict[str, Histogram]:
    rewarded, succeeded = columns.holds(REWARDED)[rows], columns.holds(SUCCESS)[rows]
    known = ~np.isnan(quality)
    drawn = {
        "return": Histogram.of(columns.total[rows][rewarded], succeeded[rewarded]),
        "quality": Histogram.of(quality[known], succeeded[known]),
        "turns": Histogram.of(columns.turns[rows], succeeded, whole=True),
        "words": Histogram.of(columns.words[rows], succeeded, whole=True),
    }
    return {name: histogram for name, histogram in drawn.items() if histogram is not None}


def _different(keys: NDArray[np.uint64]) -> int:
    """How many keys there are, but for 0."""
    return len(np.unique(keys[keys != 0]))


def _tools(columns: Columns, rows: NDArray[np.int64]) -> dict[str, ToolUse]:
    kinds = len(columns.tools)
    if not kinds:
        return {}
    chosen = np.zeros(len(columns), bool)
    chosen[rows] = True
    ends = np.cumsum(columns.calls, dtype=np.int64)
    calls, conversations = np.zeros(kinds, np.int64), np.zeros(kinds, np.int64)
    for begin in range(0, len(columns), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        caller = np.repeat(np.arange(len(columns.calls[part])), columns.calls[part])
        called = columns.called[ends[begin] - columns.calls[begin] : ends[part][-1]].astype(np.int64)
        wanted = chosen[part][caller]
        calls += np.bincount(called[wanted], minlength=kinds)
        # Each pair of conversation and tool once.
        conversations += np.bincount(np.unique((caller * kinds + called)[wanted]) % kinds, minlength=kinds)
    order = sorted(range(kinds), key=lambda tool: (-calls[tool], columns.tools[tool]))
    return {columns.tools[tool]: ToolUse(int(calls[tool]), int(conversations[tool])) for tool in order if calls[tool]}
