"""How an environment's server and its clients tell each other values: as JSON, and beside it what JSON can't say.

A message is a JSON object. Where a value in it is of a type that JSON does not have, the message says so under
``"types"``: a JSON pointer (RFC 6901) to the value, and its type. A client in another language may pass that by: what
it reads then is plain JSON.

| type | in JSON | in Python |
| --- | --- | --- |
| ``tuple`` | a list | a ``tuple``; a named one comes back without its names |
| ``frozen`` | what it holds | ``FrozenDict``, ``FrozenList`` |
| ``float`` | ``"nan"``, ``"inf"``, ``"-inf"`` | the ``float`` |
| ``<f4`` and such | a number or a boolean, or one of these words | the NumPy scalar of that type |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from json import JSONDecoder
from math import isfinite
from typing import Any, NoReturn

import numpy as np

from ss_gym.environment import EpisodeState
from ss_gym.frozen import FrozenDict, FrozenList, freeze
from ss_gym.json_text import encode, is_deeper

PROTOCOL = 1
"""Version of the messages; a server and a client with different ones do not understand each other."""

_TYPES = "types"
_DEEPEST = 64
_PLAIN = frozenset({str, int, bool, type(None)})
# How the value of a subclass becomes one of the class; str(…) of an enumeration's member is its name.
_OF_SUBCLASSES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int),
    (float, float),
    (list, list),
)
_NUMPY_KINDS = "biuf"
_NUMPY = re.compile(r"[<>|=]?[biuf][0-9]{1,2}")
# What was frozen before, by its pointer: the tools of an environment are the same in every episode.
Frozen = dict[str, tuple[Any, Any]]


class WireError(ValueError):
    """A value that can't be sent, or a message that can't be read."""


def write(message: Mapping[str, Any]) -> str:
    """A message as JSON text that any encoding can carry.

    Args:
        message: of texts, numbers (NumPy's too), booleans, None, lists, tuples, and mappings with text as keys.

    Raises:
        WireError: if there is something else in it; says where.
    """
    types: dict[str, str] = {}
    plain = {key: _packed(value, (None, key), types) for key, value in message.items()}
    if types:
        plain[_TYPES] = types
    text = encode(plain)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: only as an escape
            return json.dumps(plain, separators=(",", ":"))
    return text


def read(text: str, frozen: Frozen | None = None) -> dict[str, Any]:
    """The message that a text is, every value of its type.

    Args:
        text: JSON.
        frozen: what was frozen before; used again where it is the same, and added to.

    Raises:
        WireError: if it is no such message.
    """
    try:
        message = _decode(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the message is not JSON: {error}") from error
    if type(message) is not dict:
        raise WireError(f"a message is a JSON object, got {type(message).__name__}")
    types = message.pop(_TYPES, None)
    if types is not None:
        if type(types) is not dict or is_deeper(message, _DEEPEST):
            raise WireError(f'"types" is an object of JSON pointers and types, for values of at most {_DEEPEST} levels')
        for pointer, kind in types.items():
            _restore(message, pointer, kind, {} if frozen is None else frozen)
    return message


def write_state(state: EpisodeState) -> str:
    """A state as text.

    Raises:
        WireError: if the options hold something that can't be sent.
        TypeError: if the generator is none of Gymnasium's.
    """
    generator = state.generator
    if generator is not None and not isinstance(generator.bit_generator, np.random.PCG64):
        raise TypeError(f"a state with {type(generator.bit_generator).__name__} can't be sent, only one with PCG64")
    return write(
        {
            "seed": state.seed,
            "options": state.options,
            "actions": state.actions,
            "generator": None if generator is None else generator.bit_generator.state,
            "generator_seed": state.generator_seed,
            "replies": state.replies,
        }
    )


def read_state(text: str) -> EpisodeState:
    """The state that a text is.

    Raises:
        WireError: if it is none.
    """
    fields = read(text)
    try:
        state = EpisodeState(
            seed=_whole(fields["seed"]),
            options=_mapping(fields["options"]),
            actions=_texts(fields["actions"]),
            generator=_generator(fields["generator"]),
            generator_seed=_whole(fields["generator_seed"]),
            replies=_texts(fields["replies"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError("the state is none that a server gave") from error
    return state


def _packed(value: Any, place: tuple[Any, Any], types: dict[str, str]) -> Any:
    """A value as JSON has it; types that it does not have are noted, those of parts before those of the whole."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        if isfinite(value):
            return value
        types[_pointer(place)] = "float"
        return repr(value)
    if kind is dict:
        return {_key(key, place): _packed(item, (place, key), types) for key, item in value.items()}
    if kind is list:
        return [_packed(item, (place, number), types) for number, item in enumerate(value)]
    return _packed_other(value, place, types)


def _packed_other(value: Any, place: tuple[Any, Any], types: dict[str, str]) -> Any:
    if isinstance(value, FrozenDict | FrozenList):
        types[_pointer(place)] = "frozen"
        return value
    if isinstance(value, tuple):
        items = [_packed(item, (place, number), types) for number, item in enumerate(value)]
        types[_pointer(place)] = "tuple"
        return items
    if isinstance(value, np.generic) and value.dtype.kind in _NUMPY_KINDS:
        types[_pointer(place)] = value.dtype.str
        return _packed(value.item(), place, {})
    if isinstance(value, Mapping):
        return _packed(dict(value), place, types)
    for kind, plain in _OF_SUBCLASSES:
        if isinstance(value, kind):
            return _packed(plain(value), place, types)
    raise WireError(f"{_pointer(place)} is of the type {type(value).__name__}, which can't be sent")


def _key(key: Any, place: tuple[Any, Any]) -> str:
    if type(key) is not str:
        raise WireError(f"{_pointer(place)} has the key {key!r:.40}, and only keys that are text can be sent")
    return key


def _pointer(place: tuple[Any, Any]) -> str:
    parts = []
    inside: tuple[Any, Any] | None = place
    while inside is not None:
        inside, part = inside
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in reversed(parts))


def _restore(message: dict[str, Any], pointer: str, kind: Any, frozen: Frozen) -> None:
    """Gives one value in a message its type."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    inside: Any = message
    try:
        *way, last = parts
        for part in way:
            inside = inside[int(part) if type(inside) is list else part]
        key = int(last) if type(inside) is list else last
        inside[key] = _typed(inside[key], kind, pointer, frozen)
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"{pointer!r:.80} is no value of the type {kind!r:.40}") from error


def _typed(value: Any, kind: Any, pointer: str, frozen: Frozen) -> Any:
    if kind == "frozen":
        known = frozen.get(pointer)
        if known is None or known[0] != value:
            known = frozen[pointer] = value, freeze(value)
        return known[1]
    if kind == "tuple":
        if type(value) is not list:
            raise TypeError("a tuple is sent as a list")
        return tuple(value)
    if kind == "float":
        return float(value)
    if type(kind) is not str or not _NUMPY.fullmatch(kind) or isinstance(value, list | dict | None):
        raise TypeError("no such type")
    return np.dtype(kind).type(value)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


_decode = JSONDecoder(parse_constant=_refuse_constant).decode


def _whole(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise TypeError("not a mapping")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not tuple or not all(type(text) is str for text in value):
        raise TypeError("not texts")
    return value


def _generator(state: Any) -> np.random.Generator | None:
    if state is None:
        return None
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)
