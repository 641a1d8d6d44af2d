"""The menu of a family: what an agent can choose, filled in from the state of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ss_gym.dialogue.facts import fact
from ss_gym.dialogue.known import calls_of, slots
from ss_gym.dialogue.lines import Remarks
from ss_gym.dialogue.menu_file import SLOT, Entry, MenuFile
from ss_gym.dialogue.state import DialogueState
from ss_gym.families import load_family
from ss_gym.json_text import encode

# Tools that may be called again with the same arguments.
_REPEATED = frozenset(("verify_identity",))

CONDITIONS: Mapping[str, Callable[[DialogueState, Remarks], bool]] = {
    "identified": lambda state, _: bool(state.case.email and state.case.postal_code),
    "verified": lambda state, _: bool(state.case.customer_id),
    "failed": lambda state, _: state.failed > 0,
    "listed": lambda state, _: state.listed,
    "missing": lambda state, _: state.listed and state.order_id not in state.orders and state.case.order is None,
    "read": lambda state, _: state.case.order is not None,
    "chosen": lambda state, _: bool(state.case.wanted),
    "reasoned": lambda state, _: bool(state.case.reason),
    "arrived": lambda state, _: state.case.order is not None and state.case.order.days is not None,
    "awaited": lambda state, _: state.case.order is not None and state.case.order.days is None,
    "final": lambda state, _: any(line.final_sale for line in state.case.wanted),
    "gift": lambda state, _: any(line.category == "gift_card" for line in state.case.wanted),
    "settled": lambda state, _: any(line.status != "ordered" for line in state.case.wanted),
    "mixed": lambda state, remarks: any(map(remarks.remark, state.case.wanted)),
    "agreed": lambda state, _: state.agreed and state.quoted() > 0,
    "welcome": lambda state, _: state.agreed and bool(state.case.wanted),
    "approved": lambda state, _: state.approved,
    "named": lambda state, _: bool(state.option),
    "quoted": lambda state, _: state.quoted() > 0,
    "refunded": lambda state, _: "issue_refund" in state.results,
    "credited": lambda state, _: "issue_store_credit" in state.results,
    "exchanged": lambda state, _: "create_exchange" in state.results,
}


class FamilyMenu:
    """The choices of a family, from its ``menu.yaml`` or that of the family whose policy it has.

    Args:
        family: whose.

    Attributes:
        file: what the file says.
        names: of the choices, in order.
        flags: facts that hold or not, from the file's features.
        conditions: what choices depend on, in the order of ``CONDITIONS`` and then of the file.
        remarks: what is special about lines, and how that is said.

    Raises:
        FileNotFoundError: if the family has no menu.
        ValueError: if the file is broken; names the file, the line and the field.
    """

    def __init__(self, family: str) -> None:
        self._family = family
        drawn = load_family(family)
        self.file = MenuFile(family, drawn.policy, drawn.tools, CONDITIONS)
        self.flags = self.file.features.get("flags", ())
        self.remarks = self.file.remarks
        self.names = tuple(entry.name for entry in self.file.entries)
        named = [name for entry in self.file.entries for name in (entry.needs, entry.unless) if name]
        self.conditions = tuple(dict.fromkeys([*[name for name in CONDITIONS if name in named], *named]))

    def __reduce__(self) -> tuple[type[FamilyMenu], tuple[str]]:
        """Pickles by the name of the family, since tools do not."""
        return FamilyMenu, (self._family,)

    def __len__(self) -> int:
        """How many choices there are."""
        return len(self.file.entries)

    def holds(self, state: DialogueState) -> dict[str, bool]:
        """Which conditions hold."""
        return {name: self._holds(name, state) for name in self.conditions}

    def _holds(self, name: str, state: DialogueState) -> bool:
        if name in CONDITIONS:
            return CONDITIONS[name](state, self.remarks)
        return bool(fact(state, name)) if name in self.flags else name in state.results

    def choices(self, memory: DialogueState) -> list[str | None]:
        """What each choice is now; None where something is not known that it needs."""
        words, holds = slots(memory, self.remarks), self.holds(memory)
        return [
            self._action(entry, memory, words)
            if (not entry.needs or holds[entry.needs]) and not (entry.unless and holds[entry.unless])
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
