"""Logs of chats: OpenAI's form, as its fine-tuning files and most servers have it, and ShareGPT's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.messages import logged, text_field
from ss_gym.datasets.records import Place, RecordError
from ss_gym.rewards.function import is_finite
from ss_gym.types import Message

_MESSAGES = ("messages", "conversations", "conversation")
# What ShareGPT and those who took its form over call the roles.
_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
}


def messages_in(values: Any) -> list[Any] | None:
    """The list that holds the messages of a record; None if there is none."""
    if isinstance(values, list):
        return values
    found = next((values[name] for name in _MESSAGES if isinstance(values.get(name), list)), None)
    return found if isinstance(found, list) else None


def read_openai(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A record with ``messages`` in OpenAI form, or such a list by itself.

    Raises:
        RecordError: if it is none.
    """
    return _chat(values, place, None)


def read_sharegpt(values: Any, place: Place, header: Mapping[str, Any]) -> LoggedConversation:
    """A record with ``conversations`` in ShareGPT's form, each message with ``from`` and ``value``.

    Raises:
        RecordError: if it is none.
    """
    messages = messages_in(values)
    if messages is None:
        raise RecordError("no messages", f"a record needs 'conversations', a list of messages, and has {_keys(values)}")
    return _chat(values, place, [_said(message, number) for number, message in enumerate(messages, 1)])


def _chat(values: Any, place: Place, messages: list[Any] | None) -> LoggedConversation:
    """The conversation of a record, whose messages may have been brought into OpenAI form already."""
    messages = messages_in(values) if messages is None else messages
    if messages is None:
        raise RecordError("no messages", f"a record needs 'messages', a list of messages, and has {_keys(values)}")
    record: Mapping[str, Any] = {} if isinstance(values, list) else values
    system = text_field(record, "system")
    if system and messages:
        messages = [{"role": "system", "content": system}, *messages]
    metadata, truncated = record.get("metadata"), record.get("truncated") is True
    return logged(
        messages,
        rewards=record.get("rewards"),
        reward=record.get("reward"),
        success=_success(record),
        episode={
            "env_id": text_field(record, "env_id"),
            "terminated": bool(record["terminated"]) if record.get("terminated") is not None else not truncated,
            "truncated": truncated,
            "tools": _tools(record),
        },
        id=text_field(record, "id", "conversation_id", "session_id") or str(place),
        scenario=text_field(record, "scenario_id", "task_id", "scenario"),
        customer=text_field(record, "customer_id", "user_id", "customer"),
        score=_score(record),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        source=place.source,
        line=place.line,
    )


def _success(record: Mapping[str, Any]) -> bool | None:
    success = record.get("success")
    if success is None or isinstance(success, bool):
        return success
    if success in (0, 1):
        return bool(success)
    raise RecordError("success neither true nor false", f"'success' must be true, false or null, got {success!r:.40}")


def _score(record: Mapping[str, Any]) -> float | None:
    name = next((name for name in ("score", "quality", "quality_score") if record.get(name) is not None), "")
    if not name:
        return None
    if not is_finite(record[name]):
        raise RecordError("score not finite", f"{name!r} must be a finite number, got {record[name]!r:.40}")
    return float(record[name])


def _tools(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools = record.get("tools") or record.get("functions") or []
    if isinstance(tools, str):  # as JSON, in files that keep a column of one type
        try:
            tools = json.loads(tools)
        except ValueError:
            raise RecordError("broken tools", f"'tools' is a text that is no JSON: {tools!r:.80}") from None
    return tuple([tool for tool in tools if isinstance(tool, Mapping)]) if isinstance(tools, list) else ()


def _said(message: Any, number: int) -> Message:
    """A message of ShareGPT's in OpenAI form."""
    if not isinstance(message, Mapping):
        raise RecordError("no message", f"message {number} must be an object with 'from', got {message!r:.80}")
    if message.get("from") is None:
        raise RecordError("missing role", f"message {number} has no 'from': {dict(message)!r:.80}")
    speaker, value = message["from"], message.get("value")
    role = _SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        known = ", ".join(_SPEAKERS)
        raise RecordError("unknown role", f"message {number} is from {speaker!r:.40}; known are {known}")
    besides = {name: message[name] for name in ("reward", "logprob", "logprobs") if name in message}
    if speaker != "function_call":
        return {**besides, "role": role, "content": value}
    try:
        calls = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        problem = f"the function_call of message {number} is no JSON: {value!r:.80}"
        raise RecordError("broken tool call", problem) from None
    return {**besides, "role": role, "content": None, "tool_calls": calls if isinstance(calls, list) else [calls]}


def _keys(values: Any) -> str:
    """What a record has, for an error."""
    if not isinstance(values, Mapping):
        return f"is {type(values).__name__}"
    return ", ".join(map(repr, list(values)[:8])) or "nothing"
