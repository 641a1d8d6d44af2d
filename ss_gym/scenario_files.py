"""Access to the data files of the scenarios, in a checkout and in an installed package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent

# The compiled parser is ten times faster; PyYAML may be built without it.
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fastest):  # type: ignore[misc]
    """Reads YAML, and no key twice: the second would take the place of the first, and nobody would know."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, yaml.Mark | None] = {}
        for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            if key.value in seen:
                context = f"the key {key.value!r:.80} is there already"
                raise yaml.MarkedYAMLError(context, seen[key.value], "a key must not come twice", key.start_mark)
            seen[key.value] = key.start_mark
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


@cache
def folder() -> Path:
    """The folder that holds a folder for each family.

    Raises:
        FileNotFoundError: if the package was installed without its data.
    """
    for candidate in (_PACKAGE / "_scenarios", _PACKAGE.parent / "scenarios"):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the scenario files are missing from {_PACKAGE}: install stateset-gym again")


@cache
def folder_of(family: str) -> Path:
    """The folder of a family: ours, or ``scenarios/<family>`` inside the package that brings the family.

    A package says that it brings one by an entry point in the group ``ss_gym.families``.
    """
    own = folder() / family
    if not own.is_dir():
        for entry in entry_points(group="ss_gym.families", name=family):
            spec = find_spec(entry.module.partition(".")[0])
            for place in spec.submodule_search_locations or () if spec else ():
                if (brought := Path(place) / "scenarios" / family).is_dir():
                    return brought
    return own


def has_file(family: str, name: str) -> bool:
    """Whether a family has a scenario file of that name."""
    return (folder_of(family) / name).is_file()


@cache
def read_text(family: str, name: str) -> str:
    """A scenario file as text.

    Args:
        family: folder, e.g. ``"refund"`` or ``"world"``.
        name: file name, e.g. ``"policy.md"``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not UTF-8; names the file and the line.
    """
    content = (folder_of(family) / name).read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8: save the file in that encoding"
        raise ValueError(f"{family}/{name}, line {line}: {problem}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


@cache
def read_yaml(family: str, name: str) -> Any:
    """A scenario file as YAML data, parsed once a process: treat it as read-only.

    Args:
        family: folder, e.g. ``"refund"`` or ``"world"``.
        name: file name, e.g. ``"phrases.yaml"``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not valid YAML; names the file and the line.
    """
    return parse_yaml(read_text(family, name), f"{family}/{name}")


def parse_yaml(text: str, source: str) -> Any:
    """YAML text as data.

    Args:
        text: the YAML.
        source: what to call it in an error.

    Raises:
        ValueError: if the text is not valid YAML; names the source and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        context = f" ({error.context}, line {error.context_mark.line + 1})" if error.context_mark else ""
        raise ValueError(f"{source}{where}: {error.problem}{context}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {error}") from error


def field_error(family: str, name: str, field: Sequence[str | int], problem: str) -> ValueError:
    """An error for a field of a scenario file that is well-formed YAML or JSON but makes no sense.

    Args:
        family: folder of the file.
        name: file name.
        field: keys and list indices from the top of the file to the field.
        problem: what is wrong and what was expected.

    Returns:
        The error to raise: it names the file, the line and the field.
    """
    label = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).lstrip(".")
    line = line_of(read_text(family, name), field)
    where = f", field {label}" if label else ""
    return ValueError(f"{family}/{name}, line {line}{where}: {problem}")


def line_of(text: str, field: Sequence[str | int]) -> int:
    """The line, counted from 1, of a field in YAML text; of its nearest parent if it is missing."""
    node = yaml.compose(text, Loader=_Loader)
    line: int = node.start_mark.line if node else 0
    for part in field:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return line + 1


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    """One entry of a node and the line, counted from 0, where it begins: with its key if it has one."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None
