"""The action grammar: what an agent's completion says, calls and thinks.

A completion is plain text for the customer, or holds one or more blocks
``<tool_call>{"name": "...", "arguments": {...}}</tool_call>``, the form that Qwen and Hermes chat
templates emit. ``<think>...</think>`` is shown to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from json.decoder import JSONDecodeError, JSONDecoder
from math import isinf
from typing import Any

from ss_gym.json_text import encode, is_deeper
from ss_gym.types import Message, ParsedAction, ToolCall

OPEN_CALL = "<tool_call>"
_CLOSE_CALL = "</tool_call>"
_CLOSE_THINK = "</think>"
_TAG = re.compile(r"<tool_call>|</?think>")
# Control characters but newline and tab, and lone surrogates, which no encoding can carry.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = " \t\n\r"

# Python's own words for what is wrong with a JSON text differ between its versions, so none is passed on.
_BROKEN = "the JSON is broken (check its quotes, commas and brackets)"
_TOO_DEEP = "the JSON is nested too deeply"
_FORM = '<tool_call>{"name": "...", "arguments": {...}}</tool_call>'
# Containers nested deeper than any tool needs break encoders.
_DEEPEST = 32
# How deep Python's parser goes depends on its version and on who calls; nesting beyond this is found without it.
_PARSED_DEPTH = 64
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)
# The lowest limit that PYTHONINTMAXSTRDIGITS can set; a longer number would be read in one process only.
_MOST_DIGITS = 640

# A chat API wants a name on every call, so a call that had none gets this one.
UNREADABLE_CALL = "unreadable_call"


class _UnreadableNumber(ValueError):
    """A number that Python's parser takes in some processes, or that JSON does not have."""


def _refuse_constant(constant: str) -> Any:
    raise _UnreadableNumber(f"{constant} is not a JSON value")


def _read_integer(digits: str) -> int:
    count = len(digits) - digits.startswith("-")
    if count > _MOST_DIGITS:
        raise _UnreadableNumber(f"a number of {count} digits is too long")
    return int(digits)


def _read_float(digits: str) -> float:
    value = float(digits)
    if isinf(value):
        # It would be written as Infinity, which JSON does not have.
        raise _UnreadableNumber(f"the number {digits:.20} is too large")
    return value


_scan = JSONDecoder(parse_constant=_refuse_constant, parse_int=_read_integer, parse_float=_read_float).raw_decode


def parse_action(text: str, first_id: int = 0) -> ParsedAction:
    """Reads an agent's completion; never raises on any text.

    A tool call wins: text beside it is kept as ``aside`` and said to nobody. An unclosed ``<think>``
    makes the rest of the text a thought; a ``</think>`` without an opening makes all before it a
    thought, since some chat templates open it in the prompt. An unclosed ``<tool_call>`` at the end
    of the text is accepted if its JSON is complete. Every block that can't be read becomes a
    ``ToolCall`` whose ``error`` tells why.

    Args:
        text: the raw completion.
        first_id: number of the first tool call's id; the calls get ``call_<first_id>`` and on.

    Returns:
        The parsed action.

    Examples:
        >>> parse_action("One moment, please.").say
        'One moment, please.'
        >>> action = parse_action('<tool_call>{"name": "get_order", "arguments": {"order_id": "48213"}}</tool_call>')
        >>> action.tool_calls[0].name, action.tool_calls[0].arguments, action.say
        ('get_order', {'order_id': '48213'}, '')
    """
    if "<" not in text:
        return ParsedAction(text, text.strip() if text.isprintable() else _spoken(text))
    said: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    position = 0
    while tag := _TAG.search(text, position):
        if tag.start() > position:
            said.append(text[position : tag.start()])
        position = tag.end()
        if tag[0] == OPEN_CALL:
            call, position = _read_block(text, position, f"call_{first_id + len(calls)}")
            calls.append(call)
        elif tag[0] == _CLOSE_THINK:
            thoughts.append(text[: tag.start()] if not thoughts else "".join(said))
            said.clear()
            calls.clear()
        else:
            end = text.find(_CLOSE_THINK, position)
            thoughts.append(text[position : end if end >= 0 else len(text)])
            position = end + len(_CLOSE_THINK) if end >= 0 else len(text)
    said.append(text[position:])
    words = "".join(said)
    words = words and _spoken(words)
    thought = "\n".join(thoughts).strip() if thoughts else ""
    if calls:
        return ParsedAction(text, "", tuple(calls), words, thought)
    return ParsedAction(text, words, (), "", thought)


def unreadable_action(text: str, error: str, call_id: int) -> ParsedAction:
    """An action that is refused as a whole: one call that could not be read.

    Args:
        text: the raw completion.
        error: why it is refused and what to do.
        call_id: number of the call's id.
    """
    return ParsedAction(text, "", (ToolCall(f"call_{call_id}", "", {}, "", error),))


