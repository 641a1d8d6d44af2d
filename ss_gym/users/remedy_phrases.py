"""Remedies: mentioned, possible, refused or done, by the verb group that they stand in."""

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
    NOBODY,
    NONE,
    OTHER_NOUN,
    PASSIVE,
    PERFECT,
    PROGRESSIVE,
    WAS,
    YOU,
    Handlers,
    Parser,
)

_ENDS = frozenset([".", "?", ",", ":", "\n", "\n-", ")", "<money>", "to", "for", "of"])
_OBJECTS = frozenset(["<money>", "<title>"])

handlers = Handlers()


@handlers
def remedy(p: Parser, bits: int, negated: int) -> None:
    """A remedy named by a noun or a plain verb."""
    p.clause |= bits
    p.head = bits
    p.segment.mentions.append((p.position, bits))
    p.speak_of(bits)
    if p.negated:
        if p.aux not in (PERFECT, PASSIVE, WAS):
            p.note(bits, c.REFUSED)
    elif p.pending:
        p.note(bits, c.DONE, c.ACTIVE)
    elif p.aux == MODAL:
        _possible(p, bits)
    elif p.aux == PERFECT and p.subject == YOU:  # "you now have $20 in store credit"
        p.clause |= c.OWNED
    elif p.aux in (WAS, PASSIVE) and p.subject == IT:  # "there was a refund"
        p.clause |= c.EXISTED & p.mask
        p.segment.existed |= bits
    p.pending = False


@handlers
def credit(p: Parser, bits: int, negated: int) -> None:
    """Reads "credit": store credit, or a refund where it goes to a card."""
    p.clause |= c.CREDITED
    remedy(p, c.THING, 0)


def _possible(p: Parser, verb: int) -> None:
    p.note(verb, c.POSSIBLE, (c.ABLE if p.able else 0) | (c.FIRST if p.subject == ME else 0))


@handlers
def participle(p: Parser, bits: int, negated: int) -> None:
    """Reads "refunded", "exchanged": the verb itself names the remedy."""
    p.clause |= bits
    p.speak_of(bits)
    if p.aux == MODAL and p.tokens[p.position - 1] == "would":  # "we'd exchanged it" is "we had"
        p.aux = PERFECT
    alone = p.aux == NONE and p.subject == NOBODY
    if alone and (p.position == p.segment.start or (p.position == p.clause_start and p.next_is(_OBJECTS))):
        p.note(bits, c.DONE, c.STATE)
        return
    bare = (p.aux == NONE and p.subject != ME) or (p.aux == PERFECT and p.subject == YOU)
    if not p.negated and ((alone and p.mask == ALL) or (bare and not bits & c.SPARE_REMEDY)):
        p.clause |= c.EXISTED & p.mask  # "the rug: already refunded", "you have had it exchanged already"
        p.segment.existed |= bits
    _completed(p, bits)
    p.head = 0


def _completed(p: Parser, verb: int) -> None:
    """Notes what a past participle says of ``verb`` with the auxiliaries before it."""
    aux = p.aux
    if p.negated:
        if aux in (MODAL, ARE, DO):
            p.note(verb, c.REFUSED)
    elif aux == MODAL:
        _possible(p, verb)
    elif aux in (PASSIVE, WAS):
        p.note(verb, c.DONE)
    elif aux == IS:  # done only with "now", else what is always done
        p.note(verb, c.DONE, c.HABIT)
    elif p.subject != YOU and (aux == PERFECT or (aux == NONE and p.subject == ME)):
        p.note(verb, c.DONE, c.ACTIVE)


@handlers
def credited(p: Parser, bits: int, negated: int) -> None:
    """Reads "credited": a refund or store credit, by where the money goes."""
    p.clause |= c.CREDITED
    _completed(p, c.THING)


@handlers
def light(p: Parser, bits: int, negated: int) -> None:
    """Reads "issued", "processed": what was issued is the object to come, or the clause's head."""
    verb = p.head & c.REMEDY
    if not verb and p.subject == IT and p.head != OTHER_NOUN and p.aux in (PASSIVE, MODAL):
        _completed(p, c.THING)  # "it has been processed"
    elif verb and p.aux == NONE and p.subject == NOBODY and not p.negated and p.next_is(_ENDS):
        p.ellipsis = (verb << c.DONE | c.STATE) & ~p.clause  # "Refund issued: $20"
        p.note(verb, c.DONE, c.STATE)
    elif p.aux == NONE and p.position == p.clause_start and p.next_is(_ENDS) and not verb:
        p.note(c.THING, c.DONE, c.STATE)  # "Done!"
    else:
        soft_light(p, bits, negated)


@handlers
def soft_light(p: Parser, bits: int, negated: int) -> None:
    """Reads "made", "added": completed only with a remedy as subject or object."""
    verb = p.head & c.REMEDY
    aux = p.aux
    if aux in (PASSIVE, WAS, IS, ARE, MODAL):
        if verb:
            _completed(p, verb)
        elif p.subject == YOU and aux in (PASSIVE, WAS):  # "you have been given $20"
            p.pending = not p.negated
    elif aux == NONE and p.subject != ME:
        p.pending = p.position == p.segment.start and not p.negated  # "Issued a refund of $20"
    elif not p.negated and p.subject != YOU:
        p.pending = True


@handlers
def returned(p: Parser, bits: int, negated: int) -> None:
    """Reads "returned", "sent": of money a refund, of goods what the customer does."""
    if p.head & (c.THING | c.REFUND):
        _completed(p, c.THING)
    elif p.aux == MODAL or (p.negated and p.aux in (IS, ARE, DO)):
        _completed(p, c.RETURN)
    elif p.aux in (PERFECT, NONE) and p.subject == ME and not p.negated:
        p.pending = True


