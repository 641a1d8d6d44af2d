"""Why a refund is refused: from the features of a segment to the grounds that they tell."""

from __future__ import annotations

from ss_gym.users import concepts as c
from ss_gym.users.clauses import Segment
from ss_gym.users.vocabulary import Vocabulary

STRONG_BITS = (
    c.G_FINAL | c.G_ALREADY | c.G_NOT_DELIVERED | c.G_GIFT | c.G_NOT_FOUND | c.G_NOT_VERIFIED | c.G_STOCK | c.G_WINDOW
    | c.SPARE_GROUND
)  # fmt: skip
_PERSONAL = c.S_EMAIL | c.S_POSTAL | c.S_NAME
_ORDER = c.ORDER | c.S_ORDER
# Without any of these a segment that refuses nothing tells no ground.
HINTS = STRONG_BITS | c.OUTSIDE | c.LOST | c.UNMATCHED | c.EXISTED | c.FAILED | c.ALREADY


def grounds_of(segment: Segment, vocabulary: Vocabulary, refused: bool, late: bool, verb: str = "") -> list[str]:
    """The grounds that a segment tells, in a fixed order.

    Args:
        segment: a segment with its features.
        vocabulary: what the features mean.
        refused: whether it has a refusing verb; else only facts stated of this case count.
        late: whether the message tells days beyond a window.
        verb: what is refused, if it is named.
    """
    bits = segment.bits
    bits |= _combined(segment, bits, vocabulary)
    if bits & c.EXISTED and (bits & c.ALREADY or segment.is_dated()):  # "there was a refund already"
        made = [own for bit, own in vocabulary.own if segment.existed & bit]
        earlier = [vocabulary.made_before(own) for own in made]
        if segment.existed & (c.REFUND | c.CREDIT):
            earlier.append(vocabulary.made_before("refund"))
        return list(dict.fromkeys([*(earlier or [vocabulary.again]), *_names(bits, vocabulary)]))
    if bits & c.ALREADY:  # "it is already active"
        bits |= bits >> c.HINT & vocabulary.already
    if not bits & STRONG_BITS:
        several = bits >> c.REFUSED & c.SPARE_REMEDY
        several &= several - 1  # "it can't be paused, nor ended again"
        if refused and bits & c.AGAIN and not several and not bits & (c.VERIFY | c.FAILED):  # "it failed twice"
            return [vocabulary.made_before(verb)]
        if refused and not late:
            return [ground for bit, ground in vocabulary.hints if bits & bit][:1]
        return []
    return _names(bits, vocabulary)


def _names(bits: int, vocabulary: Vocabulary) -> list[str]:
    return [ground for bit, ground in vocabulary.grounds if bits & bit]


def _combined(segment: Segment, bits: int, vocabulary: Vocabulary) -> int:
    """Grounds that two features make together."""
    found = 0
    own = bits >> c.HINT & c.SPARE_GROUND
    periods = 0
    for period in vocabulary.periods:
        periods |= own & period
    own &= ~periods
    if bits & c.OUTSIDE and not bits & c.BUSINESS:
        if own and periods:  # "accidents are outside the warranty" tells no time
            found |= own
        elif periods and not periods & (periods - 1):
            # "It was refunded, so it is no longer covered" gives its reason already.
            found |= 0 if bits & STRONG_BITS else periods
        elif periods or bits & c.W_WINDOW:  # of several periods it does not tell which has passed
            found |= c.G_WINDOW
    if bits & c.ONLY and not bits & STRONG_BITS:  # "the warranty only covers defects"
        found |= own
    if bits & c.LOST:
        found |= c.G_NOT_FOUND if bits & _ORDER or not bits & (c.ACCOUNT | _PERSONAL) else c.G_NOT_VERIFIED
    if bits & c.UNMATCHED:
        found |= c.G_NOT_FOUND if bits & _ORDER and not bits & _PERSONAL else c.G_NOT_VERIFIED
    if bits & (c.VERIFY | c.W_NOT_VERIFIED) and bits & c.FAILED:
        found |= c.G_NOT_VERIFIED
    if segment.days_ago >= 0 and segment.is_late(segment.days_ago):
        found |= c.G_WINDOW
    return found


def is_earlier(segment: Segment, dates_back: bool) -> bool:
    """Whether a completed action is one of the past, not one of just now."""
    bits = segment.bits
    if bits & c.RECEIVED and not bits & c.NOW:
        return True
    if bits & c.ALREADY:
        return not bits & c.ACTIVE or not bits & c.MONEY or segment.is_dated()
    return dates_back and not bits & (c.NOW | c.BUSINESS | c.ACTIVE) and segment.is_dated()
