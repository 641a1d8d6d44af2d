"""A conversation as an agent sees it: the messages so far, the tools, and its own completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ss_gym.types import Completion, Message


class UnanswerableError(ValueError):
    """A conversation can't be answered, or not in the way that is asked for; the message says why and what to do.

    Whoever asks can mend it, so a server tells the message to its clients. It does not tell them of other errors.
    """


class Conversation(list[Message]):
    """A list of OpenAI messages, the system message first, that grows as the episode goes on.

    It is a list, so an agent that only reads messages needs nothing more. Agents that sample
    tokens also find here what they sampled (``completions``), so that their earlier turns never
    have to be tokenised again, and a place (``state``) to keep what goes with this conversation,
    such as the ids that encode it; that place is freed together with the conversation.

    Args:
        messages: the messages so far.
        tools: function schemas of the tools at hand, in OpenAI form.

    Raises:
        TypeError: if one of them is no message.

    Attributes:
        tools: as above.
        completions: place of an assistant message in the list -> the completion that it came from.
        hidden: places of messages that nobody but the agent knows of: the calls it made by itself, and their
            results.
        originals: place of a message that the agent has added to (``amend``) -> the message as others know it.
        state: free for the backend that answers; None at first.
    """

    __slots__ = ("__weakref__", "completions", "hidden", "originals", "state", "tools")

    def __init__(self, messages: Iterable[Message] = (), tools: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(messages)
        for message in self:
            _check_message(message)
        self.tools = tuple(tools)
        self.completions: dict[int, Completion] = {}
        self.hidden: set[int] = set()
        self.originals: dict[int, Message] = {}
        self.state: Any = None

    @classmethod
    def begin(cls, observation: str, info: Mapping[str, Any]) -> Conversation:
        """The conversation that ``env.reset`` opened.

        Environments of other projects need not give ``info["messages"]``: the observation is then
        what the user says.
        """
        conversation = cls(tools=info.get("tools", ()))
        if info.get("system_prompt"):
            conversation.append({"role": "system", "content": info["system_prompt"]})
        conversation.extend(info.get("messages") or [{"role": "user", "content": observation}])
        return conversation

    @property
    def system_prompt(self) -> str:
        """The content of the leading system message; empty if there is none."""
        return content_of(self[0]) if self and self[0]["role"] == "system" else ""

    @property
    def shown(self) -> list[Message]:
        """The messages that others know of, as they know them."""
        return [message for place, message in enumerate(self.unamended) if place not in self.hidden]

    @property
    def unamended(self) -> list[Message]:
        """All messages without what the agent has added to them."""
        return [self.originals.get(place, message) for place, message in enumerate(self)]

    def amend(self, text: str) -> None:
        """Adds something to the last message that nobody but the agent is to know of, such as its plan.

        It is part of a message and none of its own, because not every chat template takes two in a row of one role, or
        a system message that is not the first.
        """
        place, message = len(self) - 1, self[-1]
        self.originals.setdefault(place, message)
        content = message["content"]
        parts = isinstance(content, list)  # OpenAI form may have texts and images
        amended = [*content, {"type": "text", "text": text}] if parts else f"{content or ''}\n\n{text}".lstrip("\n")
        self[place] = {**message, "content": amended}

    def check_answerable(self) -> None:
        """Refuses a conversation that an agent has nothing to say to.

        Raises:
            UnanswerableError: if it is empty or ends with the agent's own message.
        """
        if not self:
            raise UnanswerableError("there is nothing to answer: the conversation is empty")
        if self[-1]["role"] == "assistant":
            raise UnanswerableError("there is nothing to answer: the last message is the agent's own")

    def insert_system_prompt(self, text: str) -> None:
        """Puts a system message first; meant for conversations that have none."""
        self.insert(0, {"role": "system", "content": text})
        self.completions = {place + 1: completion for place, completion in self.completions.items()}
        self.hidden = {place + 1 for place in self.hidden}
        self.originals = {place + 1: message for place, message in self.originals.items()}

    def record(self, completion: Completion, observation: str, info: Mapping[str, Any]) -> None:
        """Appends the agent's completion and what ``env.step`` gave back for it."""
        messages = list(info.get("messages") or ())
        if messages and messages[0]["role"] == "assistant":
            own, answers = messages[0], messages[1:]
        else:
            own = {"role": "assistant", "content": completion.text}
            answers = messages or [{"role": "user", "content": observation}]
        self.completions[len(self)] = completion
        self.append(own)
        self.extend(answers)


def content_of(message: Message) -> str:
    """The words of a message; of one in parts, those of its texts, a line each."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))


def _check_message(message: Any) -> None:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise TypeError(
            "a conversation is a list of messages such as {'role': 'user', 'content': 'Hi!'}, and one of these is "
            f"{message!r:.80}"
        )
    if "content" not in message and not message.get("tool_calls"):
        raise TypeError(f"a message without tool_calls needs a content, and this one has none: {message!r:.80}")
