"""The template language of the customer's phrases: parsed once, expanded by what is told.

==========================  ====================================================
``{item}``                  the value of a slot
``{order_id?with|without}`` text that depends on whether the slot is told
``(could you|can you)``     alternatives, each equally likely; they nest, and may be empty
``[it is|they are]``        one item | several items
``<why>``                   another entry of the same file
==========================  ====================================================

The blank before alternatives that may be empty goes with them: ``thanks (a lot|)`` has none at its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class TemplateError(ValueError):
    """A template that can't be read or makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives."""

    options: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """Text that depends on whether a slot has a value."""

    name: str
    then: Template
    otherwise: Template


@dataclass(frozen=True, slots=True)
class Count:
    """Text that depends on whether one or several items are talked about."""

    one: Template
    many: Template


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of another entry's text."""

    name: str


Node: TypeAlias = "str | Slot | Choice | Told | Count | Reference"
Template: TypeAlias = tuple[Node, ...]

_TOKEN = re.compile(r"(\{[a-z_]+[?}]|<[a-z_/]+>|[()\[\]|}])")
_STRAY = re.compile(r"[{<>]")
_CLOSERS = frozenset(")]}")


def parse(text: str) -> Template:
    """Reads one template.

    Raises:
        TemplateError: on unbalanced or stray brackets; the message says which.
    """
    reader = _Reader([token for token in _TOKEN.split(text) if token])
    (template,) = reader.options("")
    return template


class _Reader:
    """Recursive descent over the tokens of one template."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def options(self, closer: str) -> tuple[Template, ...]:
        """Sequences parted by ``|``, up to the closing bracket (``""``: the end of the text)."""
        options: list[Template] = []
        nodes: list[Node] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token == "|" and closer:
                options.append(tuple(nodes))
                nodes = []
            elif token in _CLOSERS or token == "|":
                if token != closer:
                    raise TemplateError(f"'{token}' without an opening bracket before it")
                return (*options, tuple(nodes))
            else:
                node = self._node(token)
                if isinstance(node, Choice) and () in node.options:
                    node = _with_blank(node, nodes)
                nodes.append(node)
        if closer:
            raise TemplateError(f"a bracket is not closed: '{closer}' is missing")
        return (*options, tuple(nodes))

    def _node(self, token: str) -> Node:
        if token == "(":
            return Choice(self.options(")"))
        if token == "[":
            options = self.options("]")
            if len(options) != 2:
                raise TemplateError(f"'[…]' needs two parts, for one item and for several, and has {len(options)}")
            return Count(*options)
        if token[0] == "{" and token[-1] == "}":
            return Slot(token[1:-1])
        if token[0] == "{" and token[-1] == "?":
            options = self.options("}")
            if len(options) > 2:
                raise TemplateError(f"'{token}…}}' needs one or two parts and has {len(options)}")
            return Told(token[1:-1], options[0], options[1] if len(options) == 2 else ())
        if token[0] == "<" and token[-1] == ">":
            return Reference(token[1:-1])
        stray = _STRAY.search(token)
        if stray:
            raise TemplateError(f"stray '{stray[0]}': slots are written {{name}}, entries <name>")
        return token


def _branches(node: Choice | Told | Count) -> tuple[Template, ...]:
    if isinstance(node, Choice):
        return node.options
    return (node.one, node.many) if isinstance(node, Count) else (node.then, node.otherwise)


def _with_blank(choice: Choice, before: list[Node]) -> Choice:
    """Moves the blank before a choice into its options, unless they bring one at their end."""
    last = before[-1] if before else ""
    if not isinstance(last, str) or not last.endswith(" "):
        return choice
    ends = [option[-1] for option in choice.options if option]
    if any(isinstance(end, str) and end.endswith(" ") for end in ends):
        return choice
    before[-1] = last[:-1]
    return Choice(tuple((" ", *option) if option else () for option in choice.options))


@dataclass(frozen=True, slots=True)
class Mentions:
    """Which slots a template speaks of.

    Attributes:
        needed: slots without which the template can't be used.
        possible: slots that it tells where they have a value.
    """

    needed: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()

    def fits(self, told: Set[str]) -> bool:
        """Whether the template tells exactly these facts."""
        return self.needed <= told <= self.possible


def mentions(template: Template, of_entry: Callable[[str], Mentions]) -> Mentions:
    """Finds the slots of a template.

    Args:
        template: the parsed template.
        of_entry: the mentions of another entry, by its name.

    Raises:
        TemplateError: if the alternatives of a choice do not tell the same facts.
    """
    needed: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()
    for node in template:
        if isinstance(node, str):
            continue
        found = _mentions_of_node(node, of_entry)
        needed |= found.needed
        possible |= found.possible
    return Mentions(needed, possible)


def _mentions_of_node(node: Slot | Choice | Told | Count | Reference, of_entry: Callable[[str], Mentions]) -> Mentions:
    if isinstance(node, Slot):
        name = frozenset((node.name,))
        return Mentions(name, name)
    if isinstance(node, Reference):
        return of_entry(node.name)
    found = [mentions(option, of_entry) for option in _branches(node)]
    if isinstance(node, Told):
        then, otherwise = found
        return Mentions((then.needed - {node.name}) | otherwise.needed, then.possible | otherwise.possible)
    if any(other != found[0] for other in found[1:]):
        raise TemplateError("the alternatives of a choice name different slots")
    return found[0]


class Situation(NamedTuple):
    """What is known before the values are: it decides which words of a template are used.

    Attributes:
        told: the slots that have a value.
        plural: whether several items are talked about.
        parts: the alternatives of other entries, by name.
    """

    told: Set[str]
    plural: bool
    parts: Mapping[str, tuple[Template, ...]]


def expand(template: Template, values: Mapping[str, str], situation: Situation, bits: int, out: list[str]) -> int:
    """Appends one surface of the template to ``out``.

    Args:
        template: what to say.
        values: the slots' values.
        situation: what decides between the conditional parts.
        bits: a large random integer; its remainders choose the alternatives, which is several
            times faster than a draw each.
        out: where the pieces go.

    Returns:
        The bits that are left.
    """
    for node in template:
        if isinstance(node, str):
            out.append(node)
            continue
        if isinstance(node, Slot):
            out.append(values[node.name])
            continue
        if isinstance(node, Told):
            chosen = node.then if node.name in situation.told else node.otherwise
        elif isinstance(node, Count):
            chosen = node.many if situation.plural else node.one
        else:
            options = node.options if isinstance(node, Choice) else situation.parts[node.name]
            bits, index = divmod(bits, len(options))
            chosen = options[index]
        if len(chosen) == 1 and isinstance(chosen[0], str):  # most are, and a call costs more than all the rest
            out.append(chosen[0])
        elif chosen:
            bits = expand(chosen, values, situation, bits, out)
    return bits
