"""How models of different families write calls, and the one form that environments read.

=========  =======================================================================================
hermes     ``<tool_call>{"name": …, "arguments": {…}}</tool_call>``: Hermes and Qwen, and ours
llama      ``{"name": …, "parameters": {…}}`` as all of the text or after ``<|python_tag|>``, several parted by ``;``;
           ``<function=NAME>{…}</function>``: Llama 3.1 and later
mistral    ``[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]``, and ``[TOOL_CALLS]NAME[ARGS]{…}`` of later versions
json       an object or a list of objects as all of the text, or in a fence of three backticks
=========  =======================================================================================

The API's own form, ``message.tool_calls``, is read by the backend for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from json.decoder import JSONDecoder
from typing import Any, Literal, get_args

from ss_gym.actions import OPEN_CALL

Dialect = Literal["hermes", "llama", "mistral", "json"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

_THOUGHT, _THOUGHTS = re.compile(r"\s*<think>"), re.compile(r"(?:\s*<think>.*?</think>)+", re.DOTALL)
_PYTHON_TAG = "<|python_tag|>"
_END_OF_MESSAGE = "<|eom_id|>"
_FUNCTION = re.compile(r"<function=([^<>\s]{1,200})>")
_END_OF_FUNCTION = "</function>"
_TAG_OR_FUNCTION = re.compile(rf"{re.escape(_PYTHON_TAG)}|{_FUNCTION.pattern}")
_TOOL_CALLS = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([\w.-]{1,200})\s*(?:\[CALL_ID\]\s*+\w{0,64}\s*)?\[ARGS\]\s*")
_FENCE, _END_OF_FENCE = re.compile(r"```(?:json|tool_call|tool_code)?[ \t]*\r?\n"), "```"
_SPACE, _BETWEEN = re.compile(r"\s*"), re.compile(r"[ \t\r\n;]*")
_NAMES, _ARGUMENTS = ("name", "tool", "function"), ("arguments", "parameters", "args", "input")
_scan = JSONDecoder().raw_decode


def dialect_of(chat_template: str) -> Dialect:
    """The dialect that a chat template writes calls in; ``"hermes"`` where it shows none that is known.

    >>> dialect_of("{{ '<|python_tag|>' }} … {{ '<|eom_id|>' }}")
    'llama'
    """
    if OPEN_CALL in chat_template:
        return "hermes"
    if _TOOL_CALLS in chat_template:
        return "mistral"
    return "llama" if _PYTHON_TAG in chat_template or '"parameters": ' in chat_template else "hermes"


def as_action(text: str, dialect: Dialect) -> str:
    """A completion in the form that environments read: each call as a ``<tool_call>`` block.

    What can't be read is left inside its block, so that the environment tells the model what is wrong with it.
    Words beside calls stay. Never raises on any text.

    Args:
        text: what the model wrote.
        dialect: its own form.

    >>> as_action('<|python_tag|>{"name": "get_order", "parameters": {"order_id": "17"}}', "llama")
    '<tool_call>{"name": "get_order", "arguments": {"order_id": "17"}}</tool_call>'
    >>> as_action('[TOOL_CALLS]get_order[ARGS]{"order_id": "17"}', "mistral")
    '<tool_call>{"name": "get_order", "arguments": {"order_id": "17"}}</tool_call>'
    >>> as_action("Hello!", "json")
    'Hello!'
    """
    if thoughts := _THOUGHTS.match(text):  # nothing in a thought is a call
        return thoughts[0] + _read(text[thoughts.end() :], dialect)
    return text if _THOUGHT.match(text) else _read(text, dialect)


def _read(text: str, dialect: Dialect) -> str:
    ours, own = text.find(OPEN_CALL), _BEGINNINGS[dialect].search(text)
    # A model that writes our form in spite of its own means it, but not inside a call of its own.
    return text if own is None or 0 <= ours < own.start() else _READERS[dialect](text)


def _from_llama(text: str) -> str:
    text = text.rstrip().removesuffix(_END_OF_MESSAGE)
    if whole := _blocks_of(text):
        return whole
    first = _TAG_OR_FUNCTION.search(text)
    if first is None:
        return text
    return _marked(text, _PYTHON_TAG) if first[0] == _PYTHON_TAG else "".join(_functions(text))


def _functions(text: str) -> Iterator[str]:
    """What stands between ``<function=NAME>`` blocks, and the blocks."""
    place = 0
    while match := _FUNCTION.search(text, place):
        yield text[place : match.start()]
        arguments, place = _inside_of_function(text, match.end())
        yield _block(match[1], arguments)
    yield text[place:]


def _inside_of_function(text: str, start: int) -> tuple[str, int]:
    """The arguments that begin at a place, and where their block ends."""
    # JSON is read first: a closing tag inside one of its strings ends nothing.
    if (read := _value_at(text, start)) is not None:
        end = _end_of(_SPACE, text, read[1])
        closed = text.startswith(_END_OF_FUNCTION, end)
        if closed or end == len(text) or _FUNCTION.match(text, end):
            return text[start : read[1]].strip(), end + closed * len(_END_OF_FUNCTION)
    following = _FUNCTION.search(text, start)
    limit = following.start() if following else len(text)
    end = text.find(_END_OF_FUNCTION, start, limit)
    inside, place = (end, end + len(_END_OF_FUNCTION)) if end >= 0 else (limit, limit)
    return text[start:inside].strip(), place


def _from_mistral(text: str) -> str:
    return _marked(text, _TOOL_CALLS)


def _marked(text: str, mark: str) -> str:
    """A text whose calls follow a mark, with blocks in place of both."""
    told, place = list[str](), 0
    while (found := text.find(mark, place)) >= 0:
        blocks, end = _calls_after(text, found + len(mark), mark)
        told += [text[place:found], blocks]
        place = end
    return "".join([*told, text[place:]])


def _calls_after(text: str, start: int, mark: str) -> tuple[str, int]:
    """The blocks of the calls after a mark, and where they end.

    What can't be read, up to the next mark, is a block of its own; words after calls are no part of them.
    """
    calls, place = list[str](), start
    while match := _NAMED.match(text, place):
        if (read := _value_at(text, match.end())) is None:
            limit = _found(text, mark, match.end())
            return "".join([*calls, _block(match[1], text[match.end() : limit].strip())]), limit
        place = read[1]
        calls.append(_block(match[1], text[match.end() : place]))
    if calls:
        return "".join(calls), place
    calls, place = _calls_at(text, start)
    limit = _found(text, mark, place)
    rest = text[place:limit]
    if not rest or (calls and not rest.startswith(("{", "["))):
        return "".join(calls), place
    return "".join([*calls, f"{OPEN_CALL}{rest.strip()}</tool_call>"]), limit


def _from_json(text: str) -> str:
    if whole := _blocks_of(text):
        return whole
    told, place, seen = list[str](), 0, 0
    while fence := _FENCE.search(text, seen):
        calls, end = _calls_at(text, fence.end())
        if calls and text.startswith(_END_OF_FENCE, end):
            told += [text[place : fence.start()], *calls]
            place = seen = end + len(_END_OF_FENCE)
        else:  # its end must not be taken for the beginning of another
            seen = _found(text, _END_OF_FENCE, fence.end()) + len(_END_OF_FENCE)
    return "".join([*told, text[place:]])


# What a call begins with.
_BEGINNINGS: dict[Dialect, re.Pattern[str]] = {
    "hermes": re.compile(OPEN_CALL),
    "llama": re.compile(r"<\|python_tag\|>|<function=|<\|eom_id\|>|\A\s*\{"),
    "mistral": re.compile(r"\[TOOL_CALLS\]"),
    "json": re.compile(r"\A\s*[\[{]|```"),
}
_READERS: dict[Dialect, Callable[[str], str]] = {
    "hermes": str,
    "llama": _from_llama,
    "mistral": _from_mistral,
    "json": _from_json,
}


def _blocks_of(text: str) -> str:
    """The blocks of a text that is nothing but JSON calls; nothing if it is anything else."""
    calls, end = _calls_at(text, 0)
    return "".join(calls) if end == len(text) else ""


def _calls_at(text: str, start: int) -> tuple[list[str], int]:
    """The blocks of the JSON calls from a place on, parted by semicolons or space, or in a list; and where they end."""
    calls, place = list[str](), start
    while True:
        place = _end_of(_BETWEEN, text, place)
        read = _value_at(text, place) if text.startswith(("{", "["), place) else None
        if read is None:
            return calls, place
        value, end = read
        found = [_call(each) for each in (value if isinstance(value, list) else [value])]
        if None in found:
            return calls, place
        calls += [each for each in found if each is not None]
        place = end


def _value_at(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value that begins at a place, or after the space there, and where it ends; None if none does."""
    begin = _end_of(_SPACE, text, start)
    try:
        value, length = _scan(text[begin:])  # see parse_action: what is before would be counted
    except (ValueError, RecursionError):
        return None
    return value, begin + length


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where what a pattern matches from a place on ends."""
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _found(text: str, mark: str, start: int) -> int:
    """Where a mark is found from a place on; the end of the text if nowhere."""
    found = text.find(mark, start)
    return len(text) if found < 0 else found


def _call(value: Any) -> str | None:
    """The block of a call; None if the value is none."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):  # as the API has it
        value = value["function"]
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    # An answer may have a name, too: a call has arguments, or nothing else.
    if not name or not (value.keys() & set(_ARGUMENTS) or value.keys() <= {*_NAMES, "type", "id"}):
        return None
    given: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
    # Some write the arguments as JSON text, as the API does.
    return _block(name, given if isinstance(given, str) else _json(given))


def _block(name: str, arguments: str) -> str:
    return f'{OPEN_CALL}{{"name": {_json(name)}, "arguments": {arguments or "{}"}}}</tool_call>'


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        # Nested so deep that it was read and can't be written: the environment refuses it, and says so.
        return '"nested too deeply"'
