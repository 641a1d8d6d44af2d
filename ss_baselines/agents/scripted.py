"""Scripted agents: a policy written as code, one small object a conversation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ss_gym.types import Completion, Message


class Agent(Protocol):
    """What evaluation asks of an agent, scripted or learned."""

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """The next action of each conversation, in the same order.

        Args:
            conversations: messages in OpenAI form so far: system, user, assistant and tool.
        """
        ...


class Script(Protocol):
    """The policy of one conversation; it remembers what it has seen."""

    def step(self, messages: Sequence[Message]) -> str:
        """The next action, given only the messages since the last one.

        Args:
            messages: new user and tool messages; assistant messages among them are the script's
                own actions as the environment understood them.
        """
        ...


ScriptFactory = Callable[[str], Script]  # from the system prompt


class ScriptedAgent:
    """Runs one script a conversation.

    A loop that owns its conversations calls ``start`` and then ``step`` on what it gives. ``act``
    serves loops that hold whole message lists: a list that has grown since the last call costs
    only its new messages, and one it has not met (a copy, a restored episode) is replayed.

    Args:
        factory: makes the script of a conversation from its system prompt.
        memory: how many conversations ``act`` keeps in mind before it forgets the oldest.
    """

    def __init__(self, factory: ScriptFactory, memory: int = 4_096) -> None:
        self._factory = factory
        self._memory = memory
        self._open: OrderedDict[int, tuple[Sequence[Message], int, Script]] = OrderedDict()

    def start(self, system_prompt: str) -> Script:
        """The script of a new conversation."""
        return self._factory(system_prompt)

    def act(self, conversations: Sequence[Sequence[Message]]) -> list[Completion]:
        """The next action of each conversation."""
        return [Completion(text=self._advance(conversation)) for conversation in conversations]

    def __getstate__(self) -> dict[str, Any]:
        """Pickles without the conversations that are going on, which are generators in the middle."""
        return {**self.__dict__, "_open": OrderedDict()}

    def _advance(self, conversation: Sequence[Message]) -> str:
        key = id(conversation)
        known = self._open.pop(key, None)
        # The entry holds the list itself, so its id cannot have passed to another list.
        if known is not None and known[0] is conversation and known[1] < len(conversation):
            _, seen, script = known
            text = script.step(conversation[seen:])
        else:
            script, text = self._replay(conversation)
        self._open[key] = (conversation, len(conversation), script)
        if len(self._open) > self._memory:
            self._open.popitem(last=False)
        return text

    def _replay(self, conversation: Sequence[Message]) -> tuple[Script, str]:
        """A fresh script, brought to the end of ``conversation``, and its next action."""
        first = conversation[0] if conversation else None
        has_system = first is not None and first["role"] == "system"
        script = self.start(first["content"] if first is not None and has_system else "")
        begin = 1 if has_system else 0
        for place in range(begin + 1, len(conversation)):
            if conversation[place]["role"] == "assistant":
                script.step(conversation[begin:place])
                begin = place
        return script, script.step(conversation[begin:])
