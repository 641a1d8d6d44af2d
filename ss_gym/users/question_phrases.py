"""What asks the customer for a yes or for a fact, and the facts that phrases state."""

from __future__ import annotations

from ss_gym.users import concepts as c
from ss_gym.users.clauses import (
    ARE,
    DO,
    IS,
    IT,
    ME,
    MODAL,
    NOBODY,
    NONE,
    PASSIVE,
    PERFECT,
    PROGRESSIVE,
    WAS,
    YOU,
    Handlers,
    Parser,
)
from ss_gym.users.remedy_phrases import act, remedy

_QUESTION = frozenset("?")
# "It's the postal code that I need, please give me that and your e-mail": what was named before is asked for, too.
_POINTED = frozenset(("that", "it", "them", "those", "these"))

handlers = Handlers()


@handlers
def consent(p: Parser, bits: int, negated: int) -> None:
    """Reads "shall I", "would you like me to": what follows needs a yes."""
    p.clause |= c.CONSENT & p.mask
    p.subject = ME
    p.aux = MODAL
    p.able = True
    p.negated = False


@handlers
def ask_permission(p: Parser, bits: int, negated: int) -> None:
    """Reads "may I have": asks for what follows."""
    ask(p, bits, negated)
    p.subject = ME


@handlers
def tag(p: Parser, bits: int, negated: int) -> None:
    """Reads "reply yes": a yes is wanted."""
    if p.negated:
        return
    p.clause |= c.TAG & p.mask
    p.aux = MODAL
    p.able = True
    p.pending = False


@handlers
def agree(p: Parser, bits: int, negated: int) -> None:
    """Reads "accept", "proceed": a refusal if the agent can't."""
    if p.negated and p.aux in (MODAL, DO):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    else:
        fine(p, bits, negated)


@handlers
def fine(p: Parser, bits: int, negated: int) -> None:
    """Reads "okay", "agree": an answer is wanted if it is asked, or in "if you agree"."""
    if p.negated:
        return
    p.clause |= c.FINE
    if p.condition and p.subject in (IT, YOU):
        p.clause |= c.TAG


@handlers
def wish(p: Parser, bits: int, negated: int) -> None:
    """Reads "if you like" offers; "I would like" asks."""
    if p.condition and p.subject == YOU:
        p.clause |= c.WISH
    elif p.subject == ME:  # "I would like your order number"
        ask(p, bits, negated)
    elif p.subject == YOU:
        p.wished = True
    if p.aux == NONE:
        p.aux = MODAL
        p.able = False


@handlers
def right_word(p: Parser, bits: int, negated: int) -> None:
    """Reads "right?", "correct?" alone before the question mark."""
    if p.next_is(_QUESTION):
        p.clause |= c.S_RIGHT


@handlers
def confirm(p: Parser, bits: int, negated: int) -> None:
    """Reads "confirm": wanted from the customer, unless the agent does it."""
    if p.subject == ME and p.aux != NONE:  # "I can confirm that"
        p.reset()
    else:
        p.clause |= c.CONFIRM


@handlers
def like(p: Parser, bits: int, negated: int) -> None:
    """Reads "would you like": what follows is offered."""
    p.clause |= c.LIKE
    p.asking = True
    p.subject = YOU
    p.aux = MODAL
    p.able = True
    p.negated = False


@handlers
def ask(p: Parser, bits: int, negated: int) -> None:
    """Words that ask; slots named before them are asked for only if none follow."""
    if p.negated and p.aux in (DO, IS, ARE):  # "I don't need your e-mail"
        return
    segment = p.segment
    pointed = p.tokens[p.following] in _POINTED and p.tokens[p.following + 1 : p.following + 2] == ["and"]
    if not pointed and not (p.clause | segment.bits | segment.asked) & c.ASK:
        segment.early = (p.clause | segment.bits | segment.asked) & c.SLOTS
        segment.bits &= ~c.SLOTS
        segment.asked &= ~c.SLOTS
        p.clause &= ~c.SLOTS
    p.clause |= c.ASK


@handlers
def tell(p: Parser, bits: int, negated: int) -> None:
    """Reads "share", "type": an order to the customer, unless the agent is the subject."""
    if p.subject != ME and p.aux in (NONE, MODAL) and not p.negated:
        ask(p, bits, negated)


@handlers
def need(p: Parser, bits: int, negated: int) -> None:
    """Reads "I need": asks; "if you need" offers."""
    first = p.subject == NOBODY and p.position <= p.segment.start + (p.aux == MODAL)
    if (p.subject == ME or first) and not p.negated:
        ask(p, bits, negated)
    elif p.aux == NONE and p.condition and p.subject == YOU:
        p.clause |= c.WISH
    elif p.subject == YOU:
        p.wished = True


