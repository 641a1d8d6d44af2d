"""Conversations as token ids: each message is encoded once, and nothing is ever rendered again.

A chat template renders a whole conversation. Rendering it anew each turn is quadratic, and some
templates change earlier turns when later ones arrive (thinking is dropped, for instance), which
breaks the rule that a model is trained on the ids it sampled. :class:`ChatFormat` therefore renders
each *shape* of messages once, with slots in place of their contents, and keeps the text between the
slots. A conversation is then

    prompt_ids · (ids of the opening messages) · completion · (ids of the messages that follow) · …

where a completion is whatever was sampled, end-of-turn token included.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from ss_gym.agents import Conversation, UnanswerableError
from ss_gym.agents.backends import cut_at_stop
from ss_gym.agents.conversation import content_of
from ss_gym.types import Message

_LOGGER = logging.getLogger(__name__)

FALLBACK_TEMPLATE = """\
{%- if bos_token %}{{ bos_token }}{% endif %}
{%- set names = {'system': 'Instructions', 'user': 'User', 'assistant': 'Assistant', 'tool': 'Tool'} %}
{%- for message in messages %}
{{- names[message.role] }}: {{ message.content }}{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}
{{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}Assistant:{% endif %}"""
"""The template of models that have none, such as ``gpt2``: one ``Name: content`` line a message,
the agent's own ending in the end-of-sequence token."""

_TOOLS_HEADING = (
    'To use a tool, write <tool_call>{"name": NAME, "arguments": {…}}</tool_call>. These are the tools, one a line:'
)
# Longer prompts (characters, tools included) are encoded each time: hundreds are kept, and they may be anybody's.
_LONGEST_KEPT = 2**16
# Some templates insist on nine characters for the id of a call.
_TOOL_CALL = {"id": "call00000", "type": "function", "function": {"name": "tool", "arguments": {}}}


class _UnfitTemplateError(Exception):
    """A chat template cannot be cut into one fragment a message."""


class ChatFormat:
    """How one tokenizer writes conversations.

    What users and tools say is data: text in it that looks like a control token is encoded as
    plain text.

    The tools are listed once. Where the template has a place for them it writes them as the model
    knows them. Where it has none, their schemas follow the system prompt, unless that already names
    every tool and every argument: then it is the list.

    Args:
        tokenizer: its chat template is used where it has one that can be cut into one fragment a
            message, else :data:`FALLBACK_TEMPLATE`.
        turn_prefix: ids that stand at the beginning of each of the agent's turns, such as a control token.

    Attributes:
        tokenizer: as above.
        turn_prefix: as above.
        template: the Jinja template in use.
        end_id: the token that ends an agent's turn.
        stop_ids: the tokens that end generation: ``end_id`` and the end of the sequence.
        opens_thought: whether the template begins the agent's turn with ``<think>``, so that a completion has only
            the end of the thought.

    Raises:
        ValueError: if the tokenizer has no end-of-sequence token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, turn_prefix: Sequence[int] = ()) -> None:
        self.turn_prefix = tuple(turn_prefix)
        if tokenizer.eos_token_id is None:
            raise ValueError(
                "the tokenizer has no end-of-sequence token, so an agent's turn cannot end: set its eos_token "
                "and save it beside the model"
            )
        self.tokenizer = tokenizer
        self.template = str(tokenizer.chat_template or FALLBACK_TEMPLATE)
        try:
            self.end_id = self._find_end()
        except (_UnfitTemplateError, TemplateError) as error:
            _LOGGER.warning("the model's chat template is not used, a plain one is: %s", error)
            self.template = FALLBACK_TEMPLATE
            self.end_id = self._find_end()
        self.stop_ids = frozenset({self.end_id, int(tokenizer.eos_token_id)})
        *_, after = self._cut(self._render(_slots(("user",))), 1)
        self.opens_thought = after.rstrip().endswith("<think>")
        self._prompt = lru_cache(maxsize=256)(self._encode_prompt)
        self._opening = lru_cache(maxsize=64)(self._cut_opening)
        self._following = lru_cache(maxsize=64)(self._cut_following)
        # Every message has the same few pieces of the template around it.
        self._pieces = lru_cache(maxsize=256)(self._template_ids)

    def prompt_ids(self, system_prompt: str, tools: Sequence[Mapping[str, Any]] = ()) -> tuple[int, ...]:
        """What a conversation begins with, up to where the first message's content starts.

        Raises:
            UnanswerableError: if the template refuses it.
        """
        listed = json.dumps(tools)
        kept = len(system_prompt) + len(listed) <= _LONGEST_KEPT
        return (self._prompt if kept else self._encode_prompt)(system_prompt, listed)

    def opening_text(self, system_prompt: str, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """What a conversation begins with as text, and one user message after it that is a slot.

        Raises:
            UnanswerableError: if the template refuses it.
        """
        try:
            return self._render_opening(system_prompt, tools)
        except TemplateError as error:
            raise UnanswerableError(f"the model's chat template refuses the instructions or tools: {error}") from error

    def message_ids(
        self, messages: Sequence[Message], *, opening: bool = False, closed: bool = True
    ) -> list[tuple[int, ...]]:
        """The ids of what the environment said, one tuple a message; the last opens the agent's turn.

        Args:
            messages: user and tool messages, in order.
            opening: they are the first of the conversation and follow ``prompt_ids``.
            closed: the completion before them ended with an end-of-turn token; where it was cut
                off the token is put in here.

        Raises:
            UnanswerableError: if a message has something other than text, or the template refuses such messages, for
                instance two of the user's one after the other.
        """
        roles = tuple(message["role"] for message in messages)
        try:
            pieces = self._opening(roles) if opening else self._following(roles)
        except (_UnfitTemplateError, TemplateError) as error:
            told = f"{', '.join(roles):.80}"
            raise UnanswerableError(f"the model's chat template refuses the messages ({told}): {error}") from error
        encoded = [
            self._piece_ids(piece) + self._content_ids(piece, _text_of(message))
            for message, piece in zip(messages, pieces[:-1], strict=True)
        ]
        encoded[-1] += self._piece_ids(pieces[-1]) + self.turn_prefix
        if not (closed or opening):
            encoded[0] = (self.end_id, *encoded[0])
        return encoded

    def completion_ids(self, text: str, *, plain: bool = False) -> tuple[int, ...]:
        """The ids of an agent's turn that was written, not sampled: end-of-turn token included.

        Args:
            text: what the agent says. If it holds what looks like the end of a turn, all that looks like a
                control token in it is encoded as plain text.
            plain: whether that is so in any case.
        """
        ids = [] if plain else self.tokenizer.encode(text, add_special_tokens=False)
        if plain or not self.stop_ids.isdisjoint(ids):
            ids = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return (*ids, self.end_id)

    def text(self, completion_ids: Sequence[int], stop: Sequence[str] = ()) -> str:
        """What the agent said, without the end-of-turn token and the space around.

        Args:
            completion_ids: the ids of its turn.
            stop: texts that end it: what stands from the first of them on is left out.
        """
        ids = list(completion_ids)
        if ids and ids[-1] in self.stop_ids:
            ids.pop()
        return cut_at_stop(self.decoded(ids), stop)[0].strip()

    def decoded(self, ids: Sequence[int]) -> str:
        """The text of some ids as it stands."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _piece_ids(self, piece: str) -> tuple[int, ...]:
        return self._pieces(piece.rstrip(" "))

    def _content_ids(self, piece: str, content: str) -> tuple[int, ...]:
        # Byte-level tokenizers join a space to the word after it, so it goes with the content.
        spaces = piece[len(piece.rstrip(" ")) :]
        return tuple(self.tokenizer.encode(spaces + content, add_special_tokens=False, split_special_tokens=True))

    def _template_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False)) if text else ()

    def _encode_prompt(self, system_prompt: str, tools: str) -> tuple[int, ...]:
        text = self.opening_text(system_prompt, json.loads(tools))
        return self._template_ids(text[: text.rindex(_slot(0))].rstrip(" "))

    def _render_opening(self, system_prompt: str, tools: Sequence[Mapping[str, Any]]) -> str:
        """The system prompt, the tools, and one user message that is a slot."""
        if tools and "tools" not in self.template and not _names_all(system_prompt, tools):
            listed = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
            system_prompt, tools = f"{system_prompt}\n\n{_TOOLS_HEADING}\n{listed}".lstrip(), ()
        if not system_prompt:
            return self._render([{"role": "user", "content": _slot(0)}], tools)
        try:
            messages = [{"role": "system", "content": system_prompt}, {"role": "user", "content": _slot(0)}]
            text = self._render(messages, tools)
            if system_prompt.strip() in text:
                return text
        except TemplateError:
            _LOGGER.debug("the chat template refuses system messages")
        # Templates without a system role: the instructions stand before the first user message.
        return self._render([{"role": "user", "content": f"{system_prompt}\n\n{_slot(0)}"}], tools)

    def _cut_opening(self, roles: tuple[str, ...]) -> list[str]:
        """The template's text around the contents of the first messages."""
        first, *rest = self._cut(self._render(_slots(roles)), len(roles))
        return [first[len(first.rstrip(" ")) :], *rest]

    def _cut_following(self, roles: tuple[str, ...], earlier_turns: int = 1) -> list[str]:
        """The template's text around the contents of messages after an agent's turn."""
        try:
            return self._cut_after_turn(roles, earlier_turns)
        except (_UnfitTemplateError, TemplateError):
            if "tool" not in roles:
                raise
        # Templates without a tool role: what a tool answers is shown as a user message that says so.
        pieces = self._cut_after_turn(("user",) * len(roles), earlier_turns)
        for place, role in enumerate(roles):
            if role == "tool":
                pieces[place] += "<tool_response>\n"
                pieces[place + 1] = "\n</tool_response>" + pieces[place + 1]
        return pieces

    def _cut_after_turn(self, roles: tuple[str, ...], earlier_turns: int) -> list[str]:
        turn: Message = {"role": "assistant", "content": "a"}
        last = turn | {"tool_calls": [_TOOL_CALL]} if roles[0] == "tool" else turn
        history = [{"role": "user", "content": "u"}, turn] * (earlier_turns - 1) + [
            {"role": "user", "content": "u"},
            last,
        ]
        before, *rest = self._cut(self._render([*history, *_slots(roles)]), len(roles))
        end = str(self.tokenizer.convert_ids_to_tokens(self.end_id))
        _, found, between = before.rpartition(end)
        if not found:
            raise _UnfitTemplateError("an agent's turn does not always end with the same token")
        return [between, *rest]

    def _find_end(self) -> int:
        """The token that ends an agent's turn; checks that later messages leave earlier ones alone."""
        messages = [{"role": role, "content": _slot(place)} for place, role in enumerate(("user", "assistant", "user"))]
        between = self._cut(self._render(messages), 3)[2]
        special = set(self.tokenizer.all_special_ids)
        end = next((token for token in self._template_ids(between) if token in special), None)
        if end is None:
            raise _UnfitTemplateError("no special token ends an agent's turn")
        self.end_id = end
        if self._cut_following(("user",), 1) != self._cut_following(("user",), 2):
            raise _UnfitTemplateError("a message is written differently later in the conversation")
        return end

    @staticmethod
    def _cut(text: str, slots: int) -> list[str]:
        """The text between the slots: one piece more than there are slots."""
        pieces = []
        for place in range(slots):
            piece, found, text = text.partition(_slot(place))
            if not found:
                raise _UnfitTemplateError("it leaves out or reorders messages")
            pieces.append(piece)
        return [*pieces, text]

    def _render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                list(messages),
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self.template,
                add_generation_prompt=True,
                tokenize=False,
            )
        )


