"""How the arguments of a tool call are read: one small function a type, put together once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_SHOWN = 60
_INTEGER_LIMIT = 2**63  # what a database column holds
_MONEY = re.compile(r"\$? ?([0-9]{1,9})(?:\.([0-9]{1,2}))?")


class MoneyFormat:
    """Marks an ``int`` of cents that an agent writes as ``"24.00"``."""


Money = Annotated[int, MoneyFormat()]
"""An amount in integer cents; the agent writes a decimal string or a number, such as ``"24.00"``."""


class ArgumentError(ValueError):
    """A value that is not what an argument must be."""


@dataclass(frozen=True, slots=True)
class Argument:
    """How one argument is read.

    Attributes:
        read: converts a JSON value; raises ArgumentError.
        expected: what it must be, in words.
        schema: its JSON schema, without the description.
    """

    read: Callable[[Any], Any]
    expected: str
    schema: dict[str, Any]


def shorten(text: str) -> str:
    """The text, cut so that an error can quote it."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def show(value: Any) -> str:
    """A JSON value in a few words for an error."""
    if isinstance(value, list):
        return "a list" if len(value) > 3 else shorten(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) >= _INTEGER_LIMIT:
        return "a huge number"
    return shorten(json.dumps(value[: _SHOWN + 1] if isinstance(value, str) else value, ensure_ascii=False))


def argument(annotation: Any, where: str) -> Argument:
    """The reader for a type annotation.

    Args:
        annotation: str, int, float, bool, Money, a Literal of strings, a list or an optional of these.
        where: which argument of which tool, for the error.

    Raises:
        TypeError: for any other annotation.
    """
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated and any(isinstance(part, MoneyFormat) for part in parts):
        return _MONEY_ARGUMENT
    if origin is Literal and all(type(part) is str for part in parts):
        return _choice(parts)
    if origin is list and len(parts) == 1:
        return _list(argument(parts[0], where))
    if origin in (Union, UnionType) and len(parts) == 2 and NoneType in parts:
        return _optional(argument(parts[parts[0] is NoneType], where))
    raise TypeError(f"{where}: {annotation!r} is not a type that tools take")


def read_money(value: Any) -> int:
    """Cents from a number or a decimal string with an optional dollar sign.

    Raises:
        ArgumentError: if it is negative, has more than two decimals, or is no amount.

    Examples:
        >>> read_money("24.00"), read_money("$5"), read_money(19.9)
        (2400, 500, 1990)
    """
    if type(value) is str:
        text = value.strip()
    elif type(value) is float or (type(value) is int and 0 <= value < _INTEGER_LIMIT):
        text = repr(value)
    else:
        raise ArgumentError
    match = _MONEY.fullmatch(text)
    if match is None:
        raise ArgumentError
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def _read_str(value: Any) -> str:
    if type(value) is str:
        return value
    raise ArgumentError


def _read_int(value: Any) -> int:
    if type(value) is int and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return value
    raise ArgumentError


def _read_float(value: Any) -> float:
    if type(value) is float and isfinite(value):
        return value
    if type(value) is int and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return float(value)
    raise ArgumentError


def _read_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ArgumentError


def _choice(options: tuple[str, ...]) -> Argument:
    allowed = frozenset(options)

    def read(value: Any) -> str:
        if type(value) is str and value in allowed:
            return value
        raise ArgumentError

    expected = "one of " + ", ".join(f'"{option}"' for option in options)
    return Argument(read, expected, {"type": "string", "enum": list(options)})


def _list(item: Argument) -> Argument:
    read_item = item.read

    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise ArgumentError
        return [read_item(element) for element in value]

    return Argument(read, f"a list, each item {item.expected}", {"type": "array", "items": item.schema})


def _optional(inner: Argument) -> Argument:
    read_inner = inner.read

    def read(value: Any) -> Any:
        return None if value is None else read_inner(value)

    return Argument(read, f"{inner.expected}, or null", {"anyOf": [inner.schema, {"type": "null"}]})


_PLAIN: dict[Any, Argument] = {
    str: Argument(_read_str, "a string", {"type": "string"}),
    int: Argument(_read_int, "an integer", {"type": "integer"}),
    float: Argument(_read_float, "a number", {"type": "number"}),
    bool: Argument(_read_bool, "true or false", {"type": "boolean"}),
}
_MONEY_ARGUMENT = Argument(
    read_money,
    'an amount such as "24.00"',
    {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,2})?$"},
)
