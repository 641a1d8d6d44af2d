"""How the scripted customer weighs what an agent proposes: agree, correct, ask back or decline."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.records import Verb
from ss_gym.commerce.remedies import REMEDIES
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from ss_gym.users.acts import Act, Consent, CustomerAct
from ss_gym.users.agenda import Agenda, money
from ss_gym.users.heard import Heard, amounts_of
from ss_gym.users.told import Told

_MOST_AMOUNTS = 4  # a proposal that names more amounts than this has named none

Answer = tuple[list[CustomerAct], tuple[Consent, ...]]


class Proposals:
    """Answers to proposed remedies.

    Args:
        scenario: what the customer wants.
        told: what they have been told.
        agenda: what is on their mind; changed by the answers.
        stream: small choices.
        item: what they call the thing.
    """

    def __init__(self, scenario: Scenario, told: Told, agenda: Agenda, stream: Stream, item: str) -> None:
        self._goal = scenario.goal
        self._outcome = scenario.outcome
        self._told = told
        self._agenda = agenda
        self._stream = stream
        self._item = item
        self._subjects = frozenset(scenario.goal.items)

    def resumed(self, turn: Heard) -> Act | None:
        """A proposal that was put off, once the agent has answered the question in between."""
        pending, wish = self._agenda.pending, self._goal.verb
        if pending is None or (pending.verb == wish and turn.refused and self._outcome.verdict != wish):
            return None
        if pending.verb != wish and not self._told.refusal_grounded():
            return None
        return pending

    def implied(self, turn: Heard, refusal_stands: bool) -> Act | None:
        """A question for a yes beside an amount: what else could it be about than the remedy at hand?"""
        if not turn.amounts or "confirmation" not in turn.slots or not self._goal.verb:
            return None
        if turn.refused and not turn.grounds:  # "I will not cancel it. Shall I go ahead?"
            return None
        return Act("propose", verb="store_credit" if refusal_stands else self._goal.verb)

    def weigh(self, proposal: Act, turn: Heard) -> Answer:
        """Answer a proposed remedy."""
        goal = self._goal
        if proposal.verb in goal.welcomes:
            return self._agree(proposal.verb, self._amounts(proposal, turn))
        if goal.verb and (proposal.verb == goal.verb or proposal.verb in goal.also):
            return self._weigh_wish(proposal, turn)
        if proposal.verb == "store_credit":
            return self._weigh_credit(proposal, turn)
        if proposal.verb == "exchange":
            return self._weigh_exchange(proposal)
        if proposal.verb in REMEDIES:
            return self._weigh_other(proposal, turn)
        return [CustomerAct("prefer", {"remedy": goal.verb})], ()

    def names_other_item(self, act: Act) -> bool:
        """Whether a sentence is about an item or order of the customer's that they do not mean."""
        goal = self._goal
        meant = {"title": goal.titles, "order_id": (goal.order_id, goal.true_order_id)}
        return any(
            value.owner == "own" and value.kind in meant and value.value not in meant[value.kind]
            for value in act.values
        )

    # --- the wish ---------------------------------------------------------------------------------

    def _weigh_wish(self, proposal: Act, turn: Heard) -> Answer:
        agenda, goal = self._agenda, self._goal
        if agenda.demands_other_card:
            if agenda.first("demand_card"):
                agenda.pending = proposal
                return [CustomerAct("demand_card")], ()
            agenda.demands_other_card = False
            replies, consents = self._weigh_wish(proposal, turn)
            return [CustomerAct("drop_card_demand"), *replies], consents
        if self.names_other_item(proposal):
            return [CustomerAct("correct_item", {"item": self._item})], ()
        if goal.values and (answer := self._weigh_details(proposal, turn)):
            return answer
        remedy = REMEDIES[goal.verb]
        amounts = self._amounts(proposal, turn) if remedy.paid_as else ()
        if not amounts:
            return self._without_amount(proposal) if remedy.told else self._agree(goal.verb, ())
        if goal.paid_cents and (answer := self._weigh_amounts(proposal, turn, amounts)):
            return answer
        return self._agree(goal.verb, amounts)

    def _without_amount(self, proposal: Act) -> Answer:
        agenda = self._agenda
        agenda.pending = proposal
        agenda.patience -= not agenda.first("ask_amount")
        return [CustomerAct("ask_amount")], ()

    def _weigh_amounts(self, proposal: Act, turn: Heard, amounts: Sequence[int]) -> Answer | None:
        """Corrects an amount above the price, and asks why it is less; None if the amount is well."""
        agenda, goal = self._agenda, self._goal
        lowest, highest = min(amounts), max(amounts)
        if lowest > goal.paid_cents:
            agenda.pending = None
            agenda.patience -= 1
            return [CustomerAct("correct_amount", {"amount": money(goal.paid_cents)})], ()
        explained = agenda.heard_less or turn.mentions_fee or highest >= goal.paid_cents or self._told.grounds
        if not explained:
            agenda.heard_less = True
            agenda.pending = proposal
            return [CustomerAct("ask_why_less", {"amount": money(goal.paid_cents)})], ()
        return None

    def _weigh_details(self, proposal: Act, turn: Heard) -> Answer | None:
        """Asks for what a proposal does not name, and corrects what it names wrongly; None if it is well."""
        goal, agenda = self._goal, self._agenda
        kinds = {kind for kind, _ in goal.values}
        named = [value for value in (*proposal.values, *turn.values) if value.kind in kinds]
        if any(value[:2] in goal.values for value in named):
            return None
        if any(value.owner != "policy" for value in named):
            agenda.pending = None
            agenda.patience -= not agenda.first("correct_details")
            return [CustomerAct("correct_details", dict(goal.details))], ()
        agenda.pending = proposal
        agenda.patience -= not agenda.first("ask_details")
        return [CustomerAct("ask_details", dict(goal.details))], ()

    # --- alternatives -----------------------------------------------------------------------------

    def _weigh_credit(self, proposal: Act, turn: Heard) -> Answer:
        if not self._told.refusal_grounded() or not self._outcome.grounds:
            return self._why_not_the_wish(proposal)
        if not self._goal.accepts_credit:
            self._agenda.said.add("ask_alternative")
            return [CustomerAct("decline_credit")], ()
        amounts = self._amounts(proposal, turn)
        if not amounts:
            self._agenda.pending = proposal
            return [CustomerAct("ask_amount")], ()
        reply, consents = self._agree("store_credit", amounts)
        return [CustomerAct("accept_credit")] if self._agenda.first("accept_credit") else reply, consents

    def _weigh_exchange(self, proposal: Act) -> Answer:
        if not self._told.refusal_grounded() or not self._outcome.grounds:
            return self._why_not_the_wish(proposal)
        option = self._goal.exchange_option
        if not option:
            self._agenda.said.add("ask_alternative")
            return [CustomerAct("decline_exchange")], ()
        self._agenda.pending = None
        self._agenda.agreed = True
        return [CustomerAct("accept_exchange", {"option": option, "item": self._item})], (
            Consent("exchange", self._subjects, 0),
        )

    def _weigh_other(self, proposal: Act, turn: Heard) -> Answer:
        """A remedy that was not asked for and is neither store credit nor an exchange."""
        verb = proposal.verb
        if verb not in self._goal.accepts:
            self._agenda.said.add("ask_alternative")
            return [CustomerAct("decline", {"remedy": verb})], ()
        if not self._told.refusal_grounded() or not self._outcome.grounds:
            return self._why_not_the_wish(proposal)
        amounts = self._amounts(proposal, turn) if REMEDIES[verb].paid_as else ()
        if REMEDIES[verb].told and not amounts:
            return self._without_amount(proposal)
        _, consents = self._agree(verb, amounts)
        return [CustomerAct("accept", {"remedy": verb})], consents

    def _why_not_the_wish(self, proposal: Act) -> Answer:
        """An alternative is offered before the wish was refused for a reason."""
        self._agenda.pending = proposal
        if self._agenda.first("ask_why"):
            return [CustomerAct("ask_why")], ()
        self._agenda.patience -= 1
        return [CustomerAct("prefer", {"remedy": self._goal.verb})], ()

    # --- a yes ------------------------------------------------------------------------------------

    def _agree(self, verb: Verb, amounts: Sequence[int]) -> Answer:
        self._agenda.pending = None
        self._agenda.agreed = True
        consents = tuple([Consent(verb, self._subjects, amount) for amount in amounts or (0,)])
        if len(amounts) == 1 and self._stream.chance(0.3):
            return [CustomerAct("yes_amount", {"amount": money(amounts[0])})], consents
        return [CustomerAct("yes")], consents

    def _amounts(self, proposal: Act, turn: Heard) -> tuple[int, ...]:
        """The amounts that the proposal names; those of the whole message if its sentence has none."""
        named = amounts_of(proposal) or turn.amounts
        return named if len(named) <= _MOST_AMOUNTS else ()