class EncodedConversation:
    """The ids of one conversation, extended as it grows.

    Attributes:
        chat: how the model's tokenizer writes conversations.
        seen: messages of it that are encoded.
        prompt_ids: ids before the first message's content.
        message_ids: ids of each message after the system message, as the model saw or sampled them.
    """

    def __init__(self, chat: ChatFormat) -> None:
        self.chat = chat
        self._clear()

    def _clear(self) -> None:
        self.prompt_ids: tuple[int, ...] = ()
        self.message_ids: list[tuple[int, ...]] = []
        self.seen = 0

    @property
    def ids(self) -> list[int]:
        """All ids, in order."""
        return [token for turn in (self.prompt_ids, *self.message_ids) for token in turn]

    def update(self, conversation: Conversation) -> None:
        """Encodes the messages that are new; the agent's own by the ids that it sampled.

        The conversation must end with a message that the agent is to answer.

        Raises:
            UnanswerableError: if the model's template does not take the messages.
        """
        if 0 < self.seen < len(conversation) and conversation[self.seen]["role"] != "assistant":
            # The agent's turn was opened and not taken: what was encoded does not lead here.
            self._clear()
        if not self.seen:
            self._open(conversation)
        while self.seen < len(conversation):
            self._continue(conversation)

    def _open(self, conversation: Conversation) -> None:
        self.prompt_ids = self.chat.prompt_ids(conversation.system_prompt, conversation.tools)
        first = int(conversation[0]["role"] == "system")
        messages = _environment_messages(conversation, first)
        if not messages or messages[0]["role"] != "user":
            # Chat templates want a user to begin: an empty message stands for one who has not spoken.
            unspoken = self.chat.message_ids([{"role": "user", "content": ""}, *messages], opening=True)
            self.prompt_ids += unspoken[0]
            self.message_ids += unspoken[1:]
        else:
            self.message_ids += self.chat.message_ids(messages, opening=True)
        self.seen = first + len(messages)

    def _continue(self, conversation: Conversation) -> None:
        completion = conversation.completions.get(self.seen)
        if completion is not None and completion.token_ids is not None:
            own = completion.token_ids
        else:
            own = self.chat.completion_ids(written_action(conversation[self.seen]))
        messages = _environment_messages(conversation, self.seen + 1)
        if not messages:
            raise UnanswerableError(
                f"message {self.seen} of the conversation is the agent's own and nothing answers it"
            )
        closed = bool(own) and own[-1] in self.chat.stop_ids
        self.message_ids += [own, *self.chat.message_ids(messages, closed=closed)]
        self.seen += 1 + len(messages)


