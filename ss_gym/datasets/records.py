"""Where a conversation of a log stands, and what may be wrong with it there."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where in a log a conversation stands.

    Attributes:
        source: the file; what else it came from, such as ``"Minari dataset …"``.
        line: the line where it begins in a file, or its number elsewhere, counted from 1.
        unit: what is counted.
    """

    source: str
    line: int
    unit: str = "line"

    def __str__(self) -> str:
        """In words, as errors name it."""
        return f"{self.source}, {self.unit} {self.line}"


class RecordError(ValueError):
    """A part of a log that is no conversation.

    Args:
        reason: what is wrong, in the few words under which such parts are counted.
        problem: what is wrong with this one.
    """

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason, self.problem = reason, problem

    def __str__(self) -> str:
        """What is wrong with this one."""
        return self.problem


class Skips(NamedTuple):
    """What was passed over for one reason.

    Attributes:
        times: how often.
        first: where it was the first time, and what was wrong there.
    """

    times: int
    first: str
