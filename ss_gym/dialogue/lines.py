"""Which lines of an order are special, and what is said of those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ss_gym.dialogue.case import Line
from ss_gym.dialogue.state import DialogueState


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a family says of lines that are special.

    Attributes:
        of: the words for a status, by its name or for any as ``status``, for a ``gift_card`` and a ``final_sale``; what
            has no words is nothing special.
        refusal: a sentence with ``{title}`` and ``{remark}``.
    """

    of: Mapping[str, str]
    refusal: str

    def remark(self, line: Line) -> str:
        """What is special about a line, in words; empty for an ordinary one."""
        if line.status != "ordered" and (words := self.of.get(line.status) or self.of.get("status")):
            return words.format(status=line.status)
        if line.category == "gift_card" and "gift_card" in self.of:
            return self.of["gift_card"]
        return self.of.get("final_sale", "") if line.final_sale else ""

    def ordinary(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        """The lines with nothing special about them."""
        return tuple(line for line in lines if not self.remark(line))

    def refusals(self, lines: Iterable[Line]) -> str:
        """A sentence for each special line, with why it is refused."""
        found = [(line.title, self.remark(line)) for line in lines]
        return "".join([self.refusal.format(title=title, remark=remark) + " " for title, remark in found if remark])

    def quoted(self, state: DialogueState) -> Sequence[Line]:
        """The lines of the last quote: all that are wanted, or the ordinary ones where the price tells so."""
        wanted = state.case.wanted
        part = self.ordinary(wanted)
        return part if part and state.quoted_price() == sum(line.price for line in part) else wanted
