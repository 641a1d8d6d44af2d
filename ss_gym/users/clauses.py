"""The state of a walk through an agent's message: segment, clause and verb group."""

from __future__ import annotations

from ss_gym.users import concepts as c
from ss_gym.users.acts import Value

# Auxiliaries of the verb group being read.
NONE, PERFECT, PASSIVE, WAS, IS, MODAL, PROGRESSIVE, DO = range(8)
# Subjects.
NOBODY, ME, YOU, IT = range(4)
# Head of the clause when it is a noun that is no remedy, such as "order".
OTHER_NOUN = 1 << 200

_GROUNDS = (
    c.G_WINDOW | c.G_FINAL | c.G_ALREADY | c.G_NOT_DELIVERED | c.G_GIFT | c.G_NOT_FOUND | c.G_NOT_VERIFIED | c.G_STOCK
    | c.G_METHOD | c.LOST | c.UNMATCHED | c.UNAVAILABLE | c.OUTSIDE
)  # fmt: skip
# What a condition ("once I have refunded") or somebody else's words ("you said …") do not assert.
_ASSERTED = _GROUNDS | c.REMEDY << c.DONE | c.REMEDY << c.REFUSED | c.ACTIVE | c.PAST | c.STATE | c.CONSENT | c.BYE
ALL = -1
UNASSERTED = ~(_ASSERTED & ~c.CONSENT)
REPORTED = ~_ASSERTED


class Segment:
    """A sentence, or a part of it that stands apart.

    Attributes:
        sentence: index of the sentence in the message.
        start, end: token positions.
        bits: features of what is stated.
        asked: features of what is in question.
        item: whether it is a line of a list.
        leads: whether it ends in a colon, so that a list may follow.
        early: slots named before the words that ask.
        ago: position of the days in "45 days ago"; -1 if there are none.
        values: the typed values in it.
    """

    __slots__ = ("ago", "asked", "bits", "days_ago", "early", "end", "item", "leads", "question", "sentence", "start", "values")

    def __init__(self, sentence: int, start: int, item: bool) -> None:
        self.sentence = sentence
        self.start = start
        self.end = start
        self.bits = 0
        self.asked = 0
        self.question = False
        self.item = item
        self.leads = False
        self.early = 0
        self.ago = -1
        self.days_ago = -1
        self.values: tuple[Value, ...] = ()


class Parser:
    """The state of a walk through one message."""

    __slots__ = (
        "able", "asking", "aux", "claimed", "clause", "clause_start", "colon", "condition", "early", "head", "mask", "negated", "pending", "segment",
        "segments", "sentence", "subject", "position",
    )  # fmt: skip

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.sentence = 0
        self.position = 0
        self.colon = -1
        self._open(False)

    def _open(self, item: bool) -> None:
        self.segment = Segment(self.sentence, self.position, item)
        self.clause = 0
        self.clause_start = self.position
        self.aux = NONE
        self.subject = NOBODY
        self.negated = False
        self.able = False
        self.head = 0
        self.pending = False
        self.asking = False
        self.condition = 0
        self.claimed = False
        self.early = 0
        self.mask = ALL

    def end_clause(self) -> None:
        """Closes the clause: a comma or a conjunction."""
        if self.asking:
            self.segment.asked |= self.clause
        else:
            self.segment.bits |= self.clause
        self.clause = 0
        self.head = 0
        self.pending = False
        if self.condition:
            self.condition = 0
            self.mask = REPORTED if self.claimed else ALL

    def end_segment(self, question: bool, new_sentence: bool, item: bool = False) -> None:
        """Closes the segment: the end of a sentence, "but" or a semicolon."""
        segment = self.segment
        if question:
            self.asking = True
            segment.question = True
        self.end_clause()
        segment.end = self.position
        if segment.end > segment.start:
            self.segments.append(segment)
            if new_sentence:
                self.sentence += 1
        self.position += 1
        self._open(item)
        self.position -= 1

    def remedy(self, verb: int, strength: int, flags: int = 0) -> None:
        """Notes a remedy verb, or what the clause's head names, in the given strength."""
        self.clause |= ((verb << strength) | flags) & self.mask
