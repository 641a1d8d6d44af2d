"""What can be done for a customer, and how it shows in the effects of an episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ss_gym.commerce.records import Effect, Verb


class Remedy(NamedTuple):
    """How a remedy shows.

    Attributes:
        kind: the kind of effect that every one of its subjects has.
        status: the value of that effect; empty if any value will do.
        paid_as: the kind of effect that holds its amount; empty if it has none.
        told: whether a customer agrees only to a proposal that names the amount.
        follows: whether the amount follows from what is agreed, so that a yes without it is enough.
    """

    kind: str
    status: str
    paid_as: str = ""
    told: bool = False
    follows: bool = False


_REMEDIES: dict[Verb, Remedy] = {
    "refund": Remedy("item", "refunded", "refund", told=True),
    "store_credit": Remedy("item", "credited", "store_credit", told=True),
    "exchange": Remedy("item", "exchanged"),
    "cancel": Remedy("item", "cancelled", "refund", follows=True),
    "address_change": Remedy("address", ""),
    "replacement": Remedy("claim", "replacement"),
    "repair": Remedy("claim", "repair"),
    "pause": Remedy("subscription", "paused"),
    "resume": Remedy("subscription", "active"),
    "unsubscribe": Remedy("subscription", "cancelled", "fee"),
}
REMEDIES: Mapping[Verb, Remedy] = MappingProxyType(_REMEDIES)
_VERBS = {(remedy.kind, remedy.status): verb for verb, remedy in REMEDIES.items()}
# What pays, and the remedy that a payment alone is: a further part of a split refund marks no item anew.
_PAYMENTS: Mapping[str, Verb] = {"refund": "refund", "store_credit": "store_credit"}


class Write(NamedTuple):
    """A remedy that was made: when, what, for which subjects and how much (0 where it has no amount)."""

    step: int
    verb: Verb
    items: frozenset[str]
    amount_cents: int


def add_remedy(verb: Verb, remedy: Remedy) -> None:
    """Makes a remedy of another package known to audits and customers; adding it again changes nothing.

    Args:
        verb: what lexicons, goals and consents call it.
        remedy: how it shows.

    Raises:
        ValueError: if the name, or the effect that marks the remedy, is another remedy's.
    """
    mark = (remedy.kind, remedy.status)
    if REMEDIES.get(verb, remedy) != remedy:
        raise ValueError(f"the remedy {verb} is known already, as {REMEDIES[verb]}")
    if _VERBS.get(mark, verb) != verb:
        raise ValueError(f"the effects {mark} of the remedy {verb} mark {_VERBS[mark]} already")
    _REMEDIES[verb] = remedy
    _VERBS[mark] = verb


def verb_of(effect: Effect) -> Verb:
    """The remedy that an effect marks; empty if it marks none.

    >>> verb_of(("item", "12345-1", "credited")), verb_of(("refund", "12345-P1", 2400))
    ('store_credit', '')
    """
    if len(effect) < 3:
        return ""
    return _VERBS.get((str(effect[0]), str(effect[2]))) or _VERBS.get((str(effect[0]), ""), "")


def made(effects: Iterable[Effect]) -> set[Verb]:
    """The remedies that show in effects; what was paid is a refund or store credit, whatever it was for."""
    found = set()
    for effect in effects:
        if verb := verb_of(effect) or _PAYMENTS.get(str(effect[0]), ""):
            found.add(verb)
    return found


def remedied(effects: Iterable[Effect]) -> set[str]:
    """The subjects that a remedy was made for."""
    return {str(effect[1]) for effect in effects if verb_of(effect)}


def total(effects: Iterable[Effect], kind: str) -> int:
    """The cents of all effects of a kind."""
    return sum([int(effect[2]) for effect in effects if effect[0] == kind])


def remedy_between(step: int, before: frozenset[Effect], after: frozenset[Effect]) -> Write | None:
    """The remedy that was made between two states; None if what was written is none."""
    marked: dict[Verb, set[str]] = {}
    for effect in after - before:
        if verb := verb_of(effect):
            marked.setdefault(verb, set()).add(str(effect[1]))
    for verb, remedy in REMEDIES.items():
        if verb in marked:
            amount = total(after, remedy.paid_as) - total(before, remedy.paid_as) if remedy.paid_as else 0
            return Write(step, verb, frozenset(marked[verb]), amount)
    for kind, verb in _PAYMENTS.items():
        if amount := total(after, kind) - total(before, kind):
            return Write(step, verb, frozenset(), amount)
    return None
