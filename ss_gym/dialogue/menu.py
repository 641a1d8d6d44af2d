"""The menu of a family: what an agent can choose, filled in from the state of the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ss_gym.dialogue.conditions import NAMED
from ss_gym.dialogue.known import calls_of, slots
from ss_gym.dialogue.menu_file import SLOT, Entry, MenuFile
from ss_gym.dialogue.state import DialogueState
from ss_gym.families import load_family
from ss_gym.json_text import encode

# Tools that may be called again with the same arguments.
_REPEATED = frozenset(("verify_identity",))


class FamilyMenu:
    """The choices of a family, from its ``menu.yaml`` or that of the family whose policy it has.

    Args:
        family: whose.

    Attributes:
        file: what the file says.
        names: of the choices, in order.
        conditions: what choices depend on, those with a name first.
        remarks: what is special about lines, and how that is said.

    Raises:
        FileNotFoundError: if the family has no menu.
        ValueError: if the file is broken; names the file, the line and the field.
    """

    def __init__(self, family: str) -> None:
        self._family = family
        drawn = load_family(family)
        self.file = MenuFile(family, drawn.policy, drawn.tools, [field.name for field in fields(drawn.rules)])
        self.remarks = self.file.remarks
        self.names = tuple(entry.name for entry in self.file.entries)
        named = {each.text: each for entry in self.file.entries for each in (*entry.needs, *entry.unless)}
        names = dict.fromkeys([*[name for name in NAMED if name in named], *named])
        self.conditions = tuple(named[name] for name in names)

    def __reduce__(self) -> tuple[type[FamilyMenu], tuple[str]]:
        """Pickles by the name of the family, since tools do not."""
        return FamilyMenu, (self._family,)

    def __len__(self) -> int:
        """How many choices there are."""
        return len(self.file.entries)

    def holds(self, state: DialogueState) -> dict[str, bool]:
        """Which conditions hold."""
        return {condition.text: condition.holds(state, self.remarks) for condition in self.conditions}

    def choices(self, memory: DialogueState) -> list[str | None]:
        """What each choice is now; None where something is not known that it needs."""
        words, holds = slots(memory, self.remarks), self.holds(memory)
        return [
            self._action(entry, memory, words)
            if all(holds[each.text] for each in entry.needs) and not any(holds[each.text] for each in entry.unless)
            else None
            for entry in self.file.entries
        ]

    def _action(self, entry: Entry, state: DialogueState, words: Mapping[str, str]) -> str | None:
        if entry.say:
            return _filled(entry.say, words)
        lines = state.case.wanted
        if entry.of.endswith("ordinary"):
            lines = self.remarks.ordinary(lines)
        if entry.of.startswith("first"):
            lines = lines[:1]
        calls: list[dict[str, Any]] = []
        for tool in entry.calls:
            given = {name: _filled(text, words) for name, text in entry.given.items() if name in tool.arguments}
            filled = calls_of(tool, state, lines, given, self.remarks)
            if filled is None:
                return None
            if tool.name not in _REPEATED and all((tool.name, encode(arguments)) in state.made for arguments in filled):
                return None
            calls += [{"name": tool.name, "arguments": arguments} for arguments in filled]
        return "".join([f"<tool_call>{encode(call)}</tool_call>" for call in calls])


def _filled(text: str, words: Mapping[str, str]) -> str | None:
    """A text with its slots filled in; None while one of them is not known."""
    return text.format_map(words) if all(words.get(name) is not None for name in SLOT.findall(text)) else None
