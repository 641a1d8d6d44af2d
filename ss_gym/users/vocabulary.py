"""What the features mean in one family: the names of its remedies, slots and grounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ss_gym.users import concepts as c

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
_REMEDIES: Mapping[str, int] = {"refund": c.REFUND | c.RETURN, "store_credit": c.CREDIT, "exchange": c.EXCHANGE}

NOTHING = "nothing"  # what the date beside a denied event is the date of


class Vocabulary(NamedTuple):
    """Names for the features.

    Attributes:
        bits: the names that the headings of the lexicon may use.
        remedies: the bits of each remedy.
        own: the remedies that only this family has, as (bit, name).
        slots: what can be asked for, by bit.
        grounds: reasons of refusal, as (bit, name).
        hints: what only explains a refusal that is there, as (bit, ground).
        earlier: the ground that a remedy is if it was made on an earlier day.
        wishes: the remedies that give customers what they came for.
        again: the ground that a refusal to do something "again" is.
        events: what a date can be the date of, by bit.
    """

    bits: Mapping[str, int] = c.BITS
    remedies: Mapping[str, int] = _REMEDIES
    own: tuple[tuple[int, str], ...] = ()
    slots: Mapping[int, str] = _SLOTS
    grounds: tuple[tuple[int, str], ...] = _GROUNDS
    hints: tuple[tuple[int, str], ...] = _HINTS
    earlier: Mapping[str, str] = {}
    wishes: frozenset[str] = frozenset(("refund",))
    again: str = "already_refunded"
    events: Mapping[int, str] = {}


def named(
    names: Mapping[str, str], wishes: frozenset[str] = Vocabulary().wishes, without: frozenset[str] = frozenset()
) -> Vocabulary:
    """The vocabulary of a family.

    Args:
        names: what each name of its lexicon is: ``"remedy cancel"``, or ``"remedy cancel already_cancelled"``
            with the ground that an earlier one is; ``"slot new_address"``; ``"ground shipped"``, which also
            names its hint, with ``W_`` instead of ``G_``; ``"event delivered"``. A ground that every family has gets
            another name.
        wishes: see ``Vocabulary``.
        without: names of grounds and hints that are none in this family.

    Raises:
        ValueError: if a meaning is not of these forms, a name is taken, or there are too many of a kind.
    """
    bits, remedies, slots = dict(c.BITS), dict(_REMEDIES), dict(_SLOTS)
    earlier: dict[str, str] = {}
    own: list[tuple[int, str]] = []
    dropped = {c.BITS[name] for name in without}
    grounds = [(bit, ground) for bit, ground in _GROUNDS if bit not in dropped]
    hints = [(bit, ground) for bit, ground in _HINTS if bit not in dropped]
    events: dict[int, str] = {}  # and, where there is any, what is denied
    spare = {
        "remedy": iter(c.SPARE_REMEDIES),
        "slot": iter(c.SPARE_SLOTS),
        "ground": iter(c.SPARE_GROUNDS),
        "event": iter(c.SPARE_EVENTS),
    }
    for name, meaning in names.items():
        kind, *words = meaning.split()
        if kind == "ground" and len(words) == 1 and name in _COMMON_GROUNDS:
            grounds = [(bit, words[0] if bit == c.BITS[name] else ground) for bit, ground in grounds]
            continue
        if kind not in spare or not 1 <= len(words) <= (2 if kind == "remedy" else 1):
            raise ValueError(f"{name}: {meaning!r} must be remedy, slot, ground or event and what it is called")
        if name in bits or (kind == "ground" and not name.startswith("G_")):
            raise ValueError(f"{name}: the name is taken, or that of a ground without G_ before it")
        bit = next(spare[kind], None)
        if bit is None:
            raise ValueError(f"{name}: there is no room for another {kind}")
        bits[name] = bit
        if kind == "remedy":
            own.append((bit, words[0]))
            remedies[words[0]] = bit
            earlier.update([(words[0], ground) for ground in words[1:]])
        elif kind == "slot":
            slots[bit] = words[0]
        elif kind == "event":
            events[bit] = words[0]
            events[c.DENIED] = NOTHING
        else:
            grounds.append((bit, words[0]))
            hints.append((bit << c.HINT, words[0]))
            bits["W" + name[1:]] = bit << c.HINT
    return Vocabulary(
        bits,
        remedies,
        tuple(own),
        slots,
        tuple(grounds),
        tuple(hints),
        earlier,
        wishes,
        dict(grounds)[c.G_ALREADY],
        events,
    )


PLAIN = Vocabulary()
