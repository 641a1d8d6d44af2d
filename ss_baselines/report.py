"""What an evaluation found: per-episode records, their summary, JSON and a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from rich.table import Table

from ss_baselines.statistics import Estimate, mean, paired_difference, proportion
from ss_gym.types import Message

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One episode.

    Attributes:
        scenario_id: e.g. ``"refund/dev/0042"``.
        pair_id: equal for a scenario and its counterfactual twin; the unit of resampling.
        success: whether the audit passed.
        reward: the episode's return, undiscounted.
        reward_terms: the episode's sum of each component by name.
        critical: the critical breaches that the audit names.
        failed: the names of the audit's checks that did not hold, empty on success.
        turns: messages said to the customer.
        steps: actions, tool calls included.
        tool_errors: tool results that were errors.
        truncated: whether a limit ended the episode.
        messages: the whole conversation where it was asked for, else empty.
    """

    scenario_id: str
    pair_id: str
    success: bool
    reward: float
    reward_terms: Mapping[str, float]
    critical: tuple[str, ...]
    failed: tuple[str, ...]
    turns: int
    steps: int
    tool_errors: int
    truncated: bool
    messages: tuple[Message, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Evaluation:
    """One agent on one list of scenarios.

    Attributes:
        agent: the agent's name.
        env_id: the environment's id.
        split: train, dev or test; empty for a list of scenarios that the caller chose.
        episodes: a record an episode, in the order of the scenarios.
        seconds: wall-clock time of the episodes, environments already made.
    """

    agent: str
    env_id: str
    split: str
    episodes: tuple[EpisodeRecord, ...]
    seconds: float

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """The pair that each episode belongs to."""
        return tuple(episode.pair_id for episode in self.episodes)

    @cached_property
    def success(self) -> Estimate:
        """Share of episodes that passed the audit, clustered by pair."""
        return proportion([episode.success for episode in self.episodes], self.clusters)

    @cached_property
    def pair_score(self) -> Estimate | None:
        """Share of whole pairs of which both members passed; None without a whole pair."""
        sizes = Counter(self.clusters)
        passed = Counter(episode.pair_id for episode in self.episodes if episode.success)
        whole = [pair for pair, size in sizes.items() if size == 2]
        return proportion([passed[pair] == 2 for pair in whole], whole) if whole else None

    @cached_property
    def reward(self) -> Estimate:
        """Mean return."""
        return mean([episode.reward for episode in self.episodes], self.clusters)

    @cached_property
    def reward_terms(self) -> dict[str, float]:
        """Mean of each reward component an episode, by name."""
        names = sorted({name for episode in self.episodes for name in episode.reward_terms})
        return {name: self._mean([episode.reward_terms.get(name, 0.0) for episode in self.episodes]) for name in names}

    @property
    def critical_rate(self) -> float:
        """Share of episodes with a critical breach."""
        return self._mean([bool(episode.critical) for episode in self.episodes])

    @cached_property
    def breaches(self) -> dict[str, int]:
        """How many episodes had each kind of critical breach, the most frequent first."""
        return breach_counts(episode.critical for episode in self.episodes)

    @property
    def truncated_rate(self) -> float:
        """Share of episodes that a limit ended."""
        return self._mean([episode.truncated for episode in self.episodes])

    @property
    def turns(self) -> float:
        """Mean number of messages to the customer an episode."""
        return self._mean([episode.turns for episode in self.episodes])

    @property
    def steps(self) -> float:
        """Mean number of actions an episode."""
        return self._mean([episode.steps for episode in self.episodes])

    @property
    def tool_errors(self) -> float:
        """Mean number of failed tool calls an episode."""
        return self._mean([episode.tool_errors for episode in self.episodes])

    @property
    def steps_per_second(self) -> float:
        """Actions a second of wall-clock time, agent and environment together."""
        return sum(episode.steps for episode in self.episodes) / self.seconds

    def _mean(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)

    def minus(self, other: Evaluation) -> Estimate:
        """Difference in success from another evaluation of the same scenarios (paired bootstrap).

        Raises:
            ValueError: if the scenarios are not the same.
        """
        ours = [episode.scenario_id for episode in self.episodes]
        if ours != [episode.scenario_id for episode in other.episodes]:
            raise ValueError("evaluations can be compared in pairs only over the same scenarios in the same order")
        mine = [float(episode.success) for episode in self.episodes]
        theirs = [float(episode.success) for episode in other.episodes]
        return paired_difference(mine, theirs, self.clusters)

    def summary(self) -> dict[str, Any]:
        """The numbers without the episodes, ready for JSON."""
        return {
            "agent": self.agent,
            "env_id": self.env_id,
            "split": self.split,
            "episodes": len(self.episodes),
            "success": asdict(self.success),
            "pair_score": asdict(self.pair_score) if self.pair_score else None,
            "reward": asdict(self.reward),
            "reward_terms": self.reward_terms,
            "critical_rate": self.critical_rate,
            "breaches": self.breaches,
            "truncated_rate": self.truncated_rate,
            "turns": self.turns,
            "steps": self.steps,
            "tool_errors": self.tool_errors,
            "seconds": self.seconds,
            "steps_per_second": self.steps_per_second,
        }

    def to_json(self, indent: int | None = 2) -> str:
        """The summary and every episode as JSON text."""
        episodes = [asdict(episode) for episode in self.episodes]
        document = {"schema_version": SCHEMA_VERSION, **self.summary(), "episode_records": episodes}
        return json.dumps(document, indent=indent, ensure_ascii=False)


def breach_counts(breaches: Iterable[Sequence[str]]) -> dict[str, int]:
    """How many episodes had each kind of critical breach, the most frequent first.

    The audit writes "kind: details"; the details, such as ids and amounts, are left out.

    Args:
        breaches: those of each episode.

    >>> breach_counts([["leak: C1", "leak: C2"], [], ["early: 7.00"], ["leak: C3"]])
    {'leak': 2, 'early': 1}
    """
    counts = Counter(kind for found in breaches for kind in {breach.partition(":")[0] for breach in found})
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def evaluation_table(evaluations: Sequence[Evaluation]) -> Table:
    """A table with a column an evaluation, for a rich console."""
    first = evaluations[0]
    where = f"{first.env_id} · {first.split}" if first.split else first.env_id
    table = Table(title=f"{where} · {len(first.episodes)} episodes", title_justify="left")
    table.add_column("metric")
    for evaluation in evaluations:
        table.add_column(evaluation.agent, justify="right")
    rows = [_rows(evaluation) for evaluation in evaluations]
    for name in dict.fromkeys(name for column in rows for name in column):
        table.add_row(name, *(column.get(name, "-") for column in rows))
    return table


def _rows(evaluation: Evaluation) -> dict[str, str]:
    terms = {f"reward: {name}": f"{value:+.3f}" for name, value in evaluation.reward_terms.items()}
    breaches = {f"breach: {name}": str(count) for name, count in evaluation.breaches.items()}
    return {
        "success (95 %)": _with_interval(evaluation.success),
        "both of a pair": _with_interval(evaluation.pair_score),
        "mean reward": _with_interval(evaluation.reward),
        **terms,
        "critical breaches": f"{evaluation.critical_rate:.1%}",
        **breaches,
        "truncated": f"{evaluation.truncated_rate:.1%}",
        "turns": f"{evaluation.turns:.2f}",
        "steps": f"{evaluation.steps:.2f}",
        "tool errors": f"{evaluation.tool_errors:.3f}",
        "steps/s": f"{evaluation.steps_per_second:,.0f}",
    }
