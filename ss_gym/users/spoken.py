"""A customer whose words come from outside: what they agree to, and whether they leave."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ss_gym.commerce.records import Effect
from ss_gym.scenarios import Scenario
from ss_gym.types import Message
from ss_gym.users.acts import Act, Consent
from ss_gym.users.agenda import UserReply
from ss_gym.users.briefing import briefing
from ss_gym.users.heard import Heard, amounts_of
from ss_gym.users.persona import Persona
from ss_gym.users.simulator import UserRequest
from ss_gym.users.told import Told

_YES_TAG, _BYE_TAG = re.compile(r"\[yes\]", re.I), re.compile(r"\[bye\]", re.I)
# For those who forget the tags, people above all.
_YES = re.compile(r"\W*(?:yes|yeah|yep|yup|ok|okay|sure|certainly|agreed|fine|go ahead|please do|sounds good)\b", re.I)
_NO = re.compile(r"\b(?:no|not|n't|but|wait|why|how|what|when|which|instead|only if)\b|\?", re.I)
_BYE = re.compile(r"\b(?:good)?bye\b|\bsee you\b|\btake care\b", re.I)
_MOST_CHARS = 2_000  # of one message


class SpokenUser:
    """Follows a customer who is played from outside.

    What they agree to is what the agent has proposed last, in the amount that it named: consent needs their
    ``[YES]``, or a message that begins with a plain yes and asks nothing. They leave with ``[BYE]`` or a
    goodbye: satisfied if what is due was done or told, or if a true reason was given for a refusal, and
    otherwise they have given up.

    Args:
        scenario: who they are and what they want.
        told: what they have been told; its owner updates it before ``hear`` is called.
        persona: how they are told to talk.
        opening: their first message.
    """

    def __init__(self, scenario: Scenario, told: Told, persona: Persona, opening: str) -> None:
        self._scenario = scenario
        self._told = told
        self._briefing = briefing(scenario, persona)
        self._messages: list[Message] = [{"role": "assistant", "content": opening}]
        self._proposal: Act | None = None
        self._amounts: tuple[int, ...] = ()
        self._took_back = False

    def turn_to(self, scenario: Scenario, told: Told) -> None:
        """What they say from now on is about this wish."""
        self._scenario, self._told = scenario, told
        self._proposal, self._took_back = None, False

    def hear(self, text: str, acts: Sequence[Act]) -> UserRequest:
        """Takes in a message of the agent; gives what is needed to answer it."""
        turn = Heard(acts)
        if turn.proposal is not None:
            self._proposal = turn.proposal
            self._amounts = amounts_of(turn.proposal) or turn.amounts
        self._messages.append({"role": "user", "content": text or "(nothing)"})
        return UserRequest(self._briefing, tuple([dict(message) for message in self._messages]))

    def answer(self, reply: str, effects: frozenset[Effect]) -> UserReply:
        """What a reply means.

        Args:
            reply: what came from outside.
            effects: what has changed in the account so far.
        """
        text = _BYE_TAG.sub("", _YES_TAG.sub("", reply)).strip()[:_MOST_CHARS]
        self._messages.append({"role": "assistant", "content": text or "(nothing)"})
        consents: tuple[Consent, ...] = ()
        if self._proposal is not None and (_YES_TAG.search(reply) or (_YES.match(text) and not _NO.search(text))):
            goal = self._scenario.goal
            verb = goal.verb if self._proposal.verb in goal.also else self._proposal.verb
            items = frozenset(goal.items)
            consents = tuple([Consent(verb, items, amount) for amount in self._amounts or (0,)])
            self._proposal = None
        self._took_back = self._proposal is not None and self._scenario.goal.withdraws
        leaves = _BYE_TAG.search(reply) or _BYE.search(text)
        return UserReply(text, consents, self.ending(effects) if leaves else "")

    def ending(self, effects: frozenset[Effect]) -> str:
        """How the wish has ended if they leave it at that: satisfied, refusal_accepted, withdrawn or gave_up."""
        if self._took_back:
            return "withdrawn"
        outcome = self._scenario.outcome
        if outcome.effects and outcome.effects <= effects:
            return "satisfied"
        if outcome.verdict == "inform" and not self._told.missing_facts():
            return "satisfied"
        if outcome.grounds and self._told.refusal_grounded():
            return "refusal_accepted"
        return "gave_up"
