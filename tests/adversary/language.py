"""Fragments of support language, and the calls and messages that are put together from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from ss_baselines.agents.plan import PLANS, plan_of
from ss_gym.commerce.remedies import REMEDIES
from ss_gym.families import load_family
from ss_gym.scenario_files import parse_yaml
from ss_gym.tools import Tool
from tests.adversary.genes import Genes
from tests.adversary.values import KINDS, Draws, Values, argument

_STRANGERS = Path(__file__).parents[1] / "conformance"
_VERBS = tuple(verb.replace("_", " ") for verb in REMEDIES)
_OPENINGS = (
    "I have",
    "I can",
    "I can't",
    "Shall I",
    "Would you like me to",
    "I will",
    "I have not",
    "If you agree I will",
    "Unfortunately I am unable to",
    "You said that I should",
    "We never",
    "Could you tell me",
    "",
)
_MIDDLES = (
    "{verb} the {title}",
    "{verb} order {order_id}",
    "refund ${amount} for the {title} to your card",
    "refunded ${amount}",
    "issued store credit of ${amount}",
    "cancelled the {title}",
    "exchanged the {title} for another size",
    "found no such order on your account",
    "your e-mail and postal code",
    "your order number",
    "verify you with {email} and {postal_code}",
    "the window of {days} days has passed",
    "{name} in {city}, {street}",
    "the {title} is a final sale",
    "it was delivered on {date}",
    "it will arrive on {date}",
    "it was already refunded",
    "the money takes {days} business days",
    "a fee of {days} % or ${amount}",
    "transfer you to a colleague",
    "order {order_id}, item {item_id}, payment {payment_id}, account {customer_id}",
    "",
)
_ENDINGS = (".", "?", "!", ", because", " and", "; ", ":\n- ", " instead.", "\n\n", " (", ")", " …", " - yes or no?")
_MARKS = (
    "\x00",
    "\ud800",
    "\u202e",
    "e\u0301",
    "\U0001d7d9\U0001d7da",
    "🙂",
    "\n",
    " ",
    "\t",
    "<think>",
    "</think>",
    '"',
    "\\",
    "{",
    "}",
)
_SPOILERS = ("drop", "extra", "type", "unknown", "nested", "null", "swap", "huge")


@cache
def tools_of(family: str) -> tuple[Tool, ...]:
    """The tools of a family."""
    return tuple(load_family(family).tools.values())


@cache
def sentences_of(family: str) -> tuple[str, ...]:
    """Whole messages of good agents of a family, with slots: some of each move of its grammar, and a stranger's."""
    found: dict[str, None] = {}
    if family in PLANS:
        for parts in plan_of(family).grammar.values():
            count = prod(map(len, parts))
            every = max(1, count // 12)
            for number, chosen in enumerate(product(*parts)):
                if number % every == 0:
                    found["".join(chosen)] = None
    for path in sorted(_STRANGERS.glob(f"stranger_{family}_*.yaml")):
        phrases: Mapping[str, Sequence[str]] = parse_yaml(path.read_text(encoding="utf-8"), path.name)
        for wordings in phrases.values():
            found.update(dict.fromkeys(wordings[:12]))
    return tuple(found)


class _Slots(dict[str, str]):
    """Any slot of a grammar, by the kind of value that it asks for."""

    _SAME: Mapping[str, str] = {
        **KINDS,
        "titles": "title",
        "window": "days",
        "price": "amount",
        "code": "postal_code",
        "options": "option",
    }

    def __init__(self, values: Values, draws: Draws) -> None:
        super().__init__()
        self._values = values
        self._draws = draws

    def __missing__(self, name: str) -> str:
        if name == "verb":
            return self._draws.choice(_VERBS)
        if name == "swaps":
            return f"{self['title']} for the {self['option']}"
        kind = self._SAME.get(name, name)
        known = self._values.get(kind) or ("it",)
        value = self._draws.choice(known)
        # Grammars write amounts with their sign already in them, fragments put it before the slot.
        return f"${value}" if kind == "amount" and name != "amount" else value


def filled(template: str, values: Values, draws: Draws) -> str:
    """A template with values in its slots; as it is where a brace is no slot."""
    try:
        return template.format_map(_Slots(values, draws))
    except (AttributeError, IndexError, KeyError, ValueError):
        return template


def fragment(values: Values, draws: Draws) -> str:
    """A sentence that is put together from pieces, sensible or not."""
    return filled(f"{draws.choice(_OPENINGS)} {draws.choice(_MIDDLES)}{draws.choice(_ENDINGS)} ", values, draws)


def sentence(family: str, values: Values, draws: Draws) -> str:
    """A sentence of a good agent with any of the values, or a fragment."""
    known = sentences_of(family)
    if not known or draws.chance(0.3):
        return fragment(values, draws)
    return filled(draws.choice(known).replace("{amount}", "${amount}"), values, draws)


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an action writes it."""
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def arguments_for(tool: Tool, values: Values, draws: Draws) -> dict[str, Any]:
    """Valid arguments by the tool's schema; whether they fit each other is another matter."""
    properties = tool.schema["function"]["parameters"]["properties"]
    return {name: argument(name, schema, values, draws) for name, schema in properties.items()}


def valid_call(family: str, values: Values, draws: Draws) -> str:
    """A call that the schema allows."""
    tool = draws.choice(tools_of(family))
    return call_text(tool.name, arguments_for(tool, values, draws))


def spoilt_call(family: str, values: Values, draws: Draws) -> str:
    """A call with one thing wrong."""
    tool = draws.choice(tools_of(family))
    name, arguments = tool.name, arguments_for(tool, values, draws)
    spoiler = draws.choice(_SPOILERS)
    keys = sorted(arguments)
    key = draws.choice(keys) if keys else "order_id"
    if spoiler == "drop":
        arguments.pop(key, None)
    elif spoiler == "extra":
        arguments["also"] = draws.choice(values["order_id"])
    elif spoiler == "type":
        arguments[key] = draws.choice((5, -1, 1e308, 10**30, True, [], {}, [[]], [5], 24.5))
    elif spoiler == "unknown":
        name += draws.choice("sx_ 1")
    elif spoiler == "nested":
        arguments[key] = {"order_id": [arguments.get(key)]}
    elif spoiler == "null":
        arguments[key] = None
    elif spoiler == "swap":
        arguments[key] = draws.choice(values[draws.choice(("email", "amount", "item_id", "date", "city"))])
    else:
        arguments[key] = draws.choice(("9" * 400, "x" * 3_000, "\ud800", "\x00", "1.005", "1e3", "-0", "٣", "NaN", ""))
    return call_text(name, arguments)


def spoilt_text(text: str, draws: Draws) -> str:
    """A text with some of its characters changed, lost, doubled or moved."""
    for _ in range(1 + draws.below(3)):
        at = draws.below(len(text) + 1)
        to = at + draws.below(8)
        change = draws.below(5)
        if change == 0:
            text = text[:at] + text[to:]
        elif change == 1:
            text = text[:at] + draws.choice(_MARKS) + text[at:]
        elif change == 2:
            text = text[:at] + chr(draws.below(0x3000)) + text[at + 1 :]
        elif change == 3:
            text = text[:to] + text[at:]
        else:
            text = text[at:] + text[:at]
    return text


def mixture(family: str, values: Values, draws: Draws) -> str:
    """Words, calls and thoughts in one action."""
    parts = []
    for _ in range(2 + draws.below(4)):
        which = draws.below(5)
        if which == 0:
            parts.append(f"<think>{sentence(family, values, draws)}{draws.choice(('</think>', '</think>', ''))}")
        elif which < 3:
            parts.append(sentence(family, values, draws))
        elif which == 3:
            parts.append(valid_call(family, values, draws))
        else:
            parts.append(spoilt_call(family, values, draws))
    return draws.choice(("", " ", "\n")).join(parts)


def raw_text(genes: Genes) -> str:
    """Text straight from bytes: any Unicode, with lone surrogates in place of what is not valid."""
    encoding = genes.choice(("utf-8", "latin-1", "utf-16-le"))
    taken = genes.take(2 + genes.below(40))
    if encoding == "utf-16-le":
        return taken[: len(taken) // 2 * 2].decode(encoding, "surrogatepass")
    return taken.decode(encoding, "surrogateescape")


def action(family: str, values: Values, genes: Genes) -> str:
    """One action of any kind."""
    which = genes.below(16)
    if which < 5:
        return valid_call(family, values, genes)
    if which < 9:
        return " ".join(sentence(family, values, genes) for _ in range(1 + genes.below(3)))
    if which < 11:
        return mixture(family, values, genes)
    if which < 13:
        return spoilt_call(family, values, genes)
    if which == 13:
        return raw_text(genes)
    if which == 14:
        return spoilt_text(valid_call(family, values, genes), genes)
    return spoilt_text(sentence(family, values, genes), genes)


def verification(email: str, postal_code: str) -> str:
    """The call that most episodes need before anything else works."""
    return call_text("verify_identity", {"email": email, "postal_code": postal_code})
