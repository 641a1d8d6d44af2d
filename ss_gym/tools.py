"""Tools: methods that an agent can call, their JSON schemas, and the checks on what it passes.

A toolkit is a class whose methods carry ``@tool``. A tool's schema comes from its signature and its
docstring. Arguments are checked by functions that are put together once a class, because a step has
microseconds to spend.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import wraps
from typing import Any, Literal, TypeVar, get_type_hints

from ss_gym.arguments import Argument, ArgumentError, Money, argument, shorten, show
from ss_gym.frozen import freeze
from ss_gym.json_text import encode
from ss_gym.types import ToolCall, ToolResult

__all__ = ["Money", "Tool", "ToolError", "ToolKind", "ToolRole", "Toolkit", "tool", "toolkit_of", "with_options"]

ToolKind = Literal["read", "write", "end"]
ToolRole = Literal["", "verify", "aside", "transfer"]

_F = TypeVar("_F", bound=Callable[..., Any])
_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGUMENT_LINE = re.compile(r"^ {4}(\w+):\s*(.*)$")


class ToolError(Exception):
    """Raised inside a tool to refuse; the message is what the agent reads."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of a toolkit class.

    Attributes:
        name: what the agent calls it.
        kind: read changes nothing, write changes the world, end ends the conversation.
        function: the method, not bound.
        arguments: how each argument is read, by name.
        required: names of the arguments that have no default.
        schema: the OpenAI function schema; it can't be changed, ``copy.deepcopy`` gives a copy that can.
        role: what it is to an audit beyond its kind; see ``tool``.
    """

    name: str
    kind: ToolKind
    function: Callable[..., Any]
    arguments: Mapping[str, Argument]
    required: tuple[str, ...]
    schema: dict[str, Any]
    role: ToolRole = ""

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Checks and converts the arguments of a call.

        Raises:
            ToolError: naming the first argument that is missing, not known or of the wrong type.
        """
        arguments = self.arguments
        values = {}
        for name, value in given.items():
            known = arguments.get(name)
            if known is None:
                raise ToolError(self._unexpected(name))
            try:
                values[name] = known.read(value)
            except ArgumentError:
                raise ToolError(f'{self.name}: argument "{name}" must be {known.expected}, got {show(value)}') from None
        for name in self.required:
            if name not in values:
                raise ToolError(f'{self.name}: missing argument "{name}" ({arguments[name].expected})')
        return values

    def _unexpected(self, name: str) -> str:
        takes = ", ".join(self.arguments) or "no arguments"
        return f'{self.name}: unexpected argument "{shorten(name)}"; it takes {takes}'


def tool(kind: ToolKind, role: ToolRole = "") -> Callable[[_F], _F]:
    """Marks a method of a ``Toolkit`` as a tool.

    The method's annotations may be ``str``, ``int``, ``float``, ``bool``, ``Money``,
    ``list[...]`` of these, ``Literal[...]`` of strings, and any of them ``| None``. Its docstring
    describes the tool and, under ``Args:``, every argument. It returns what JSON can hold, and raises
    ``ToolError`` to refuse.

    Args:
        kind: ``"read"``, ``"write"`` or ``"end"``.
        role: what an audit takes a call for: ``"verify"`` is an attempt to verify the customer, ``"aside"`` a look at
            nothing of theirs, and ``"transfer"`` an end that hands the conversation over.
    """

    def mark(function: _F) -> _F:
        function.__tool_kind__ = kind  # type: ignore[attr-defined]
        function.__tool_role__ = role  # type: ignore[attr-defined]
        return function

    return mark