@handlers
def goes(p: Parser, bits: int, negated: int) -> None:
    """Reads "goes back": money that is to be paid back."""
    if p.head & (c.THING | c.REFUND):
        if p.negated:
            p.note(c.THING, c.REFUSED)
        else:
            _possible(p, c.THING)


@handlers
def went(p: Parser, bits: int, negated: int) -> None:
    """Reads "went through", of a remedy before it."""
    verb = p.head & c.REMEDY or (c.THING if p.subject == IT else 0)
    if p.negated:  # "neither attempt succeeded"
        p.clause |= c.FAILED & p.mask
    elif verb and p.aux in (PERFECT, NONE, IS):
        p.note(verb, c.DONE, c.STATE)


@handlers
def gone_ahead(p: Parser, bits: int, negated: int) -> None:
    """Reads "gone ahead and", "been able to": what follows was done."""
    if not p.negated and p.subject == ME:
        p.aux = PERFECT
        p.pending = True
    elif p.negated:
        p.aux = MODAL


@handlers
def approved(p: Parser, bits: int, negated: int) -> None:
    """Reads "approved": done, unless consent is asked for in the same message."""
    if p.negated:
        if p.aux != PERFECT:
            p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    elif p.aux in (PASSIVE, WAS, IS, PERFECT, NONE) and (p.head & c.REMEDY or p.aux == PERFECT):
        p.clause |= c.APPROVED & p.mask
        light(p, bits, negated)


@handlers
def complete(p: Parser, bits: int, negated: int) -> None:
    """Reads "complete", "done": with a remedy before it, or alone."""
    verb = p.head & c.REMEDY
    if p.negated or p.aux in (MODAL, DO, PROGRESSIVE):
        if p.negated and p.aux == MODAL:
            p.note(c.THING, c.REFUSED)
    elif p.aux == PERFECT and p.subject == ME:
        p.pending = True
    elif verb & ~c.THING and p.aux in (IS, NONE, PASSIVE, WAS):
        p.note(verb, c.DONE, c.STATE)
    elif p.position == p.clause_start or p.subject == IT or (p.subject == ME and p.aux == IS):
        p.note(c.THING, c.DONE, c.STATE)


@handlers
def on_its_way(p: Parser, bits: int, negated: int) -> None:
    """Reads "on its way": of money done, of goods not delivered."""
    if p.condition:
        return
    if p.head & c.REMEDY:
        p.note(p.head & c.REMEDY, c.DONE, c.STATE)
    elif not (bits and p.negated):  # "nothing is on its way"
        p.clause |= (bits or c.G_NOT_DELIVERED) & p.mask


@handlers
def act(p: Parser, bits: int, negated: int) -> None:
    """Reads "issue", "approve": a refusal if negated, whatever the object."""
    if p.negated and p.aux in (MODAL, DO):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    elif p.aux == NONE and p.subject != NOBODY:
        p.aux = DO


@handlers
def help(p: Parser, bits: int, negated: int) -> None:
    """Reads "help with", "look into" a refund: no promise of one."""
    if p.negated and p.aux == MODAL:
        p.note(c.THING, c.REFUSED)
    elif not p.negated:
        p.clause |= c.HELPS
        p.reset()


@handlers
def eligible(p: Parser, bits: int, negated: int) -> None:
    """Reads "possible", "allowed": of the remedy before it, or of one to come."""
    verb = p.head & c.REMEDY
    if p.negated:
        p.note(verb or c.THING, c.REFUSED)
    elif verb and p.aux in (IS, ARE, MODAL):
        p.able = True
        _possible(p, verb)
    if p.aux in (IS, ARE, NONE, DO):
        p.aux = MODAL
        p.able = True


@handlers
def available(p: Parser, bits: int, negated: int) -> None:
    """Reads "available": negated, of no remedy, it is about stock."""
    if p.negated and not p.head & c.REMEDY:
        p.clause |= c.G_STOCK & p.mask
    else:
        eligible(p, bits, negated)


@handlers
def refundable(p: Parser, bits: int, negated: int) -> None:
    """Reads "refundable"."""
    p.clause |= bits
    if p.negated:
        p.note(bits, c.REFUSED)
    elif p.aux in (IS, ARE, MODAL):
        p.note(bits, c.POSSIBLE, c.ABLE)


@handlers
def refused(p: Parser, bits: int, negated: int) -> None:
    """Reads "no refund", "non-refundable"."""
    p.clause |= bits
    if p.head != OTHER_NOUN:
        p.note(bits, c.REFUSED)
    p.head = bits
    p.negated = p.sticky = True


@handlers
def request(p: Parser, bits: int, negated: int) -> None:
    """Reads "return request": not itself a remedy, but one when it is processed."""
    p.head = bits
    p.pending = False


@handlers
def money(p: Parser, bits: int, negated: int) -> None:
    """An amount: the object of a completed action, or the head of the clause."""
    if p.pending:
        p.pending = False
        p.note(c.THING, c.DONE, c.ACTIVE)
    if not p.head:
        p.head = c.THING


@handlers
def noun(p: Parser, bits: int, negated: int) -> None:
    """Reads "order", "fee": a head that is no remedy."""
    if not p.head:
        p.head = OTHER_NOUN


@handlers
def clears(p: Parser, bits: int, negated: int) -> None:
    """Reads "details", "e-mail": the object of an action that concerns no remedy."""
    p.pending = False
    if p.negated:  # "I can't provide any details": no remedy is refused
        p.clause &= ~(c.THING << c.REFUSED)
    if not p.head:
        p.head = OTHER_NOUN


@handlers
def neutral(p: Parser, bits: int, negated: int) -> None:
    """A phrase that only looks like one of another heading."""
    p.pending = False
