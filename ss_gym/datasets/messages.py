"""Messages as logs have them, in one form; and the conversation that such messages make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import fsum
from numbers import Real
from typing import Any

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.records import RecordError
from ss_gym.datasets.rewards import rewards_of
from ss_gym.json_text import encode
from ss_gym.rewards.function import is_finite
from ss_gym.types import Message
from ss_gym.wrappers.trajectories import RecordedTrajectory

# What logs call them -> what OpenAI's chat form does.
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

# What rounding may add to the log-probability of what was certain.
ROUNDING = 1e-6

# Of an episode whose log does not tell.
_UNTOLD: Mapping[str, Any] = {"env_id": "", "seed": None, "terminated": True, "truncated": False}


def chat_message(given: Any, number: int) -> Message:
    """A message of a log in OpenAI form, with what agents and learners read of it and nothing else.

    Contents in parts become one text, a lone ``function_call`` becomes a tool call, and what a tool gave back
    becomes JSON text if it is none.

    Args:
        given: the message.
        number: its number in the conversation, counted from 1, for the error.

    Raises:
        RecordError: if it is none.
    """
    if not isinstance(given, Mapping):
        raise RecordError("no message", f"message {number} must be an object with a role, got {given!r:.80}")
    if given.get("role") is None:
        raise RecordError("missing role", f"message {number} has no role: {dict(given)!r:.80}")
    role = _ROLES.get(given["role"]) if isinstance(given["role"], str) else None
    if role is None:
        known = "system, user, assistant and tool"
        raise RecordError("unknown role", f"message {number} has the role {given['role']!r:.40}; known are {known}")
    message: Message = {"role": role, "content": ""}
    calls = _calls(given, number) if role == "assistant" else []
    message["content"] = _content(given, role, bool(calls), number)
    if calls:
        message["tool_calls"] = calls
    if role == "tool":
        message["tool_call_id"] = str(given.get("tool_call_id") or "")
    if isinstance(given.get("name"), str) and given["name"]:
        message["name"] = given["name"]
    return message


def _content(given: Mapping[str, Any], role: str, calls: bool, number: int) -> str:
    content = given.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        if isinstance(given.get("refusal"), str):  # what a model says instead, in OpenAI's form
            return str(given["refusal"])
        if calls or role == "tool":
            return ""
        raise RecordError("missing content", f"message {number} of the {role} has neither a content nor tool calls")
    if isinstance(content, list) and role != "tool":
        return "\n".join([_text_of(part, number) for part in content])
    if role == "tool":
        return encode(content)
    raise RecordError("missing content", f"message {number} has a content that is no text: {content!r:.80}")


def _text_of(part: Any, number: int) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        raise RecordError("content without text", f"message {number} has a part that is no text, but {kind!r:.40}")
    return text


def _calls(given: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    calls = given.get("tool_calls") or ([given["function_call"]] if given.get("function_call") else [])
    if not isinstance(calls, list | tuple):
        raise RecordError("broken tool call", f"tool_calls of message {number} must be a list, got {calls!r:.80}")
    return [_call(call, number, place) for place, call in enumerate(calls)]


def _call(call: Any, number: int, place: int) -> dict[str, Any]:
    """One call, whose name and arguments stand in it or in its ``function``."""
    whole: Mapping[str, Any] = call if isinstance(call, Mapping) else {}
    named = whole.get("function") or whole
    name = named.get("name") if isinstance(named, Mapping) else None
    if not isinstance(named, Mapping) or not isinstance(name, str) or not name:
        raise RecordError("broken tool call", f"a tool call of message {number} has no name: {call!r:.80}")
    arguments = named.get("arguments")
    text = arguments if isinstance(arguments, str) else encode({} if arguments is None else arguments)
    call_id = str(whole.get("id") or f"call_{number}_{place}")
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text or "{}"}}


def with_answers_named(messages: Sequence[Message]) -> list[Message]:
    """The messages, where results that do not name their call are those of the calls before them, in order."""
    named: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.get("tool_calls"):
            waiting = [call["id"] for call in message["tool_calls"]]
        elif message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            elif not message["tool_call_id"] and waiting:
                message = {**message, "tool_call_id": waiting.pop(0)}
        named.append(message)
    return named


def action_text(message: Message) -> str:
    """What an agent says in the environments of this package for this message of its own.

    >>> action_text({"role": "assistant", "content": "Hello!"})
    'Hello!'
    >>> call = {"id": "1", "type": "function", "function": {"name": "get_order", "arguments": '{"order_id": "17"}'}}
    >>> action_text({"role": "assistant", "content": "", "tool_calls": [call]})
    '<tool_call>{"name": "get_order", "arguments": {"order_id": "17"}}</tool_call>'
    """
    content: str = message["content"]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    blocks = [
        f'<tool_call>{{"name": {encode(function["name"])}, "arguments": {function["arguments"]}}}</tool_call>'
        for function in functions
    ]
    return "\n".join([content, *blocks] if content or not blocks else blocks)


def logged(
    messages: Sequence[Any],
    *,
    rewards: Any = None,
    reward: Any = None,
    success: bool | None = None,
    episode: Mapping[str, Any] | None = None,
    **fields: Any,
) -> LoggedConversation:
    """The conversation that messages make.

    What the agent said before anybody had said anything, such as a greeting, is none of its actions.

    Args:
        messages: as the log has them; see ``chat_message``.
        rewards: one an action, or a number for the last one; None where the log does not tell them so.
        reward: a number for the last action; that of all of them where they are told one by one, too. Where neither
            these nor the messages tell a reward, success, if that is told, is worth 1. See ``rewards_of``.
        success: whether the task was done.
        episode: what else the log tells of the episode: fields of ``RecordedTrajectory``.
        **fields: of ``LoggedConversation``.

    Raises:
        RecordError: if they make none.
    """
    if not messages:
        raise RecordError("empty conversation", "the conversation has no messages")
    said = with_answers_named([chat_message(given, number) for number, given in enumerate(messages, 1)])
    own = _own_places(said)
    paid = rewards_of(messages, own, rewards, reward)
    if paid is None and success is not None:
        paid = (*(0.0,) * (len(own) - 1), float(success))
    recorded = RecordedTrajectory(
        **{**_UNTOLD, **(episode or {})},
        scenario_id=str(fields.get("scenario", "")),
        options={},
        messages=tuple(said),
        actions=tuple([action_text(said[place]) for place in own]),
        rewards=paid or (0.0,) * len(own),
        reward_terms=({},) * len(own),
        success=success,
    )
    known = {"id": "", "rewarded": paid is not None, "action_logprobs": _logprobs(messages, own), **fields}
    return LoggedConversation(episode=recorded, **known)


def _own_places(messages: Sequence[Message]) -> list[int]:
    """Where the agent's actions are."""
    begun = next((place for place, one in enumerate(messages) if one["role"] in ("user", "tool")), len(messages))
    own = [place for place in range(begun, len(messages)) if messages[place]["role"] == "assistant"]
    if not own:
        raise RecordError("no reply", "the agent replies to nothing in the conversation, so there is nothing to learn")
    return own


