"""Choices read off bytes, so that hypothesis can draw a whole episode at once, and shrink it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Genes:
    """Reads choices off a byte string; when it is used up, every choice is the first.

    Fewer and smaller bytes make fewer and simpler actions, which is the direction hypothesis shrinks in.
    """

    __slots__ = ("_bytes", "_place")

    def __init__(self, genes: bytes) -> None:
        self._bytes = genes
        self._place = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return max(0, len(self._bytes) - self._place)

    def take(self, count: int) -> bytes:
        """The next bytes as they are; fewer at the end."""
        taken = self._bytes[self._place : self._place + count]
        self._place += count
        return taken

    def below(self, bound: int) -> int:
        """An integer in ``[0, bound)``; of two bytes where one does not reach."""
        return int.from_bytes(self.take(1 if bound <= 256 else 2), "big") % bound

    def chance(self, probability: float) -> bool:
        """Whether something happens; no, once the bytes are used up."""
        return self.below(256) > 255 - round(256 * probability)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]
