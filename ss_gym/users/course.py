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
# What may be meant of a wish before the present one without naming it, if it was so.
LOOKING_BACK = frozenset(("confirm_done", "refuse"))
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

    __slots__ = (
        "_again", "_claimed", "_heard", "_names", "_numbers", "_own", "_places", "_words",
        "current", "earlier", "ends", "parts",
    )  # fmt: skip

    def __init__(self, parts: Sequence[Scenario]) -> None:
        self.parts = parts
        self.current = 0
        self.ends: list[str] = []
        self.earlier: dict[int, list[Act]] = {}
        self._claimed: list[set[str]] = []
        self._again = False
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

    def take_in(self, text: str, readings: Sequence[Sequence[Act]]) -> None:
        """Notes what a message of the agent says of the wishes settled before.

        Args:
            text: the message.
            readings: its acts, as one hears it who has the first wish in mind, the second and so on. Those of a wish
                that it does not name are needed only where it has acts of ``LOOKING_BACK``.
        """
        self.earlier = {
            place: [act for act in acts if self._place(act) == place]
            for place, acts in enumerate(readings)
            if self.names(place, text)
        }
        self._claimed = [{act.verb for act in acts if act.kind == "confirm_done"} for acts in readings]
        self._again = any(act.kind == "propose" for acts in self.earlier.values() for act in acts)

    def names(self, place: int, text: str) -> bool:
        """Whether words name what a wish is about: its number, or a thing by its last word."""
        return not self._words[place].isdisjoint(_WORD.findall(text.lower()))

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
        # "It was refunded, as you wished, and now …" is about what was settled before, and true of it.
        true = [place for place, verbs in enumerate(self._claimed) if made(self.of(place, effects)) & verbs]
        own = [act for act in acts if self._place(act) == self.current]
        again = self._again and not any(act.kind == "propose" for act in own)
        self._heard = acts
        self._own = [act for act in own if not self._looks_back(act, true, again)]
        return self._own

    def _looks_back(self, act: Act, true: Sequence[int], again: bool) -> bool:
        """Whether a sentence of the present wish's words is meant of what was settled before.

        Args:
            act: the sentence.
            true: the wishes of which the message says, in their words, that they are done, where they are.
            again: whether the message proposes nothing now, but one of those wishes once more.
        """
        named = {value.value for value in act.values}
        of_this = not named.isdisjoint(self._names[self.current])
        if act.kind == "confirm_done" and of_this:  # "I have swapped the mug, so let us look at your hat"
            return any(not named.isdisjoint(self._names[place]) for place in true)
        if act.kind in LOOKING_BACK:
            return bool(true) and not of_this
        return again and not of_this and act.kind == "ask" and act.slot == "confirmation"

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
