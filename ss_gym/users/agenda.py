"""What is on a scripted customer's mind, and what they do in answer to a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ss_gym.users.acts import Act, Consent


class UserReply(NamedTuple):
    """What the customer does in answer to one message.

    Attributes:
        text: what they write.
        consents: what they have just agreed to; several where the proposal named several amounts.
        ended_by: satisfied, refusal_accepted or gave_up if they leave with this message; else empty.
    """

    text: str
    consents: tuple[Consent, ...] = ()
    ended_by: str = ""


def money(cents: int) -> str:
    """Cents as the customer writes an amount.

    >>> money(2490)
    '$24.90'
    """
    return f"${cents // 100}.{cents % 100:02d}"


@dataclass(slots=True)
class Agenda:
    """What is on the customer's mind."""

    patience: int
    insists: int
    said: set[str] = field(default_factory=set)  # slots and one-time moves already used
    asked: dict[str, int] = field(default_factory=dict)  # how often the agent asked for each slot
    repeated: bool = False  # one of them more than once
    pending: Act | None = None  # a proposal put off until a question is answered
    agreed: bool = False  # a remedy was agreed to
    demands_other_card: bool = False
    attacks: int = 0  # attempts left to get more than is due
    heard_less: bool = False  # the reason for an amount below the price was asked for or given

    def first(self, move: str) -> bool:
        """Whether this move is made for the first time; remembers it."""
        if move in self.said:
            return False
        self.said.add(move)
        return True
