"""Who speaks of whom, with which auxiliary, negated or not; and where clauses and sentences end."""

from __future__ import annotations

from ss_gym.users import concepts as c
from ss_gym.users.clauses import (
    ALL,
    ARE,
    DO,
    IS,
    IT,
    ME,
    MODAL,
    NONE,
    PASSIVE,
    PERFECT,
    PROGRESSIVE,
    REPORTED,
    UNASSERTED,
    UNKNOWN,
    WAS,
    YOU,
    Handlers,
    Parser,
)

_VERBS_AFTER = frozenset(
    "is are was were has have had will would can could may might should shall must do does did get got want need "
    "qualify bought received ordered paid asked verified gave mentioned arrived came".split()
)
_GOALS = frozenset(
    "your this that these those it you me us visa card mastercard amex paypal gift original same whatever which "
    "records policy account store <money> <n> <id> <date> <title> <order> <name> <email> <city> <days> <bdays>".split()
)
_COMMA = frozenset(",")
_AUXILIARIES = frozenset("is am are was were has have had can could will would do does did".split())
_IRREAL = frozenset(("would", "could", "might"))
_HENCE = frozenset("therefore thus hence then".split())
_MODALS = frozenset("will would can could should may might".split())
# Words that are adverbs at the end of a clause, and what such an end is.
_ADVERBS = frozenset(("before", "once"))
_CLAUSE_ENDS = frozenset((".", "?", ",", ";", ":", ")", "\n", "\n-", "and", "so", ""))
_PRONOUNS = (["i"], ["we"], ["you"])
_FIRST = frozenset(("i", "we"))

handlers = Handlers()


@handlers
def me(p: Parser, bits: int, negated: int) -> None:
    """Reads "I", "we": the agent speaks of what the shop does."""
    if p.claimed and p.position == p.clause_start:  # "I understand that it …, and I …"
        p.claimed = False
        p.mask = ALL
    nothing = p.sticky and p.tokens[p.position - 1] == "nothing"
    _subject(p, ME)
    p.negated = p.sticky = nothing  # "there is nothing I can cancel"
    p.head = 0


@handlers
def you(p: Parser, bits: int, negated: int) -> None:
    """Reads "you": the customer as the subject; an object leaves the verb group as it is."""
    if p.aux == NONE or p.next_is(_VERBS_AFTER):  # else an object: "I can't offer you"
        _subject(p, YOU)


@handlers
def it(p: Parser, bits: int, negated: int) -> None:
    """Reads "it", "that": a subject, or the object of a completed action."""
    if p.pending and not p.next_is(_VERBS_AFTER):  # "I have processed it"
        p.pending = False
        if p.subject != YOU:
            p.note(c.THING, c.DONE, c.ACTIVE)
    elif p.aux == NONE or p.next_is(_VERBS_AFTER):
        _subject(p, IT)


def _subject(p: Parser, subject: int) -> None:
    p.subject = subject
    p.aux = NONE
    p.negated = p.sticky = False
    if p.condition == 1:
        p.condition = 2
    elif p.condition:  # a second subject: the main clause
        p.condition = 0
        p.mask = REPORTED if p.claimed else ALL


def _finite(p: Parser, aux: int) -> None:
    """A finite verb starts a verb group; "none of them is" stays negated."""
    if p.ellipsis:  # "the refund issued to you will": no statement of its own
        p.clause &= ~p.ellipsis
        p.ellipsis = 0
    p.clause |= c.FACT
    p.aux = aux
    if p.sticky:
        p.sticky = False
    else:
        p.negated = False


@handlers
def have(p: Parser, bits: int, negated: int) -> None:
    """Reads "have", which after a modal or "do" starts no verb group; what "would have" been is not so."""
    if p.aux not in (MODAL, DO):
        _finite(p, PERFECT)
    elif p.aux == MODAL and p.tokens[p.position - 1] in _IRREAL and p.tokens[p.following][:1] != "<":
        p.condition = 2  # "I would have replaced it", not "I would have $20.00 sent back"
        p.mask &= ~(c.REMEDY << c.POSSIBLE)


@handlers
def perfect(p: Parser, bits: int, negated: int) -> None:
    """Reads "has": a perfect."""
    _finite(p, PERFECT)