def action_message(action: ParsedAction) -> Message:
    """The assistant message in OpenAI chat form that stands for an action, fresh each time.

    ``arguments`` is JSON text, as that form asks. Thoughts are left out.
    """
    if not action.tool_calls:
        return {"role": "assistant", "content": action.say}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name or UNREADABLE_CALL, "arguments": encode(call.arguments)},
        }
        for call in action.tool_calls
    ]
    return {"role": "assistant", "content": action.aside, "tool_calls": calls}


def showable(text: str) -> str:
    """A text without what can't be shown: control characters and lone surrogates."""
    return _UNPRINTABLE.sub("", text)


def _spoken(text: str) -> str:
    text = showable(text).strip()
    # What was cut out between the two halves of a tag has made it whole: it is a text, and stays one when it is read
    # again.
    return _TAG.sub(lambda tag: f"< {tag[0][1:]}", text) if "<" in text else text


def _read_block(text: str, start: int, call_id: str) -> tuple[ToolCall, int]:
    """Reads the block that begins at ``start``, after its tag; also where it ends."""
    begin = start
    while begin < len(text) and text[begin] in _SPACE:
        begin += 1
    try:
        # All that follows is scanned, so that a closing tag inside a JSON string does not end the block, and nothing
        # before: Python counts the lines up to an error, for each of many broken blocks.
        value, length = _scan(text[begin:])
    except (RecursionError, ValueError) as error:
        broken_at = begin + error.pos if isinstance(error, JSONDecodeError) else len(text)
        if _is_nested_beyond(text, begin, broken_at, _PARSED_DEPTH):
            return _unreadable(text, start, call_id, _TOO_DEEP)
        reason = f"the JSON is broken ({error})" if isinstance(error, _UnreadableNumber) else _BROKEN
        return _unreadable(text, start, call_id, reason)
    end = begin + length
    # Counting brackets is enough to clear nearly every call.
    brackets = text.count("{", begin, end) + text.count("[", begin, end)
    if brackets > _PARSED_DEPTH and _is_nested_beyond(text, begin, end, _PARSED_DEPTH):
        return _unreadable(text, start, call_id, _TOO_DEEP)
    after = end
    while after < len(text) and text[after] in _SPACE:
        after += 1
    if text.startswith(_CLOSE_CALL, after):
        after += len(_CLOSE_CALL)
    elif after < len(text):
        return _unreadable(text, start, call_id, "something other than </tool_call> follows the JSON")
    if brackets > _DEEPEST and is_deeper(value, _DEEPEST):
        return ToolCall(call_id, "", {}, text[begin:end], _explain(_TOO_DEEP)), after
    return _read_call(value, text[begin:end], call_id), after


def _read_call(value: Any, raw: str, call_id: str) -> ToolCall:
    """The call that a block's JSON value stands for."""
    if not raw.isascii() or "\\u" in raw:
        raw, value = _SURROGATE.sub("\ufffd", raw), _scrub(value)
    name = value.get("name") if type(value) is dict else None
    if not isinstance(name, str) or not name:
        return ToolCall(call_id, "", {}, raw, _explain('it must be one JSON object, whose "name" names a tool'))
    arguments = value.get("arguments", {})
    if type(arguments) is not dict:
        return ToolCall(call_id, name, {}, raw, _explain('"arguments" must be a JSON object'))
    if len(value) > 1 + ("arguments" in value):
        extra = min(key for key in value if key not in ("name", "arguments"))
        return ToolCall(call_id, name, {}, raw, _explain(f'unexpected key "{extra[:40]}"'))
    return ToolCall(call_id, name, arguments, raw)


def _unreadable(text: str, start: int, call_id: str, reason: str) -> tuple[ToolCall, int]:
    """A call for a block whose JSON can't be read; it ends at its tag or before the next block."""
    reopen = text.find(OPEN_CALL, start)
    limit = reopen if reopen >= 0 else len(text)
    close = text.find(_CLOSE_CALL, start, limit)
    end, after = (close, close + len(_CLOSE_CALL)) if close >= 0 else (limit, limit)
    raw = _SURROGATE.sub("\ufffd", text[start:end]).strip()
    return ToolCall(call_id, "", {}, raw, _explain(reason)), after


def _explain(reason: str) -> str:
    return f"malformed tool call: {reason}; write {_FORM}"


def _is_nested_beyond(text: str, start: int, end: int, depth: int) -> bool:
    """Whether the JSON value at ``start``, broken or not, is nested deeper than ``depth`` before ``end``."""
    level = 0
    if not text.startswith(("{", "["), start):
        return False
    for match in _STRING_OR_BRACKET.finditer(text, start, end):
        if match[0] in ("{", "["):
            level += 1
            if level > depth:
                return True
        elif match[0] in ("}", "]"):
            level -= 1
        if level <= 0:
            break
    return False


def _scrub(value: Any) -> Any:
    """The same JSON value with lone surrogates replaced, since sqlite and UTF-8 refuse them."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return value
