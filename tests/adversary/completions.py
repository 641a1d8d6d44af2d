"""Completions that a model might write, and many that none would: what the parsers are tried with.

Each is drawn from its own number, so any of them can be looked at again. Some are right, and say what must be read in
them; the others are put together from the pieces of all dialects, spoilt, nested, long or straight from Unicode.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ss_gym.agents.dialects import DIALECTS, Dialect

_MARKS = (
    *(
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        "<|python_tag|>",
        "<|eom_id|>",
        "<function=a>",
        "</function>",
    ),
    *("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "```", "```json\n", "```json\r\n", "```tool_code \n", "\n```"),
)
_HALVES = ("<tool_", "call>", "<thi", "nk>", "</thi", "<|python", "_tag|>", "<function=", "[TOOL_", "CALLS]", "``", "`")
_JSON = (
    *('{"name": "a", "arguments": {}}', '{"name": "a", "parameters": {"x": 1}}', '"name"', '"arguments"', '"function"'),
    *(
        '{"name": "',
        '", "arguments": {',
        '{"function": ',
        "[[",
        "]]",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        ";",
        '"',
        "\\",
        '\\"',
    ),
    *("NaN", "Infinity", "1e999", "-1e-999", "1e5", "null", "true", "\\ud800", "\\u0000", "a[ARGS]{}", "x12345678"),
)
_ODD = (
    *("\x00", "\x1b[2J", "\x7f", "\x85", "\ud800", "\udfff", "\ufffd", "\ufeff", "\u202e", "\u2028", "\xa0", "\u3000"),
    *("e\u0301", "🙂", "مرحبا", "\uff11\uff12", "\r\n", "\r", "\n", "\t", " ", "  ", "\x1c", "\x0b"),
)
_WORDS = (
    "Hello.",
    "One moment, please.",
    "Your order is on its way",
    "a",
    "I’ll check that",
    "$24.50",
    "—",
    "<",
    ">",
    "&",
)
_PIECES = (*_MARKS, *_MARKS, *_HALVES, *_JSON, *_ODD, *_WORDS)
_NAMES = ("get_order", "verify_identity", "a", "refund.item", "look-up", "x" * 64, "Größe", "名前")
_MARKER = "q7z8secret"
_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion to try the parsers with.

    Attributes:
        number: what it was drawn from.
        kind: how it was made.
        text: the completion.
        dialect: the one that it is right in; None if it need not be right in any.
        calls: names and arguments that must be read in it, where it is right.
        secret: what must be a thought, and is not to be said.
    """

    number: int
    kind: str
    text: str
    dialect: Dialect | None = None
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    secret: str = ""


def sample(number: int, seed: int = 0) -> Sample:
    """The sample of a number."""
    draw = Random(f"{seed} {number}")
    kind = draw.choices([*_KINDS], [weight for weight, _ in _KINDS.values()])[0]
    return _KINDS[kind][1](number, kind, draw)


def _pieces(number: int, kind: str, draw: Random) -> Sample:
    joint = draw.choice(("", "", " ", "\n"))
    return Sample(number, kind, joint.join(draw.choices(_PIECES, k=draw.randrange(30))))


def _unicode(number: int, kind: str, draw: Random) -> Sample:
    top = draw.choice((0x80, 0x300, 0x3000, 0x110000))
    drawn = [chr(draw.randrange(top)) for _ in range(draw.randrange(60))]
    for _ in range(draw.randrange(4)):
        drawn.insert(draw.randrange(len(drawn) + 1), draw.choice(_MARKS))
    return Sample(number, kind, "".join(drawn))


def _right(number: int, kind: str, draw: Random) -> Sample:
    dialect = draw.choice(DIALECTS)
    calls = tuple((draw.choice(_NAMES), _arguments(draw)) for _ in range(draw.choice((1, 1, 1, 2, 3))))
    return Sample(number, kind, _WRITERS[dialect](calls, draw), dialect, calls)


