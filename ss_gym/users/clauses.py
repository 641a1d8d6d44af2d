"""The state of a walk through an agent's message: segment, clause and verb group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ss_gym.users import concepts as c
from ss_gym.users.acts import Value

# Auxiliaries of the verb group being read.
NONE, PERFECT, PASSIVE, WAS, IS, ARE, MODAL, PROGRESSIVE, DO = range(9)
# Subjects.
NOBODY, ME, YOU, IT = range(4)
# Head of the clause when it is a noun that is no remedy, such as "order".
OTHER_NOUN = 1 << 200

_GROUNDS = (
    c.G_WINDOW | c.G_FINAL | c.G_ALREADY | c.G_NOT_DELIVERED | c.G_GIFT | c.G_NOT_FOUND | c.G_NOT_VERIFIED | c.G_STOCK
    | c.LOST | c.UNMATCHED | c.OUTSIDE | c.SPARE_GROUND
)  # fmt: skip
# What a condition ("once I have refunded") does not assert.
_CONDITIONAL = _GROUNDS | c.REMEDY << c.DONE | c.REMEDY << c.REFUSED | c.ACTIVE | c.STATE | c.BYE | c.SPARE_EVENT
ALL = -1
UNASSERTED = ~_CONDITIONAL
# "Whether I can refund it" leaves open even that.
UNKNOWN = ~(_CONDITIONAL | c.REMEDY << c.POSSIBLE)
# Nor do somebody else's words ("you said that …"), which ask for nothing either.
REPORTED = ~(_CONDITIONAL | c.CONSENT | c.REMEDY << c.POSSIBLE)


_OPEN_QUESTION_WORDS = frozenset("what which why who when where how".split())
# A sentence that starts with one of these is a question in all its clauses.
_QUESTION_WORDS = _OPEN_QUESTION_WORDS | frozenset("is are was were did do does has have".split())


class Segment:
    """A sentence, or a part of it that stands apart.

    Attributes:
        sentence: index of the sentence in the message.
        start, end: token positions.
        bits: features of what is stated.
        asked: features of what is in question.
        question: whether it ends in a question mark.
        opens: whether it is a question that no yes answers: "what would suit you?".
        item: whether it is a line of a list.
        leads: whether it ends in a colon, so that a list may follow.
        early: slots named before the words that ask.
        ago: position of the days in "45 days ago"; -1 if there are none.
        days_ago: those days.
        values: the typed values in it.
        mentions: ``(token position, remedy bits)`` of the remedies named in it.
        stated: the remedies that the agent speaks of as they are, neither in a condition nor in somebody else's words.
        existed: the remedies that were made on an earlier day, if it is said so.
        open: features that a condition left open: "once it has been exchanged".
        events: ``(token position, event bits, whether it is said to have happened)`` of the events stated in it.
    """

    __slots__ = (
        "ago", "asked", "bits", "days_ago", "early", "end", "events", "existed", "item", "leads", "mentions", "open",
        "opens", "placed", "question", "sentence", "start", "stated", "values",
    )  # fmt: skip

    def __init__(self, sentence: int, start: int, item: bool) -> None:
        self.sentence = sentence
        self.start = start
        self.end = start
        self.bits = 0
        self.asked = 0
        self.question = False
        self.opens = False
        self.item = item
        self.leads = False
        self.early = 0
        self.ago = -1
        self.days_ago = -1
        self.values: tuple[Value, ...] = ()
        self.placed: Sequence[tuple[int, Value]] = ()
        self.mentions: list[tuple[int, int]] = []
        self.open = 0
        self.events: tuple[tuple[int, int, bool], ...] = ()
        self.existed = 0
        self.stated = 0

    def take(self, placed: Sequence[tuple[int, Value]]) -> None:
        """Keeps the values, with their positions, that stand in this segment."""
        self.placed = placed
        self.values = tuple([value for _, value in placed])
        for _, value in placed:
            if value.kind == "money":  # whatever phrase it is part of
                self.bits |= c.MONEY
        if self.ago >= 0:
            for at, value in placed:
                if at >= self.ago and value.kind == "days":
                    self.days_ago = int(value.value)
                    break

    def is_late(self, days: int) -> bool:
        """Whether it tells days of the policy that are fewer than ``days``."""
        if not self.bits & c.BUSINESS:
            for value in self.values:
                if value.kind == "days" and value.owner == "policy" and int(value.value) < days:
                    return True
        return False

    def is_dated(self) -> bool:
        """Whether it names a date."""
        for value in self.values:
            if value.kind == "date":
                return True
        return False

    def values_of(self, own: int) -> tuple[Value, ...]:
        """The values that go with a remedy, given by its bits: of several amounts and titles, those nearest to it."""
        if len(self.mentions) < 2 or len(self.placed) < 2:
            return self.values
        if not any(bits & ~own for _, bits in self.mentions):
            return self.values
        kinds = [value.kind for value in self.values]
        return tuple(
            value
            for at, value in self.placed
            if value.kind not in ("money", "title")
            or kinds.count(value.kind) < 2
            or min(self.mentions, key=lambda mention: abs(mention[0] - at))[1] & own
        )


class Parser:
    """The state of a walk through one message.

    Attributes:
        tokens: the message's tokens and ``""``; ``position`` is where the current phrase starts,
            and ``following`` where it ends.
        clause: features of the clause being read.
        aux, subject, negated, able: the verb group being read.
        head: the remedy that the clause is about so far, or ``OTHER_NOUN``.
        pending: a completed action whose object is still to come: "I have issued …".
        asking: whether what is read is in question.
        wished: whether it is what the customer is said to want.
        mask: the features that may be set now.
    """

    __slots__ = (
        "able", "asking", "aux", "claimed", "clause", "clause_start", "colon", "condition", "ellipsis", "following",
        "head", "mask", "negated", "pending", "position", "segment", "segments", "sentence", "sticky", "subject",
        "tokens", "wished",
    )  # fmt: skip

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.segments: list[Segment] = []
        self.sentence = 0
        self.position = 0
        self.following = 0
        self.colon = -1
        self._open(0, False)

    def _open(self, start: int, item: bool) -> None:
        self.segment = Segment(self.sentence, start, item)
        self.clause = 0
        self.clause_start = start
        self.aux = NONE
        self.subject = NOBODY
        self.negated = False
        self.sticky = False
        self.able = False
        self.head = 0
        self.ellipsis = 0
        self.pending = False
        self.asking = False
        self.condition = 0
        self.claimed = False
        self.wished = False
        self.mask = ALL

    def end_clause(self) -> None:
        """Closes the clause: a comma or a conjunction."""
        if self.asking:
            self.segment.asked |= self.clause
        else:
            self.segment.bits |= self.clause
        self.clause = 0
        self.ellipsis = 0
        self.pending = self.wished = False
        if self.sticky:
            self.negated = self.sticky = False
        if self.condition:
            self.condition = 0
            self.mask = REPORTED if self.claimed else ALL

    def end_segment(self, question: bool, new_sentence: bool, item: bool = False) -> None:
        """Closes the segment: the end of a sentence, "but" or a semicolon."""
        segment = self.segment
        if question:
            segment.question = True
            segment.opens = self.tokens[segment.start] in _OPEN_QUESTION_WORDS
            segment.asked |= self.clause
            if self.tokens[segment.start] in _QUESTION_WORDS:
                segment.asked |= segment.bits
                segment.bits = 0
        elif self.asking:
            segment.asked |= self.clause
        else:
            segment.bits |= self.clause
        segment.end = self.position
        if segment.end > segment.start:
            self.segments.append(segment)
            if new_sentence:
                self.sentence += 1
        self._open(self.following, item)

    def note(self, verb: int, strength: int, flags: int = 0) -> None:
        """Notes a remedy in the given strength."""
        self.state((verb << strength) | flags)

    def state(self, bits: int) -> None:
        """Sets features, as far as they are asserted."""
        self.clause |= bits & self.mask
        if self.condition:
            self.segment.open |= bits & ~self.mask

    def speak_of(self, verb: int) -> None:
        """Notes a remedy as one that the agent speaks of as it is."""
        if self.mask == ALL and not self.negated and not self.wished:
            self.segment.stated |= verb

    def next_is(self, words: frozenset[str]) -> bool:
        """Whether the token after the current phrase is one of ``words``."""
        return self.tokens[self.following] in words

    def reset(self) -> None:
        """Forgets the verb group: a new one begins."""
        self.aux = NONE
        self.negated = False
        self.sticky = False
        self.subject = NOBODY


Handler = Callable[[Parser, int, int], None]


class Handlers(dict[str, Handler]):
    """Handlers by the name that the lexicon's headings use; a decorator that adds one."""

    def __call__(self, handler: Handler) -> Handler:
        """Adds a function under its own name, without a final underscore."""
        self[handler.__name__.rstrip("_")] = handler
        return handler