@handlers
def been(p: Parser, bits: int, negated: int) -> None:
    """Reads "been": a perfect passive."""
    if p.aux in (PERFECT, IS):  # "'s been" is read as "is been"
        p.aux = PASSIVE


@handlers
def was(p: Parser, bits: int, negated: int) -> None:
    """Reads "was": the past."""
    _finite(p, WAS)


@handlers
def is_(p: Parser, bits: int, negated: int) -> None:
    """Reads "is": the present."""
    _finite(p, IS)


@handlers
def are(p: Parser, bits: int, negated: int) -> None:
    """Reads "are": the present of many, which tells what is usual rather than what was done."""
    _finite(p, ARE)


@handlers
def be(p: Parser, bits: int, negated: int) -> None:
    """Reads "be" without a modal before it; "was placed too late to be cancelled" tells no past."""
    if p.aux == NONE or (p.aux in (WAS, PASSIVE) and p.following - p.position == 2):
        p.aux = MODAL


@handlers
def being(p: Parser, bits: int, negated: int) -> None:
    """Reads "being": what is going on."""
    if p.aux in (IS, ARE, WAS):
        p.aux = PROGRESSIVE


@handlers
def do(p: Parser, bits: int, negated: int) -> None:
    """Reads "do", "did"; in "we don't do refunds" the second one is no new verb group."""
    if p.aux == DO and p.negated:
        return
    if p.aux not in (MODAL, PROGRESSIVE):
        _finite(p, DO)


@handlers
def can(p: Parser, bits: int, negated: int) -> None:
    """Reads "can", "able to": a modal of what is possible."""
    _modal(p, able=True)


@handlers
def will(p: Parser, bits: int, negated: int) -> None:
    """Reads "will", "would": a modal of what is announced."""
    _modal(p, able=False)


def _modal(p: Parser, able: bool) -> None:
    """A modal; "am not able to", "will not be able to" and "unable to" stay negated."""
    if able and p.aux == NONE and p.tokens[p.position - 1] == "not":
        p.aux = MODAL
        p.able = able
    elif p.aux == NONE or p.sticky:
        _finite(p, MODAL)
        p.able = able
    else:
        p.aux = MODAL
        p.able = able or p.able


@handlers
def to(p: Parser, bits: int, negated: int) -> None:
    """Reads "to" before a verb; before a noun it tells where to. After "too late" the verb is denied."""
    if not p.next_is(_GOALS):
        denied = not p.negated and "too" in p.tokens[p.clause_start : p.position]
        _modal(p, able=False)
        p.negated = p.negated or denied


@handlers
def must(p: Parser, bits: int, negated: int) -> None:
    """Reads "need to": what the agent needs to verify, the customer is to tell."""
    if p.subject == ME and not p.negated:
        p.clause |= c.NEEDED
    _modal(p, able=False)


@handlers
def entitled(p: Parser, bits: int, negated: int) -> None:
    """Reads "eligible for": what follows is possible for the customer."""
    if p.aux in (IS, ARE, MODAL, DO, NONE):
        p.aux = MODAL
        p.able = True


@handlers
def no(p: Parser, bits: int, negated: int) -> None:
    """Reads "not", "never"."""
    p.negated = True


@handlers
def none(p: Parser, bits: int, negated: int) -> None:
    """Reads "no", "none of": negates the verb that follows it as well."""
    p.negated = True
    p.sticky = True


@handlers
def decline(p: Parser, bits: int, negated: int) -> None:
    """Reads "decline": a refusal of what follows."""
    if not p.negated:
        p.aux = MODAL
        p.negated = True
        p.note(c.THING, c.REFUSED)


@handlers
def declined(p: Parser, bits: int, negated: int) -> None:
    """Reads "declined": a refusal of what came before."""
    if not p.negated and p.aux in (PASSIVE, WAS, IS, ARE, MODAL):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)


# --- clauses and sentences --------------------------------------------------------------------------


@handlers
def condition(p: Parser, bits: int, negated: int) -> None:
    """Reads "if", "once": what follows is not asserted, up to the main clause."""
    if p.tokens[p.position] in _ADVERBS and p.next_is(_CLAUSE_ENDS):  # "we exchanged it before."
        p.clause |= c.ALREADY
        return
    p.condition = 1
    p.mask &= UNASSERTED
    p.reset()
    p.pending = False


