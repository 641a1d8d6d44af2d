"""Tools as methods: a signature and a docstring from which others read the schema that they were made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
    "object": dict[str, Any],
}


def method_of(function: Mapping[str, Any], call: Callable[[Any, dict[str, Any]], str]) -> Callable[..., str]:
    """A method that looks as if it had been written for a tool.

    What the method is given goes on as it is, so that whoever runs the tool tells what is wrong with it.

    Args:
        function: name, description and parameters, as in an OpenAI function schema.
        call: what it does, with the object and the arguments.

    >>> add = method_of({"name": "add", "parameters": {"properties": {"to": {"type": "integer"}}}}, lambda _, given: "")
    >>> print(inspect.signature(add))
    (self, /, *, to: int = None)
    """

    def method(self: Any, /, **arguments: Any) -> str:
        return call(self, arguments)

    name, listed = function["name"], function.get("parameters", {})
    properties, required = listed.get("properties", {}), listed.get("required", ())
    hints = {key: hint_of(schema) for key, schema in properties.items()}
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    for key, hint in hints.items():
        default = inspect.Parameter.empty if key in required else None
        parameters.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    lines = [f"    {key}: {_line(schema.get('description', key))}" for key, schema in properties.items()]
    method.__name__ = method.__qualname__ = name
    method.__doc__ = "\n".join([_line(function.get("description", name)), *(["", "Args:", *lines] if lines else [])])
    # No annotation of what it returns: it would become a part of the schema.
    method.__annotations__ = hints
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return method


def hint_of(schema: Mapping[str, Any]) -> Any:
    """The annotation that stands for a JSON schema.

    >>> hint_of({"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}})
    list[typing.Literal['red', 'blue']]
    """
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    kind = schema.get("type")
    if isinstance(kind, list | tuple):
        return Union[tuple(hint_of({**schema, "type": each}) for each in kind)]  # noqa: UP007  as many as there are
    if kind == "array":
        item = hint_of(schema["items"]) if "items" in schema else Any
        return list[item]  # type: ignore[valid-type]
    return _TYPES.get(str(kind), Any)


def _line(text: str) -> str:
    return " ".join(text.split())
