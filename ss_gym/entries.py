"""Lists of one's own, such as conversations and tasks: from Python or from a file, checked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ss_gym.scenario_files import parse_yaml
from ss_gym.spelling import nearest

T = TypeVar("T")
Entries: TypeAlias = Sequence[Mapping[str, Any]] | str | Path


def read_entries(source: Entries, noun: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of a list or a file, each with the name of its place.

    Args:
        source: mappings with an ``id``; or a file of them: a list in JSON or YAML, or a line each
            (``.jsonl``).
        noun: what they are, in the plural.

    Raises:
        ValueError: if it is no list, is empty, or an entry has no id of its own; names the place.
        OSError: if the file can't be read.
    """
    label, entries = (str(source), _read(Path(source))) if isinstance(source, str | Path) else (noun, source)
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise ValueError(f"{label}: expected a list of {noun} with at least one, got {entries!r:.80}")
    places: dict[str, str] = {}
    checked = []
    for number, entry in enumerate(entries):
        place = f"{label}[{number}]"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{place}: expected a mapping, got {entry!r:.80}")
        name = text_of(entry, "id", place)
        if not name:
            raise ValueError(f"{place}.id: every one of the {noun} needs a name")
        if name in places:
            raise ValueError(f"{place}.id: {name!r} is the id of {places[name]} already")
        places[name] = place
        checked.append((place, entry))
    return checked


def chosen(entries: Mapping[str, T], seed: int, options: Mapping[str, Any], noun: str) -> T:
    """The entry that the reset option ``scenario_id`` names, or else the seed.

    Raises:
        ValueError: if there is none of that name; suggests the nearest.
    """
    if "scenario_id" not in options:
        return entries[tuple(entries)[seed % len(entries)]]
    name = options["scenario_id"]
    if not isinstance(name, str) or name not in entries:
        raise ValueError(f"unknown {noun} {name!r}; {nearest(name, entries)}")
    return entries[name]


def text_of(entry: Mapping[str, Any], field: str, place: str) -> str:
    """A field that is text, empty if it is not there.

    Raises:
        ValueError: if it is something else.
    """
    value = entry.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f"{place}.{field}: expected text, got {value!r:.80}")
    return value


def texts_of(entry: Mapping[str, Any], field: str, place: str) -> tuple[str, ...]:
    """A field that is a list of texts, empty if it is not there.

    Raises:
        ValueError: if it is something else.
    """
    values = entry.get(field, ())
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{place}.{field}: expected a list of texts, got {values!r:.80}")
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise ValueError(f"{place}.{field}[{number}]: expected text, got {value!r:.80}")
    return tuple(values)


def check_fields(entry: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """Checks that an entry has no other fields.

    Raises:
        ValueError: for one that is not known; suggests the nearest.
    """
    for field in entry:
        if field not in known:
            raise ValueError(f"{place}: unknown field {field!r}; {nearest(field, known)}")


def _read(path: Path) -> Any:
    """What a file holds, by its ending."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): save it in that encoding"
        ) from error
    ending = path.suffix.lower()
    if ending == ".jsonl":  # a text may hold other line ends than this one
        return [_parsed(line, path, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _parsed(text, path, 1) if ending == ".json" else parse_yaml(text, str(path))


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {first_line - 1 + error.lineno}: {error.msg}") from error
