"""From the features of segments to acts, and from acts of single sentences to those of a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from ss_gym.users import concepts as c
from ss_gym.users.acts import Act, ActKind, Slot, Value
from ss_gym.users.clauses import Segment

_SLOTS: tuple[tuple[int, Slot], ...] = (
    (c.S_ORDER, "order_id"),
    (c.S_EMAIL, "email"),
    (c.S_POSTAL, "postal_code"),
    (c.S_NAME, "name"),
    (c.S_ITEM, "item"),
    (c.S_REASON, "reason"),
    (c.S_PREFERENCE, "preference"),
    (c.S_OTHER, "other"),
)
_SOCIAL: tuple[tuple[int, ActKind], ...] = (
    (c.GREET, "greet"),
    (c.SORRY, "apologise"),
    (c.THANK, "thank"),
    (c.WAIT, "wait"),
    (c.BYE, "close"),
)
_SOCIAL_BITS = c.GREET | c.SORRY | c.THANK | c.WAIT | c.BYE
_STRONG = (
    (c.G_FINAL, "final_sale"),
    (c.G_ALREADY, "already_refunded"),
    (c.G_NOT_DELIVERED, "not_delivered"),
    (c.G_GIFT, "gift_card_item"),
    (c.G_NOT_FOUND, "not_found"),
    (c.G_NOT_VERIFIED, "not_verified"),
    (c.G_STOCK, "out_of_stock"),
    (c.G_WINDOW, "window"),
)
_STRONG_BITS = (
    c.G_FINAL | c.G_ALREADY | c.G_NOT_DELIVERED | c.G_GIFT | c.G_NOT_FOUND | c.G_NOT_VERIFIED | c.G_STOCK | c.G_WINDOW
)
_WEAK = (
    (c.W_GIFT, "gift_card_item"),
    (c.W_NOT_DELIVERED, "not_delivered"),
    (c.W_NOT_VERIFIED, "not_verified"),
    (c.W_WINDOW, "window"),
)
_PERSONAL = c.S_EMAIL | c.S_POSTAL | c.S_NAME


_FACTS = c.REMEDY | c.FACT | c.CARD | c.ORDER | c.ACCOUNT


class _Draft:
    """An act that later sentences may still change.

    Attributes:
        evidence: a refusal that is only a stated fact ("it is final sale"), with no refusing verb.
        general: a refusal of a whole class of items, such as a policy has.
        alternative: an offer made as an alternative, which stays an offer beside its proposal.
        announced: a remedy in the future, which is a proposal only if consent is asked for.
    """

    __slots__ = (
        "alternative", "announced", "evidence", "general", "ground", "kind", "segment", "slot", "values", "verb",
    )  # fmt: skip

    def __init__(self, kind: ActKind, segment: Segment, verb: str = "", slot: Slot | str = "", ground: str = "") -> None:
        self.kind: ActKind = kind
        self.segment = segment
        self.verb = verb
        self.slot = slot
        self.ground = ground
        self.values = segment.values
        self.evidence = False
        self.general = False
        self.alternative = False
        self.announced = False


class Interpretation:
    """Turns the segments of one message into acts."""

    __slots__ = ("_drafts", "_segments")

    def __init__(self, segments: list[Segment], values: Sequence[tuple[int, Value]]) -> None:
        self._segments = segments
        self._drafts: list[_Draft] = []
        if values:
            for segment in segments:
                segment.values = tuple([v for at, v in values if segment.start <= at < segment.end])
                if segment.ago >= 0:
                    segment.days_ago = next((int(v.value) for at, v in values if at >= segment.ago and v.kind == "days"), -1)

    def acts(self) -> tuple[Act, ...]:
        """The acts of the message."""
        leading = False
        for segment in self._segments:
            if not segment.item:
                leading = False
            self._read(segment, leading)
            if segment.leads and (segment.bits | segment.asked) & c.ASK:
                leading = True
        drafts = self._drafts
        if drafts:
            self._settle_refusals()
            self._settle_remedies()
        return tuple(
            [Act(d.kind, d.slot, d.verb, d.ground, d.values, d.segment.sentence) for d in self._drafts if d.kind != "drop"]
        )

    def _read(self, segment: Segment, leading: bool) -> None:
        drafts = self._drafts
        features = segment.bits | segment.asked
        if features & _SOCIAL_BITS:
            for bit, kind in _SOCIAL:
                if features & bit:
                    drafts.append(_Draft(kind, segment))
        before = len(drafts)
        slots = self._read_asks(segment, features, leading)
        if features & c.HANDOVER and features & c.HUMAN and not slots & ~c.S_ELSE:
            del drafts[before:]
            drafts.append(_Draft("transfer", segment))
        else:
            self._read_remedies(segment, features, slots)
            self._read_refusal(segment)
        if len(drafts) == before:
            if segment.question and features & c.ASK:
                self._ask_unnamed(segment)
            elif segment.values or segment.bits & _FACTS:
                drafts.append(_Draft("inform", segment))

    # --- asks -------------------------------------------------------------------------------------

    def _read_asks(self, segment: Segment, features: int, leading: bool) -> int:
        """Notes the slots that are asked for, and gives their bits."""
        if features & c.S_ELSE:
            self._drafts.append(_Draft("ask", segment, slot="anything_else"))
        slots = features & c.SLOTS or (segment.early if features & c.ASK or segment.question else 0)
        if slots == c.S_REASON and features & c.S_RIGHT:  # "you changed your mind, is that right?"
            slots = 0
        elif slots & c.S_PREFERENCE and features & (c.REFUND | c.RETURN) and not features & (c.CREDIT | c.EXCHANGE):
            slots = slots & ~c.S_PREFERENCE | c.S_ITEM  # "which one would you like to return?"
        if not slots or not (features & (c.ASK | c.PLEASE | c.CONFIRM) or segment.question or leading):
            return features & c.S_ELSE
        for bit, slot in _SLOTS:
            if slots & bit:
                self._drafts.append(_Draft("ask", segment, slot=slot))
        return slots

    def _ask_unnamed(self, segment: Segment) -> None:
        """ "Could you share it?": what the sentence before named, or else something unknown."""
        index = self._segments.index(segment)
        slots = self._segments[index - 1].bits & c.SLOTS if index else 0
        named = [slot for bit, slot in _SLOTS if slots & bit]
        for slot in named or ["other"]:
            self._drafts.append(_Draft("ask", segment, slot=slot))

    # --- remedies ---------------------------------------------------------------------------------

    def _read_remedies(self, segment: Segment, features: int, slots: int) -> None:
        done = segment.bits >> c.DONE & c.REMEDY
        possible_bits = features >> c.POSSIBLE & c.REMEDY
        if done and segment.question and features & (c.S_RIGHT | c.TAG) and not features & c.ACTIVE:
            possible_bits |= done  # "so that's $20 refunded to your card, correct?"
        elif done:
            self._read_done(segment, done)
        possible = _verbs(possible_bits, features)
        if not _asks_consent(segment, features, bool(possible), slots):
            self._read_statement(segment, features, possible, bool(done), slots)
            return
        mentioned = possible or _verbs(features & c.REMEDY & ~(c.THING | c.RETURN), features)
        if slots & c.S_PREFERENCE or (features & c.LIKE and features & c.OR and len(mentioned) > 1):
            if features & c.MONEY:
                for verb in mentioned:
                    self._state(segment, verb, features)
            if not slots & c.S_PREFERENCE:
                self._drafts.append(_Draft("ask", segment, slot="preference"))
            return
        only_return = not features & (c.REFUND | c.CREDIT | c.EXCHANGE | c.MONEY)
        if features & c.S_RIGHT and not features & c.MONEY:
            mentioned = []
        pending = self._pending()
        if mentioned and not only_return:
            for verb in mentioned:
                self._propose(segment, verb, features)
        elif pending:
            for draft in pending:
                self._adopt(draft, segment)
        elif not any(draft.kind == "propose" for draft in self._drafts):
            self._ask_confirmation(segment, features)

    def _ask_confirmation(self, segment: Segment, features: int) -> None:
        """A yes is wanted, and no remedy was named; an amount told before is one of a refund."""
        amounts = [s for s in self._segments if s.sentence <= segment.sentence and (s.bits | s.asked) & c.MONEY]
        if amounts and features & (c.CONSENT | c.TAG | c.FINE):
            mentions = reduce(or_, (s.bits | s.asked for s in amounts))
            for verb in _verbs(c.THING, mentions):
                draft = _Draft("propose", segment, verb)
                for amount in amounts:
                    draft.values = _joined(amount.values, draft.values)
                self._drafts.append(draft)
        elif features & (c.CONSENT | c.CONFIRM | c.S_RIGHT | c.LIKE) or segment.question:
            titles = sum(value.kind == "title" for value in segment.values)
            either = segment.question and features & c.OR and titles > 1
            self._drafts.append(_Draft("ask", segment, slot="item" if either else "confirmation"))

    def _read_statement(self, segment: Segment, features: int, possible: list[str], done: bool, slots: int) -> None:
        """Remedies that are possible or announced, or whose amount is told."""
        if features & c.ASK and not features & (c.MONEY | c.FIRST):
            return
        if features & c.ONLY and not features & c.MONEY and features & (c.CARD | c.METHOD):
            return  # "only to the original payment method"
        if features & c.ONLY and features & (c.W_WINDOW | c.WITHIN | _STRONG_BITS | c.W_NOT_DELIVERED):
            return
        verbs = possible
        if not verbs and not done and not features >> c.REFUSED & c.REMEDY and features & (c.MONEY | c.ALTERNATIVE):
            verbs = _verbs(features & c.REMEDY & ~c.THING, features)
        if slots & ~c.S_PREFERENCE:
            return
        for verb in verbs:
            self._state(segment, verb, features)

    def _pending(self) -> list[_Draft]:
        return [d for d in self._drafts if d.kind == "offer" or (d.kind == "inform" and d.verb)]

    def _state(self, segment: Segment, verb: str, features: int) -> None:
        general = features & c.GENERIC and not features & (c.MONEY | c.DEFINITE)
        general |= features & c.W_NOT_DELIVERED
        general |= not features & (c.REFUND | c.CREDIT | c.EXCHANGE | c.MONEY)  # "you can return it"
        told = features & (c.ABLE | c.ALTERNATIVE) or (features & c.FIRST and not features & c.BUSINESS)
        draft = _Draft("offer" if told and not general else "inform", segment, "" if general else verb)
        draft.alternative = bool(features & (c.ALTERNATIVE | c.INSTEAD))
        self._drafts.append(draft)

    def _propose(self, segment: Segment, verb: str, features: int) -> None:
        draft = _Draft("propose", segment, verb)
        for earlier in self._drafts:
            if earlier.verb == verb and (earlier.kind == "offer" or earlier.kind == "inform"):
                if not features & c.MONEY:
                    draft.values = _joined(earlier.values, draft.values)
                if not earlier.alternative:
                    earlier.kind = "inform"
                    earlier.verb = ""
        if features & (c.ALTERNATIVE | c.INSTEAD):
            self._drafts.append(_Draft("offer", segment, verb))
        self._drafts.append(draft)

    def _adopt(self, earlier: _Draft, segment: Segment) -> None:
        """An earlier statement becomes the proposal that this segment asks consent for."""
        draft = _Draft("propose", segment, earlier.verb)
        draft.values = _joined(earlier.values, segment.values)
        if not earlier.alternative:
            earlier.kind = "inform"
            earlier.verb = ""
        self._drafts.append(draft)

    def _read_done(self, segment: Segment, done: int) -> None:
        bits = segment.bits
        if _is_earlier(segment):
            draft = _Draft("refuse", segment, "refund", ground="already_refunded")
            draft.evidence = True
            self._drafts.append(draft)
            return
        if bits & c.HABIT and not bits & (c.NOW | c.STATE | c.ACTIVE):
            return
        if bits & c.STATE and bits & c.GENERIC and not bits & (c.MONEY | c.ACTIVE | c.DEFINITE):
            return
        for verb in _verbs(done, bits) or [""]:
            draft = _Draft("confirm_done", segment, verb)
            draft.announced = bool(bits & c.APPROVED)
            self._drafts.append(draft)

    # --- refusals ---------------------------------------------------------------------------------

    def _read_refusal(self, segment: Segment) -> None:
        bits = segment.bits
        refused = bits >> c.REFUSED & c.REMEDY
        if bits & c.ONLY and bits & c.W_NOT_DELIVERED:  # "I can only refund it once it has arrived"
            refused |= bits >> c.POSSIBLE & c.REMEDY
        grounds = self._grounds(segment, bool(refused))
        if bits & c.METHOD and refused and not grounds:
            return  # not the refund is refused, but another way of payment
        if not refused and not grounds:
            return
        verb = (_verbs(refused, bits & c.REMEDY) or [""])[0] if refused else ""
        for ground in grounds or [""]:
            draft = _Draft("refuse", segment, verb, ground=ground)
            draft.evidence = not refused
            draft.general = bool(bits & c.GENERIC and not bits & (c.DEFINITE | c.ORDER))
            self._drafts.append(draft)

    def _grounds(self, segment: Segment, refused: bool) -> list[str]:
        bits = segment.bits
        if bits & c.OUTSIDE and bits & c.W_WINDOW and not bits & c.BUSINESS:
            bits |= c.G_WINDOW
        if bits & c.LOST:
            order = bits & (c.ORDER | c.S_ORDER) or not bits & (c.ACCOUNT | _PERSONAL)
            bits |= c.G_NOT_FOUND if order else c.G_NOT_VERIFIED
        if bits & c.UNMATCHED:
            order = bits & (c.ORDER | c.S_ORDER) and not bits & _PERSONAL
            bits |= c.G_NOT_FOUND if order else c.G_NOT_VERIFIED
        if bits & c.EXISTED and (bits & c.ALREADY or any(value.kind == "date" for value in segment.values)):
            bits |= c.G_ALREADY
        if bits & c.VERIFY and bits & c.FAILED:
            bits |= c.G_NOT_VERIFIED
        if refused and bits & c.AGAIN and not bits & _STRONG_BITS:
            bits |= c.G_ALREADY
        if 0 <= segment.days_ago and any(
            v.kind == "days" and v.owner == "policy" and int(v.value) < segment.days_ago for v in segment.values
        ):
            bits |= c.G_WINDOW
        if not bits & _STRONG_BITS:
            if refused and not self._is_late():
                return [ground for bit, ground in _WEAK if bits & bit][:1]
            return []
        return [ground for bit, ground in _STRONG if bits & bit]

    # --- the whole message ------------------------------------------------------------------------

    def _settle_refusals(self) -> None:
        """Joins refusals with their reasons; drops general ones beside a remedy, and conceded facts."""
        drafts = self._drafts
        granted = [
            d
            for d in drafts
            if d.verb == "refund"
            and (d.kind in ("propose", "confirm_done") or (d.kind == "offer" and d.segment.bits & (c.MONEY | c.FIRST)))
        ]
        asks = any(d.kind == "ask" and d.slot not in ("anything_else", "confirmation") for d in drafts)
        asks_who = any(d.slot in ("email", "postal_code", "name") for d in drafts)
        refusals = [d for d in drafts if d.kind == "refuse"]
        for draft in refusals:
            if draft.general and (granted or asks) or draft.ground == "not_verified" and asks_who:
                draft.kind = "drop"
            elif draft.evidence and draft.ground != "out_of_stock" and any(drafts.index(g) > drafts.index(draft) for g in granted):
                draft.kind = "drop"
        refusals = [d for d in refusals if d.kind == "refuse"]
        if self._is_late():
            for draft in refusals:
                draft.ground = draft.ground or "window"
            if not refusals and not granted:
                ago = next(segment for segment in self._segments if segment.days_ago >= 0)
                refusals.append(_Draft("refuse", ago, ground="window"))
                drafts.append(refusals[0])
        reasons = [d for d in refusals if d.ground]
        for draft in refusals:
            if not draft.ground and reasons:
                near = min(reasons, key=lambda d: abs(d.segment.sentence - draft.segment.sentence))
                if near.evidence or len(refusals) == 2:
                    near.verb = near.verb or draft.verb
                    near.values = _joined(draft.values, near.values)
                    near.evidence = False
                    draft.kind = "drop"

    def _is_late(self) -> bool:
        """Whether "45 days ago" and a shorter window of the policy are told, in whatever sentences."""
        ago = max((segment.days_ago for segment in self._segments), default=-1)
        return any(
            value.kind == "days" and value.owner == "policy" and int(value.value) < ago
            for segment in self._segments
            if segment.bits & c.W_WINDOW and not segment.bits & c.BUSINESS
            for value in segment.values
        )

    def _settle_remedies(self) -> None:
        """A remedy that is done is no longer offered; what was only approved is not done yet."""
        drafts = self._drafts
        proposed = {d.verb for d in drafts if d.kind == "propose"}
        for draft in drafts:
            if draft.kind == "confirm_done" and proposed and (not draft.verb or draft.announced and draft.verb in proposed):
                draft.kind = "inform"
                draft.verb = ""
        done = {d.verb for d in drafts if d.kind == "confirm_done"}
        for draft in drafts:
            if draft.kind in ("offer", "inform") and draft.verb:
                if draft.kind == "inform" or draft.verb in done:
                    draft.kind = "inform"
                    draft.verb = ""
            elif draft.kind == "confirm_done" and not draft.verb and done != {""}:
                draft.kind = "drop"


def _verbs(remedy: int, features: int) -> list[str]:
    """The remedies by name; "it" and "$20" are what the rest of the segment says they are."""
    verbs = []
    if remedy & (c.REFUND | c.RETURN):
        verbs.append("refund")
    if remedy & c.CREDIT:
        verbs.append("store_credit")
    if remedy & c.EXCHANGE:
        verbs.append("exchange")
    if remedy & c.THING and not verbs:
        if features & c.CREDIT:
            return ["store_credit"]
        if features & c.CREDITED and not features & (c.CARD | c.BACK):
            return ["store_credit"]
        if features & c.EXCHANGE and not features & c.MONEY:
            return ["exchange"]
        if features & (c.REFUND | c.RETURN | c.MONEY | c.CARD):
            return ["refund"]
    return verbs


def _asks_consent(segment: Segment, features: int, possible: bool, slots: int) -> bool:
    """Whether a segment asks the customer for a yes."""
    if features & (c.CONSENT | c.TAG):
        return True
    if slots & ~c.S_PREFERENCE:
        return False
    if features & (c.CONFIRM | c.LIKE | c.S_RIGHT) or (features & c.FINE and features & c.PLEASE):
        return True
    if segment.question and segment.asked & (c.REFUND | c.CREDIT) and segment.asked & c.MONEY:
        return True
    if segment.question and (possible or segment.asked & c.FINE):
        return True
    return bool(features & c.WISH and (possible or features & c.ASK))


def _is_earlier(segment: Segment) -> bool:
    """Whether a completed action is one of the past, not one of just now."""
    bits = segment.bits
    dated = any(value.kind == "date" for value in segment.values)
    if bits & c.RECEIVED and not bits & c.NOW:
        return True
    if bits & c.ALREADY:
        return dated or not bits & c.ACTIVE or not bits & c.MONEY
    return dated and not bits & (c.NOW | c.BUSINESS | c.ACTIVE)


def _joined(first: Iterable[Value], second: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys((*first, *second)))
