"""What each kind of phrase does to the state of the walk.

Every heading of the lexicon names one of these handlers. Together they keep track of the verb
group (who speaks of whom, which auxiliary, negated or not), so that "I have refunded", "I can't
refund" and "once I have refunded" set different features of the clause. Each handler takes the
parser, the feature bits of its heading, and those for the negated phrase.
"""

from __future__ import annotations

from collections.abc import Callable

from ss_gym.users import concepts as c
from ss_gym.users.clauses import (
    ALL, ARE, DO, IS, IT, ME, MODAL, NOBODY, NONE, OTHER_NOUN, PASSIVE, PERFECT, PROGRESSIVE, REPORTED, UNASSERTED, WAS, YOU,
    Parser,
)  # fmt: skip

Handler = Callable[[Parser, int, int], None]

_VERBS_AFTER = frozenset(
    "is are was were has have had will would can could may might should shall must do does did get got want need "
    "qualify bought received ordered paid asked verified gave mentioned arrived came".split()
)
_ENDS = frozenset([".", "?", ",", ":", "\n", "\n-", ")", "<money>", "to", "for", "of"])
_OBJECTS = frozenset(["<money>", "<title>"])
_COMMA = frozenset(",")
_PRONOUNS = (["i"], ["we"], ["you"])
_QUESTION = frozenset("?")

# --- the verb group -------------------------------------------------------------------------------


def _me(p: Parser, bits: int, negated: int) -> None:
    if p.claimed and p.position == p.clause_start:  # "I understand that it …, and I …"
        p.claimed = False
        p.mask = ALL
    _subject(p, ME)
    p.head = 0


def _you(p: Parser, bits: int, negated: int) -> None:
    if p.aux == NONE or p.next_is(_VERBS_AFTER):  # else an object: "I can't offer you"
        _subject(p, YOU)


def _it(p: Parser, bits: int, negated: int) -> None:
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


def _have(p: Parser, bits: int, negated: int) -> None:
    if p.aux not in (MODAL, DO):
        _finite(p, PERFECT)


def _perfect(p: Parser, bits: int, negated: int) -> None:
    _finite(p, PERFECT)


def _been(p: Parser, bits: int, negated: int) -> None:
    if p.aux in (PERFECT, IS):  # "'s been" is read as "is been"
        p.aux = PASSIVE


def _was(p: Parser, bits: int, negated: int) -> None:
    _finite(p, WAS)


def _is(p: Parser, bits: int, negated: int) -> None:
    _finite(p, IS)


def _are(p: Parser, bits: int, negated: int) -> None:
    _finite(p, ARE)


def _be(p: Parser, bits: int, negated: int) -> None:
    if p.aux == NONE:
        p.aux = MODAL


def _being(p: Parser, bits: int, negated: int) -> None:
    if p.aux in (IS, ARE, WAS):
        p.aux = PROGRESSIVE


def _do(p: Parser, bits: int, negated: int) -> None:
    if p.aux not in (MODAL, PROGRESSIVE):
        _finite(p, DO)


def _can(p: Parser, bits: int, negated: int) -> None:
    _modal(p, able=True)


def _will(p: Parser, bits: int, negated: int) -> None:
    _modal(p, able=False)


def _modal(p: Parser, able: bool) -> None:
    """A modal; "am not able to" and "will not be able to" stay negated."""
    if p.aux == NONE or p.sticky:
        _finite(p, MODAL)
        p.able = able
    else:
        p.aux = MODAL
        p.able = able or p.able


def _entitled(p: Parser, bits: int, negated: int) -> None:
    if p.aux in (IS, ARE, MODAL, DO, NONE):
        p.aux = MODAL
        p.able = True


def _no(p: Parser, bits: int, negated: int) -> None:
    p.negated = True


def _none(p: Parser, bits: int, negated: int) -> None:
    p.negated = True
    p.sticky = True


def _decline(p: Parser, bits: int, negated: int) -> None:
    if not p.negated:
        p.aux = MODAL
        p.negated = True
        p.note(c.THING, c.REFUSED)


def _declined(p: Parser, bits: int, negated: int) -> None:
    if not p.negated and p.aux in (PASSIVE, WAS, IS, ARE, MODAL):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)


# --- clauses and sentences ------------------------------------------------------------------------


def _condition(p: Parser, bits: int, negated: int) -> None:
    p.condition = 1
    p.mask &= UNASSERTED
    p.reset()
    p.pending = False


def _concede(p: Parser, bits: int, negated: int) -> None:
    stated = (p.clause | p.segment.bits) & (c.REMEDY << c.POSSIBLE | c.REMEDY << c.DONE)
    p.end_clause()
    p.reset()
    if stated:
        p.mask &= UNASSERTED


