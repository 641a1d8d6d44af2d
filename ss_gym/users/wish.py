"""One wish of a customer in a conversation: how the agent's words are read, and what the customer does about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ss_gym.commerce.records import Effect
from ss_gym.rewards.outcome import OutcomeAudit
from ss_gym.scenarios import Scenario
from ss_gym.streams import Stream
from ss_gym.users.acts import Act
from ss_gym.users.agenda import UserReply
from ss_gym.users.persona import Persona
from ss_gym.users.scripted import ScriptedUser
from ss_gym.users.spoken import SpokenUser
from ss_gym.users.told import Told
from ss_gym.users.understanding import Understanding
from ss_gym.users.values import Inventory
from ss_gym.users.wording import Wording


class Wish:
    """What an episode about one wish keeps of the customer.

    Args:
        scenario: who they are, what they want, and what is right.
        wording: their phrases.
        understanding: reads the agent.
        inventory: gives the typed values that the agent may speak of; asked once, at its first words.
        persona: how they talk.
        stream: draws words, noise and small choices.
        goes_on: whether another wish follows.

    Attributes:
        scenario: the same.
        told: what they have been told.
        user: the scripted customer.
        audit: what is right so far.
    """

    __slots__ = ("_inventory", "_known", "_understanding", "audit", "scenario", "told", "user")

    def __init__(
        self,
        scenario: Scenario,
        wording: Wording,
        understanding: Understanding,
        inventory: Callable[[Scenario], Inventory],
        persona: Persona,
        stream: Stream,
        goes_on: bool = False,
    ) -> None:
        self.scenario = scenario
        self.told = Told(scenario)
        self.audit = OutcomeAudit(scenario, self.told)
        self.user = ScriptedUser(scenario, self.told, wording, persona, stream, goes_on)
        self._understanding = understanding
        self._inventory = inventory
        self._known: Inventory | None = None  # an agent may never say a word

    def open(self) -> str:
        """Their first message."""
        return self.user.open()

    def spoken(self, persona: Persona, opening: str) -> SpokenUser:
        """The same customer, played from outside."""
        return SpokenUser(self.scenario, self.told, persona, opening)

    def read(self, text: str) -> tuple[Act, ...]:
        """What the agent says."""
        if self._known is None:
            self._known = self._inventory(self.scenario)
        return self._understanding.read(text, self._known)

    def hear(self, acts: Sequence[Act], effects: frozenset[Effect]) -> None:
        """Takes in what the agent says to them."""
        self.told.hear(acts, remedied=bool(effects))

    def respond(self, acts: Sequence[Act], effects: frozenset[Effect]) -> UserReply:
        """Their answer."""
        return self.user.respond(acts, effects)

    def silence(self) -> UserReply:
        """Their answer to nothing."""
        return self.user.silence()
