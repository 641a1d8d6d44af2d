"""What each kind of phrase does to the state of the walk.

Every heading of the lexicon names one of these handlers. Together they keep track of the verb
group (who speaks of whom, which auxiliary, negated or not), so that "I have refunded", "I can't
refund" and "once I have refunded" set different features of the clause.
"""

from __future__ import annotations

from collections.abc import Callable

from ss_gym.users import concepts as c
from ss_gym.users.clauses import (
    DO, IS, IT, ME, MODAL, NOBODY, NONE, OTHER_NOUN, PASSIVE, PERFECT, PROGRESSIVE, REPORTED, UNASSERTED, WAS, YOU, ALL, Parser,
)

Handler = Callable[[Parser, int, int], None]


def _me(p: Parser, bits: int, negated: int) -> None:
    if p.claimed and p.position == p.clause_start:  # "I understand that it …, and I …"
        p.claimed = False
        p.mask = ALL
    _subject(p, ME)
    p.head = 0


def _you(p: Parser, bits: int, negated: int) -> None:
    _subject(p, YOU)


def _it(p: Parser, bits: int, negated: int) -> None:
    if p.pending:  # "I have processed it"
        p.pending = False
        p.remedy(c.THING, c.DONE, c.ACTIVE)
    elif p.negated and p.aux == MODAL:  # "I can't do that": still the same verb group
        return
    _subject(p, IT)


def _subject(p: Parser, subject: int) -> None:
    p.subject = subject
    p.aux = NONE
    p.negated = False
    if p.condition == 1:
        p.condition = 2
    elif p.condition:  # a second subject: the main clause
        p.condition = 0
        p.mask = REPORTED if p.claimed else ALL


def _have(p: Parser, bits: int, negated: int) -> None:
    if p.aux != MODAL:
        p.aux = PERFECT
        p.negated = False


def _finite_perfect(p: Parser, bits: int, negated: int) -> None:
    p.aux = PERFECT
    p.negated = False


def _been(p: Parser, bits: int, negated: int) -> None:
    if p.aux == PERFECT:
        p.aux = PASSIVE


def _was(p: Parser, bits: int, negated: int) -> None:
    p.aux = WAS
    p.negated = False


def _is(p: Parser, bits: int, negated: int) -> None:
    p.aux = IS
    p.negated = False


def _be(p: Parser, bits: int, negated: int) -> None:
    if p.aux == NONE:
        p.aux = MODAL


def _being(p: Parser, bits: int, negated: int) -> None:
    if p.aux in (IS, WAS):
        p.aux = PROGRESSIVE


def _do(p: Parser, bits: int, negated: int) -> None:
    if p.aux != MODAL:
        p.aux = DO
        p.negated = False


def _can(p: Parser, bits: int, negated: int) -> None:
    keep = p.negated and p.aux != NONE
    p.aux = MODAL
    p.able = True
    p.negated = keep


def _will(p: Parser, bits: int, negated: int) -> None:
    keep = p.negated and p.aux != NONE
    p.aux = MODAL
    p.able = False
    p.negated = keep


def _no(p: Parser, bits: int, negated: int) -> None:
    p.negated = True


def _decline(p: Parser, bits: int, negated: int) -> None:
    p.aux = MODAL
    p.negated = True
    if p.head & c.REMEDY:
        p.remedy(p.head, c.REFUSED)


def _condition(p: Parser, bits: int, negated: int) -> None:
    p.condition = 1
    p.mask &= UNASSERTED
    p.aux = NONE
    p.negated = False
    p.pending = False


def _concede(p: Parser, bits: int, negated: int) -> None:
    stated = (p.clause | p.segment.bits) & (c.REMEDY << c.POSSIBLE | c.REMEDY << c.DONE)
    p.end_clause()
    _reset(p)
    if stated:
        p.mask &= UNASSERTED


def _reset(p: Parser) -> None:
    p.aux = NONE
    p.negated = False
    p.subject = NOBODY


