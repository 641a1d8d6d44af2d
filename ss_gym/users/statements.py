"""What a customer who only wants to know something has been told: which date is the date of what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from ss_gym.commerce.records import order_lines
from ss_gym.scenarios import Fact, Scenario
from ss_gym.users.acts import Act, Value
from ss_gym.users.vocabulary import NOTHING

# What "where is it?" and "when does it come?" ask for.
_ASKED = frozenset(("delivery", "delivered"))
# What is to come, and what it is called when it has come about: "it ships on the 5th at the latest" is not true any
# more of what has been shipped, while what was expected on the 5th was expected then, whenever it came.
_UNTIL = {"shipping": "shipped"}
_SENTENCE = attrgetter("sentence")


class Statements:
    """Keeps the dates that were told, and what was said that is not true.

    A date tells a fact if what it is said to be the date of is what the fact is about; a bare date
    ("on 3 May.") is heard as the day on which the thing comes or came, as long as no other one was told,
    so a list of all dates tells nothing, and one that is no date of the order is false. Whoever
    says that something happened which did not, or gives it another date than its own, has said
    something false, and whatever is said later does not mend that.

    Args:
        scenario: what is true, and what the customer must be told.

    Attributes:
        false: what was said that is not true.
    """

    __slots__ = ("_bare", "_dated", "_days", "_facts", "_known", "_others", "_today", "false")

    def __init__(self, scenario: Scenario) -> None:
        outcome, goal = scenario.outcome, scenario.goal
        self._facts = [fact for fact in outcome.facts if fact.kind == "date"]
        dates = [fact for fact in (*outcome.facts, *outcome.known) if fact.kind == "date"]
        past = {fact.about for fact in dates}
        self._known = {(fact.about, fact.value) for fact in dates if _UNTIL.get(fact.about) not in past}
        self._dated = {about for about, _ in self._known}
        self._days = {date for _, date in self._known}
        self._today = scenario.today
        self._bare: set[int | str] = set()
        meant = {goal.order_id, goal.true_order_id}
        # The numbers and titles of other orders: a sentence that names one is not about the order in question.
        lines = order_lines(scenario.world)
        self._others = {row[1] for row in lines} - meant
        self._others |= {row[3] for row in lines} - {row[3] for row in lines if row[1] in meant}
        self.false: list[str] = []

    def hear(self, acts: Sequence[Act]) -> set[Fact]:
        """Takes in one message of the agent; gives the facts that it tells."""
        told: set[Fact] = set()
        for _, group in groupby(acts, key=_SENTENCE):
            sentence = list(group)
            values = {value for act in sentence for value in act.values}
            stated = {act.slot: act for act in sentence if act.kind == "inform" and act.slot}
            if values or stated:
                told |= self._weigh(values, stated, any(act.kind == "refuse" for act in sentence))
        if len(self._bare) == 1:
            told.update([fact for fact in self._facts if fact.value in self._bare and fact.about in _ASKED])
        return told

    def _weigh(self, values: set[Value], stated: Mapping[str, Act], refuses: bool) -> set[Fact]:
        """Takes in one sentence: its values, what it states of events, and whether it refuses something."""
        told: set[Fact] = set()
        if not self._others.isdisjoint([value.value for value in values]):
            return told
        for date in sorted([value for value in values if value.kind == "date"]):
            near = [event for event, act in stated.items() if date in act.values]
            if not near and date.owner == "policy" and date.value == self._today:
                continue  # "as of today, the 3rd": the date of nothing
            told.update([fact for fact in self._facts if fact.value == date.value and fact.about in near])
            if not near:
                self._bare.add(date.value)
                if not refuses and not self._is_of_the_order(date):
                    self.false.append(f"something on {date.value}")
            elif near != [NOTHING] and not self._fits(date, stated):
                self.false.append(f"{near[0]} on {date.value}")
        if self._known:
            self.false += [event for event, act in stated.items() if act.ground and event not in self._dated]
        return told

    def _fits(self, date: Value, events: Iterable[str]) -> bool:
        if not self._known:
            return self._is_of_the_order(date)
        return any((event, date.value) in self._known for event in events)

    def _is_of_the_order(self, date: Value) -> bool:
        if not self._known:  # of an order that is not there, or may not be told of: a date of theirs is another order's
            return date.owner == "own"
        return date.value in self._days
