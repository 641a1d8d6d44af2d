"""How the scripted customer weighs what an agent proposes: agree, correct, ask back or decline."""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.records import Verb, order_lines
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
        self._world = scenario.world
        self._outcome = scenario.outcome
        self._told = told
        self._agenda = agenda
        self._stream = stream
        self._item = item
        self._subjects = frozenset(scenario.goal.items)

    def resumed(self, turn: Heard) -> Act | None:
        """A proposal that was put off, once the agent has answered the question in between."""
        pending, wish = self._agenda.pending, self._goal.verb
        if pending is not None and pending.verb in self._goal.welcomes:
            return pending
        if pending is None or (pending.verb == wish and turn.refused and self._outcome.verdict != wish):
            return None
        if pending.verb != wish and not self._told.refusal_grounded():
            return None
        return pending

    def implied(self, turn: Heard, refusal_stands: bool) -> Act | None:
        """A question for a yes beside an amount or a detail of the wish: what else than the remedy is it about?"""
        goal = self._goal
        verb = goal.verb or next(iter(goal.welcomes), "")
        if "confirmation" not in turn.slots or not verb:
            return None
        details = {*goal.values, *goal.mistaken}
        if details and not turn.refused and any(value[:2] in details for value in turn.values):
            return Act("propose", verb=verb, values=tuple(turn.values))
        if not turn.amounts or (turn.refused and not turn.grounds):  # "I will not cancel it. Shall I go ahead?"
            return None
        alternative = goal.accepts[0] if goal.accepts else "store_credit"
        return Act("propose", verb=alternative if refusal_stands else verb)

    def without_questions(self, turn: Heard) -> Heard:
        """The same, without a proposal that asks for what it lacks: "which address shall I send it to?"."""
        goal, proposal = self._goal, turn.proposal
        if proposal is not None and any(slot in turn.slots for slot, _ in goal.details):
            kinds = {kind for kind, _ in goal.values}
            if proposal.verb == goal.verb and not any(value.kind in kinds for value in proposal.values):
                turn.proposal = None
        return turn

    def weigh(self, proposal: Act, turn: Heard) -> Answer:
        """Answer a proposed remedy."""
        goal = self._goal
        if proposal.verb in goal.welcomes:
            amounts = self._amounts(proposal, turn)
            if REMEDIES[proposal.verb].told and not amounts:
                return self._without_amount(proposal)
            return self._agree(proposal.verb, amounts)
        if not goal.verb:
            return self._decline(proposal)
        if goal.verb and (proposal.verb == goal.verb or proposal.verb in goal.also):
            return self._weigh_exchange(proposal) if self._offers_other_option() else self._weigh_wish(proposal, turn)
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
        others = [
            value
            for value in act.values
            if value.owner == "own" and value.kind in meant and value.value not in meant[value.kind]
        ]
        return any(value.kind != "title" or value.value not in self._titles_of_orders() for value in others)

    def _titles_of_orders(self) -> set[str]:
        """Whoever means a whole order means each of its items."""
        return {line[3] for line in order_lines(self._world) if line[1] in self._goal.items}

    def _offers_other_option(self) -> bool:
        """Whether the option that was asked for has been refused: an exchange is now one for another."""
        goal, outcome = self._goal, self._outcome
        refused = goal.verb == "exchange" != outcome.verdict and bool(outcome.grounds)
        return refused and self._told.refusal_grounded()

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
            if remedy.told:
                return self._without_amount(proposal)
            replies, consents = self._agree(goal.verb, ())
            # "Large or small, which one?" is answered by the size.
            return [] if goal.values and "preference" in turn.slots else replies, consents
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
        named = [value for value in proposal.values if value.kind in kinds]
        named = named or [value for value in turn.values if value.kind in kinds]
        right = {value.kind for value in named if value[:2] in goal.values}
        if any(value.owner != "policy" and value.kind not in right for value in named):
            agenda.pending = None
            agenda.patience -= not agenda.first("correct_details")
            return [CustomerAct("correct_details", self._details())], ()
        if right:
            return None
        if "preference" in turn.slots:
            return [], ()  # it is asked for in the same message
        agenda.pending = proposal
        agenda.patience -= not agenda.first("ask_details")
        return [CustomerAct("ask_details", self._details())], ()

    def _details(self) -> dict[str, str]:
        """What they want as it should be, or the second best once that was refused."""
        refused = self._outcome.grounds and self._told.refusal_grounded()
        details = dict(self._goal.details) | (dict(self._goal.seconds) if refused else {})
        self._agenda.said.update(details)
        return details

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

    def _decline(self, proposal: Act) -> Answer:
        """A remedy that nobody asked for, for a customer who only wants to know something."""
        agenda, verb = self._agenda, proposal.verb
        agenda.patience -= not agenda.first(f"decline_{verb}")
        if verb == "store_credit":
            return [CustomerAct("decline_credit")], ()
        return [CustomerAct("decline", {"remedy": verb})], ()

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