def _soft(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    _reset(p)


def _comma(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    p.clause_start = p.position + 1


def _and(p: Parser, bits: int, negated: int) -> None:
    p.head = 0


def _hard(p: Parser, bits: int, negated: int) -> None:
    p.end_segment(question=False, new_sentence=False)


def _claim(p: Parser, bits: int, negated: int) -> None:
    p.claimed = True
    p.mask &= REPORTED
    _reset(p)


def _perceive(p: Parser, bits: int, negated: int) -> None:
    _reset(p)


def _remedy(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits
    p.head = bits
    if p.negated:
        if p.aux in (MODAL, IS, DO, NONE):
            p.remedy(bits, c.REFUSED)
    elif p.pending:
        p.remedy(bits, c.DONE, c.ACTIVE)
    elif p.aux == MODAL:
        _possible(p, bits)
    p.pending = False


def _possible(p: Parser, verb: int) -> None:
    flags = (c.ABLE if p.able else 0) | (c.FIRST if p.subject == ME else 0)
    p.remedy(verb, c.POSSIBLE, flags)


def _participle(p: Parser, bits: int, negated: int) -> None:
    """ "refunded", "exchanged": the verb itself names the remedy."""
    p.clause |= bits
    if p.aux == NONE and p.subject == NOBODY and p.position == p.clause_start and not p.negated:
        p.remedy(bits, c.DONE, c.STATE)
        return
    _completed(p, bits)
    p.head = 0


def _completed(p: Parser, verb: int) -> None:
    aux = p.aux
    if p.negated:
        if aux in (MODAL, IS, DO):
            p.remedy(verb, c.REFUSED)
    elif aux == MODAL:
        _possible(p, verb)
    elif aux == PASSIVE:
        p.remedy(verb, c.DONE)
    elif aux == WAS:
        p.remedy(verb, c.DONE, c.PAST)
    elif aux == IS:
        p.remedy(verb, c.DONE, c.STATE)
    elif p.subject != YOU and (aux == PERFECT or (aux == NONE and p.subject == ME)):
        p.remedy(verb, c.DONE, c.ACTIVE)


def _credited(p: Parser, bits: int, negated: int) -> None:
    """ "credited": a refund or store credit, by where the money goes."""
    p.clause |= c.CREDITED
    _completed(p, c.THING)
    p.pending = False


def _credit(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.CREDITED
    _remedy(p, c.THING, 0)


def _light(p: Parser, bits: int, negated: int) -> None:
    """ "issued", "processed": what was issued is the object to come, or the clause's head."""
    verb = p.head & c.REMEDY
    if p.aux in (PASSIVE, WAS, IS, MODAL):
        if verb:
            _completed(p, verb)
        elif p.subject == IT and p.head != OTHER_NOUN:
            _completed(p, c.THING)
    elif p.aux == NONE and p.subject != ME:
        if verb and p.subject == NOBODY and not p.negated:  # "Refund issued"
            p.remedy(verb, c.DONE, c.STATE)
        elif p.position == p.clause_start:  # "Issued a refund of $20"
            p.pending = True
    elif not p.negated and p.subject != YOU:
        p.pending = True


def _returned(p: Parser, bits: int, negated: int) -> None:
    if p.head & c.THING or p.negated or p.aux == MODAL or (p.subject == ME and p.aux in (PERFECT, NONE)):
        if p.head & c.THING:
            _completed(p, c.THING)
        elif p.negated or p.aux == MODAL:
            _completed(p, c.RETURN)
        else:
            p.pending = True


def _gone_ahead(p: Parser, bits: int, negated: int) -> None:
    if not p.negated and p.subject == ME:
        p.aux = PERFECT
        p.pending = True


def _approved(p: Parser, bits: int, negated: int) -> None:
    if not p.negated and p.aux in (PASSIVE, WAS, IS, PERFECT, NONE):
        p.clause |= c.APPROVED & p.mask
        _light(p, bits, negated)
    elif p.negated:
        _eligible(p, bits, negated)


def _complete(p: Parser, bits: int, negated: int) -> None:
    verb = p.head & c.REMEDY
    if p.negated or p.aux == MODAL:
        return
    if verb:
        p.remedy(verb, c.DONE, c.STATE)
    elif p.position == p.clause_start or (p.subject == IT and p.aux == IS):
        p.remedy(c.THING, c.DONE, c.STATE)


def _on_its_way(p: Parser, bits: int, negated: int) -> None:
    if p.head & c.REMEDY:
        p.remedy(p.head & c.REMEDY, c.DONE, c.STATE)
    else:
        p.clause |= c.G_NOT_DELIVERED & p.mask


def _act(p: Parser, bits: int, negated: int) -> None:
    """ "issue", "approve": a refusal if negated, whatever the object."""
    if p.negated and p.aux in (MODAL, DO):
        p.remedy(p.head & c.REMEDY or c.THING, c.REFUSED)
    elif p.aux == NONE:
        p.aux = MODAL if p.subject != NOBODY else NONE


def _eligible(p: Parser, bits: int, negated: int) -> None:
    verb = p.head & c.REMEDY
    if p.negated:
        p.remedy(verb or c.THING, c.REFUSED)
        p.clause |= c.UNAVAILABLE & p.mask
    elif verb and p.aux in (IS, MODAL):
        p.able = True
        _possible(p, verb)
    if p.aux == IS:
        p.aux = MODAL
        p.able = True


def _refundable(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits
    if p.negated:
        p.remedy(bits, c.REFUSED)
    elif p.aux in (IS, MODAL):
        p.remedy(bits, c.POSSIBLE, c.ABLE)


def _refused(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits
    if not p.negated and p.head != OTHER_NOUN:
        p.remedy(bits, c.REFUSED)


def _money(p: Parser, bits: int, negated: int) -> None:
    if p.pending:
        p.pending = False
        p.remedy(c.THING, c.DONE, c.ACTIVE)
    if not p.head:
        p.head = c.THING


def _noun(p: Parser, bits: int, negated: int) -> None:
    if not p.head:
        p.head = OTHER_NOUN


def _clears(p: Parser, bits: int, negated: int) -> None:
    p.pending = False
    p.head = OTHER_NOUN


def _neutral(p: Parser, bits: int, negated: int) -> None:
    return


def _consent(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.CONSENT & p.mask
    p.subject = ME
    p.aux = MODAL
    p.able = True
    p.negated = False


def _ask_permission(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.ASK
    p.subject = ME


def _tag(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.TAG & p.mask
    p.aux = MODAL
    p.able = True
    p.negated = False
    p.pending = False


def _confirm(p: Parser, bits: int, negated: int) -> None:
    if p.subject == ME and p.aux != NONE:
        _reset(p)
    else:
        p.clause |= c.CONFIRM


def _like(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.LIKE
    p.asking = True
    p.subject = YOU
    p.aux = MODAL
    p.able = True
    p.negated = False


def _ask(p: Parser, bits: int, negated: int) -> None:
    if p.negated and p.aux in (DO, IS):  # "I don't need your e-mail"
        return
    segment = p.segment
    if not (segment.early or (p.clause | segment.bits | segment.asked) & c.ASK):
        segment.early = (p.clause | segment.bits | segment.asked) & c.SLOTS
        segment.bits &= ~c.SLOTS
        segment.asked &= ~c.SLOTS
        p.clause &= ~c.SLOTS
    p.clause |= c.ASK


def _wh(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.WH


def _question(p: Parser, bits: int, negated: int) -> None:
    if p.position == p.clause_start:
        p.asking = True


def _question_anywhere(p: Parser, bits: int, negated: int) -> None:
    p.asking = True
    p.clause |= c.ASK


def _flag(p: Parser, bits: int, negated: int) -> None:
    p.clause |= (negated if p.negated else bits) & p.mask


def _weak(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits


def _ago(p: Parser, bits: int, negated: int) -> None:
    p.segment.ago = p.position
    p.clause |= c.W_WINDOW


def _usually(p: Parser, bits: int, negated: int) -> None:
    p.mask &= REPORTED


def _arrive(p: Parser, bits: int, negated: int) -> None:
    if p.negated and p.subject != ME:
        p.clause |= negated & p.mask


def _stop(p: Parser, bits: int, negated: int) -> None:
    p.end_segment(question=False, new_sentence=True)


def _asks(p: Parser, bits: int, negated: int) -> None:
    p.end_segment(question=True, new_sentence=True)


def _line(p: Parser, bits: int, negated: int) -> None:
    p.segment.leads = p.colon == p.position
    p.end_segment(question=False, new_sentence=True)


def _item(p: Parser, bits: int, negated: int) -> None:
    p.segment.leads = p.colon == p.position
    p.end_segment(question=False, new_sentence=True, item=True)


def _colon(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    p.clause_start = p.colon = p.position + 1


HANDLERS: dict[str, Handler] = {
    name[1:]: handler for name, handler in list(globals().items()) if name.startswith("_") and callable(handler)
}
