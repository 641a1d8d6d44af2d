"""How the customer says it: acts to text, by templates that differ between the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from ss_gym.scenario_files import field_error, read_yaml
from ss_gym.streams import Stream
from ss_gym.users.acts import CustomerAct
from ss_gym.users.noise import add_noise, group_digits
from ss_gym.users.persona import Persona
from ss_gym.users.phrases import SOURCES, Line, PhraseBook, case_of
from ss_gym.users.templates import Program, expand, specialise

_FILE = "phrases.yaml"

# Several acts in one message come in this order: reaction, facts, questions, goodbye.
_RANKS: dict[str, int] = {
    **dict.fromkeys(("greet_only", "open", "yes", "no", "yes_amount", "silence"), 0),
    **dict.fromkeys(("give_name", "give_email", "give_postal_code", "give_order_id", "no_order_id"), 1),
    **dict.fromkeys(("ask_when_money", "ask_amount_back", "ask_delivery_date", "ask_refund_date", "tangent"), 3),
    "hurry": 4,
    "nothing_else": 5,
    "thanks": 6,
    **dict.fromkeys(("bye_happy", "bye_unhappy", "give_up"), 7),
}
_MIDDLE = 2

# Short facts that are joined by "and" instead of standing as a sentence each.
_FACTS = frozenset(("give_name", "give_email", "give_postal_code", "give_order_id"))
_JOINTS = (" and ", ", ", ", ", " and ")

_WITH_REMARK = frozenset(
    (
        *("open", "give_reason", "give_item", "no_order_id", "no_fact"),
        *("ask_why", "push_back", "ask_when_money", "still_waiting"),
    )
)
_REMARK = 400  # of 1,024, for the most talkative
_GROUPING = 4.0  # an order number is written in two groups with this many times the noise rate


class Wording:
    """The phrases of one family; one instance serves any number of environments.

    Args:
        book: the family's phrases.
    """

    def __init__(self, book: PhraseBook) -> None:
        self._book = book
        self._speakers: dict[tuple[str, str], _Speaker] = {}

    @classmethod
    def load(cls, family: str) -> Wording:
        """The wording of a family, from its ``phrases.yaml``; read once a process.

        Raises:
            FileNotFoundError: if the family has no such file.
            ValueError: if the file is malformed; the message names file, entry and template.
        """
        return _load(family)

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
        alone = len(acts) == 1
        if not alone:
            acts = sorted(acts, key=_rank)
        noise = persona.noise
        lowered = persona.channel == "chat" and (persona.register == "curt" or persona.hurried)
        text = ""
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
                text = _joined(text, phrase if lowered else _capitalised(phrase, slots))
            after_fact = is_fact
        text = _framed(text, acts[0].kind, stream, persona, speaker, lowered)
        if not noise:
            return text
        protected = {word for act in acts for value in act.slots.values() for word in value.split()}
        return add_noise(text, noise, stream, protected)

    def _speaker(self, split: str, register: str) -> _Speaker:
        if split not in SOURCES:
            raise ValueError(f"unknown split {split!r}: use one of {', '.join(SOURCES)}")
        return self._speakers.setdefault((split, register), _Speaker(self._book, split, register))


@lru_cache(maxsize=32)
def _load(family: str) -> Wording:
    return Wording(PhraseBook(read_yaml(family, _FILE), partial(field_error, family, _FILE)))


class _Speaker:
    """The phrases of one split in one register, specialised on first use and kept."""

    def __init__(self, book: PhraseBook, split: str, register: str) -> None:
        self._book = book
        self._split = split
        self._register = register
        self._pools: dict[tuple[object, ...], tuple[Program, ...]] = {}

    def phrase(self, kind: str, slots: Mapping[str, str], alone: bool, bits: int) -> str:
        """One act in words, without capital and full stop."""
        key: tuple[object, ...] = (kind, alone)
        if slots:
            item = slots.get("item")
            plural = item is not None and _is_plural(item)
            told = tuple([name for name, value in slots.items() if value])
            key = (kind, alone, plural, told, slots.get("reason"), slots.get("remedy"))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._act_pool(kind, slots, alone)
        return _drawn(pool, slots, bits)

    def part(self, name: str, bits: int) -> str:
        """A part that has no slots."""
        pool = self._pools.get((name,))
        if pool is None:
            lines = self._book.parts[name].lines(self._split, self._register)
            pool = self._pools[(name,)] = self._programs(lines, {}, frozenset())
        return _drawn(pool, {}, bits)

    def _act_pool(self, kind: str, slots: Mapping[str, str], alone: bool) -> tuple[Program, ...]:
        entry = self._book.acts.get(case_of(self._book.acts, kind, slots))
        if entry is None:
            raise ValueError(f"no phrases for the customer act {kind!r} with the slots {dict(slots)}")
        told = frozenset(name for name, value in slots.items() if value and name in entry.slots)
        for name, optional in entry.slots.items():
            if not optional and name not in told:
                raise ValueError(f"the customer act {kind!r} needs the slot {name!r}, given are {dict(slots)}")
        lines = entry.lines(self._split, self._register, alone)
        usable = [line for line in lines if self._book.mentions_of(line.template).fits(told)]
        return self._programs(usable, slots, told)

    def _programs(self, lines: Sequence[Line], slots: Mapping[str, str], told: frozenset[str]) -> tuple[Program, ...]:
        plural = _is_plural(slots.get("item", ""))

        def programs_of(name: str) -> tuple[Program, ...]:
            entry = self._book.parts[case_of(self._book.parts, name, slots)]
            return self._programs(entry.lines(self._split, self._register), slots, told)

        return tuple(specialise(line.template, told, plural, programs_of) for line in lines)


def _drawn(pool: tuple[Program, ...], slots: Mapping[str, str], bits: int) -> str:
    bits, index = divmod(bits, len(pool))
    pieces: list[str] = []
    expand(pool[index], slots, bits, pieces)
    return "".join(pieces)


def _framed(text: str, kind: str, stream: Stream, persona: Persona, speaker: _Speaker, lowered: bool) -> str:
    """Adds what carries no fact: a remark, the last full stop, a greeting and thanks."""
    bits = stream.bits()
    letter = persona.channel == "email"
    if kind in _WITH_REMARK and (bits & 1023) < _REMARK * persona.verbosity:
        remark = speaker.part("hurried" if persona.hurried else "remark", bits >> 10 & 0xFFFFF)
        text = _joined(text, remark if lowered else _capitalised(remark, {}))
    if not lowered and text[-1] not in ".!?" and "@" not in text[text.rfind(" ") :]:
        text += "."
    if kind != "open":
        return text
    if letter or (bits >> 30 & 1023) < 350 + 600 * persona.verbosity:
        hello = speaker.part("hello", bits >> 40)
        text = f"{hello if lowered else _capitalised(hello, {})}{chr(10) if letter else ' '}{text}"
    return f"{text}\n{_capitalised(speaker.part('signoff', stream.bits()), {})}" if letter else text


def _rank(act: CustomerAct) -> int:
    return _RANKS.get(act.kind, _MIDDLE)


def _joined(before: str, sentence: str) -> str:
    if not before:
        return sentence
    return f"{before} {sentence}" if before[-1] in ".!?" else f"{before}. {sentence}"


def _capitalised(text: str, slots: Mapping[str, str]) -> str:
    """Starts each sentence with a capital, unless it starts with a value."""
    if text[0].islower() and not any(value and text.startswith(value) for value in slots.values()):
        text = text[0].upper() + text[1:]
    for mark in (". ", "? ", "! "):
        if mark in text:
            text = mark.join([part[:1].upper() + part[1:] for part in text.split(mark)])
    return text


def _is_plural(item: str) -> bool:
    """Whether a reader would say "they" of it: several titles, or one like "Wool Socks"."""
    return " and " in item or (item.endswith("s") and not item.endswith(("ss", "us", "is")))
