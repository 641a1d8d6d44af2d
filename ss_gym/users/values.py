"""Whose a typed value is: this customer's, another customer's, or the policy's."""

from __future__ import annotations

from collections.abc import Collection

from ss_gym.users.acts import Owner, Value, ValueKind

Key = tuple[ValueKind, int | str]

_TEXT_KINDS = frozenset(["name", "city", "street", "title", "postal_code", "customer_id", "option"])


class Inventory:
    """The typed values of one episode, by whose they are.

    Args:
        own: this customer's values, as ``(kind, value)``, the value normalised as in
            :class:`~ss_gym.users.acts.Value`.
        other: other customers' values.
        policy: constants of the policy, such as the days of the return window.

    Where a value is in several of them, own comes before policy, and policy before other.

    Attributes:
        counts_months: whether "2 months" is a value, because the policy has a rule about months.
    """

    __slots__ = ("counts_months", "other", "own", "phrases", "policy")

    def __init__(self, own: Collection[Key], other: Collection[Key] = (), policy: Collection[Key] = ()) -> None:
        self.own = own
        self.other = other
        self.policy = policy
        self.counts_months = any([kind == "months" for kind, _ in policy])
        # First token -> (the tokens after it, kind, value, whether it must follow "the", "your" …).
        self.phrases: dict[str, list[tuple[tuple[str, ...], ValueKind, str, bool]]] = {}
        for keys in (own, other):
            for kind, value in keys:
                if kind in _TEXT_KINDS:
                    self._add_text(kind, str(value))

    def _add_text(self, kind: ValueKind, value: str) -> None:
        words = tuple(value.lower().split())
        phrases = self.phrases
        phrases.setdefault(words[0], []).append((words[1:], kind, value, False))
        if kind == "title" and len(words) > 1:  # "the scarf" for "wool scarf"
            phrases.setdefault(words[-1], []).append(((), kind, value, True))
        elif kind == "postal_code":  # also in two words
            plain = value.replace(" ", "")
            phrases.setdefault(plain[:-3], []).append(((plain[-3:],), kind, value, False))

    def value(self, kind: ValueKind, value: int | str) -> Value:
        """The value, with its owner."""
        key = (kind, value)
        owner: Owner = "unknown"
        if key in self.own:
            owner = "own"
        elif key in self.policy:
            owner = "policy"
        elif key in self.other:
            owner = "other"
        return Value(kind, value, owner)

    def date_on(self, month: int, day: int) -> str:
        """The latest known date on this day of some year; ``--MM-DD`` if none is known."""
        end = f"-{month:02d}-{day:02d}"
        for keys in (self.own, self.policy, self.other):
            known = [str(value) for kind, value in keys if kind == "date" and str(value).endswith(end)]
            if known:
                return max(known)
        return "-" + end