def written_action(message: Message) -> str:
    """What an agent writes to make an assistant message: its text, then its tool calls in tags."""
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    lines = [said] if (said := _text_of(message)) else []
    for call in calls:
        # OpenAI form holds the arguments as JSON text.
        arguments = call["arguments"] if isinstance(call["arguments"], str) else json.dumps(call["arguments"])
        lines.append(f'<tool_call>{{"name": {json.dumps(call["name"])}, "arguments": {arguments}}}</tool_call>')
    return "\n".join(lines)


def _text_of(message: Message) -> str:
    """What a message says.

    Raises:
        UnanswerableError: if it has something other than text.
    """
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, Mapping) else part
        if kind != "text":
            raise UnanswerableError(f"a message has a part of the type {kind!r:.80}, and this model reads text alone")
    return content_of(message)


def _names_all(system_prompt: str, tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every tool and every argument of it stands in the system prompt as a word."""
    functions = [tool.get("function", tool) for tool in tools]
    names = {str(function["name"]) for function in functions}
    for function in functions:
        names.update((function.get("parameters") or {}).get("properties") or {})
    return all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", system_prompt) for name in names)


def _environment_messages(conversation: Conversation, start: int) -> list[Message]:
    """The messages from ``start`` up to the next one of the agent."""
    stop = start
    while stop < len(conversation) and conversation[stop]["role"] != "assistant":
        stop += 1
    return conversation[start:stop]


def _slot(place: int) -> str:
    return f"[[slot-{place}]]"


def _slots(roles: Sequence[str]) -> list[Message]:
    return [
        {"role": role, "content": _slot(place), **({"tool_call_id": "call00000"} if role == "tool" else {})}
        for place, role in enumerate(roles)
    ]
