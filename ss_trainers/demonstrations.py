"""Episodes of a demonstrator: another agent plays, and what it writes becomes tokens of the model that learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ss_gym.agents import Conversation
from ss_gym.attributes import named_object
from ss_gym.types import Completion
from ss_trainers.chat import ChatFormat, EncodedConversation
from ss_trainers.rollout import Lockstep


class Demonstrator(Protocol):
    """An agent that is imitated: a scripted one, a ``MultiTurnAgent``, or anything else that acts."""

    def act(self, conversations: Sequence[Conversation]) -> Sequence[Completion]:
        """The next action of each conversation, in the same order."""
        ...


def load_demonstrator(name: str) -> Demonstrator:
    """The agent of a name ``"package.module:attribute"``: an agent, or a class or function that makes one.

    Raises:
        ValueError: if the name is of another form, or what it names neither acts nor makes what does.
        ImportError: if it is not there.
    """
    agent: Demonstrator = named_object(name, "demonstrator", lambda found: callable(getattr(found, "act", None)))
    return agent


class DemonstrationPlayer:
    """Lets a demonstrator play, and writes down what the model would have read and sampled.

    A text is encoded once, when it is said; these ids are kept and trained on, as sampled ones are. Each has
    log-probability 0: the demonstrator is certain of what it says.

    Args:
        agent: who plays.
        chat: how the model writes conversations.
        max_context: most tokens of a conversation; an episode ends where its next turn has no room.
    """

    def __init__(self, agent: Demonstrator, chat: ChatFormat, max_context: int) -> None:
        self._agent = Lockstep(agent.act)
        self._chat, self._max_context = chat, max_context
        self._encoded: dict[int, EncodedConversation] = {}

    def submit(self, conversation: Conversation) -> None:
        """Keeps the conversation for the next batch."""
        self._agent.submit(conversation)

    def replies(self) -> list[tuple[Conversation, Completion]]:
        """The replies to all conversations that were submitted, with the ids that the model has for them."""
        return [(conversation, self._written(conversation, reply)) for conversation, reply in self._agent.replies()]

    def encoding(self, conversation: Conversation) -> EncodedConversation:
        """The ids of the conversation."""
        return self._encoded.setdefault(id(conversation), EncodedConversation(self._chat))

    def close(self, conversation: Conversation) -> None:
        """Frees what is kept for a conversation that has ended."""
        self._encoded.pop(id(conversation), None)

    def _written(self, conversation: Conversation, reply: Completion) -> Completion:
        encoding = self.encoding(conversation)
        encoding.update(conversation)
        ids = self._chat.completion_ids(reply.text)
        if len(encoding.ids) + len(ids) > self._max_context:
            # As for a model whose context is full.
            return Completion("", (), (), "length")
        return Completion(reply.text, ids, (0.0,) * len(ids))
