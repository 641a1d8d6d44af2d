"""A family's phrases file: read, checked as a whole, and offered by split and register.

The file has two mappings, ``acts`` and ``parts``, of entries::

    give_email:
      slots: email            # a name with "?" may be untold
      train: |                # one template a line
        my email is {email}
        @polite of course, it's {email}
      dev: |
        ...
      test: |
        ...

A part whose words carry no meaning of their own may have the one block ``shared`` instead of the three.
An entry ``open/not_received`` is used instead of ``open`` where the slot ``reason`` (or ``remedy``)
has that value. Tags before a template restrict it to registers, and ``@alone`` to messages of one act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

from ss_gym.users.persona import REGISTERS
from ss_gym.users.templates import Mentions, Template, TemplateError, mentions, parse

BLOCKS = ("train", "dev", "test")
SHARED = "shared"

# Which templates a split draws from. Test never sees a template of train, nor train one of test.
SOURCES: dict[str, tuple[str, ...]] = {
    "train": ("train", SHARED),
    "dev": ("train", "dev", SHARED),
    "test": ("test", SHARED),
}

ALONE = "alone"
_TAGS = frozenset((*REGISTERS, ALONE))

CASE_SLOTS = ("attack", "reason", "remedy")  # they choose the words and are not said themselves


@dataclass(frozen=True, slots=True)
class Line:
    """One template: its text as written, parsed, the slots it speaks of, and its tags."""

    text: str
    template: Template
    tags: frozenset[str]

    def suits(self, register: str, alone: bool) -> bool:
        """Whether a customer of this register may say it, alone or beside other acts."""
        registers = self.tags - {ALONE}
        return (not registers or register in registers) and (alone or ALONE not in self.tags)


@dataclass(frozen=True, slots=True)
class Entry:
    """The templates of one act or part.

    Attributes:
        name: such as ``open/not_received``.
        slots: the declared slots; True for those that may be untold.
        blocks: the lines of train, dev and test, or those that all of them share.
    """

    name: str
    slots: Mapping[str, bool]
    blocks: Mapping[str, tuple[Line, ...]]

    def lines(self, split: str, register: str, alone: bool = True) -> list[Line]:
        """The lines that a split and a register may use."""
        blocks = [self.blocks[block] for block in SOURCES[split] if block in self.blocks]
        return [line for block in blocks for line in block if line.suits(register, alone)]


def case_of(entries: Mapping[str, Entry], name: str, slots: Mapping[str, str]) -> str:
    """The entry that words an act or part: the one for the reason or remedy told, if there is one."""
    for slot in CASE_SLOTS:
        case = f"{name}/{slots[slot]}" if slot in slots else name
        if case != name and case in entries:
            return case
    return name


class PhraseBook:
    """The checked content of a phrases file.

    Args:
        document: the parsed YAML.
        fault: makes the error for a field of the file, given as keys from the top.

    Attributes:
        acts: entries for customer acts.
        parts: entries that others refer to, and those that carry no fact.

    Raises:
        ValueError: if anything is malformed; the message says which template, and ``fault`` where it is.
    """

    def __init__(self, document: Any, fault: Callable[[Sequence[str | int], str], ValueError]) -> None:
        if not isinstance(document, dict) or set(document) != {"acts", "parts"}:
            raise fault((), "the file must hold exactly two mappings, 'acts' and 'parts'")
        self._fault = fault
        self._titles: dict[str, str] = {}
        self.parts = self._entries(document["parts"], "parts")
        self.acts = self._entries(document["acts"], "acts")
        # A part that only has cases has them for each reason that any such part knows.
        parts = [name.partition("/") for name in self.parts]
        self._reasons = list(dict.fromkeys([case for name, _, case in parts if case and name not in self.parts]))
        self._part_mentions: dict[str, Mentions] = {}
        self._line_mentions: dict[str, Mentions] = {}
        for name in self.parts:
            self._check_part(name, ())
        for entry in self.acts.values():
            self._check_act(entry)

    def mentions_of(self, line: Line) -> Mentions:
        """The slots that a line speaks of, by itself or by the parts it refers to."""
        return self._line_mentions[line.text]

    def _entries(self, section: Any, title: str) -> dict[str, Entry]:
        if not isinstance(section, dict):
            raise self._fault((title,), "must be a mapping of entries")
        self._titles.update(dict.fromkeys(map(str, section), title))
        return {str(name): self._entry(title, str(name), fields) for name, fields in section.items()}

    def _entry(self, title: str, name: str, fields: Any) -> Entry:
        blocks = (SHARED,) if title == "parts" and isinstance(fields, dict) and SHARED in fields else BLOCKS
        if not isinstance(fields, dict) or not set(blocks) <= set(fields) <= {"slots", *blocks}:
            keys = sorted(map(str, fields)) if isinstance(fields, dict) else fields
            raise self._error(name, f"needs the keys {', '.join(blocks)}, may have 'slots', and has {keys}")
        slots = {}
        for word in str(fields.get("slots", "")).split():
            slots[word.rstrip("?")] = word.endswith("?")
        return Entry(name, slots, {block: self._block(name, block, fields[block]) for block in blocks})

    def _block(self, name: str, block: str, text: Any) -> tuple[Line, ...]:
        if not isinstance(text, str) or not text.strip():
            raise self._error(name, f"'{block}' must be a text with one template a line")
        return tuple(self._line(name, block, line.strip()) for line in text.splitlines() if line.strip())

    def _line(self, name: str, block: str, text: str) -> Line:
        body = text
        tags: set[str] = set()
        while body.startswith("@"):
            tag, _, body = body.partition(" ")
            tags.add(tag[1:])
        unknown = tags - _TAGS
        if unknown:
            raise self._error(name, f"unknown tag '@{min(unknown)}', known are {', '.join(sorted(_TAGS))}", block, text)
        try:
            return Line(text, parse(body), frozenset(tags))
        except TemplateError as error:
            raise self._error(name, str(error), block, text) from error

    def _check_part(self, name: str, path: tuple[str, ...]) -> Mentions:
        """Finds a part's slots, which must be the same in all its templates and cases."""
        if name in path:
            raise self._error(name, f"refers to itself: {' -> '.join((*path, name))}")
        known = self._part_mentions.get(name)
        if known is not None:
            return known
        cases = [entry for entry in self.parts.values() if entry.name == name or entry.name.startswith(f"{name}/")]
        if not cases:
            raise self._error(path[-1] if path else name, f"refers to <{name}>, which 'parts' does not have")
        found: Mentions | None = None
        for entry in cases:
            self._check_cover(entry)
            for block, line in _all_lines(entry):
                this = self._find_mentions(entry.name, block, line, (*path, name))
                if found is not None and this != found:
                    raise self._error(entry.name, "names other slots than the templates before it", block, line.text)
                found = this
        assert found is not None
        if all(entry.name != name for entry in cases):
            found = self._chosen_by_reason(name, cases[0].name, found)
        self._part_mentions[name] = found
        return found

    def _chosen_by_reason(self, name: str, first: str, found: Mentions) -> Mentions:
        """A part that only has cases speaks of the reason, and must have a case for each."""
        for reason in self._reasons:
            if f"{name}/{reason}" not in self.parts:
                raise self._error(first, f"lacks its fellow '{name}/{reason}', and there is no '{name}' for the rest")
        return Mentions(found.needed | {"reason"}, found.possible | {"reason"})

    def _check_act(self, entry: Entry) -> None:
        """Whatever is told, each split must have a template that every register may use."""
        general: dict[str, list[Mentions]] = {block: [] for block in entry.blocks}
        for block, line in _all_lines(entry):
            found = self._find_mentions(entry.name, block, line, (entry.name,))
            undeclared = found.possible - set(entry.slots)
            if undeclared:
                raise self._error(entry.name, f"slot {min(undeclared)!r} is not declared", block, line.text)
            if not line.tags:
                general[block].append(found)
        for told, block in product(_tellings(entry), ("train", "test")):
            if not any(found.fits(told) for found in general[block]):
                what = f"exactly the slots {sorted(told)}" if told else "no slot"
                raise self._error(entry.name, f"no template without tags tells {what}", block)

    def _check_cover(self, part: Entry) -> None:
        for block, lines in part.blocks.items():
            if block != "dev" and all(line.tags for line in lines):
                raise self._error(part.name, "has no template without tags", block)

    def _find_mentions(self, name: str, block: str, line: Line, path: tuple[str, ...]) -> Mentions:
        try:
            found = self._line_mentions[line.text] = mentions(line.template, lambda part: self._check_part(part, path))
            return found
        except TemplateError as error:
            raise self._error(name, str(error), block, line.text) from error

    def _error(self, entry: str, problem: str, block: str = "", text: str = "") -> ValueError:
        field = (self._titles[entry], entry, block) if block else (self._titles[entry], entry)
        return self._fault(field, problem + (f", in {text!r}" if text else ""))


def _all_lines(entry: Entry) -> Iterable[tuple[str, Line]]:
    return ((block, line) for block, lines in entry.blocks.items() for line in lines)


def _tellings(entry: Entry) -> Iterable[frozenset[str]]:
    """Every set of slots that an act may come with."""
    fixed = {name for name, optional in entry.slots.items() if not optional}
    free = [name for name, optional in entry.slots.items() if optional]
    picks = chain.from_iterable(combinations(free, count) for count in range(len(free) + 1))
    return (frozenset(fixed.union(pick)) for pick in picks)
