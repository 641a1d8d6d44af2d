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
_TOOL_CALLS = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([\w.-]{1,200})\s*(?:\[CALL_ID\]\s*\w{0,64}\s*)?\[ARGS\]\s*")
_FENCE = re.compile(r"```(?:json|tool_call|tool_code)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
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
    text = text.replace(_END_OF_MESSAGE, "")
    words, tag, calls = text.partition(_PYTHON_TAG)
    if tag:
        return words + _blocks_of(calls, must=True)
    if _FUNCTION.search(text):
        return "".join(_functions(text))
    return _blocks_of(text) or text


def _functions(text: str) -> Iterator[str]:
    """What stands between ``<function=NAME>`` blocks, and the blocks."""
    place = 0
    while match := _FUNCTION.search(text, place):
        yield text[place : match.start()]
        following = _FUNCTION.search(text, match.end())
        limit = following.start() if following else len(text)
        end = text.find(_END_OF_FUNCTION, match.end(), limit)
        inside, place = (end, end + len(_END_OF_FUNCTION)) if end >= 0 else (limit, limit)
        yield _block(match[1], text[match.end() : inside].strip())
    yield text[place:]


def _from_mistral(text: str) -> str:
    words, *parts = text.split(_TOOL_CALLS)
    return words + "".join(map(_mistral_calls, parts))


def _mistral_calls(text: str) -> str:
    if not _NAMED.match(text):
        return _blocks_of(text, must=True)
    blocks, place = list[str](), 0
    while match := _NAMED.match(text, place):
        try:
            _, place = _scan(text, match.end())
        except (ValueError, RecursionError):
            return "".join([*blocks, _block(match[1], text[match.end() :].strip())])
        blocks.append(_block(match[1], text[match.end() : place]))
    return "".join(blocks) + text[place:].strip()


def _from_json(text: str) -> str:
    whole = _blocks_of(text)
    return whole or _FENCE.sub(lambda match: _blocks_of(match[1]) or match[0], text)


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


def _blocks_of(text: str, must: bool = False) -> str:
    """The blocks of JSON calls that follow each other, parted by semicolons or space, or stand in a list.

    Args:
        text: nothing but calls, or it is none.
        must: whether it is marked as calls: what can't be read is then a block of its own.

    Returns:
        Nothing if the text is no call.
    """
    calls, place = list[str](), 0
    while place < len(text):
        if text[place] in " \t\r\n;":
            place += 1
            continue
        if text[place] not in "{[":
            if must and calls:
                return "".join(calls) + text[place:]  # words after the calls
            return _unreadable(calls, text[place:]) if must else ""
        try:
            value, end = _scan(text, place)
        except (ValueError, RecursionError):
            return _unreadable(calls, text[place:]) if must else ""
        found = [_call(each) for each in (value if isinstance(value, list) else [value])]
        if None in found:
            return _unreadable(calls, text[place:]) if must else ""
        calls += [each for each in found if each is not None]
        place = end
    return "".join(calls)


def _unreadable(calls: list[str], rest: str) -> str:
    return "".join([*calls, f"{OPEN_CALL}{rest.strip()}</tool_call>"])


def _call(value: Any) -> str | None:
    """The block of a call; None if the value is none."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):  # as the API has it
        return _call(inner)
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