class Toolkit:
    """A set of tools over some state of its own."""

    tools: Mapping[str, Tool] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Builds the tools once a class; a tool that can't be described is a ``TypeError`` here."""
        super().__init_subclass__(**kwargs)
        marked = {
            name: value
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if hasattr(value, "__tool_kind__")
        }
        cls.tools = {name: _describe(name, function) for name, function in marked.items()}

    @property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """The OpenAI function schemas, in the order of definition."""
        return tuple(tool.schema for tool in self.tools.values())

    def call(self, call: ToolCall) -> ToolResult:
        """Runs one call; whatever the agent wrote, this returns a result.

        An error comes back as ``{"error": "..."}`` with ``ok`` False: a block that could not be
        read, an unknown tool, wrong arguments, or a tool that refused.
        """
        if call.error:
            return _failed(call, call.error)
        found = self.tools.get(call.name)
        if found is None:
            return _failed(call, self._unknown(call.name))
        try:
            value = self.execute(found, found.read(call.arguments))
        except ToolError as error:
            return _failed(call, str(error))
        return ToolResult(call, encode(value), True)

    def execute(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        """Runs a tool with checked arguments; override it to put something around every tool.

        Raises:
            ToolError: when the tool refuses.
        """
        return tool.function(self, **arguments)

    def _unknown(self, name: str) -> str:
        shown = shorten(name)
        nearest = get_close_matches(shown, self.tools, n=1, cutoff=0.5)
        hint = f'did you mean "{nearest[0]}"?' if nearest else f"the tools are {', '.join(self.tools) or '(none)'}"
        return f'no tool is called "{shown}"; {hint}'


def toolkit_of(functions: Iterable[Callable[..., Any]]) -> type[Toolkit]:
    """A toolkit of plain functions, which need the annotations and the docstring of a tool.

    They are of the kind ``"read"`` where ``@tool`` does not say otherwise, and refuse with ``ToolError``.

    >>> def add(first: int, second: int) -> int:
    ...     '''Add two numbers.
    ...
    ...     Args:
    ...         first: one of them.
    ...         second: the other.
    ...     '''
    ...     return first + second
    >>> toolkit_of([add])().call(ToolCall("call_0", "add", {"first": 2, "second": 3})).content
    '5'

    Raises:
        TypeError: for a function that can't be described, is a coroutine, or has the name of another or of
            something of ``Toolkit``.
    """
    methods: dict[str, Any] = {}
    for function in functions:
        name = getattr(function, "__name__", None)
        if name is None:
            raise TypeError(f"a tool needs a name, which {function!r:.80} does not have: write a function")
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"the tool {name} is a coroutine: an environment's step does not wait")
        if name in methods:
            raise TypeError(f"two tools are called {name}")
        if hasattr(Toolkit, name) or "self" in inspect.signature(function).parameters:
            raise TypeError(f"the tool {name}: neither it nor an argument can have a name that toolkits use themselves")
        methods[name] = _as_method(function)
    return type("FunctionToolkit", (Toolkit,), methods)


def with_options(tool: Tool, name: str, options: tuple[str, ...]) -> Tool:
    """The same tool with other options for one of its arguments.

    Args:
        tool: the tool.
        name: the argument, which takes one of several texts.
        options: what it takes then.
    """
    changed = argument(Literal[options], f"tool {tool.name}, argument {name}")
    schema = copy.deepcopy(tool.schema)
    schema["function"]["parameters"]["properties"][name].update(changed.schema)
    return replace(tool, arguments={**tool.arguments, name: changed}, schema=freeze(schema))


def _as_method(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def method(self: Toolkit, **arguments: Any) -> Any:
        return function(**arguments)

    signature = inspect.signature(function)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])  # type: ignore[attr-defined]
    return method if hasattr(function, "__tool_kind__") else tool("read")(method)


def _failed(call: ToolCall, message: str) -> ToolResult:
    return ToolResult(call, encode({"error": message}), False)


def _describe(name: str, function: Callable[..., Any]) -> Tool:
    """Builds a tool from its signature and its docstring."""
    summary, texts = _read_docstring(name, function)
    hints = get_type_hints(function, include_extras=True)
    arguments: dict[str, Argument] = {}
    properties: dict[str, dict[str, Any]] = {}
    required = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        where = f"tool {name}, argument {parameter.name}"
        if parameter.name not in hints or parameter.name not in texts:
            raise TypeError(f"{where} needs a type and a line under Args: in the docstring")
        arguments[parameter.name] = argument(hints[parameter.name], where)
        properties[parameter.name] = {**arguments[parameter.name].schema, "description": texts[parameter.name]}
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    schema = {
        "type": "function",
        "function": {
            "name": name,
            "description": summary,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
        },
    }
    kind: ToolKind = function.__tool_kind__  # type: ignore[attr-defined]
    role: ToolRole = function.__tool_role__  # type: ignore[attr-defined]
    return Tool(name, kind, function, arguments, tuple(required), freeze(schema), role)


def _read_docstring(name: str, function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description, and the text of each argument, from a Google docstring."""
    text = inspect.getdoc(function) or ""
    sections = _SECTION.split(text)
    summary = " ".join(sections[0].split())
    if not summary:
        raise TypeError(f"tool {name}: a docstring must say what it does")
    texts: dict[str, str] = {}
    for title, body in zip(sections[1::2], sections[2::2], strict=True):
        if title not in ("Args", "Arguments"):
            continue
        last = ""
        for line in body.splitlines():
            if match := _ARGUMENT_LINE.match(line):
                last = match[1]
                texts[last] = match[2]
            elif last and line.strip():
                texts[last] += " " + line.strip()
    return summary, texts
