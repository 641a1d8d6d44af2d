"""What the features mean in one family: the names of its remedies, slots and grounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, get_args

from ss_gym.spelling import nearest
from ss_gym.users import concepts as c
from ss_gym.users.acts import ValueKind

NO_WISH = "none"  # of customers who only want to know something

_SLOTS: Mapping[int, str] = {
    c.S_ORDER: "order_id",
    c.S_EMAIL: "email",
    c.S_POSTAL: "postal_code",
    c.S_NAME: "name",
    c.S_ITEM: "item",
    c.S_REASON: "reason",
    c.S_PREFERENCE: "preference",
    c.S_OTHER: "other",
}
_GROUNDS = (
    (c.G_FINAL, "final_sale"),
    (c.G_ALREADY, "already_refunded"),
    (c.G_NOT_DELIVERED, "not_delivered"),
    (c.G_GIFT, "gift_card_item"),
    (c.G_NOT_FOUND, "not_found"),
    (c.G_NOT_VERIFIED, "not_verified"),
    (c.G_STOCK, "out_of_stock"),
    (c.G_WINDOW, "window"),
)
_COMMON_GROUNDS = frozenset(name for name, bit in c.BITS.items() if bit in dict(_GROUNDS))
_HINTS = (
    (c.W_GIFT, "gift_card_item"),
    (c.W_NOT_DELIVERED, "not_delivered"),
    (c.W_NOT_VERIFIED, "not_verified"),
    (c.W_WINDOW, "window"),
)
# "Again" stands for G_ALREADY, which can be called something else but not be left out.
_LEFT_OUT = sorted(name for name, bit in c.BITS.items() if bit in dict(_GROUNDS + _HINTS) and bit != c.G_ALREADY)
# How many words may follow each kind of name.
_MOST_WORDS: Mapping[str, int] = {"remedy": 2, "slot": 9, "ground": 1, "event": 1}
_VALUES = frozenset(get_args(ValueKind))
_REMEDIES: Mapping[str, int] = {"refund": c.REFUND | c.RETURN, "store_credit": c.CREDIT, "exchange": c.EXCHANGE}

NOTHING = "nothing"  # what the date beside a denied event is the date of


class Vocabulary(NamedTuple):
    """Names for the features.

    Attributes:
        bits: the names that the headings of the lexicon may use.
        remedies: the bits of each remedy.
        own: the remedies that only this family has, as (bit, name).
        slots: what can be asked for, by bit.
        answers: kinds of value that answer a question for a slot, by its bit: a question that names one asks
            whether it is right.
        details: the bits of these slots.
        grounds: reasons of refusal, as (bit, name).
        hints: what only explains a refusal that is there, as (bit, ground).
        earlier: the ground that a remedy is if it was made on an earlier day.
        wishes: the remedies that give customers what they came for.
        again: the ground that a refusal to do something "again" is, where the thing has no ``earlier``.
        periods: grounds whose hint names a time; what is said to be outside of it is refused for that ground.
        already: the own grounds that are a state, as bits: their hints count beside "already", too.
        dates_back: whether a date beside a completed action is that of an earlier day.
        events: what a date can be the date of, by bit.
    """

    bits: Mapping[str, int] = c.BITS
    remedies: Mapping[str, int] = _REMEDIES
    own: tuple[tuple[int, str], ...] = ()
    slots: Mapping[int, str] = _SLOTS
    answers: tuple[tuple[int, frozenset[str]], ...] = ()
    details: int = 0
    grounds: tuple[tuple[int, str], ...] = _GROUNDS
    hints: tuple[tuple[int, str], ...] = _HINTS
    earlier: Mapping[str, str] = {}
    wishes: frozenset[str] = frozenset(("refund",))
    again: str = "already_refunded"
    periods: tuple[int, ...] = ()
    already: int = 0
    dates_back: bool = True
    events: Mapping[int, str] = {}

    def made_before(self, verb: str) -> str:
        """The ground that a remedy is if it was made on an earlier day."""
        if verb in ("refund", "store_credit") and any(ground == "already_refunded" for _, ground in self.grounds):
            return "already_refunded"
        return self.earlier.get(verb, self.again)


def named(
    names: Mapping[str, str],
    wishes: frozenset[str] = Vocabulary().wishes,
    without: frozenset[str] = frozenset(),
    dates_back: bool = True,
) -> Vocabulary:
    """The vocabulary of a family.

    Args:
        names: what each name of its lexicon is: ``"remedy cancel"``, or ``"remedy cancel already_cancelled"``
            with the ground that an earlier one is; ``"slot new_address city street"``, with the kinds of
            value that are answers; ``"ground shipped"``, which also
            names its hint, with ``W_`` instead of ``G_``; ``"ground warranty_over period"`` where the hint names
            a time and is the ground only beside what says that it has passed; ``"event delivered"``. A ground that
            every family has gets
            another name.
        wishes: see ``Vocabulary``.
        without: names of grounds and hints that are none in this family.
        dates_back: see ``Vocabulary``.

    Raises:
        ValueError: if a meaning is not of these forms, a name is taken, or there are too many of a kind.
    """
    _check_left_out(without)
    dropped = {c.BITS[name] for name in without}
    naming = _Naming(
        [(bit, ground) for bit, ground in _GROUNDS if bit not in dropped],
        [(bit, ground) for bit, ground in _HINTS if bit not in dropped],
    )
    for name, meaning in names.items():
        naming.add(name, meaning)
    for wish in wishes:
        if wish not in naming.remedies and wish != NO_WISH:
            raise ValueError(f"wishes: there is no remedy {wish}; {nearest(wish, naming.remedies)}")
    return Vocabulary(
        bits=naming.bits,
        remedies=naming.remedies,
        own=tuple(naming.own),
        slots=naming.slots,
        answers=tuple(naming.answers),
        details=sum([bit for bit, _ in naming.answers]),
        grounds=tuple(naming.grounds),
        hints=tuple(naming.hints),
        earlier=naming.earlier,
        wishes=wishes,
        again=dict(naming.grounds)[c.G_ALREADY],
        periods=tuple(naming.periods),
        already=naming.already,
        dates_back=dates_back,
        events=naming.events,
    )


def _check_left_out(without: Iterable[str]) -> None:
    for name in without:
        if name not in _LEFT_OUT:
            raise ValueError(f"without: {name} is no ground or hint that may be left out; {nearest(name, _LEFT_OUT)}")


class _Naming:
    """The parts of a vocabulary, filled name by name."""

    def __init__(self, grounds: list[tuple[int, str]], hints: list[tuple[int, str]]) -> None:
        self.bits, self.remedies, self.slots = dict(c.BITS), dict(_REMEDIES), dict(_SLOTS)
        self.grounds, self.hints = grounds, hints
        self.earlier: dict[str, str] = {}
        self.own: list[tuple[int, str]] = []
        self.answers: list[tuple[int, frozenset[str]]] = []
        self.periods: list[int] = []
        self.already = 0
        self.events: dict[int, str] = {}  # and, where there is any, what is denied
        self._spare = {
            "remedy": iter(c.SPARE_REMEDIES),
            "slot": iter(c.SPARE_SLOTS),
            "ground": iter(c.SPARE_GROUNDS),
            "event": iter(c.SPARE_EVENTS),
        }

    def add(self, name: str, meaning: object) -> None:
        """Takes in one name; raises ``ValueError`` if it or its meaning is not of the forms."""
        kind, *words = str(meaning).split() or [""]
        if kind == "ground" and len(words) == 1 and name in _COMMON_GROUNDS:
            self.grounds = [(bit, words[0] if bit == c.BITS[name] else ground) for bit, ground in self.grounds]
            return
        most = 2 if words[1:] == ["period"] else _MOST_WORDS.get(kind, 0)
        if kind not in self._spare or not 1 <= len(words) <= most:
            raise ValueError(f"{name}: {meaning!r} must be remedy, slot, ground or event and what it is called")
        if name in self.bits or "W" + name[1:] in self.bits or (kind == "ground" and not name.startswith("G_")):
            raise ValueError(f"{name}: the name is taken, or that of a ground without G_ before it")
        if kind != "ground" and words[0] in {*self.remedies, *self.slots.values()}:
            raise ValueError(f"{name}: there is a {kind} called {words[0]} already")
        bit = next(self._spare[kind], None)
        if bit is None:
            raise ValueError(f"{name}: there is no room for another {kind}")
        self.bits[name] = bit
        if kind == "remedy":
            self.own.append((bit, words[0]))
            self.remedies[words[0]] = bit
            self.earlier.update([(words[0], ground) for ground in words[1:]])
        elif kind == "slot":
            self.slots[bit] = words[0]
            for value in words[1:]:
                if value not in _VALUES:
                    raise ValueError(f"{name}: there is no kind of value called {value}; {nearest(value, _VALUES)}")
            if words[1:]:
                self.answers.append((bit, frozenset(words[1:])))
        elif kind == "event":
            self.events[bit] = words[0]
            self.events[c.DENIED] = NOTHING
        else:
            self._add_ground(name, bit, *words)

    def _add_ground(self, name: str, bit: int, ground: str, period: str = "") -> None:
        self.grounds.append((bit, ground))
        self.bits["W" + name[1:]] = bit << c.HINT
        if period:
            self.periods.append(bit)
        else:
            self.hints.append((bit << c.HINT, ground))
        if ground.startswith("already_"):
            self.already |= bit


PLAIN = Vocabulary()
