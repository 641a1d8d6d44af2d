"""What a date is the date of: from the events that a segment states to one act for each."""

from __future__ import annotations

from collections.abc import Mapping

from ss_gym.users.clauses import Segment
from ss_gym.users.discourse import Draft

# Tokens between an event and its date: "delivered by our courier to your address in Leeds on <date>", and
# "<date> is the day on which it arrives".
_MOST_BEFORE = 14
_MOST_AFTER = 6


def statements(segment: Segment, names: Mapping[int, str]) -> list[Draft]:
    """An act for each event of a segment, with the dates that can be its own.

    A date belongs to the last event before it, if no other date stands between them, and to the first
    one after it.

    Args:
        segment: with its events and values.
        names: what the events are called, by bit, and what is denied.
    """
    found: dict[str, Draft] = {}
    for _, bits, happened in segment.events:
        for bit, name in names.items():
            if bits & bit:
                draft = found.get(name)
                if draft is None:
                    draft = found[name] = Draft("inform", segment, slot=name)
                    draft.values = ()
                if happened:
                    draft.ground = name
    last = -1
    for at, value in segment.placed:
        if value.kind == "date":
            for bits in _beside(segment, last, at):
                for bit, name in names.items():
                    if bits & bit and value not in found[name].values:
                        found[name].values += (value,)
            last = at
    return list(found.values())


def _beside(segment: Segment, last: int, at: int) -> list[int]:
    """The bits of the events next to the date at a position; the date before it is at ``last``."""
    before = [bits for start, bits, _ in segment.events if max(last, at - _MOST_BEFORE) < start <= at]
    after = [bits for start, bits, _ in segment.events if at < start <= at + _MOST_AFTER]
    return before[-1:] + after[:1]
