"""How the customer says it: acts to text, by templates that differ between the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.streams import Stream
from ss_gym.users.acts import CustomerAct
from ss_gym.users.noise import add_noise, group_digits
from ss_gym.users.persona import Persona
from ss_gym.users.phrases import CASE_SLOTS, SOURCES, PhraseBook, case_of
from ss_gym.users.templates import Situation, Template, expand

_FILE = "phrases.yaml"
_SHARED = "world"  # what the customers of every family say
_BASE = "as"  # the key that names another family whose customers' words these go before

# Several acts in one message come in this order: reactions, facts, questions, haste, goodbye.
_RANKS: dict[str, int] = {
    **dict.fromkeys(("give_name", "give_email", "give_postal_code", "give_order_id", "no_order_id"), 1),
    **dict.fromkeys(("give_item", "give_reason", "plain_reason", "no_fact", "prefer", "prefer_option"), 1),
    **dict.fromkeys(("ask_amount", "ask_option", "ask_when_money", "ask_amount_back"), 2),
    **dict.fromkeys(("ask_delivery_date", "ask_refund_date", "ask_alternative", "tangent", "impossible"), 2),
    "hurry": 3,
    "nothing_else": 4,
    "thanks": 5,
    **dict.fromkeys(("bye_happy", "bye_unhappy", "give_up"), 6),
}

# Answers of a few words: several are joined by "and", and "sure, …" may come before the first.
_FACTS = frozenset(("give_name", "give_email", "give_postal_code", "give_order_id"))
_JOINTS = (" and ", ", ", ", ", " and ")

_WITH_REMARK = frozenset(
    (
        *("open", "give_reason", "give_item", "no_order_id", "no_fact"),
        *("ask_why", "push_back", "ask_when_money", "still_waiting"),
    )
)
_REMARK = 400  # of 1,024, for the most talkative
_ASSENT = 700  # of 1,024, for the most talkative
_GREETING = 150  # of 1,024, for the least talkative
_MARKS = (".", "!", "?")
_SENTENCE_ENDS = (". ", "? ", "! ")
_GROUPING = 3.0  # an order number is written in two groups with this many times the noise rate


class Wording:
    """The phrases of one family; one instance serves any number of environments.

    Args:
        book: the family's phrases.
    """

    def __init__(self, book: PhraseBook) -> None:
        self._book = book
        self._speakers: dict[tuple[str, str], _Speaker] = {}

    @classmethod
    def load(cls, family: str, over: str = "") -> Wording:
        """The wording of a family, from its ``phrases.yaml`` and the one that all share; read once a process.

        Args:
            family: the family.
            over: another family whose customers' words these go before.

        Raises:
            FileNotFoundError: if the family has no such file.
            ValueError: if the file is malformed; the message names file, entry and template.
        """
        return _load(family, over)

    def has(self, act: str) -> bool:
        """Whether there are phrases for an act, or for a case of one: ``open/pause``."""
        return act in self._book.acts

    def say(self, acts: Sequence[CustomerAct], stream: Stream, persona: Persona, split: str) -> str:
        """Words one message.

        Args:
            acts: what the customer does, at least one act.
            stream: the source of randomness; equal streams give equal words.
            persona: how the customer writes.
            split: whose templates are used: ``"train"``, ``"dev"`` or ``"test"``.

        Raises:
            ValueError: on an unknown act or split, or a slot that is missing.
        """
        speaker = self._speakers.get((split, persona.register)) or self._speaker(split, persona.register)
        noise = persona.noise
        lowered = persona.channel == "chat" and (persona.register == "curt" or persona.hurried)
        frame = stream.bits()
        joint = "\n" if lowered and not frame & 7 else " "
        alone = len(acts) == 1
        if not alone:
            acts = sorted(acts, key=_rank)
        text = _beginning(frame >> 3, acts[0].kind, persona, speaker, lowered)
        after_fact = False
        for act in acts:
            slots = act.slots
            if noise and "order_id" in slots and stream.chance(min(0.5, _GROUPING * noise)):
                slots = {**slots, "order_id": group_digits(slots["order_id"])}
            bits = stream.bits()
            phrase = speaker.phrase(act.kind, slots, alone, bits >> 2)
            is_fact = act.kind in _FACTS
            if is_fact and after_fact:
                text += _JOINTS[bits & 3] + phrase
            else:
                text = _appended(text, phrase, slots, lowered, joint)
            after_fact = is_fact
        text = _closing(text, frame >> 30, acts, persona, speaker, lowered)
        if not noise:
            return text
        protected = {word for act in acts for value in act.slots.values() for word in value.split()}
        return add_noise(text, noise, stream, protected)

    def _speaker(self, split: str, register: str) -> _Speaker:
        if split not in SOURCES:
            raise ValueError(f"unknown split {split!r}: use one of {', '.join(SOURCES)}")
        return self._speakers.setdefault((split, register), _Speaker(self._book, split, register))


@lru_cache(maxsize=32)
def _load(family: str, over: str) -> Wording:
    own = read_yaml(family, _FILE)
    files = {family: own}
    # A family without a policy of its own serves the customers of another, who say what those say.
    base = over or (own.get(_BASE, "") if isinstance(own, dict) else "")
    for name in (base, _SHARED):
        if name:
            files[name] = read_yaml(name, _FILE)
    try:
        document = {
            section: {key: entry for name in reversed(files) for key, entry in files[name].get(section, {}).items()}
            for section in own
            if section != _BASE
        }
    except (AttributeError, TypeError):
        document = own  # no mappings of entries: the book says what is wrong

    def fault(field: Sequence[str | int], problem: str) -> ValueError:
        owner = family
        if len(field) > 1:
            owner = next(name for name in files if field[1] in files[name].get(field[0], {}))
        return field_error(owner, _FILE, field, problem)

    return Wording(PhraseBook(document, fault))


class _Pool(NamedTuple):
    """What may be said in one situation: each template is as likely as the others."""

    templates: tuple[Template, ...]
    situation: Situation

    def drawn(self, slots: Mapping[str, str], bits: int) -> str:
        """One of the templates, with the values filled in."""
        bits, index = divmod(bits, len(self.templates))
        pieces: list[str] = []
        expand(self.templates[index], slots, self.situation, bits, pieces)
        return "".join(pieces)


class _Speaker:
    """The phrases of one split in one register, sorted by situation on first use and kept."""

    def __init__(self, book: PhraseBook, split: str, register: str) -> None:
        self._book = book
        self._split = split
        self._register = register
        self._pools: dict[tuple[object, ...], _Pool] = {}
        self._parts: dict[str, tuple[Template, ...]] = {}
        self._bare = Situation(frozenset(), False, _Parts(self, {}))

    def phrase(self, kind: str, slots: Mapping[str, str], alone: bool, bits: int) -> str:
        """One act in words, without capital and full stop."""
        key: tuple[object, ...] = (kind, alone)
        if slots:
            item = slots.get("item")
            plural = item is not None and _is_plural(item)
            told = tuple(slots) if all(slots.values()) else tuple([name for name, value in slots.items() if value])
            key = (kind, alone, plural, told, *map(slots.get, CASE_SLOTS))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._pool(kind, slots, alone)
        return pool.drawn(slots, bits)

    def part(self, name: str, bits: int) -> str:
        """A part that has no slots."""
        return _Pool(self._bare.parts[name], self._bare).drawn({}, bits)

    def part_templates(self, name: str, slots: Mapping[str, str]) -> tuple[Template, ...]:
        """The alternatives of a part, for the reason or remedy told."""
        case = case_of(self._book.parts, name, slots)
        if case not in self._parts:
            lines = self._book.parts[case].lines(self._split, self._register)
            self._parts[case] = tuple([line.template for line in lines])
        return self._parts[case]

    def _pool(self, kind: str, slots: Mapping[str, str], alone: bool) -> _Pool:
        entry = self._book.acts.get(case_of(self._book.acts, kind, slots))
        if entry is None:
            raise ValueError(f"no phrases for the customer act {kind!r} with the slots {dict(slots)}")
        told = frozenset(name for name, value in slots.items() if value and name in entry.slots)
        for name, optional in entry.slots.items():
            if not optional and name not in told:
                raise ValueError(f"the customer act {kind!r} needs the slot {name!r}, given are {dict(slots)}")
        lines = entry.lines(self._split, self._register, alone)
        usable = [line.template for line in lines if self._book.mentions_of(line).fits(told)]
        cases = {name: slots[name] for name in CASE_SLOTS if name in slots}
        return _Pool(tuple(usable), Situation(told, _is_plural(slots.get("item", "")), _Parts(self, cases)))


class _Parts(dict[str, tuple[Template, ...]]):
    """The alternatives of each part in one case, found on first use."""

    def __init__(self, speaker: _Speaker, cases: Mapping[str, str]) -> None:
        self._speaker = speaker
        self._cases = cases

    def __missing__(self, name: str) -> tuple[Template, ...]:
        found = self[name] = self._speaker.part_templates(name, self._cases)
        return found


def _beginning(bits: int, kind: str, persona: Persona, speaker: _Speaker, lowered: bool) -> str:
    """The words before the first act: a greeting, "sure," or none."""
    letter = persona.channel == "email"
    if kind == "open":
        if not letter and (bits & 1023) >= _GREETING + 750 * persona.verbosity:
            return ""
        hello = speaker.part("hello", bits >> 10 & 0xFFFF)
        return (hello if lowered else _capitalised(hello, {})) + ("\n" if letter else "")
    if kind in _FACTS and (bits & 1023) < _ASSENT * persona.verbosity:
        sure = speaker.part("sure", bits >> 10 & 0xFFFF)
        return sure if lowered else _capitalised(sure, {})
    return ""


def _closing(
    text: str, bits: int, acts: Sequence[CustomerAct], persona: Persona, speaker: _Speaker, lowered: bool
) -> str:
    """Adds what carries no fact at the end: a remark, the last mark, the signature of a letter."""
    signed = persona.channel == "email" and acts[0].kind == "open"
    remarks = len(acts) == 1 and not signed and acts[0].kind in _WITH_REMARK
    if remarks and (bits & 1023) < _REMARK * persona.verbosity:
        text = _appended(text, speaker.part("hurried" if persona.hurried else "remark", bits >> 10), {}, lowered, " ")
    if not lowered and text[-1] not in _MARKS and "@" not in text[text.rfind(" ") + 1 :]:
        text += "!" if persona.register == "upset" and bits & 1 else "."
    if signed:
        text = f"{text}\n{_capitalised(speaker.part('signoff', bits >> 10), {})}"
    return text


def _rank(act: CustomerAct) -> int:
    return _RANKS.get(act.kind, 0)


def _appended(text: str, sentence: str, slots: Mapping[str, str], lowered: bool, joint: str) -> str:
    """The text with one more sentence after it."""
    last = text[-1:]
    if not lowered:
        sentence = _capitalised(sentence, slots, first=last != ",")
    if last in ("", "\n"):
        return text + sentence
    if last == "," or last in _MARKS:
        return f"{text}{joint}{sentence}"
    return f"{text}{joint}{sentence}" if joint == "\n" else f"{text}. {sentence}"


def _capitalised(text: str, slots: Mapping[str, str], first: bool = True) -> str:
    """Starts each sentence with a capital, unless it starts with a value."""
    if first and text[0].islower() and not _starts_with_value(text, slots):
        text = text[0].upper() + text[1:]
    for mark in _SENTENCE_ENDS:
        if mark in text:
            head, *rest = text.split(mark)
            text = mark.join([head, *[part[:1].upper() + part[1:] for part in rest]])
    return text


def _starts_with_value(text: str, slots: Mapping[str, str]) -> bool:
    for name, value in slots.items():
        if value and text.startswith(value) and name not in CASE_SLOTS:
            return True
    return False


def _is_plural(item: str) -> bool:
    """Whether a reader would say "they" of it: several titles, or one like "wool socks"."""
    return " and " in item or (item.endswith("s") and not item.endswith(("ss", "us", "is")))
