from __future__ import annotations

from pathlib import Path

import pytest

from ss_gym import scenario_files
from ss_gym.scenario_files import line_of, parse_yaml, read_text, read_yaml

TEXT = """\
rules:
  window: [14, 20]

kinds:
- name: late
  weight: 3
- {name: early, weight: 2}
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ((), 1),
        (("rules",), 1),
        (("rules", "window"), 2),
        (("rules", "window", 1), 2),
        (("kinds", 0, "weight"), 6),
        (("kinds", 1, "weight"), 7),
        (("kinds", 0, "missing"), 5),
        (("kinds", 9), 4),
        (("nothing", "there"), 1),
    ],
)
def test_the_line_of_a_field(field: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, field) == line


def test_the_line_in_an_empty_file() -> None:
    assert line_of("", ("rules",)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "refund/x.yaml, line 3: "),
        ("a: 1\n\tb: 2\n", "refund/x.yaml, line 2: "),
        ("a: \x00", "refund/x.yaml"),
        ("a: !!python/object:os.system x", "refund/x.yaml, line 1: "),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_yaml(text, "refund/x.yaml")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"refund/nothing\.yaml"):
        read_text("refund", "nothing.yaml")


def test_files_are_parsed_once() -> None:
    assert read_yaml("world", "people.yaml") is read_yaml("world", "people.yaml")


def test_an_installed_package_carries_its_scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages" / "ss_gym"
    monkeypatch.setattr(scenario_files, "_PACKAGE", installed)
    with pytest.raises(FileNotFoundError, match="install stateset-gym again"):
        scenario_files.folder.__wrapped__()
    (installed.parent / "scenarios").mkdir(parents=True)
    assert scenario_files.folder.__wrapped__() == installed.parent / "scenarios"
    (installed / "_scenarios").mkdir(parents=True)
    assert scenario_files.folder.__wrapped__() == installed / "_scenarios"


def test_a_key_that_comes_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"refund/x\.yaml, line 3: a key must not come twice \(the key 'a' is there"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "refund/x.yaml")
    assert parse_yaml("a: {x: 1}\nb: {x: 2}\n", "refund/x.yaml") == {"a": {"x": 1}, "b": {"x": 2}}
