"""JSON text as the environments write it: no blanks, and every character as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def _encoding() -> Callable[[Any], str]:
    """The fastest function that gives the text of ``JSONEncoder``.

    ``JSONEncoder.encode`` puts a compiled encoder together for each call, which takes longer than
    to encode what a tool gives back. Python builds without the compiled one have no other way.
    """
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    compiled = getattr(encoder, "c_make_encoder", None)
    if compiled is None:
        return plain.encode
    pieces = compiled(None, plain.default, encoder.encode_basestring, None, ":", ",", False, False, True)
    join = "".join
    return lambda value: join(pieces(value, 0))


encode = _encoding()
"""The JSON text of a value."""


def is_deeper(value: Any, most: int) -> bool:
    """Whether the containers of a JSON value are nested deeper than so many levels."""
    level = [value]
    for _ in range(most):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)
