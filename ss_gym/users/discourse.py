"""From the acts of single sentences to those of a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ss_gym.users import concepts as c
from ss_gym.users.acts import Act, ActKind, Value
from ss_gym.users.clauses import Segment

# Marks of a draft.
EVIDENCE = 1  # a refusal that is only a stated fact ("it is final sale"), without a refusing verb
GENERAL = 2  # a refusal of a whole class of items, as a policy has it
ALTERNATIVE = 4  # an offer made as an alternative, which stays an offer beside its proposal
APPROVED = 8  # done only in the sense that it is approved

_CLOSING_SLOTS = frozenset(["anything_else", "confirmation"])
_PERSONAL_SLOTS = frozenset(["email", "postal_code", "name"])


class Draft:
    """An act that later sentences may still change."""

    __slots__ = ("ground", "kind", "marks", "segment", "slot", "values", "verb")

    def __init__(
        self, kind: ActKind, segment: Segment, verb: str = "", slot: str = "", ground: str = "", marks: int = 0
    ) -> None:
        self.kind: ActKind = kind
        self.segment = segment
        self.verb = verb
        self.slot = slot
        self.ground = ground
        self.marks = marks
        self.values = segment.values

    def act(self) -> Act:
        """The finished act."""
        return Act(self.kind, self.slot, self.verb, self.ground, self.values, self.segment.sentence)

    def demote(self) -> None:
        """Keeps only the values: what was offered is proposed or done elsewhere in the message."""
        self.kind = "inform"
        self.verb = ""


def settled(drafts: list[Draft], segments: list[Segment], late: bool, wishes: frozenset[str]) -> list[Draft]:
    """The drafts of a message after they have been weighed against each other.

    Args:
        drafts: in order.
        segments: of the message.
        late: whether the message tells days since delivery beyond a window.
        wishes: the remedies that give customers what they came for.
    """
    kinds = {draft.kind for draft in drafts}
    if late and "refuse" not in kinds and not _granted(drafts, wishes):
        ago = next(segment for segment in segments if segment.days_ago >= 0)
        drafts.append(Draft("refuse", ago, ground="window", marks=EVIDENCE))
        kinds.add("refuse")
    if "refuse" in kinds:
        drafts = _kept_refusals(drafts, segments, wishes)
        drafts = _with_reasons(drafts, late)
        _demote_rules(drafts, wishes & _SENDING)
    if "confirm_done" in kinds:
        drafts = _claims(drafts)
    for draft in drafts:
        if draft.kind == "inform":
            draft.verb = ""
    return drafts


# What these grounds stand against is one option; that there are others takes nothing back.
_OF_ONE_OPTION = frozenset(("out_of_stock", "other_price"))
# What these bring is still to come: "it will arrive on Monday" is no reason against them.
_SENDING = frozenset(("exchange", "replacement"))


def _granted(drafts: list[Draft], wishes: frozenset[str]) -> list[Draft]:
    """What gives the customer what they came for."""
    return [
        draft
        for draft in drafts
        if draft.verb in wishes
        and (
            draft.kind in ("propose", "confirm_done")
            or (draft.kind == "offer" and draft.segment.bits & (c.MONEY | c.FIRST))
        )
    ]


def _kept_refusals(drafts: list[Draft], segments: Sequence[Segment], wishes: frozenset[str]) -> list[Draft]:
    """Drops general refusals beside a refund or a question, and facts that are conceded."""
    granted = _granted(drafts, wishes)
    asked = {draft.slot for draft in drafts if draft.kind == "ask"}
    asks = bool(asked - _CLOSING_SLOTS)
    last_grant = drafts.index(granted[-1]) if granted else -1
    sent = any(draft.verb in _SENDING for draft in granted)
    beside = _sentences_beside(segments, granted) | _sentences_of_reasons(drafts)
    kept = []
    for index, draft in enumerate(drafts):
        if draft.kind == "refuse" and not (granted and _is_reason(draft, drafts, granted)):
            if draft.marks & GENERAL and (asks or (granted and draft.segment.sentence not in beside)):
                continue
            if draft.ground == "not_verified" and asked & _PERSONAL_SLOTS:
                continue  # another attempt
            if draft.ground == "not_delivered" and draft.marks & EVIDENCE and sent:
                continue
            conceded = draft.marks & EVIDENCE and draft.ground not in _OF_ONE_OPTION and index < last_grant
            if conceded and not _about_another(draft, granted) and draft.segment.sentence not in beside:
                continue  # "it is final sale, but as it is damaged I can refund it"
        kept.append(draft)
    return kept


def _is_reason(draft: Draft, drafts: Sequence[Draft], granted: list[Draft]) -> bool:
    """Whether it is why another item is refused: "I can't exchange the rug. Gift cards don't qualify."."""
    if not draft.ground:
        return False
    own = any(value.kind == "title" for value in draft.values) or any(
        grant.segment.sentence == draft.segment.sentence for grant in granted
    )
    for other in drafts:
        if other.kind == "refuse" and not other.marks & (EVIDENCE | GENERAL) and _about_another(other, granted):
            distance = other.segment.sentence - draft.segment.sentence
            # "It's final sale. Since delivery was too long ago, I can't exchange it." has two reasons.
            if abs(distance) < 2 and not (other.ground and own):
                return True
    return False


def _demote_rules(drafts: Sequence[Draft], wishes: frozenset[str]) -> None:
    """What would be possible is no offer beside a refusal, unless it names an option: "one exchange is possible"."""
    if not wishes or not any(draft.kind == "refuse" and draft.ground for draft in drafts):
        return
    for draft in drafts:
        if draft.kind == "offer" and draft.verb in wishes and all(value.kind != "option" for value in draft.values):
            draft.demote()


def _sentences_beside(segments: Sequence[Segment], granted: Sequence[Draft]) -> set[int]:
    """The sentences that name nothing that is granted, and follow or precede one that is about something else only.

    "Gift cards can't be refunded. This applies to the voucher. Shall I refund the rug?"
    """
    given = _titles(value for draft in granted for value in draft.values)
    named: dict[int, set[int | str]] = {}
    for segment in segments:
        named.setdefault(segment.sentence, set()).update(_titles(segment.values))
    about = {sentence for sentence, titles in named.items() if given and titles and not titles & given}
    return {near for at in about for near in (at - 1, at, at + 1) if not named.get(near, set()) & given}


def _sentences_of_reasons(drafts: Sequence[Draft]) -> set[int]:
    """The sentences next to a refusal that names no reason: "it was exchanged. So I can't open a claim"."""
    bare = [d.segment.sentence for d in drafts if d.kind == "refuse" and not d.ground and not d.marks & GENERAL]
    return {near for at in bare for near in (at - 1, at, at + 1)}


def _titles(values: Iterable[Value]) -> set[int | str]:
    return {value.value for value in values if value.kind == "title"}


def _about_another(refusal: Draft, granted: list[Draft]) -> bool:
    """Whether a refusal names an item beside the one that is refunded."""
    refused = _titles(refusal.values)
    given = _titles(value for draft in granted for value in draft.values)
    return len(refused) > 1 or bool(given and refused - given)


def _with_reasons(drafts: list[Draft], late: bool) -> list[Draft]:
    """Joins a refusal without a reason to the reason told in a sentence near it."""
    refusals = [draft for draft in drafts if draft.kind == "refuse"]
    if late:
        for draft in refusals:
            draft.ground = draft.ground or "window"
    reasons = [draft for draft in refusals if draft.ground]
    if not reasons or len(reasons) == len(refusals):
        return drafts
    joined = set()
    for draft in refusals:
        if not draft.ground:
            sentence = draft.segment.sentence
            near = min(reasons, key=lambda reason: abs(reason.segment.sentence - sentence))
            if near.marks & EVIDENCE or len(refusals) == 2:
                near.verb = near.verb or draft.verb
                near.values = joined_values(draft.values, near.values)
                near.marks &= ~EVIDENCE
                joined.add(id(draft))
    return [draft for draft in drafts if id(draft) not in joined]


def _claims(drafts: list[Draft]) -> list[Draft]:
    """A remedy that is done is no longer offered; what is proposed and only approved is not done."""
    proposed = {draft.verb for draft in drafts if draft.kind == "propose"}
    for draft in drafts:
        if draft.kind == "confirm_done" and proposed:
            if not draft.verb or (draft.marks & APPROVED and draft.verb in proposed):
                draft.demote()
    done = {draft.verb for draft in drafts if draft.kind == "confirm_done"}
    for draft in drafts:
        if draft.kind == "offer" and draft.verb in done:
            draft.demote()
    if done - {""}:
        return [draft for draft in drafts if draft.kind != "confirm_done" or draft.verb]
    return drafts


def joined_values(first: Iterable[Value], second: Iterable[Value]) -> tuple[Value, ...]:
    """Both, each value once."""
    return tuple(dict.fromkeys((*first, *second)))
