"""From the features of segments to acts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from ss_gym.users import concepts as c
from ss_gym.users.acts import Act, ActKind, Value
from ss_gym.users.clauses import Segment
from ss_gym.users.consent import (
    AGREED,
    NOT_PREFERENCE,
    REFUSED,
    SETTLED,
    YES,
    asks_consent,
    asks_which,
    names_option,
    only_refuses,
    wants_yes,
)
from ss_gym.users.discourse import ALTERNATIVE, APPROVED, EVIDENCE, GENERAL, Draft, joined_values, settled
from ss_gym.users.events import statements
from ss_gym.users.grounds import HINTS, STRONG_BITS, grounds_of, is_earlier
from ss_gym.users.vocabulary import Vocabulary

_SOCIAL: tuple[tuple[int, ActKind], ...] = (
    (c.GREET, "greet"),
    (c.SORRY, "apologise"),
    (c.THANK, "thank"),
    (c.WAIT, "wait"),
    (c.BYE, "close"),
)
# Nobody reads more of one message; of the rest only the values are taken in.
_MOST_SEGMENTS = 100
_SOCIAL_BITS = c.GREET | c.SORRY | c.THANK | c.WAIT | c.BYE
_FACTS = c.REMEDY | c.FACT | c.CARD | c.ORDER | c.ACCOUNT
_NAMED = c.REFUND | c.CREDIT | c.EXCHANGE | c.SPARE_REMEDY
_CHOICES = c.CREDIT | c.EXCHANGE | c.SPARE_REMEDY
# Without any of these a segment says nothing of a remedy.
_OF_REMEDIES = c.REMEDY | c.REMEDY << c.POSSIBLE | SETTLED | YES | AGREED | c.WISH | c.FINE
_REFUSING = HINTS | REFUSED | c.ONLY | c.W_WINDOW
_ASKABLE = c.SLOTS | c.S_ELSE
_NOT_ELSE = ~c.S_ELSE
_PERSONAL = c.S_EMAIL | c.S_POSTAL | c.S_NAME
_TO_VERIFY = c.NEEDED | c.VERIFY
_HINTS = c.SPARE_GROUND << c.HINT
_HANDOVER = c.HANDOVER | c.HUMAN


class Interpretation:
    """Turns the segments of one message into acts.

    Args:
        segments: the segments, in order; their values are filled in here.
        values: ``(token position, value)`` of the message, in order.
        vocabulary: what the features mean.
    """

    __slots__ = ("_details", "_drafts", "_late", "_segments", "_vocabulary")

    def __init__(self, segments: list[Segment], values: Sequence[tuple[int, Value]], vocabulary: Vocabulary) -> None:
        self._segments = segments
        self._vocabulary = vocabulary
        self._details = vocabulary.details
        self._drafts: list[Draft] = []
        self._late = False
        if values:
            self._place(values)

    def _place(self, values: Sequence[tuple[int, Value]]) -> None:
        """Gives each segment its values; finds out whether "45 days ago" and a shorter window are told."""
        index, count = 0, len(values)
        days_ago = -1
        for segment in self._segments:
            first = index
            while index < count and values[index][0] < segment.end:
                index += 1
            if index > first:
                segment.take(values[first:index])
                days_ago = max(days_ago, segment.days_ago)
        if days_ago >= 0:
            for segment in self._segments:
                self._late = self._late or segment.is_late(days_ago)

    def acts(self) -> tuple[Act, ...]:
        """The acts of the message."""
        leading = False
        for segment in self._segments[:_MOST_SEGMENTS]:
            leading = leading and segment.item
            self._read(segment, leading)
            if segment.leads and (segment.bits | segment.asked) & c.ASK:
                leading = True
        drafts = self._drafts
        if len(self._segments) > _MOST_SEGMENTS:
            drafts += [Draft("inform", segment) for segment in self._segments[_MOST_SEGMENTS:] if segment.values]
        if len(drafts) > 1 or self._late or (drafts and drafts[0].verb):
            drafts = settled(drafts, self._segments, self._late, self._vocabulary.wishes)
        return tuple([draft.act() for draft in drafts])

    def _read(self, segment: Segment, leading: bool) -> None:
        drafts = self._drafts
        features = segment.bits | segment.asked
        if features & _SOCIAL_BITS:
            drafts += [Draft(kind, segment) for bit, kind in _SOCIAL if features & bit]
        before = len(drafts)
        slots = 0
        if features & _ASKABLE or segment.early:
            slots = self._read_asks(segment, features, leading)
        if features & _HANDOVER == _HANDOVER and not slots & _NOT_ELSE:
            del drafts[before:]
            drafts.append(Draft("transfer", segment))
        else:
            if features & _OF_REMEDIES and not slots & self._details:  # "which address shall I send it to?"
                self._read_remedies(segment, features, slots)
            # "The reason: damaged, not received …?" names no ground.
            if segment.bits & _REFUSING and not slots & c.S_REASON:
                self._read_refusal(segment)
        if len(drafts) == before:
            if segment.question and features & c.ASK:
                self._ask_unnamed(segment)
            elif features & c.ASK and features & c.PLEASE and self._named_just_before(segment):
                self._ask(segment, self._named_just_before(segment))  # "Please give me both."
            elif segment.values or segment.bits & _FACTS:
                drafts.append(Draft("inform", segment))
        if segment.events and not segment.question:
            drafts += statements(segment, self._vocabulary.events)

    # --- asks -------------------------------------------------------------------------------------

    def _read_asks(self, segment: Segment, features: int, leading: bool) -> int:
        """Notes the slots that are asked for, and gives their bits."""
        if features & c.S_ELSE:
            self._drafts.append(Draft("ask", segment, slot="anything_else"))
        slots = features & c.SLOTS or (segment.early if features & c.ASK or segment.question else 0)
        for bit, kinds in self._vocabulary.answers:
            if slots & bit and any(value.kind in kinds for value in segment.values):
                slots &= ~bit  # "is 12 Elm Street the new address?"
                if segment.question:
                    self._drafts.append(Draft("ask", segment, slot="confirmation"))
        if slots == c.S_REASON and features & c.S_RIGHT:  # "you changed your mind, is that right?"
            slots = 0
        elif slots & c.S_PREFERENCE and features & (c.REFUND | c.RETURN) and not features & (_CHOICES | c.METHOD):
            slots = (slots & ~c.S_PREFERENCE) | c.S_ITEM  # "which one would you like to return?"
        if not (features & (c.ASK | c.PLEASE | c.CONFIRM) or segment.question or leading):
            # "I need to verify your e-mail" asks for it, too.
            slots = slots & _PERSONAL if features & _TO_VERIFY == _TO_VERIFY else 0
        if not slots:
            return features & c.S_ELSE
        if slots & c.S_PREFERENCE:  # "We have small and medium. Which one would you like?"
            for draft in self._drafts:
                if draft.kind == "inform" and draft.verb and any([v.kind == "option" for v in draft.values]):
                    draft.kind = "offer"
        self._ask(segment, slots)
        return slots

    def _ask(self, segment: Segment, slots: int) -> None:
        while slots:
            bit = slots & -slots  # the lowest
            self._drafts.append(Draft("ask", segment, "", self._vocabulary.slots[bit]))
            slots ^= bit

    def _ask_unnamed(self, segment: Segment) -> None:
        """Asks for what the sentence before named ("could you share it?"), or else something unknown."""
        before = self._named_just_before(segment)
        number = c.S_ORDER if segment.asked & c.ORDER else c.S_OTHER  # "could you check the number?"
        self._ask(segment, before or number)

    def _named_just_before(self, segment: Segment) -> int:
        """The slots that the segment before names."""
        index = self._segments.index(segment)
        return self._segments[index - 1].bits & c.SLOTS if index else 0

    def _ask_preference(self, segment: Segment, features: int, slots: int, mentioned: list[str]) -> None:
        """Asks "would you prefer a refund or store credit?", or for the option of what is offered."""
        if features & c.MONEY or len(mentioned) == 1:
            for verb in mentioned:
                self._state(segment, verb, features)
        if not slots & c.S_PREFERENCE:
            self._drafts.append(Draft("ask", segment, slot="preference"))

    def _ask_confirmation(self, segment: Segment, features: int) -> None:
        """A yes is wanted, and no remedy was named; an amount told before is one of a refund."""
        amounts = [
            s
            for s in self._segments
            if s.sentence <= segment.sentence and (s.bits | s.asked) & c.MONEY and not only_refuses(s)
        ]
        if amounts and features & (c.CONSENT | c.TAG | c.FINE):
            for verb in self._verbs(c.THING, reduce(or_, (s.bits | s.asked for s in amounts))):
                draft = Draft("propose", segment, verb)
                for amount in amounts:
                    draft.values = joined_values(amount.values, draft.values)
                self._drafts.append(draft)
        elif wants_yes(segment, features) and (due := self._due(segment)):
            self._drafts.append(due)
        elif features & (c.CONSENT | c.CONFIRM | c.S_RIGHT | c.LIKE) or segment.question:
            open_question = segment.opens and not features & (c.CONSENT | c.CONFIRM | c.S_RIGHT | c.FINE)
            self._drafts.append(Draft("ask", segment, slot="other" if open_question else "confirmation"))

    def _due(self, segment: Segment) -> Draft | None:
        """What a yes is wanted to where only a sentence near it says so: "A repair is due. Shall I open a claim?"."""
        near = [s for s in self._segments if -2 <= s.sentence - segment.sentence <= 1 and s is not segment]
        for other in sorted(near, key=lambda s: (s.sentence > segment.sentence, -s.start)):
            bits = (other.bits | other.asked) & ~(other.bits >> c.REFUSED)
            verbs = [verb for bit, verb in self._vocabulary.own if other.stated & bits & bit]
            if verbs and (other.bits >> c.DONE & c.REMEDY or other.bits & STRONG_BITS):
                return None  # that is a report, or a reason
            if len(verbs) == 1:
                draft = Draft("propose", segment, verbs[0])
                draft.values = joined_values(other.values, segment.values)
                return draft
        return None

    # --- remedies ---------------------------------------------------------------------------------

    def _read_remedies(self, segment: Segment, features: int, slots: int) -> None:
        own = features & c.SPARE_REMEDY
        if segment.question and features & c.OR and own & (own - 1):  # "is it a pause or a cancellation?"
            if not slots & c.S_PREFERENCE:
                self._drafts.append(Draft("ask", segment, slot="preference"))
            return
        done = segment.bits >> c.DONE & c.REMEDY
        if features & c.OWNED and features & c.NOW and features & c.MONEY:
            done |= features & c.CREDIT
        possible_bits = features >> c.POSSIBLE & c.REMEDY
        if done and segment.question and features & (c.S_RIGHT | c.TAG) and not features & c.ACTIVE:
            possible_bits |= done  # "so that's $20 refunded to your card, correct?"
        elif done:
            self._read_done(segment, done)
        possible = self._verbs(possible_bits, features) if possible_bits else []
        if asks_consent(segment, features, bool(possible), slots):
            self._read_proposal(segment, features, slots, possible)
        elif not slots & NOT_PREFERENCE:
            self._read_statement(segment, features, possible, bool(done))

    def _read_proposal(self, segment: Segment, features: int, slots: int, possible: list[str]) -> None:
        """A yes is wanted: to what this segment names, or else to what was stated before it."""
        mentioned = possible or self._verbs(features & _NAMED, features)
        if slots & c.S_PREFERENCE or (features & c.LIKE and features & c.OR and len(mentioned) > 1):
            self._ask_preference(segment, features, slots, mentioned)
            return
        right = (
            features & c.S_RIGHT and not features & (c.MONEY | c.SPARE_REMEDY) and not names_option(segment, features)
        )
        if right or not features & (_NAMED | c.MONEY):
            mentioned = []  # a plain "return", or a refund that the customer asked for said again
        if not mentioned and asks_which(segment, features):
            self._drafts.append(Draft("ask", segment, slot="item"))
            return
        pending = [] if mentioned else self._pending(segment)
        for verb in mentioned:
            self._propose(segment, verb, features)
        for draft in pending:
            self._adopt(draft, segment)
        if features & c.TAG:
            slots &= _NOT_ELSE  # "reply yes, or tell me what else you need"
        if not mentioned and not pending and not slots and not any(draft.kind == "propose" for draft in self._drafts):
            self._ask_confirmation(segment, features)

    def _pending(self, segment: Segment) -> list[Draft]:
        """What was stated since the last proposal; what was refused only where nothing else can be meant."""
        last = max([at for at, draft in enumerate(self._drafts) if draft.kind == "propose"], default=-1)
        stated = [d for d in self._drafts[last + 1 :] if d.kind == "offer" or (d.kind == "inform" and d.verb)]
        refused = {draft.verb for draft in self._drafts if draft.kind == "refuse" and draft.verb}
        kept = [draft for draft in stated if draft.verb not in refused]
        if stated and not kept:
            due = self._due(segment)
            return stated if due is None or due.verb in refused else []
        return kept

    def _read_statement(self, segment: Segment, features: int, possible: list[str], done: bool) -> None:
        """Remedies that are possible or announced, or whose amount is told."""
        if features & c.ASK and not features & (c.MONEY | c.FIRST):
            return
        if features & c.ONLY:
            if not features & c.MONEY and features & (c.CARD | c.METHOD):
                return  # "only to the original payment method"
            if features & (c.W_WINDOW | c.WITHIN | STRONG_BITS | c.W_NOT_DELIVERED | _HINTS):
                return  # "only within 30 days"
        verbs = possible
        kinds = [value.kind for value in segment.values]
        told = names_option(segment, features) if "option" in kinds else features & (c.MONEY | c.ALTERNATIVE)
        if told and not verbs and not done and not features >> c.REFUSED & c.REMEDY:
            verbs = self._verbs(features & c.REMEDY & ~c.THING, features)
        for verb in verbs:
            self._state(segment, verb, features)

    def _state(self, segment: Segment, verb: str, features: int) -> None:
        general = (
            (features & c.GENERIC and not features & (c.MONEY | c.DEFINITE))
            or features & c.W_NOT_DELIVERED
            or not features & (_NAMED | c.MONEY)  # "you can return it"
            or (features & c.W_WINDOW and features & c.G_FINAL and not features & (c.MONEY | c.FIRST))
        )
        told = features & (c.ABLE | c.ALTERNATIVE) or (features & c.FIRST and not features & c.BUSINESS)
        draft = Draft("offer" if told and not general else "inform", segment, "" if general else verb)
        draft.values = segment.values_of(self._vocabulary.remedies[verb])
        if features & (c.ALTERNATIVE | c.INSTEAD):
            draft.marks = ALTERNATIVE
        self._drafts.append(draft)

    def _propose(self, segment: Segment, verb: str, features: int) -> None:
        draft = Draft("propose", segment, verb)
        draft.values = segment.values_of(self._vocabulary.remedies[verb])
        for earlier in self._drafts:
            if earlier.verb == verb and (earlier.kind == "offer" or earlier.kind == "inform"):
                if not features & c.MONEY:
                    draft.values = joined_values(earlier.values, draft.values)
                if not earlier.marks & ALTERNATIVE:
                    earlier.demote()
        if features & (c.ALTERNATIVE | c.INSTEAD):
            self._drafts.append(Draft("offer", segment, verb))
        self._drafts.append(draft)

    def _adopt(self, earlier: Draft, segment: Segment) -> None:
        """An earlier statement becomes the proposal that this segment asks consent for."""
        draft = Draft("propose", segment, earlier.verb)
        draft.values = joined_values(earlier.values, segment.values)
        if not earlier.marks & ALTERNATIVE:
            earlier.demote()
        self._drafts.append(draft)

    def _read_done(self, segment: Segment, done: int) -> None:
        bits = segment.bits
        if is_earlier(segment, self._vocabulary.dates_back) or self._is_state(bits, done):
            self._drafts += [
                Draft("refuse", segment, verb, ground=ground, marks=EVIDENCE) for verb, ground in self._earlier(done)
            ]
            return
        anew = bits & c.AGAIN and done & c.SPARE_REMEDY  # "your subscription is active again"
        if bits & c.HABIT and not anew and not bits & (c.NOW | c.STATE | c.ACTIVE):
            return  # "a refund is paid to the original payment method"
        if bits & c.STATE and bits & c.GENERIC and not bits & (c.MONEY | c.ACTIVE | c.DEFINITE):
            return
        marks = APPROVED if bits & c.APPROVED else 0
        for verb in self._verbs(done, bits) or [""]:
            self._drafts.append(Draft("confirm_done", segment, verb, marks=marks))

    def _is_state(self, bits: int, done: int) -> bool:
        """Whether a refusal says what state something is in: "I can't pause it, because it is paused"."""
        if not bits >> c.REFUSED & c.REMEDY or bits & (c.ACTIVE | c.NOW):
            return False
        return any([done & bit and verb in self._vocabulary.earlier for bit, verb in self._vocabulary.own])

    # --- refusals ---------------------------------------------------------------------------------

    def _read_refusal(self, segment: Segment) -> None:
        bits = segment.bits
        refused = bits >> c.REFUSED & c.REMEDY
        only = bits & c.W_NOT_DELIVERED or (bits & _HINTS and ("option", "own") in [v[::2] for v in segment.values])
        if bits & c.ONLY and only:  # "I can only refund it once it has arrived"
            refused |= bits >> c.POSSIBLE & c.REMEDY
        verb = (self._verbs(refused, bits & c.REMEDY) or [""])[0] if refused else ""
        grounds = grounds_of(segment, self._vocabulary, bool(refused), self._late, verb)
        if not grounds and (not refused or (bits & c.METHOD and not refused & c.SPARE_REMEDY)):
            return  # nothing is refused, or only another way of payment
        marks = 0 if refused else EVIDENCE
        if bits & c.GENERIC and not bits & (c.DEFINITE | c.ORDER):
            marks |= GENERAL
        self._drafts += [Draft("refuse", segment, verb, ground=ground, marks=marks) for ground in grounds or [""]]

    # --- names ------------------------------------------------------------------------------------

    def _earlier(self, done: int) -> list[tuple[str, str]]:
        """Which remedy was made on an earlier day, and the ground that it is."""
        own = [(verb, self._vocabulary.earlier.get(verb, "")) for bit, verb in self._vocabulary.own if done & bit]
        refund = ("refund", self._vocabulary.made_before("refund"))
        return [(verb, ground) for verb, ground in own if ground] or [refund]

    def _verbs(self, remedy: int, features: int) -> list[str]:
        """The remedies by name; "it" and "$20" are what the rest of the segment says they are."""
        verbs = []
        if remedy & c.SPARE_REMEDY:
            verbs = [verb for bit, verb in self._vocabulary.own if remedy & bit]
        if remedy & (c.REFUND | c.RETURN):
            verbs.append("refund")
        if remedy & c.CREDIT:
            verbs.append("store_credit")
        if remedy & c.EXCHANGE:
            verbs.append("exchange")
        if remedy & c.THING and not verbs:
            if features & c.SPARE_REMEDY:
                return [verb for bit, verb in self._vocabulary.own if features & bit]
            if features & c.CREDIT or (features & c.CREDITED and not features & (c.CARD | c.BACK)):
                return ["store_credit"]
            if features & c.EXCHANGE and not features & c.MONEY:
                return ["exchange"]
            if features & (c.REFUND | c.RETURN | c.MONEY | c.CARD):
                return ["refund"]
        return verbs
