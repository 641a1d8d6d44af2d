"""What a date is the date of: from the events that a segment states to one act for each."""

from __future__ import annotations

from collections.abc import Mapping

from ss_gym.users import concepts as c
from ss_gym.users.acts import Value
from ss_gym.users.clauses import Segment
from ss_gym.users.discourse import Draft

# Tokens between an event and its date: "delivered by our courier to your address in Leeds on <date>", and
# "<date> is the day on which it arrives".
_MOST_BEFORE = 14
_MOST_AFTER = 6
NOTHING = "nothing"


def statements(segment: Segment, names: Mapping[int, str]) -> list[Draft]:
    """An act for each event of a segment, with the dates that can be its own.

    An event that is denied is called ``nothing``. A date belongs to the last event before it, if no
    other date stands between them, and to the first one after it.

    Args:
        segment: with its events and values.
        names: what the events are called, by bit.
    """
    names = {**names, c.DENIED: NOTHING}
    dates = [(at, value) for at, value in segment.placed if value.kind == "date"]
    near: dict[str, list[Value]] = {}
    happened: dict[str, bool] = {}
    for _, bits, certain in segment.events:
        for bit, name in names.items():
            if bits & bit:
                near.setdefault(name, [])
                happened[name] = happened.get(name, False) or certain
    last = -1
    for at, date in dates:
        beside, last = _beside(segment, last, at), at
        for bits in beside:
            for bit, name in names.items():
                if bits & bit:
                    near[name].append(date)
    drafts = []
    for name, found in near.items():
        draft = Draft("inform", segment, slot=name, ground=name if happened[name] else "")
        draft.values = tuple(dict.fromkeys(found))
        drafts.append(draft)
    return drafts


def _beside(segment: Segment, last: int, at: int) -> list[int]:
    """The bits of the events next to the date at a position; the date before it is at ``last``."""
    before = [bits for start, bits, _ in segment.events if max(last, at - _MOST_BEFORE) < start <= at]
    after = [bits for start, bits, _ in segment.events if at < start <= at + _MOST_AFTER]
    return before[-1:] + after[:1]
