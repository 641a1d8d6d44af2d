"""What stands in a family's ``menu.yaml``, checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from ss_gym.dialogue.conditions import Condition, read_condition
from ss_gym.dialogue.lines import Remarks
from ss_gym.scenario_files import field_error, has_file, read_yaml
from ss_gym.spelling import nearest
from ss_gym.tools import Tool

FILE = "menu.yaml"
_SECTIONS = ("choices", "features", "remarks")
# The parts of the section of that name, each a list of names.
_FEATURES = ("flags", "lines", "ratios", "reasons", "statuses")
_KEYS = {"say": ("say", "needs", "unless"), "call": ("call", "with", "of", "needs", "unless")}
# Of orders; a family whose wishes are about something else lists others.
ORDER_STATUSES = ("processing", "shipped", "delivered", "cancelled")
_OF = ("wanted", "ordinary", "first", "first_ordinary")
# Raised when the same file comes to mean something else: results are of a menu and of what it means.
_MEANING = 2
SLOT = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One choice.

    Attributes:
        name: what it is called.
        say: what is said, with slots; empty for calls.
        calls: the tools that are called.
        given: arguments of these that are fixed, as text with slots.
        of: the lines that calls are about: those that are wanted, the ordinary ones of them, or the first of either.
        needs: what must hold, all of it.
        unless: what must not hold, none of it.
    """

    name: str
    say: str = ""
    calls: tuple[Tool, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    of: str = "wanted"
    needs: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()


class MenuFile:
    """The menu of a family, or of the family whose policy it has.

    Args:
        family: whose.
        policy: the family whose policy it has.
        tools: those of its agents, by name.
        rules: names of the policy's rules.

    Attributes:
        owner: the family whose file it is.
        digest: a hash of what the file says and means.
        features: the section of that name, without the flags.
        flags: what its flags are.
        remarks: what is special about lines, and how that is said.
        entries: the choices, in order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is broken; names the file, the line and the field.
    """

    def __init__(self, family: str, policy: str, tools: Mapping[str, Tool], rules: Collection[str]) -> None:
        self.owner = family if has_file(family, FILE) else policy
        if not has_file(self.owner, FILE):
            raise FileNotFoundError(f"the family {family} has no {FILE}, which a Discrete id is made of")
        data = read_yaml(self.owner, FILE)
        if not isinstance(data, dict) or not isinstance(data.get("choices"), dict) or not data["choices"]:
            raise self._fault("expected a mapping with choices")
        for section in data:
            if section not in _SECTIONS:
                raise self._fault(f"is not known; {nearest(str(section), _SECTIONS)}", section)
        self.digest = blake2b(repr((_MEANING, data)).encode(), digest_size=8).hexdigest()
        self.features = self._read_features(data.get("features", {}))
        self.remarks = self._read_remarks(data.get("remarks", {}))
        self._tools, self._rules = tools, rules
        # What is known of what facts can be.
        self._words = {"wish": ("gone", "dearer"), "status": self.features.get("statuses", ORDER_STATUSES)}
        if "reasons" in self.features:
            self._words["reason"] = self.features["reasons"]
        self.flags = self._conditions(list(self.features.get("flags", ())), "features", "flags")
        self.entries = tuple(self._read_entry(str(name), fields) for name, fields in data["choices"].items())

    def _fault(self, problem: str, *field: Any) -> ValueError:
        return field_error(self.owner, FILE, field, problem)

    def _read_features(self, data: Any) -> Mapping[str, tuple[str, ...]]:
        if not isinstance(data, dict):
            raise self._fault("expected a mapping", "features")
        for part, names in data.items():
            if part not in _FEATURES:
                raise self._fault(f"is not known; {nearest(str(part), _FEATURES)}", "features", part)
            if not isinstance(names, list) or len(set(map(_plain, names))) != len(names):
                raise self._fault("expected a list of names, each once", "features", part)
        return {part: tuple(map(_plain, names)) for part, names in data.items()}

    def _read_remarks(self, data: Any) -> Remarks:
        if not isinstance(data, dict):
            raise self._fault("expected a mapping", "remarks")
        for name, words in data.items():
            slots = {"refusal": {"title", "remark"}, "status": {"status"}}.get(name, set())
            if not slots >= set(self._slots(words, "remarks", name)):
                raise self._fault(f"has other slots than {sorted(slots)}", "remarks", name)
        if data and "refusal" not in data:
            raise self._fault("expected a refusal among them", "remarks")
        words = dict(data)
        return Remarks(words, words.pop("refusal", ""))

    def _read_entry(self, name: str, fields: Any) -> Entry:
        where = ("choices", name)
        if not isinstance(fields, dict) or ("say" in fields) == ("call" in fields):
            raise self._fault("expected a mapping with either say or call", *where)
        keys = _KEYS["say" if "say" in fields else "call"]
        for key in fields:
            if key not in keys:
                raise self._fault(f"is not known here; {nearest(str(key), keys)}", *where, key)
        needs, unless = (self._conditions(fields.get(key, []), *where, key) for key in ("needs", "unless"))
        entry = Entry(name, needs=needs, unless=unless)
        return self._read_say(entry, fields) if "say" in fields else self._read_calls(entry, fields)

    def _conditions(self, given: Any, *field: str) -> tuple[Condition, ...]:
        """One or a list of them."""
        flags = [flag for flag in self.features.get("flags", ()) if flag.isidentifier()]
        texts = given if isinstance(given, list) else [given]
        try:
            return tuple(read_condition(str(text), self._tools, flags, self._rules, self._words) for text in texts)
        except ValueError as error:
            raise self._fault(str(error), *field) from None

    def _read_say(self, entry: Entry, fields: Mapping[str, Any]) -> Entry:
        self._slots(fields["say"], "choices", entry.name, "say")
        return replace(entry, say=fields["say"])

    def _read_calls(self, entry: Entry, fields: Mapping[str, Any]) -> Entry:
        where, calls, given = ("choices", entry.name), fields["call"], fields.get("with", {})
        if not isinstance(calls, list) or not calls:
            raise self._fault("expected a list of tools", *where, "call")
        for tool in calls:
            if tool not in list(self._tools):
                raise self._fault(f"there is no tool {tool!r:.80}; {nearest(str(tool), self._tools)}", *where, "call")
        takes = {argument for tool in calls for argument in self._tools[tool].arguments}
        if not isinstance(given, dict) or not takes >= set(given):
            raise self._fault(f"expected arguments of these: {', '.join(sorted(takes))}", *where, "with")
        of = fields.get("of", "wanted")
        if of not in _OF:
            raise self._fault(f"{of!r:.80} is none of {', '.join(_OF)}", *where, "of")
        for argument, value in given.items():
            if isinstance(value, str):
                self._slots(value, *where, "with", argument)
        texts = {argument: str(value) for argument, value in given.items()}
        return replace(entry, calls=tuple(self._tools[tool] for tool in calls), given=texts, of=of)

    def _slots(self, text: Any, *field: str) -> list[str]:
        """The slots of a text, which is not empty."""
        if not isinstance(text, str) or not text.strip() or re.search("[{}]", SLOT.sub("", text)):
            raise self._fault(f"expected a text with slots such as {{titles}}, got {text!r:.80}", *field)
        return SLOT.findall(text)


def _plain(name: Any) -> str:
    """A name or condition with single blanks, and blanks around a slash."""
    return " ".join(str(name).replace("/", " / ").split())