def _soft(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    p.reset()
    p.head = 0
    p.clause_start = p.following


def _comma(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    if p.aux != NONE:
        p.head = 0
    p.clause_start = p.following


def _and(p: Parser, bits: int, negated: int) -> None:
    p.head = 0
    p.clause_start = p.following


def _colon(p: Parser, bits: int, negated: int) -> None:
    p.end_clause()
    p.clause_start = p.colon = p.following


def _hard(p: Parser, bits: int, negated: int) -> None:
    aside = p.position > p.segment.start and p.tokens[p.position - 1] == "," and p.next_is(_COMMA)
    if aside and p.tokens[p.following + 1 : p.following + 2] not in _PRONOUNS:  # "the rug, however, is"
        return
    p.end_segment(question=False, new_sentence=False)


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


def _claim(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits
    p.claimed = True
    p.mask &= REPORTED
    p.reset()


def _usually(p: Parser, bits: int, negated: int) -> None:
    p.mask &= REPORTED


def _perceive(p: Parser, bits: int, negated: int) -> None:
    p.reset()


# --- remedies -------------------------------------------------------------------------------------


def _remedy(p: Parser, bits: int, negated: int) -> None:
    """A remedy named by a noun or a plain verb."""
    p.clause |= bits
    p.head = bits
    p.segment.mentions.append((p.position, bits))
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
    p.pending = False


def _credit(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.CREDITED
    _remedy(p, c.THING, 0)


def _possible(p: Parser, verb: int) -> None:
    p.note(verb, c.POSSIBLE, (c.ABLE if p.able else 0) | (c.FIRST if p.subject == ME else 0))


def _participle(p: Parser, bits: int, negated: int) -> None:
    """ "refunded", "exchanged": the verb itself names the remedy."""
    p.clause |= bits
    alone = p.aux == NONE and p.subject == NOBODY
    if alone and (p.position == p.segment.start or (p.position == p.clause_start and p.next_is(_OBJECTS))):
        p.note(bits, c.DONE, c.STATE)
        return
    _completed(p, bits)
    p.head = 0


def _completed(p: Parser, verb: int) -> None:
    """Notes what a past participle says of ``verb`` with the auxiliaries before it."""
    aux = p.aux
    if p.negated:
        if aux in (MODAL, IS, ARE, DO):
            p.note(verb, c.REFUSED)
    elif aux == MODAL:
        _possible(p, verb)
    elif aux in (PASSIVE, WAS):
        p.note(verb, c.DONE)
    elif aux == IS:  # done only with "now", else what is always done
        p.note(verb, c.DONE, c.HABIT)
    elif p.subject != YOU and (aux == PERFECT or (aux == NONE and p.subject == ME)):
        p.note(verb, c.DONE, c.ACTIVE)


def _credited(p: Parser, bits: int, negated: int) -> None:
    """ "credited": a refund or store credit, by where the money goes."""
    p.clause |= c.CREDITED
    _completed(p, c.THING)


def _light(p: Parser, bits: int, negated: int) -> None:
    """ "issued", "processed": what was issued is the object to come, or the clause's head."""
    verb = p.head & c.REMEDY
    if not verb and p.subject == IT and p.head != OTHER_NOUN and p.aux in (PASSIVE, MODAL):
        _completed(p, c.THING)  # "it has been processed"
    elif verb and p.aux == NONE and p.subject == NOBODY and not p.negated and p.next_is(_ENDS):
        p.ellipsis = (verb << c.DONE | c.STATE) & ~p.clause  # "Refund issued: $20"
        p.note(verb, c.DONE, c.STATE)
    elif p.aux == NONE and p.position == p.clause_start and p.next_is(_ENDS) and not verb:
        p.note(c.THING, c.DONE, c.STATE)  # "Done!"
    else:
        _soft_light(p, bits, negated)


def _soft_light(p: Parser, bits: int, negated: int) -> None:
    """ "made", "added": completed only with a remedy as subject or object."""
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


def _returned(p: Parser, bits: int, negated: int) -> None:
    """ "returned", "sent": of money a refund, of goods what the customer does."""
    if p.head & (c.THING | c.REFUND):
        _completed(p, c.THING)
    elif p.aux == MODAL or (p.negated and p.aux in (IS, ARE, DO)):
        _completed(p, c.RETURN)
    elif p.aux in (PERFECT, NONE) and p.subject == ME and not p.negated:
        p.pending = True


def _went(p: Parser, bits: int, negated: int) -> None:
    if p.head & c.REMEDY and not p.negated and p.aux in (PERFECT, NONE):
        p.note(p.head & c.REMEDY, c.DONE, c.STATE)


def _gone_ahead(p: Parser, bits: int, negated: int) -> None:
    if not p.negated and p.subject == ME:
        p.aux = PERFECT
        p.pending = True
    elif p.negated:
        p.aux = MODAL


def _approved(p: Parser, bits: int, negated: int) -> None:
    if p.negated:
        if p.aux != PERFECT:
            p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    elif p.aux in (PASSIVE, WAS, IS, PERFECT, NONE) and (p.head & c.REMEDY or p.aux == PERFECT):
        p.clause |= c.APPROVED & p.mask
        _light(p, bits, negated)


def _complete(p: Parser, bits: int, negated: int) -> None:
    """ "complete", "done": with a remedy before it, or alone."""
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


def _on_its_way(p: Parser, bits: int, negated: int) -> None:
    if p.condition:
        return
    if p.head & c.REMEDY:
        p.note(p.head & c.REMEDY, c.DONE, c.STATE)
    else:
        p.clause |= c.G_NOT_DELIVERED & p.mask


def _act(p: Parser, bits: int, negated: int) -> None:
    """ "issue", "approve": a refusal if negated, whatever the object."""
    if p.negated and p.aux in (MODAL, DO):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    elif p.aux == NONE and p.subject != NOBODY:
        p.aux = DO


def _help(p: Parser, bits: int, negated: int) -> None:
    """ "help with", "look into" a refund: no promise of one."""
    if p.negated and p.aux == MODAL:
        p.note(c.THING, c.REFUSED)
    elif not p.negated:
        p.reset()


def _eligible(p: Parser, bits: int, negated: int) -> None:
    verb = p.head & c.REMEDY
    if p.negated:
        p.note(verb or c.THING, c.REFUSED)
    elif verb and p.aux in (IS, ARE, MODAL):
        p.able = True
        _possible(p, verb)
    if p.aux in (IS, ARE, NONE, DO):
        p.aux = MODAL
        p.able = True


def _available(p: Parser, bits: int, negated: int) -> None:
    if p.negated and not p.head & c.REMEDY:
        p.clause |= c.G_STOCK & p.mask
    else:
        _eligible(p, bits, negated)


def _refundable(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits
    if p.negated:
        p.note(bits, c.REFUSED)
    elif p.aux in (IS, ARE, MODAL):
        p.note(bits, c.POSSIBLE, c.ABLE)


def _refused(p: Parser, bits: int, negated: int) -> None:
    """ "no refund", "non-refundable"."""
    p.clause |= bits
    if p.head != OTHER_NOUN:
        p.note(bits, c.REFUSED)
    p.head = bits
    p.negated = p.sticky = True


def _request(p: Parser, bits: int, negated: int) -> None:
    """ "return request": not itself a remedy, but one when it is processed."""
    p.head = bits
    p.pending = False


def _money(p: Parser, bits: int, negated: int) -> None:
    if p.pending:
        p.pending = False
        p.note(c.THING, c.DONE, c.ACTIVE)
    if not p.head:
        p.head = c.THING


def _noun(p: Parser, bits: int, negated: int) -> None:
    if not p.head:
        p.head = OTHER_NOUN


def _clears(p: Parser, bits: int, negated: int) -> None:
    p.pending = False
    if p.negated:  # "I can't provide any details": no remedy is refused
        p.clause &= ~(c.THING << c.REFUSED)
    if not p.head:
        p.head = OTHER_NOUN


def _neutral(p: Parser, bits: int, negated: int) -> None:
    p.pending = False


# --- questions ------------------------------------------------------------------------------------


def _consent(p: Parser, bits: int, negated: int) -> None:
    p.clause |= c.CONSENT & p.mask
    p.subject = ME
    p.aux = MODAL
    p.able = True
    p.negated = False


def _ask_permission(p: Parser, bits: int, negated: int) -> None:
    _ask(p, bits, negated)
    p.subject = ME


def _tag(p: Parser, bits: int, negated: int) -> None:
    if p.negated:
        return
    p.clause |= c.TAG & p.mask
    p.aux = MODAL
    p.able = True
    p.pending = False


def _agree(p: Parser, bits: int, negated: int) -> None:
    """ "accept", "proceed": a refusal if the agent can't."""
    if p.negated and p.aux in (MODAL, DO):
        p.note(p.head & c.REMEDY or c.THING, c.REFUSED)
    else:
        _fine(p, bits, negated)


def _fine(p: Parser, bits: int, negated: int) -> None:
    """ "okay", "agree": an answer is wanted if it is asked, or in "if you agree"."""
    if p.negated:
        return
    p.clause |= c.FINE
    if p.condition and p.subject in (IT, YOU):
        p.clause |= c.TAG


def _wish(p: Parser, bits: int, negated: int) -> None:
    if p.condition and p.subject == YOU:
        p.clause |= c.WISH
    elif p.subject == ME:  # "I would like your order number"
        _ask(p, bits, negated)
    if p.aux == NONE:
        p.aux = MODAL
        p.able = False


def _right_word(p: Parser, bits: int, negated: int) -> None:
    if p.next_is(_QUESTION):
        p.clause |= c.S_RIGHT


def _confirm(p: Parser, bits: int, negated: int) -> None:
    if p.subject == ME and p.aux != NONE:  # "I can confirm that"
        p.reset()
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
    if p.negated and p.aux in (DO, IS, ARE):  # "I don't need your e-mail"
        return
    segment = p.segment
    if not (p.clause | segment.bits | segment.asked) & c.ASK:
        segment.early = (p.clause | segment.bits | segment.asked) & c.SLOTS
        segment.bits &= ~c.SLOTS
        segment.asked &= ~c.SLOTS
        p.clause &= ~c.SLOTS
    p.clause |= c.ASK


def _tell(p: Parser, bits: int, negated: int) -> None:
    """ "share", "type": an order to the customer, unless the agent is the subject."""
    if p.subject != ME and p.aux in (NONE, MODAL) and not p.negated:
        _ask(p, bits, negated)


def _need(p: Parser, bits: int, negated: int) -> None:
    if p.subject == ME and not p.negated:
        _ask(p, bits, negated)
    elif p.aux == NONE and p.condition and p.subject == YOU:
        p.clause |= c.WISH


def _give(p: Parser, bits: int, negated: int) -> None:
    if p.negated:
        _act(p, bits, negated)
    else:
        _tell(p, bits, negated)


def _question(p: Parser, bits: int, negated: int) -> None:
    """ "is it", "has your": a question at the start of a clause, else just a verb group."""
    if p.position == p.clause_start:
        p.asking = True
    elif p.aux in (DO, MODAL):  # "we don't have that"
        return
    p.reset()
    p.subject = IT
    p.aux = DO


# --- flags ----------------------------------------------------------------------------------------


def _flag(p: Parser, bits: int, negated: int) -> None:
    p.clause |= (negated if p.negated else bits) & p.mask


def _weak(p: Parser, bits: int, negated: int) -> None:
    p.clause |= bits


def _ago(p: Parser, bits: int, negated: int) -> None:
    p.segment.ago = p.position
    p.clause |= c.W_WINDOW


def _arrive(p: Parser, bits: int, negated: int) -> None:
    if p.negated and p.subject != ME:
        p.clause |= negated & p.mask


def _received(p: Parser, bits: int, negated: int) -> None:
    """ "received": goods that have not come, or a refund that the customer has had."""
    if p.negated:
        _arrive(p, bits, negated)
    elif p.subject == YOU and p.aux in (PERFECT, NONE):
        p.pending = True
        p.clause |= c.RECEIVED
        if bits:  # the refund is part of the phrase: "you had a refund"
            _remedy(p, bits, 0)


def _ran_out(p: Parser, bits: int, negated: int) -> None:
    p.clause |= (c.G_STOCK if p.subject == ME else c.OUTSIDE) & p.mask


def _approval(p: Parser, bits: int, negated: int) -> None:
    """ "your consent": wanted, unless the agent has it."""
    if p.aux not in (PERFECT, PASSIVE, WAS):
        _tag(p, bits, negated)


def _final(p: Parser, bits: int, negated: int) -> None:
    """ "final sale": denied only by "is not", since "we don't refund final sale items" states it."""
    p.clause |= (negated if p.negated and not p.sticky and p.aux in (IS, ARE, WAS, NONE) else bits) & p.mask


def _still_processing(p: Parser, bits: int, negated: int) -> None:
    if not p.head & c.REMEDY and p.subject != ME:
        p.clause |= c.G_NOT_DELIVERED & p.mask


def _find(p: Parser, bits: int, negated: int) -> None:
    if p.subject != YOU or not p.negated:
        _flag(p, bits, negated)
    if not p.negated:
        p.reset()


def _belongs(p: Parser, bits: int, negated: int) -> None:
    """ "on your account": where an order is not, or where a credit now is."""
    if p.negated and p.aux in (IS, ARE, DO):
        p.clause |= negated & p.mask
    elif p.aux == IS and p.head & (c.CREDIT | c.THING) and not p.negated:
        p.note(p.head & c.REMEDY, c.DONE, c.STATE)


HANDLERS: dict[str, Handler] = {
    name[1:]: handler for name, handler in list(globals().items()) if name.startswith("_") and callable(handler)
}
