"""Counter-based random streams: one per concern, equal on every platform and version."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_UNPACK = struct.Struct("<8Q").unpack
_TWO_64 = float(2**64)


class Stream:
    """A reproducible source of random draws, keyed by what it is for.

    Block ``n`` of the stream is BLAKE2b(key, n), so ``Stream(7, "goal")`` and
    ``Stream(7, "wording")`` are independent, and drawing more from one never shifts the other.
    NumPy's generators are not used because their streams may change between versions (NEP 19),
    and a frozen test split must not.

    Args:
        *key: integers and strings that name the stream.
    """

    __slots__ = ("_block", "_buffer", "_key")

    def __init__(self, *key: int | str) -> None:
        self._key = blake2b(repr(key).encode(), digest_size=32).digest()
        self._block = 0
        self._buffer: list[int] = []

    def bits(self) -> int:
        """A uniform 64-bit unsigned integer."""
        return self._buffer.pop() if self._buffer else self._refilled()

    # The methods below repeat that line instead of calling ``bits``: a reset makes some sixty draws,
    # and the call would cost as much as the draw.

    def below(self, bound: int) -> int:
        """A uniform integer in ``[0, bound)``."""
        return ((self._buffer.pop() if self._buffer else self._refilled()) * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """A uniform integer in ``[low, high]``, both ends included."""
        return low + (((self._buffer.pop() if self._buffer else self._refilled()) * (high - low + 1)) >> 64)

    def uniform(self) -> float:
        """A uniform float in ``[0, 1)``."""
        return (self._buffer.pop() if self._buffer else self._refilled()) / _TWO_64

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return (self._buffer.pop() if self._buffer else self._refilled()) < probability * _TWO_64

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each equally likely."""
        return items[((self._buffer.pop() if self._buffer else self._refilled()) * len(items)) >> 64]

    def _refilled(self) -> int:
        digest = blake2b(self._block.to_bytes(8, "little"), key=self._key).digest()
        self._block += 1
        buffer: list[int] = list(_UNPACK(digest))
        self._buffer = buffer
        return buffer.pop()

    def weighted(self, items: Sequence[T], cumulative: Sequence[float]) -> T:
        """One of the items; ``cumulative`` holds the running sums of their weights."""
        # The product may be rounded up to the last sum itself, which is no item's.
        return items[min(bisect_right(cumulative, self.uniform() * cumulative[-1]), len(items) - 1)]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` distinct items in random order (partial Fisher-Yates)."""
        pool = list(items)
        for index in range(count):
            other = index + self.below(len(pool) - index)
            pool[index], pool[other] = pool[other], pool[index]
        return pool[:count]