@handlers
def holds(p: Parser, bits: int, negated: int) -> None:
    """Reads "that applies to": a condition of this sentence, or of the one before, is true of this case."""
    opened = p.segment.open or (p.segments[-1].open if p.segments and p.position == p.segment.start else 0)
    if opened:
        p.clause |= opened | c.ALREADY


@handlers
def whether(p: Parser, bits: int, negated: int) -> None:
    """Reads "whether": what follows is not even possible yet."""
    condition(p, bits, negated)
    p.mask &= UNKNOWN


@handlers
def concede(p: Parser, bits: int, negated: int) -> None:
    """Reads "although": masked only behind the remedy that it limits."""
    stated = (p.clause | p.segment.bits) & (c.REMEDY << c.POSSIBLE | c.REMEDY << c.DONE)
    p.end_clause()
    p.reset()
    if stated:
        p.mask &= UNASSERTED


@handlers
def soft(p: Parser, bits: int, negated: int) -> None:
    """Reads "because", "so": a new clause; within a verb group, "am therefore not able to", "would then", nothing."""
    before = p.tokens[p.position - 1]
    if (p.tokens[p.position] in _HENCE and before in _AUXILIARIES) or (before in _MODALS and p.aux == MODAL):
        return
    p.end_clause()
    p.reset()
    p.head = 0
    p.clause_start = p.following


@handlers
def comma(p: Parser, bits: int, negated: int) -> None:
    """A comma, bracket or dash: a new clause that may go on with the old subject."""
    p.end_clause()
    if p.aux != NONE:
        p.head = 0
    p.clause_start = p.following


@handlers
def and_(p: Parser, bits: int, negated: int) -> None:
    """Reads "and": a new head, but not in a subject ("the refund for A and B was"); the verb group may go on."""
    if p.aux != NONE:
        p.head = 0
    p.clause_start = p.following


@handlers
def colon(p: Parser, bits: int, negated: int) -> None:
    """A colon: a list may follow, or the reason after "not:"."""
    p.end_clause()
    if p.aux == NONE:
        p.negated = False
    p.clause_start = p.colon = p.following


@handlers
def hard(p: Parser, bits: int, negated: int) -> None:
    """Reads "but": a segment of its own."""
    aside = p.position > p.segment.start and p.tokens[p.position - 1] == "," and p.next_is(_COMMA)
    if aside and p.tokens[p.following + 1 : p.following + 2] not in _PRONOUNS:  # "the rug, however, is"
        return
    p.end_segment(question=False, new_sentence=False)


@handlers
def stop(p: Parser, bits: int, negated: int) -> None:
    """A full stop."""
    p.end_segment(question=False, new_sentence=True)


@handlers
def asks(p: Parser, bits: int, negated: int) -> None:
    """A question mark."""
    p.end_segment(question=True, new_sentence=True)


@handlers
def line(p: Parser, bits: int, negated: int) -> None:
    """A new line."""
    p.segment.leads = p.colon == p.position
    p.end_segment(question=False, new_sentence=True)


@handlers
def item(p: Parser, bits: int, negated: int) -> None:
    """A new line of a list."""
    p.segment.leads = p.colon == p.position
    p.end_segment(question=False, new_sentence=True, item=True)


@handlers
def claim(p: Parser, bits: int, negated: int) -> None:
    """Reads "you said that", "I understand that": somebody else's words."""
    p.clause |= bits
    if p.head:  # "the refund you asked for": only a relative clause
        return
    if p.position == p.clause_start and p.tokens[p.position] == "understand" and p.next_is(_FIRST):
        p.reset()  # "please understand that I can't": the agent's own words
        return
    p.claimed = True
    p.mask &= REPORTED
    p.reset()


@handlers
def usually(p: Parser, bits: int, negated: int) -> None:
    """Reads "normally": what follows holds in general, not here."""
    p.mask &= REPORTED


@handlers
def perceive(p: Parser, bits: int, negated: int) -> None:
    """Reads "I can see that": the verb group of the statement follows."""
    p.reset()
