"""What the customer has been told so far, as typed values and reasons; nothing about tone."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.records import Effect
from ss_gym.commerce.rules import days_of_grounds
from ss_gym.scenarios import Fact, Scenario
from ss_gym.users.acts import Act, Value
from ss_gym.users.heard import refusals
from ss_gym.users.statements import Statements


class Told:
    """Keeps which required facts and reasons of refusal have reached the customer.

    A fact counts when its value stands in a sentence to the customer. A reason counts when a
    refusal names only reasons that are true: a message that also names a false one voids what
    was said before it, so listing every reason there is tells nothing.

    Attributes:
        facts: the required facts that were told.
        grounds: the true reasons that were told.
        false_grounds: the false ones; an agent that tries one reason after another is found out by them.
        wrong_ground: whether the last refusal with a reason named a false one.
        misremembered: whether the customer has the order number wrong.
        statements: the dates that were told to a customer who only wants to know something; else None.
    """

    __slots__ = (
        "_allowed",
        "_cannot_find",
        "_only_asks",
        "_scenario",
        "facts",
        "false_grounds",
        "grounds",
        "misremembered",
        "statements",
        "wrong_ground",
    )

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._allowed = frozenset().union(*scenario.outcome.grounds) | scenario.outcome.also_true
        self.facts: set[Fact] = set()
        self.grounds: set[str] = set()
        self.false_grounds: set[str] = set()
        self.wrong_ground = False
        goal = scenario.goal
        self.misremembered = bool(goal.order_id and goal.true_order_id and goal.order_id != goal.true_order_id)
        # "I can't find it" is then true, and yet not the reason.
        self._cannot_find = self.misremembered or "not_verified" in self._allowed
        self.statements: Statements | None = None  # made when there is something to hear
        self._only_asks = not goal.verb

    def hear(self, acts: Sequence[Act], remedied: bool = False) -> None:
        """Take in one message of the agent.

        Args:
            acts: what it says.
            remedied: whether a remedy has been made in this conversation; "you have been refunded"
                is then a report, and no reason against a refund.
        """
        refused = refusals(acts)
        if refused:
            self._hear_grounds({act.ground or self._implied_ground(acts) for act in refused}, remedied)
        valued = [act for act in acts if act.values]
        if valued:
            for fact in self._scenario.outcome.facts:
                if not self._only_asks or fact.kind != "date":
                    for act in valued:
                        self._weigh(fact, act)
        if self._only_asks:
            if self.statements is None:
                self.statements = Statements(self._scenario)
            self.facts |= self.statements.hear(acts)

    def _hear_grounds(self, grounds: set[str], remedied: bool) -> None:
        """Take in the reasons of refusal of one message, ``""`` where none is named."""
        grounds.discard("")
        if remedied:
            grounds -= {ground for ground in grounds - self._allowed if ground.startswith("already_")}
        if self._cannot_find:
            grounds.discard("not_found")
        if grounds:
            self.false_grounds |= grounds - self._allowed
            self.wrong_ground = not grounds <= self._allowed
            self.grounds = set() if self.wrong_ground else self.grounds | grounds

    def _implied_ground(self, acts: Sequence[Act]) -> str:
        """A refusal that names the days of the return window, however it is worded, is for the window."""
        for ground, days in days_of_grounds(self._scenario.rules).items():
            if ground in self._allowed and any(value[:2] == ("days", days) for act in acts for value in act.values):
                return ground
        return ""

    def _weigh(self, fact: Fact, act: Act) -> None:
        values = [value for value in act.values if value.kind == fact.kind]
        if not values:
            return
        right = fact.value in [value.value for value in values]
        if fact.kind != "money":
            # "3 to 5 days" is not "5 days": another number of days, or a date, that is nobody's voids the sentence.
            if right and not any(value.owner == "unknown" for value in values):
                self.facts.add(fact)
        elif right:
            self.facts.add(fact)
        elif self._contradicts(fact, act, values):
            self.facts.discard(fact)

    def _contradicts(self, fact: Fact, act: Act, values: Sequence[Value]) -> bool:
        """Whether the act claims that another amount than the right one was paid."""
        if act.kind != "confirm_done" or act.verb != fact.about:
            return False
        parts = {effect[2] for effect in self._scenario.outcome.effects if effect[0] == "refund"}
        return parts.isdisjoint([value.value for value in values])

    def false_statements(self) -> list[str]:
        """What was said that is not true, besides reasons of refusal."""
        return self.statements.false if self.statements is not None else []

    def missing_facts(self) -> list[Fact]:
        """The required facts that have not been told."""
        return [fact for fact in self._scenario.outcome.facts if fact not in self.facts]

    def missing_grounds(self) -> int:
        """How many of what is refused have not got a true reason yet."""
        return sum([not self.grounds & allowed for allowed in self._scenario.outcome.grounds])

    def refusal_grounded(self) -> bool:
        """Whether everything that is refused got a reason that the customer takes.

        They can't know that a reason is not the one for which they are refused if it is true as well; only who
        wants to know what became of an order is not served by what is true besides.
        """
        besides: frozenset[str] = frozenset() if self._only_asks else self._scenario.outcome.also_true
        return all(self.grounds & (allowed | besides) for allowed in self._scenario.outcome.grounds)


def done_share(effects: frozenset[Effect], due: frozenset[Effect]) -> float:
    """The share of the due effects that are there; 1 where none is due."""
    return len(effects & due) / len(due) if due else 1.0