def _logprobs(messages: Sequence[Any], own: list[int]) -> tuple[float, ...] | None:
    """The log-probability of each action; None unless it is told of all of them."""
    told = [_logprob(messages[place]) for place in own]
    return None if None in told else tuple([value for value in told if value is not None])


def _logprob(message: Mapping[str, Any]) -> float | None:
    """That of one message: its ``logprob``, or the sum of those of its tokens, as OpenAI's servers tell them."""
    value, tokens = message.get("logprob"), message.get("logprobs")
    if value is None and tokens:
        tokens = tokens.get("content") if isinstance(tokens, Mapping) else tokens
        listed = tokens if isinstance(tokens, list | tuple) else [None]
        parts: list[Any] = [part.get("logprob") if isinstance(part, Mapping) else part for part in listed]
        if not parts or not all(isinstance(part, Real) for part in parts):
            return None
        for part in parts:
            check_logprob(part)
        return fsum(parts)
    if value is None:
        return None
    check_logprob(value)
    return float(value)


def check_logprob(value: Any) -> None:
    """Refuses what can't be a log-probability.

    Raises:
        RecordError: if it is no finite number, or that of a probability above 1.
    """
    if not is_finite(value):
        raise RecordError("log-probability not finite", f"a log-probability must be a finite number, got {value!r:.40}")
    if value > ROUNDING:
        problem = f"a log-probability must be at most 0, got {value!r:.40}: is it a probability, or its negative?"
        raise RecordError("log-probability above 0", problem)


def text_field(values: Mapping[str, Any], *names: str) -> str:
    """The first of some fields that a log has, as text; empty if it has none."""
    found = next((values[name] for name in names if values.get(name) not in (None, "")), "")
    if isinstance(found, Mapping | list):
        return json.dumps(found, sort_keys=True)
    return str(found)
