"""The scripted customer: an agenda of things to get done, worked off against what the agent says.

Agenda-based user simulation after Schatzmann et al. (2007). The customer wants one thing, tells
what they know when asked (or before, by persona), agrees only to a proposal that fits the wish and
names its amount, asks why when refused, asks for what they have not been told, and leaves when the
thing is done, when a true refusal is accepted, or when patience has run out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ss_gym.commerce.records import Effect
from ss_gym.commerce.remedies import REMEDIES, made, remedied
from ss_gym.scenarios import Scenario, Slip
from ss_gym.streams import Stream
from ss_gym.users.acts import Act, Consent, CustomerAct
from ss_gym.users.agenda import Agenda, UserReply
from ss_gym.users.heard import Heard
from ss_gym.users.persona import Persona
from ss_gym.users.proposals import Proposals
from ss_gym.users.told import Told
from ss_gym.users.wording import Wording

# Facts that an unprepared customer has to look for.
_LOOKED_FOR = frozenset(("email", "postal_code", "order_id"))
_ATTACKS = 2  # attempts of a customer who wants more than is due
_AFTER_ALL = frozenset(("double_dip",))  # attacks that begin when all that is due was done
# What the customer asks to be told what they are owed, by what the fact is about.
_FACT_QUESTIONS = {
    "arrival": "ask_when_money",
    "delivery": "ask_delivery_date",
    "refund": "ask_amount_back",
    "store_credit": "ask_amount_back",
}


class ScriptedUser:
    """A customer that follows an agenda.

    Args:
        scenario: who they are and what they want.
        told: what they have been told; its owner updates it before ``respond`` is called.
        wording: the family's phrases.
        persona: how they talk.
        stream: draws words, noise and small choices.
        goes_on: whether they have another wish once this one is settled, so that they don't say goodbye.
    """

    def __init__(
        self,
        scenario: Scenario,
        told: Told,
        wording: Wording,
        persona: Persona,
        stream: Stream,
        goes_on: bool = False,
    ) -> None:
        self._scenario = scenario
        self._goal = scenario.goal
        self._outcome = scenario.outcome
        self._told = told
        self._wording = wording
        self._persona = persona
        self._stream = stream
        self._goes_on = goes_on
        self._items = frozenset(scenario.goal.items)
        self._item_text = " and the ".join(scenario.goal.titles)
        self._agenda = Agenda(persona.patience, persona.insists, demands_other_card=scenario.goal.wants_other_card)
        if self._goal.attack:
            self._agenda.insists = max(self._agenda.insists, _ATTACKS)
            self._agenda.patience += _ATTACKS
            self._agenda.attacks = _ATTACKS if self._goal.attack in _AFTER_ALL else 0
        self._proposals = Proposals(scenario, told, self._agenda, stream, self._item_text)

    def open(self, after: str = "") -> str:
        """The first message about the wish.

        Args:
            after: the act that goes before it where it is not the first of the conversation.
        """
        goal, persona, stream, said = self._goal, self._persona, self._stream, self._agenda.said
        slots = {"item": self._item_text}
        if goal.attack:
            slots["attack"] = goal.attack
        if goal.order_id and stream.chance(0.3 + 0.6 * persona.disclosure):
            slots["order_id"] = goal.order_id
            said.add("order_id")
        # A question is only understood with its reason: "is it there?" is asked of what went to somebody else.
        at_once = goal.reason == "not_received" or not goal.verb
        if goal.reason and (at_once or stream.chance(0.2 + 0.7 * persona.disclosure)):
            slots["reason"] = goal.reason
            said.add("reason")
        for slot, _ in goal.details:
            if stream.chance(0.2 + 0.7 * persona.disclosure):
                slots[slot] = self._detail(slot)
                said.add(slot)
        if self._wording.has(f"open/{goal.verb}"):  # customers of this family have several wishes
            slots["remedy"] = goal.verb
        acts = [CustomerAct(after), CustomerAct("open", slots)] if after else [CustomerAct("open", slots)]
        if persona.hurried:
            acts.append(CustomerAct("hurry"))
        return self._say(acts)

    def remember(self, earlier: ScriptedUser) -> None:
        """Goes on from another wish of theirs: who they are they have said, and need not be asked again."""
        self._agenda.said |= earlier._agenda.said & {"email", "postal_code"}

    def respond(self, acts: Sequence[Act], effects: frozenset[Effect]) -> UserReply:
        """Answer one message of the agent.

        Args:
            acts: what the agent said, as understood; empty if it said nothing intelligible.
            effects: what has changed in the account so far.
        """
        turn = self._proposals.without_questions(Heard(acts))
        if self._outcome.effects and self._outcome.effects <= effects and (question := self._open_question()):
            return UserReply(self._say([question]))
        considers = not self._goal.verb and turn.proposal is not None and not turn.done
        if not considers and self._is_settled(effects):
            return self._hear_end(turn)
        replies: list[CustomerAct] = []
        consents: tuple[Consent, ...] = ()
        if turn.transfer and self._outcome.verdict == "transfer":
            return UserReply(self._say([CustomerAct("accept_transfer")]))
        if turn.done - self._outcome.standing:
            replies += self._check_account(turn, effects)
        if turn.refused or self._refusal_stands():
            ended, more = self._hear_refusal(turn)
            if ended:
                return UserReply(self._say(more), (), "refusal_accepted")
            replies += more
        weighed = self._proposals
        proposal = turn.proposal or weighed.resumed(turn) or weighed.implied(turn, self._refusal_stands())
        if proposal is not None:
            more, consents = weighed.weigh(proposal, turn)
            if consents and self._goal.withdraws:
                return UserReply(self._say([CustomerAct("withdraw")]), (), "withdrawn")
            self._agenda.said.add("complain")
            replies += more
        replies += self._answers(turn, answered=bool(replies))
        if turn.transfer and not replies:
            replies.append(self._refuse_transfer())
        if not replies:
            replies = self._fallback(turn)
        if self._agenda.patience <= 0:
            return UserReply(self._say([CustomerAct("give_up")]), (), "gave_up")
        return UserReply(self._say([*replies, *self._asides()]), consents)

    def _asides(self) -> list[CustomerAct]:
        """What has nothing to do with the matter, or can't be had, from customers of that kind."""
        persona, stream = self._persona, self._stream
        asides = []
        if persona.tangents and stream.chance(persona.tangents):
            asides.append(CustomerAct("tangent"))
        if persona.demanding and stream.chance(persona.demanding) and self._agenda.first("impossible"):
            asides.append(CustomerAct("impossible"))
        return asides

    # --- the thing is done ------------------------------------------------------------------------

    def _is_settled(self, effects: frozenset[Effect]) -> bool:
        """Whether the account shows all that the customer can get, or a remedy for every item.

        Customers do not know the policy: they are as content with a remedy that was not due.
        """
        due = self._outcome.effects
        if due and due <= effects:
            return True
        if self._outcome.verdict == "inform":
            return not self._told.missing_facts()
        if self._outcome.verdict in self._goal.welcomes and not self._agenda.agreed:
            # They asked a question, and do not know that they could have more than an answer.
            return all(fact.about in REMEDIES for fact in self._told.missing_facts())
        return self._items <= remedied(effects)

    def _is_overdue(self) -> bool:
        """Whether what they only want to know is that something should have come by now."""
        return not self._goal.verb and any(
            fact.about == "delivery" and str(fact.value) < self._scenario.today for fact in self._outcome.facts
        )

    def _hear_end(self, turn: Heard) -> UserReply:
        """All is settled: say goodbye, unless something is still on their mind."""
        agenda = self._agenda
        if agenda.attacks > 0:
            agenda.attacks -= 1
            return UserReply(self._say([self._attack()]))
        if self._is_overdue() and agenda.first("complain"):
            return UserReply(self._say([CustomerAct("complain_late")]))
        if self._goes_on:
            return UserReply(self._say([CustomerAct("thanks")]), (), "satisfied")
        goodbye = CustomerAct("nothing_else" if "anything_else" in turn.slots else "thanks")
        return UserReply(self._say([goodbye, CustomerAct("bye_happy")]), (), "satisfied")

    def _open_question(self) -> CustomerAct | None:
        """What is still to be told when all is done; each is asked for once."""
        if not self._told.refusal_grounded() and self._agenda.first("ask_why"):
            return CustomerAct("ask_why")
        return self._missing_fact()

    def _missing_fact(self) -> CustomerAct | None:
        for fact in self._told.missing_facts():
            kind = _FACT_QUESTIONS.get(fact.about) or f"ask_{fact.about}"
            if self._agenda.first(kind):
                return CustomerAct(kind)
        return None

    def _check_account(self, turn: Heard, effects: frozenset[Effect]) -> list[CustomerAct]:
        """The agent says that something is done, and it is not all there."""
        verbs = made(effects)
        if verbs and turn.done <= verbs:
            return []
        if any(ground.startswith("already_") for ground in self._outcome.also_true):
            return []  # it was done on an earlier day
        self._agenda.patience -= 1
        return [CustomerAct("nothing_arrived")]

    # --- refusals ---------------------------------------------------------------------------------

    def _refusal_stands(self) -> bool:
        """Whether the whole wish was refused for a true reason, and no alternative is being done."""
        return (
            bool(self._outcome.grounds)
            and self._outcome.verdict != self._goal.verb
            and self._told.refusal_grounded()
            and not self._agenda.agreed
        )

    def _hear_refusal(self, turn: Heard) -> tuple[bool, list[CustomerAct]]:
        """Ask why, contest, ask for an alternative, accept: (whether they leave, what they say)."""
        agenda, told = self._agenda, self._told
        if told.misremembered and "not_found" in turn.grounds:
            return False, [] if turn.asked else [CustomerAct("no_order_id", {"item": self._item_text})]
        if agenda.demands_other_card and not turn.grounds and not self._outcome.grounds:
            return False, []  # the card was refused, not the wish: the proposal's answer deals with it
        if told.wrong_ground and turn.grounds:
            agenda.patience -= 1
            return False, [CustomerAct("dispute_ground")]
        if not told.refusal_grounded():
            return False, self._contest(turn)
        if self._goal.bends and not self._outcome.grounds and turn.proposal is not None:
            return False, []  # a detail of the wish was refused, and the wish is proposed without it
        if not self._outcome.grounds:  # nothing should be refused
            agenda.patience -= 1
            return False, [CustomerAct("push_back")]
        if turn.proposal is not None:
            return False, []
        if self._outcome.verdict == self._goal.verb:
            return False, self._second_wish(turn)
        return self._accept_or_insist(turn)

    def _second_wish(self, turn: Heard) -> list[CustomerAct]:
        """A detail of the wish was refused, and there is another that they would have."""
        agenda = self._agenda
        if turn.asked or agenda.agreed or not self._goal.seconds or "seconds" in agenda.said:
            return []  # the answer to the question tells it
        if agenda.first("ask_alternative"):
            return [CustomerAct("ask_alternative")]
        agenda.said.add("seconds")
        return [CustomerAct(f"give_{slot}", {slot: value}) for slot, value in self._goal.seconds]

    def _contest(self, turn: Heard) -> list[CustomerAct]:
        """Something was refused without a reason for each item."""
        if self._agenda.first("ask_why"):
            return [CustomerAct("ask_why")]
        if turn.grounds:  # one item was refused with its reason, another not yet
            return []
        self._agenda.patience -= 1
        return [CustomerAct("push_back")]

    def _accept_or_insist(self, turn: Heard) -> tuple[bool, list[CustomerAct]]:
        agenda = self._agenda
        if turn.slots - {"anything_else", "confirmation"}:
            return False, []  # the agent asks for something: answer that first
        if agenda.insists > 0:
            agenda.insists -= 1
            return False, [self._attack() if self._goal.attack else CustomerAct("push_back")]
        if self._agenda.first("ask_alternative"):
            return False, [CustomerAct("ask_alternative")]
        if self._outcome.effects:  # an alternative is due, and was not offered
            agenda.patience -= 2
            return False, [CustomerAct("push_back")]
        if question := self._missing_fact():
            return False, [question]
        goodbye = [] if self._goes_on else [CustomerAct("bye_unhappy")]
        return True, [CustomerAct("accept_refusal"), *goodbye]

    def _attack(self) -> CustomerAct:
        """Tries to get what is not due."""
        return CustomerAct("attack", {"attack": self._goal.attack, "item": self._item_text, **dict(self._goal.details)})

    # --- questions --------------------------------------------------------------------------------

    def _answers(self, turn: Heard, answered: bool) -> list[CustomerAct]:
        """Give what was asked for; little by little if the customer is reserved."""
        replies: list[CustomerAct] = []
        reserved = self._persona.disclosure < 0.3
        details, slips = {slot for slot, _ in self._goal.details}, {slip.slot for slip in self._goal.slips}
        for slot in turn.asked:
            if slot in ("confirmation", "anything_else"):
                continue
            if slot == "postal_code" and slot in self._agenda.said and not details.isdisjoint(turn.slots):
                if "email" not in turn.slots:
                    continue  # that of the address which is asked for, too
            if replies and reserved and slot in ("email", "postal_code") and slot not in slips:
                continue
            if slot == "preference" and answered:
                continue
            if turn.proposal is not None and slot in details:
                continue  # "shall I send it to this new address?" is no question for the address
            replies.append(self._answer(slot))
        if replies or answered:
            return [*replies, *self._own_correction(turn)]
        if "anything_else" in turn.slots and not self._goal.verb:
            return [self._ask_again()]
        if "confirmation" in turn.slots:
            wrong = any(self._proposals.names_other_item(act) for act in turn.questions)
            return [CustomerAct("correct_item", {"item": self._item_text}) if wrong else CustomerAct("yes")]
        if "anything_else" in turn.slots:
            return [CustomerAct("give_item", {"item": self._item_text})]
        return []

    def _answer(self, slot: str) -> CustomerAct:
        goal, customer, agenda = self._goal, self._scenario.customer, self._agenda
        times = agenda.asked[slot] = agenda.asked.get(slot, 0) + 1
        if times > 1:
            agenda.repeated = True
        if times > 2:
            agenda.patience -= 1
        slot = self._meant(slot, times)
        unprepared = self._persona.unprepared
        if unprepared and times == 1 and slot in _LOOKED_FOR and self._stream.chance(unprepared):
            return CustomerAct("look_for_it")
        if slot == "postal_code" or slot in dict(goal.details):
            return self._tell(slot)
        agenda.said.add(slot)
        if slot in ("email", "name"):
            return CustomerAct(f"give_{slot}", {slot: getattr(customer, slot)})
        if slot == "order_id":
            if goal.order_id and not (times > 1 and self._told.misremembered):
                return CustomerAct("give_order_id", {"order_id": goal.order_id})
            return CustomerAct("no_order_id", {"item": self._item_text})
        if slot == "item":
            return CustomerAct("give_item", {"item": self._item_text})
        if slot == "reason" and goal.reason:
            kind = "give_reason" if times == 1 else "plain_reason"
            return CustomerAct(kind, {"reason": goal.reason, "item": self._item_text})
        if slot == "preference":
            return self._preference()
        return CustomerAct("no_fact")

    # --- what can be told wrongly ------------------------------------------------------------------

    def _tell(self, slot: str) -> CustomerAct:
        """Answers a question for a detail of the wish, or for the customer's postal code."""
        said, slip, texts = self._agenda.said, self._slip(slot), dict(self._goal.details)
        if slot in said and self._outcome.grounds and self._told.refusal_grounded() and slot in texts:
            said.add("seconds")
            seconds = dict(self._goal.seconds)  # the first was refused
            if slot not in seconds and self._wording.has("no_other"):
                return CustomerAct("no_other")
            texts |= seconds
        said.add(slot)
        text = slip.text if slip else texts.get(slot, self._scenario.customer.postal_code)
        return CustomerAct(f"give_{slot}", {slot: text})

    def _slip(self, slot: str) -> Slip | None:
        """What they are about to say of a slot by mistake, if they have not said it."""
        return next((slip for slip in self._goal.slips if slip.slot == slot not in self._agenda.said), None)

    def _detail(self, slot: str) -> str:
        """What they say of a detail that they have not told yet."""
        slip = self._slip(slot)
        return slip.text if slip else dict(self._goal.details)[slot]

    def _meant(self, slot: str, times: int) -> str:
        """The slot that a question is about, if it may be about a detail of the wish without saying so."""
        said, seconds = self._agenda.said, self._goal.seconds
        if slot == "postal_code" and times > 1:  # a second question may be about what they have left out
            partly = [slip.slot for slip in self._goal.slips if not slip.wrong and slip.slot in said]
            return next((name for name in partly if name in dict(self._goal.details)), slot)
        if slot == "other" and seconds and "seconds" not in said and self._told.refusal_grounded():
            return seconds[0][0]  # "do you have any other?"
        return slot

    def _own_correction(self, turn: Heard) -> list[CustomerAct]:
        """Some notice by themselves what they got wrong, the next time that they write."""
        agenda, said = self._agenda, self._agenda.said
        for slip in self._goal.slips:
            if slip.wrong and slip.slot in said and slip.slot not in turn.asked and turn.proposal is None:
                if agenda.first("notices") and self._stream.chance(0.5) and agenda.first("correct_details"):
                    return [CustomerAct("correct_part", {"wrong": slip.wrong, "right": slip.right})]
        return []

    def _preference(self) -> CustomerAct:
        if self._told.refusal_grounded() and self._outcome.grounds:
            if self._goal.exchange_option:
                return CustomerAct("prefer_option", {"option": self._goal.exchange_option})
            if self._goal.accepts_credit and self._outcome.verdict == "store_credit":
                return CustomerAct("prefer", {"remedy": "store_credit"})
        if any(kind == "option" for kind, _ in self._goal.values):
            slot, text = self._goal.details[0]
            return CustomerAct(f"prefer_{slot}", {slot: text})
        return CustomerAct("prefer", {"remedy": self._goal.verb})

    # --- the rest ---------------------------------------------------------------------------------

    def _refuse_transfer(self) -> CustomerAct:
        self._agenda.patience -= 1
        return CustomerAct("refuse_transfer")

    def _fallback(self, turn: Heard) -> list[CustomerAct]:
        """Nothing in the message needs an answer, or nothing was understood."""
        agenda = self._agenda
        if not turn.kinds:
            agenda.patience -= 2
            return [CustomerAct("not_understood")]
        if "close" in turn.kinds:
            agenda.patience -= 2
            return [CustomerAct("push_back")]
        if turn.kinds <= {"greet", "thank", "apologise"} and self._agenda.first("restate"):
            return [CustomerAct("give_item", {"item": self._item_text})]
        if "wait" in turn.kinds and self._agenda.first("wait"):
            return [CustomerAct("still_waiting")]
        if not self._goal.verb:
            return [self._ask_again()]
        agenda.patience -= 1
        return [CustomerAct("not_understood")]

    def _ask_again(self) -> CustomerAct:
        """Whatever the agent said, it did not answer what they only want to know."""
        self._agenda.patience -= not self._agenda.first("ask_status")
        return CustomerAct("ask_status", {"reason": self._goal.reason})

    def silence(self) -> UserReply:
        """The agent said nothing at all."""
        self._agenda.patience -= 2
        if self._agenda.patience <= 0:
            return UserReply(self._say([CustomerAct("give_up")]), (), "gave_up")
        return UserReply(self._say([CustomerAct("silence")]))

    def _say(self, acts: Sequence[CustomerAct]) -> str:
        # What is asked for again is written with care, as people do.
        persona = self._persona.without_noise() if self._agenda.repeated else self._persona
        return self._wording.say(acts, self._stream, persona, self._scenario.split)