@handlers
def give(p: Parser, bits: int, negated: int) -> None:
    """Reads "provide": asks, or refuses if the agent can't."""
    if p.negated:
        act(p, bits, negated)
    else:
        tell(p, bits, negated)


@handlers
def question(p: Parser, bits: int, negated: int) -> None:
    """Reads "is it", "has your": a question at the start of a clause, else just a verb group."""
    if p.position == p.clause_start:
        p.asking = True
    elif p.aux in (DO, MODAL, PERFECT):  # "we don't have that", "you have had your rug exchanged"
        return
    p.reset()
    p.subject = IT
    p.aux = DO


# --- flags and facts ------------------------------------------------------------------------------


@handlers
def flag(p: Parser, bits: int, negated: int) -> None:
    """Features that a negation turns into others."""
    p.state(negated if p.negated else bits)


@handlers
def weak(p: Parser, bits: int, negated: int) -> None:
    """Features that no negation changes."""
    p.clause |= bits


@handlers
def ago(p: Parser, bits: int, negated: int) -> None:
    """Reads "45 days ago"."""
    if p.segment.ago < 0:
        p.segment.ago = p.position
    p.clause |= c.W_WINDOW


@handlers
def arrive(p: Parser, bits: int, negated: int) -> None:
    """Reads "delivered": only its negation tells something."""
    stated = p.aux != NONE or p.subject != NOBODY or p.head  # not "damaged, wrong item, never arrived"
    if p.negated and p.subject != ME and stated:
        p.clause |= negated & p.mask


@handlers
def received(p: Parser, bits: int, negated: int) -> None:
    """Reads "received": goods that have not come, or a refund that the customer has had."""
    if p.negated:
        arrive(p, bits, negated)
    elif p.subject == YOU and p.aux in (PERFECT, NONE):
        p.pending = True
        p.clause |= c.RECEIVED
        if bits:  # the refund is part of the phrase: "you had a refund"
            remedy(p, bits, 0)


@handlers
def ran_out(p: Parser, bits: int, negated: int) -> None:
    """Reads "run out": of stock if the shop has, of time otherwise."""
    p.clause |= (c.G_STOCK if p.subject == ME else c.OUTSIDE) & p.mask


@handlers
def approval(p: Parser, bits: int, negated: int) -> None:
    """Reads "your consent": wanted, unless the agent has it."""
    if p.aux not in (PERFECT, PASSIVE, WAS):
        tag(p, bits, negated)


@handlers
def final(p: Parser, bits: int, negated: int) -> None:
    """Reads "final sale": denied only by "is not", since "we don't refund final sale items" states it."""
    p.clause |= (negated if p.negated and not p.sticky and p.aux in (IS, ARE, WAS, NONE) else bits) & p.mask


@handlers
def still_processing(p: Parser, bits: int, negated: int) -> None:
    """Reads "is due on", "being packed": of an order, not of a refund."""
    if not p.head & c.REMEDY and p.subject != ME:
        p.clause |= c.G_NOT_DELIVERED & p.mask


@handlers
def find(p: Parser, bits: int, negated: int) -> None:
    """Reads "find", "see": only its negation tells something; else the statement follows."""
    if p.subject != YOU or not p.negated:
        flag(p, bits, negated)
    if not p.negated:
        p.reset()


@handlers
def belongs(p: Parser, bits: int, negated: int) -> None:
    """Reads "on your account": where an order is not, or where a credit now is."""
    if p.negated and p.aux in (IS, ARE, DO):
        p.clause |= negated & p.mask
    elif p.aux == IS and p.head & (c.CREDIT | c.THING) and not p.negated:
        p.note(p.head & c.REMEDY, c.DONE, c.STATE)


@handlers
def event(p: Parser, bits: int, negated: int) -> None:
    """Reads "arrived", "ships": what a date beside it is the date of, as ``bits``, or as ``negated`` if it is to come.

    What has not happened, "has not arrived", dates nothing, and the date beside it is that of nothing.
    """
    if p.negated:
        p.segment.events += ((p.position, c.DENIED, False),)
        return
    aux = p.aux
    if aux in (MODAL, PROGRESSIVE):
        bits = negated
    elif aux in (IS, ARE):  # "it is delivered on Friday", last one or next
        bits |= negated
    bits &= p.mask
    if bits:
        happened = bits != negated and aux in (PERFECT, PASSIVE, WAS)
        p.segment.events += ((p.position, bits, happened),)


@handlers
def state(p: Parser, bits: int, negated: int) -> None:
    """Reads "late": an event that has begun and lasts, unless it is only possible."""
    if not p.negated and p.aux not in (MODAL, DO) and bits & p.mask:
        p.segment.events += ((p.position, bits, True),)


@handlers
def named(p: Parser, bits: int, negated: int) -> None:
    """Reads "delivery date": an event named by a noun, which says nothing of whether it has happened."""
    if bits & p.mask:
        p.segment.events += ((p.position, bits & p.mask, False),)