def _thought(number: int, kind: str, draw: Random) -> Sample:
    junk = [
        piece for piece in draw.choices(_PIECES, k=draw.randrange(12)) if "think>" not in piece and "nk>" not in piece
    ]
    junk.insert(draw.randrange(len(junk) + 1), _MARKER)
    before = draw.choice(("", "", " ", "\n", "Hello. "))
    after = draw.choice((*_WORDS, "", '<tool_call>{"name": "a"}</tool_call>'))
    return Sample(number, kind, f"{before}<think>{''.join(junk)}</think>{after}", secret=_MARKER)


def _spoilt(number: int, kind: str, draw: Random) -> Sample:
    """A right completion with some of it lost, doubled, moved, cut off or replaced, or spliced with another."""
    text = _right(number, kind, draw).text
    for _ in range(1 + draw.randrange(4)):
        at, to = sorted((draw.randrange(len(text) + 1), draw.randrange(len(text) + 1)))
        near = min(at + draw.randrange(6), len(text))
        text = draw.choice(
            (
                text[:at] + text[near:],
                text[:at] + draw.choice(_PIECES) + text[near:],
                text[:near] + text[at:],
                text[:at] + text[to:] + text[at:to],
                text[:to],
                text[at:],
                text[:at] + _right(number, kind, draw).text[at:],
            )
        )
    return Sample(number, kind, text)


def _nested(number: int, kind: str, draw: Random) -> Sample:
    depth = draw.choice((10, 31, 32, 33, 63, 64, 65, 200, 900, 1100, 5000))
    opening = draw.choice(
        ("[", "{", '{"a":', '[{"x":', '{"function":', '{"arguments":{"name":"a","x":', "<think>", "<tool_call>")
    )
    closing = draw.choice(("", "]" * depth, "}" * depth, "]}" * depth, "</tool_call>" * depth))
    head = draw.choice(("", "<tool_call>", '<tool_call>{"name": "a", "arguments": {"x": ', *_MARKS))
    tail = draw.choice(("", "}}", "}}</tool_call>", "</tool_call>", *_MARKS))
    middle = draw.choice(("", "1", '{"name": "a"}', "x"))
    return Sample(number, kind, head + opening * depth + middle + closing + tail)


def _numbers(number: int, kind: str, draw: Random) -> Sample:
    digits = draw.choice(("9", "0", "1", "37")) * draw.choice((1, 300, 320, 640, 641, 4299, 4301, 20_000))
    form = draw.choice(
        ("{}", "-{}", "{}.5", "0.{}", "1e{}", "1e-{}", "{}e9", "-{}E+3", "[{0}, {0}]", "--{}", "{}.", "0{}")
    )
    text = json.dumps({"name": "a", "arguments": {"x": "?"}}).replace('"?"', form.format(digits))
    return Sample(number, kind, draw.choice(_FRAMES).format(text))


