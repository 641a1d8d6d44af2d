"""Conversations that were answered, kept so that their next request costs only what is new."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ss_gym.agents.conversation import Conversation
from ss_gym.types import Completion, Message


class ConversationMemory:
    """The last conversations that were answered, found again by what was said in them.

    A request of a chat API brings the whole conversation. Where it goes on from one that is kept, that one is taken
    up: the model has read it already, and goes on from the tokens that it sampled, not from their text.

    Args:
        most: how many conversations are kept; the one that was not taken up for longest goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def recall(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), holder: str = ""
    ) -> Conversation:
        """The conversation of a request: one that was kept, with what is new, or a new one.

        Who takes one up has it alone: it is kept again when it has been answered.

        Args:
            messages: the whole conversation.
            tools: function schemas at hand.
            holder: of the key; others do not find what was kept for this one.
        """
        ends = list(_digests(messages, tools, holder))
        for place in range(len(messages) - 1, 0, -1):
            if messages[place - 1]["role"] == "assistant":
                kept = self._kept.pop(ends[place - 1], None)
                if kept is not None:
                    kept.extend(messages[place:])
                    return kept
        return Conversation(messages, tools)

    def keep(
        self,
        conversation: Conversation,
        asked: Sequence[Message],
        answer: Message,
        completion: Completion,
        holder: str = "",
    ) -> None:
        """Keeps a conversation together with the answer that was given.

        Args:
            conversation: what was answered; the answer is appended.
            asked: the messages of the request.
            answer: the message as the client has it.
            completion: what the model wrote.
            holder: of the key.
        """
        conversation.completions[len(conversation)] = completion
        conversation.append(answer)
        *_, end = _digests([*asked, answer], conversation.tools, holder)
        self._kept[end] = conversation
        self._kept.move_to_end(end)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


def _digests(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], holder: str) -> Iterator[bytes]:
    """A digest of the messages up to each of them."""
    digest = hashlib.sha256(_bytes([holder, *tools]))
    for message in messages:
        # One chain of lengths and contents, so that no two conversations can be written alike.
        content = _bytes(message)
        digest.update(len(content).to_bytes(8, "big") + content)
        yield digest.digest()


def _bytes(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
