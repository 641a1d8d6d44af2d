"""Whether a stretch of an agent's text asks the customer for a yes."""

from __future__ import annotations

from ss_gym.users import concepts as c
from ss_gym.users.clauses import Segment
from ss_gym.users.grounds import HINTS, STRONG_BITS

REFUSED = c.REMEDY << c.REFUSED
SETTLED = c.REMEDY << c.DONE | REFUSED
YES = c.CONSENT | c.TAG
AGREED = c.CONFIRM | c.LIKE | c.S_RIGHT
NOT_PREFERENCE = ~c.S_PREFERENCE


def asks_consent(segment: Segment, features: int, possible: bool, slots: int) -> bool:
    """Whether a segment asks the customer for a yes."""
    if features & REFUSED and not segment.question:
        features &= ~c.S_RIGHT  # "the reason why I can't cancel it is that order …"
    if features & YES:
        return True
    if slots & NOT_PREFERENCE:
        return False
    if features & AGREED or (features & c.FINE and features & c.PLEASE):
        return True
    if segment.question:
        paid = features & (c.REFUND | c.CREDIT) and features & c.MONEY
        if possible or segment.asked & c.FINE or (paid and not features & SETTLED):
            return True
    return bool(features & c.WISH and (possible or features & c.ASK))


def wants_yes(segment: Segment, features: int) -> bool:
    """Whether a yes is wanted to what is to be done, not to looking into something or helping with more."""
    if segment.opens or features & (c.HELPS | c.WAIT | c.GREET | c.S_ELSE):
        return False
    return bool(features & YES or (features & (c.FINE | c.LIKE) and not features & c.ASK))


def asks_which(segment: Segment, features: int) -> bool:
    """Whether the customer is to choose an item: "is it the lamp, the rug, or both?"."""
    titles = [value for value in segment.values if value.kind == "title"]
    return bool(segment.question and features & c.OR) and len(titles) > 1


def names_option(segment: Segment, features: int) -> bool:
    """Whether an option is named, not as what the customer would like, nor as one that can't be had."""
    if features & STRONG_BITS or (features >> c.POSSIBLE & c.REMEDY and not features & c.FIRST):
        return False
    return any([value.kind == "option" for value in segment.values])


def only_refuses(segment: Segment) -> bool:
    """Whether a segment says what is not done ("I will not refund $20"), and nothing that is.

    With a reason it may refuse one item and go on to another, full stop or not.
    """
    bits = segment.bits
    return bool(bits & REFUSED) and not bits & (c.REMEDY << c.POSSIBLE | c.REMEDY << c.DONE | HINTS)
