"""Whether work grows with the length of a text or with its square, told by two lengths in one run.

A ratio holds on any machine: eight times the length may take 24 times the processor time; its square would be 64 times.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MORE_TEXT, MOST_TIME = 8, 24


def grows_with_length(
    work: Callable[[str], object], unit: str, start: str = "", short: int = 4_000, long: int = 32_000
) -> bool:
    """Whether texts made of one unit, again and again, take time in proportion to their length.

    Args:
        work: what reads the text.
        unit: what the text is made of.
        start: what it begins with.
        short: a length in characters.
        long: another, eight times as long.
    """
    return in_proportion(work, (start + unit * short)[:short], (start + unit * long)[:long])


def in_proportion(work: Callable[[str], object], short: str, long: str) -> bool:
    """Whether a text takes time in proportion to one that is an eighth as long."""
    assert len(short) == len(long) // MORE_TEXT
    # Below a millisecond it is the clock that is measured.
    return seconds(work, long) < MOST_TIME * max(seconds(work, short), 1e-3)


def seconds(work: Callable[[str], object], text: str) -> float:
    """CPU seconds of one reading: of three the best, which is what the rest of the machine disturbs least."""

    def once() -> float:
        before = time.process_time()
        work(text)
        return time.process_time() - before

    return min(once() for _ in range(3))
