"""Which conversations belong together, and parts of a dataset that do not know each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ss_gym.datasets.columns import Columns
from ss_gym.datasets.fingerprints import Keys, key_of, mixed
from ss_gym.rewards.function import is_finite

Tie = Literal["customer", "scenario", "text"]
TIES: tuple[Tie, ...] = get_args(Tie)

_NONE = np.iinfo(np.uint64).max


def group_keys(columns: Columns, ties: Sequence[Tie] = TIES) -> Keys:
    """A key for each conversation, which those have in common that must not be parted.

    Two conversations are of one group if they have the same customer, or a scenario (or its twin), or the same words,
    or if others lie between them of which each has something in common with the next. The key is that of a customer
    of the group if it has one, else of a scenario, else of the words; of several the least. So it stays the same when
    conversations are added, unless they tie it to another group or tell a customer where none was known.

    Args:
        columns: of N conversations.
        ties: what must not be parted.

    Returns:
        uint64 (N,).

    Raises:
        ValueError: for a tie that is not known.
    """
    for tie in ties:
        if tie not in TIES:
            raise ValueError(f"conversations can be kept together by {', '.join(TIES)}, not by {tie!r}")
    held = {"customer": columns.customer, "scenario": columns.pair, "text": columns.text}
    keys = [held[tie] for tie in TIES if tie in ties]
    first = _connected(keys, len(columns))
    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    # The rows that tell nothing else are groups by themselves, known by their words.
    named = np.full(len(starts), _NONE, np.uint64)
    for candidates in (*keys, columns.text):
        least = np.minimum.reduceat(np.where(candidates == 0, _NONE, candidates)[order], starts)
        named = np.where(named == _NONE, least, named)
    result = np.empty(len(columns), np.uint64)
    result[order] = np.repeat(named, np.diff(starts, append=len(columns)))
    return result


def _connected(keys: Sequence[Keys], count: int) -> NDArray[np.int64]:
    """For each row the first row that is connected with it by keys that they share; a key of 0 connects nothing."""
    first = np.arange(count)
    inverses = [_numbered(column) for column in keys]
    while True:
        before = first
        for present, numbers, kinds in inverses:
            least = np.full(kinds, count)
            np.minimum.at(least, numbers, first[present])
            first = first.copy()
            first[present] = np.minimum(first[present], least[numbers])
            first = first[first]  # rows that lead to rows that lead further go there at once
        if np.array_equal(first, before):
            return first


def _numbered(column: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Where a column has a key, the numbers of the keys there, and how many there are."""
    present = np.flatnonzero(column)
    kinds, numbers = np.unique(column[present], return_inverse=True)
    return present, numbers, len(kinds)


def part_of(keys: Keys, shares: Mapping[str, float], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Which rows each part of a split takes; rows with the same key are of the same part.

    A part depends on nothing but the key, the seed and the shares. So it stays the same when data are added, and a
    part whose share grows, where those before it stay as they are, keeps what it has.

    Args:
        keys: uint64 (N,).
        shares: of each part, by its name.
        seed: other seeds give other parts.

    Returns:
        Bool (N,) for each part.

    Raises:
        ValueError: if the shares are not positive numbers that add up to 1.
    """
    _check(shares)
    drawn = mixed(keys, key_of(f"split {seed}")).astype(np.float64) / 2.0**64
    parts: dict[str, NDArray[np.bool_]] = {}
    begin = 0.0
    for number, (name, share) in enumerate(shares.items(), 1):
        end = begin + share if number < len(shares) else 2.0
        parts[name] = (drawn >= begin) & (drawn < end)
        begin = end
    return parts


def _check(shares: Any) -> None:
    if not isinstance(shares, Mapping) or not shares:
        example = {"train": 0.8, "test": 0.2}
        raise ValueError(f"a split needs the share of each part by its name, such as {example}, got {shares!r:.80}")
    for name, share in shares.items():
        if not is_finite(share) or not 0 < share <= 1:
            raise ValueError(f"the share of {name!r} must be a number above 0 and at most 1, got {share!r:.40}")
    total = fsum(shares.values())
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the shares of the parts must add up to 1, got {total:g}")
