"""How far a conversation about several wishes has come, and which change belongs to which of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ss_gym.commerce.records import Effect
from ss_gym.commerce.remedies import made
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act

# What an agent says that is about some wish.
_ABOUT_SOMETHING = frozenset(("confirm_done", "refuse", "propose", "offer"))
_WORD = re.compile(r"[a-z0-9]+")


class Course:
    """Where a conversation about several wishes is.

    Args:
        parts: the scenario of each wish.

    Attributes:
        parts: the same.
        current: the place of the wish that is being talked about.
        ends: how those before it ended.
        earlier: what the agent's last message says of wishes before it, by their place.
    """

    __slots__ = ("_heard", "_names", "_numbers", "_own", "_places", "_words", "current", "earlier", "ends", "parts")

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self.parts = parts
        self.current = 0
        self.ends: list[str] = []
        self.earlier: dict[int, list[Act]] = {}
        self._heard: Sequence[Act] = ()
        self._own: Sequence[Act] = ()
        # By what each wish is known: the titles and numbers of what it is about.
        self._names = [{*part.goal.titles, part.goal.order_id, part.goal.true_order_id} - {""} for part in parts]
        self._words = [{_WORD.findall(name.lower())[-1] for name in names} for names in self._names]
        # The numbers of the orders and subscriptions that each wish is about; items and payments begin with theirs.
        self._numbers: dict[str, int] = {}
        # The wish to which each kind of change of each thing belongs; changes of nothing that was wished for are
        # added when they are first seen.
        self._places: dict[tuple[str | int, ...], int] = {}
        for place, part in enumerate(parts):
            for name in (*part.goal.items, part.goal.true_order_id):
                self._numbers[name.partition("-")[0]] = place
            self._places.update({effect[:2]: place for effect in part.outcome.effects})

    @property
    def part(self) -> Scenario:
        """The wish that is being talked about."""
        return self.parts[self.current]

    def goes_on(self) -> bool:
        """Whether there is another wish after this one."""
        return self.current + 1 < len(self.parts)

    def finish(self, ended_by: str) -> None:
        """Turns to the next wish."""
        self.ends.append(ended_by)
        self.current += 1
        self._heard = ()

    def mentioned(self, text: str) -> list[int]:
        """The wishes settled before that an agent's words name."""
        return [place for place in range(self.current) if self.names(place, text)]

    def names(self, place: int, text: str) -> bool:
        """Whether words name what a wish is about: its number, or a thing by its last word."""
        return not self._words[place].isdisjoint(_WORD.findall(text.lower()))

    def about(self, place: int, acts: Sequence[Act]) -> list[Act]:
        """Those of some acts that are about a wish settled before: they name that one, and not the present one."""
        return [act for act in acts if self._place(act) == place]

    def own_acts(self, acts: Sequence[Act], effects: frozenset[Effect]) -> Sequence[Act]:
        """Those of some acts that are about the present wish.

        Args:
            acts: a message of the agent.
            effects: all effects of the episode.
        """
        if not self.current or not acts:
            return acts
        if acts is self._heard:  # customer and audit ask for the same
            return self._own
        others = made([effect for effect in effects if self._owner(effect) != self.current])
        # "It was refunded, as you wished, and now …" is about what was settled before, whichever that was.
        done = others - {self.part.goal.verb}
        self._heard = acts
        self._own = [
            act
            for act in acts
            if self._place(act) == self.current and not (act.kind == "confirm_done" and act.verb in done)
        ]
        return self._own

    def _place(self, act: Act) -> int:
        """The wish that a sentence is about: one that was settled before only if it names that one and not this."""
        if act.kind in _ABOUT_SOMETHING and act.values:
            named = {value.value for value in act.values}
            if named.isdisjoint(self._names[self.current]):
                for place, names in enumerate(self._names[: self.current]):
                    if not named.isdisjoint(names):
                        return place
        return self.current

    def of(self, place: int, effects: frozenset[Effect]) -> frozenset[Effect]:
        """Those of some effects that belong to a wish."""
        if not effects:
            return effects
        return frozenset([effect for effect in effects if self._owner(effect) == place])

    def _owner(self, effect: Effect) -> int:
        number = str(effect[1]).partition("-")[0]
        if number in self._numbers:
            return self._numbers[number]
        return self._places.setdefault(effect[:2], self.current)
