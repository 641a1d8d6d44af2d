"""How long conversations are: whether they fit into a model's context, and whether one plainly does not."""

from __future__ import annotations

import json

from ss_gym.agents import Conversation, UnanswerableError
from ss_trainers.chat import ChatFormat, EncodedConversation, written_action

# Few texts have more characters for each of their tokens.
_CHARACTERS = 8


def least_ids(encoded: EncodedConversation, conversation: Conversation, most: int) -> int:
    """A number of ids that a conversation has at least, if it plainly has more than ``most``; else 0.

    A megabyte takes seconds to encode, and few models have room for it. So where there is much more to encode than
    usually fits, its beginning is encoded first, and then longer ones, until it is plain.

    Args:
        encoded: of the conversation, what is encoded of it.
        conversation: as it is now.
        most: how many would fit.
    """
    chat, new = encoded.chat, conversation[encoded.seen :]
    texts = [written_action(message) for message in new if message["role"] != "system"]
    size = sum(map(len, texts))
    if not encoded.seen:
        size += len(conversation.system_prompt) + len(json.dumps(conversation.tools))
    length = _CHARACTERS * most
    if size <= length:
        return 0
    if not encoded.seen:  # templates list tools in their own way, or not at all
        texts.insert(0, chat.opening_text(conversation.system_prompt, conversation.tools))
    text = "\n".join(texts)
    while length < len(text):
        beginning = chat.tokenizer.encode(text[:length], add_special_tokens=False, split_special_tokens=True)
        # Where it is cut, and between two messages, it may be encoded otherwise; never in half as many ids.
        if len(beginning) > 2 * most:
            return len(beginning) // 2
        length *= 2
    return 0


def encoded_ids(chat: ChatFormat, conversation: Conversation, limit: int) -> list[int]:
    """All ids of a conversation, where what is said next fits as well.

    Args:
        chat: how the tokenizer writes it.
        conversation: ends with a user or tool message.
        limit: the model's context.

    Raises:
        UnanswerableError: if the conversation fills the context.
    """
    encoded = EncodedConversation(chat)
    encoded.update(conversation)
    if len(encoded.ids) >= limit:
        raise UnanswerableError(f"the prompt has {len(encoded.ids)} tokens and the model's context {limit}")
    return encoded.ids
