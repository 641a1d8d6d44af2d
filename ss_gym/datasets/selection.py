"""Which conversations of a log a dataset takes, and what their rewards are divided by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ss_gym.datasets.columns import REWARDED, Columns
from ss_gym.datasets.config import ConversationDatasetConfig

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a dataset takes of a log.

    Attributes:
        rows: int64 (K,); the numbers of the conversations, in the order of the log.
        return_range: the lowest and highest return, for quality; None where no conversation has a reward.
        reward_scale: what rewards are multiplied by.
        left_out: how many conversations were left out, by the reason.
    """

    rows: Rows
    return_range: tuple[float, float] | None
    reward_scale: float
    left_out: dict[str, int] = field(default_factory=dict)


def selected(columns: Columns, config: ConversationDatasetConfig) -> Selection:
    """What a dataset takes of a log.

    Args:
        columns: of its conversations.
        config: says what.

    Raises:
        ValueError: if nothing is left, or what is asked for needs rewards that differ and there are none.
    """
    left_out: dict[str, int] = {}
    rows: Rows = np.arange(len(columns))

    def keep(rows: Rows, kept: NDArray[np.bool_], reason: str) -> Rows:
        if not kept.all():
            left_out[reason] = int((~kept).sum())
        return rows[kept]

    rows = keep(rows, columns.turns[rows] >= config.min_turns, f"fewer than {config.min_turns} turns")
    if config.max_turns is not None:
        rows = keep(rows, columns.turns[rows] <= config.max_turns, f"more than {config.max_turns} turns")
    if config.duplicates != "keep":
        keys = (columns.content if config.duplicates == "exact" else columns.text)[rows]
        rows = keep(rows, ~is_copy(keys), "exact copy" if config.duplicates == "exact" else "same text")
    ends = config.return_range or _range(columns, rows)
    scale = _scale(columns, rows, ends, config)  # of all of them, so that a threshold does not take the spread away
    if config.quality_threshold is not None:
        quality = quality_of(columns, rows, ends)
        if np.isnan(quality).any():
            _check_differ(columns, rows[np.isnan(quality)], ends)
        rows = keep(rows, ~np.isnan(quality), "quality not known")
        rows = keep(rows, quality[~np.isnan(quality)] >= config.quality_threshold, "quality below the threshold")
    if not len(rows):
        told = ", ".join(f"{count} for {reason}" for reason, count in left_out.items())
        raise ValueError(f"no conversation is left of {len(columns)}: left out were {told}")
    return Selection(rows, ends, scale, left_out)


def is_copy(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Bool (N,); whether a key was there before."""
    copies = np.ones(len(keys), bool)
    copies[np.unique(keys, return_index=True)[1]] = False
    return copies


def quality_of(columns: Columns, rows: Rows, ends: tuple[float, float] | None) -> NDArray[np.float64]:
    """The quality of some conversations, float64 (K,).

    It is the score that the log gives, else the share (R − low) / (high − low) of the range of returns, from 0 to 1;
    NaN where there is neither a score nor a reward, or all returns are the same.

    Args:
        columns: of the log.
        rows: which conversations.
        ends: low and high.
    """
    quality = columns.score[rows].copy()
    if ends is not None and ends[0] < ends[1]:
        paid = np.isnan(quality) & columns.holds(REWARDED)[rows]
        shares = (columns.total[rows] - ends[0]) / (ends[1] - ends[0])
        quality[paid] = np.clip(shares[paid], 0.0, 1.0)
    return quality


def _range(columns: Columns, rows: Rows) -> tuple[float, float] | None:
    paid = columns.total[rows][columns.holds(REWARDED)[rows]]
    return (float(paid.min()), float(paid.max())) if len(paid) else None


def _check_differ(columns: Columns, rows: Rows, ends: tuple[float, float] | None) -> None:
    """Raises where quality is asked for that can't be told since all returns are the same."""
    if ends is not None and ends[0] == ends[1] and columns.holds(REWARDED)[rows].any():
        raise ValueError(
            f"quality can't be told: there is no score, and all returns are {ends[0]:g}; give return_range, such as "
            "(0, 1), or no quality_threshold"
        )


def _scale(columns: Columns, rows: Rows, ends: tuple[float, float] | None, config: ConversationDatasetConfig) -> float:
    if config.normalize_rewards == "none":
        return 1.0
    paid = columns.total[rows][columns.holds(REWARDED)[rows]]
    if ends is None or not len(paid):
        raise ValueError("rewards can't be normalised: the log tells none")
    spread = float(paid.std()) if config.normalize_rewards == "std" else ends[1] - ends[0]
    if spread == 0.0:
        raise ValueError(f"rewards can't be normalised: all returns are {paid[0]:g}")
    return 1.0 / spread
