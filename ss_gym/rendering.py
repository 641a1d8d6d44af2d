"""A conversation as text for people to read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ss_gym.types import Message

_SPEAKER = {"user": "Customer", "assistant": "Agent", "tool": "Tool", "system": "System"}
_STYLE = {"user": "bold cyan", "assistant": "bold green", "tool": "dim", "system": "dim"}
# A terminal would obey these.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def transcript(messages: Iterable[Message]) -> str:
    """One line a message, or more where it has line breaks: who, then what.

    Args:
        messages: in OpenAI chat form.
    """
    return "\n".join(f"{speaker}: {text}" for _, speaker, text in _lines(messages))


def print_messages(messages: Iterable[Message]) -> None:
    """Prints messages to the terminal, in colour where it has any."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for role, speaker, text in _lines(messages):
        # Text, not markup: what a customer or a tool writes in square brackets is theirs.
        console.print(Text.assemble((f"{speaker}: ", _STYLE[role]), text), soft_wrap=True)


def _lines(messages: Iterable[Message]) -> Iterable[tuple[str, str, str]]:
    for message in messages:
        role = message["role"]
        content = _CONTROL.sub("", message["content"])
        if content or not message.get("tool_calls"):
            yield role, _SPEAKER[role] if not message.get("tool_calls") else "Agent (aside)", content
        for call in message.get("tool_calls", ()):
            function = call["function"]
            yield role, "Agent", _CONTROL.sub("", f"-> {function['name']}({function['arguments']})")