def _long(number: int, kind: str, draw: Random) -> Sample:
    """A beginning, one or two pieces again and again, and an end: where time would grow with the square."""
    length = round(10 ** draw.uniform(3, 5)) if draw.random() < 0.98 else _LONGEST
    unit = "".join(draw.choices(_PIECES, k=draw.choice((1, 1, 2, 3)))) or "x"
    head, tail = ("".join(draw.choices(("", *_PIECES), k=2)) for _ in range(2))
    return Sample(number, kind, (head + unit * (length // len(unit)) + tail)[:_LONGEST])


# What a text is put into, so that one of the dialects takes it for a call.
_FRAMES = (
    "<tool_call>{}</tool_call>",
    "<|python_tag|>{}",
    "[TOOL_CALLS][{}]",
    "[TOOL_CALLS]a[ARGS]{}",
    "{}",
    "```json\n{}\n```",
    "<function=a>{}</function>",
)
_KINDS: dict[str, tuple[float, Callable[[int, str, Random], Sample]]] = {
    "right": (20, _right),
    "spoilt": (30, _spoilt),
    "pieces": (30, _pieces),
    "unicode": (8, _unicode),
    "thoughts": (6, _thought),
    "numbers": (3, _numbers),
    "nested": (2.5, _nested),
    "long": (0.5, _long),
}


# --- what is right ----------------------------------------------------------------------------------


def _arguments(draw: Random) -> dict[str, Any]:
    return {
        draw.choice(("order_id", "note", "items", "名", 'a "b"', "")): _value(draw, 3) for _ in range(draw.randrange(4))
    }


def _value(draw: Random, depth: int) -> Any:
    which = draw.randrange(9 if depth else 7)
    if which < 3:  # marks inside a string are a text
        return "".join(
            draw.choices((*_MARKS, *_WORDS, *_HALVES, "\n", '"', "\\", "é", "🙂", "{", "}"), k=draw.randrange(4))
        )
    if which == 3:
        return draw.choice((0, -1, 17, 10**18, -(10**639), True, False, None))
    if which == 4:
        return draw.choice((0.5, -2.25, 1e-320, 1.7e308, 24.5))
    if which < 7:
        return draw.choice(("48213", "a@b.example", "", "x" * 40))
    if which == 7:
        return [_value(draw, depth - 1) for _ in range(draw.randrange(3))]
    return {draw.choice("abc"): _value(draw, depth - 1) for _ in range(draw.randrange(3))}


def _json(value: Any, draw: Random) -> str:
    return json.dumps(value, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, None, 2)))


def _object(call: tuple[str, Mapping[str, Any]], draw: Random, keys: Sequence[str]) -> str:
    return _json({"name": call[0], draw.choice(keys): call[1]}, draw)


def _around(text: str, draw: Random, words: Sequence[str] = ("", "", "One moment. ", "Hello!\n")) -> str:
    return draw.choice(words) + text + draw.choice(("", "", "\n", "  "))


def _hermes(calls: Sequence[tuple[str, Mapping[str, Any]]], draw: Random) -> str:
    space = draw.choice(("", "\n", " "))
    blocks = (f"<tool_call>{space}{_object(call, draw, ('arguments',))}{space}</tool_call>" for call in calls)
    return _around(draw.choice(("", "\n", " and ")).join(blocks), draw)


def _llama(calls: Sequence[tuple[str, Mapping[str, Any]]], draw: Random) -> str:
    if draw.random() < 0.4:
        blocks = (f"<function={name}>{_json(given, draw)}</function>" for name, given in calls)
        return _around(draw.choice(("", "\n")).join(blocks), draw)
    objects = draw.choice(("; ", ";", "\n", " ")).join(
        _object(call, draw, ("parameters", "arguments")) for call in calls
    )
    end = draw.choice(("", "<|eom_id|>"))
    return objects + end if draw.random() < 0.4 else _around(f"<|python_tag|>{objects}", draw) + end


def _mistral(calls: Sequence[tuple[str, Mapping[str, Any]]], draw: Random) -> str:
    if draw.random() < 0.5:
        listed = ", ".join(_object(call, draw, ("arguments",)) for call in calls)
        return _around(f"[TOOL_CALLS]{draw.choice(('', ' '))}[{listed}]", draw)
    middle, again = draw.choice(("[ARGS]", "[CALL_ID]x12345678[ARGS]", "[ARGS] ")), draw.choice(("", "[TOOL_CALLS]"))
    return _around("[TOOL_CALLS]" + again.join(f"{name}{middle}{_json(given, draw)}" for name, given in calls), draw)


def _plain(calls: Sequence[tuple[str, Mapping[str, Any]]], draw: Random) -> str:
    keys = ("arguments", "parameters", "args", "input")
    if draw.random() < 0.3:
        inner = [
            {"type": "function", "function": {"name": name, "arguments": json.dumps(given)}} for name, given in calls
        ]
        return json.dumps(inner)
    objects = [_object(call, draw, keys) for call in calls]
    if draw.random() < 0.4:
        return _around(f"[{','.join(objects)}]", draw, ("", "\n"))
    line = draw.choice(("\n", "\r\n"))
    fences = (
        f"```{draw.choice(('', 'json', 'tool_code'))}{line}{each}{draw.choice(('', line))}```" for each in objects
    )
    return _around(draw.choice(("\n", " ", line)).join(fences), draw)


_WRITERS: dict[Dialect, Callable[[Sequence[tuple[str, Mapping[str, Any]]], Random], str]] = {
    "hermes": _hermes,
    "llama": _llama,
    "mistral": _mistral,
    "json": _plain,
}
