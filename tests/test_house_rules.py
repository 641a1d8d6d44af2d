"""The rules of the house that no linter checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ss_gym

ROOT = Path(__file__).parents[1]
PACKAGES = ("ss_gym", "ss_trainers", "ss_baselines")
MAX_LINES = 450
GLOBAL_SEEDING = re.compile(
    r"(random\.seed|np\.random\.seed|numpy\.random\.seed|torch\.manual_seed|torch\.cuda\.manual_seed(_all)?|set_seed)"
)
# Draws from the module-level generators of the standard library and of NumPy.
# To keep the state and to put it back, around a library that seeds it, is neither.
GLOBAL_DRAWS = re.compile(
    r"(np|numpy)\.random\.(?!default_rng|Generator|PCG64|SeedSequence|get_state|set_state)[a-z]\w*"
    r"|random\.(?!getstate|setstate)[a-z]\w*"
)
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


@cache
def modules(package: str) -> list[tuple[str, ast.Module]]:
    paths = sorted((ROOT / package).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        yield from modules(package)


@cache
def calls(*packages: str) -> list[tuple[str, str]]:
    """Each call as ``(file:line, dotted name)``."""
    return [
        (f"{name}:{node.lineno}", ast.unparse(node.func))
        for name, tree in sources(*packages)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def test_no_file_is_longer_than_450_lines() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for package in (*PACKAGES, "tests")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_library_code_does_not_print() -> None:
    assert [place for place, name in calls(*PACKAGES) if name == "print"] == []


def test_nothing_seeds_or_draws_from_global_random_state() -> None:
    found = [
        (place, name)
        for place, name in calls(*PACKAGES)
        if GLOBAL_SEEDING.fullmatch(name) or GLOBAL_DRAWS.fullmatch(name)
    ]
    assert found == []


def test_environments_do_not_read_the_clock() -> None:
    # Servers do: the API says when an answer was made.
    read = [(place, name) for place, name in calls(*PACKAGES) if name in CLOCKS and place.startswith("ss_gym/")]
    assert [each for each in read if not each[0].startswith("ss_gym/serving/")] == []


def test_no_exception_is_swallowed() -> None:
    silent = [
        f"{name}:{node.lineno}"
        for name, tree in sources(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
    ]
    assert silent == []


def test_no_work_is_left_marked_as_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ss_gym", ("torch", "transformers", "yaml", "pydantic", "rich", "ss_gym.families", "ss_gym.commerce")),
        (
            "import ss_gym.customer_service, ss_gym.conversation",
            ("ss_gym.rewards.lexicon", "ss_gym.rewards.judge", "ss_gym.agents.agent", "torch"),
        ),
        ("import ss_gym.testing, ss_gym.vector, ss_gym.agents", ("torch", "transformers", "peft")),
        ("import ss_baselines.cli", ("torch", "transformers", "gymnasium", "numpy")),
    ],
)
def test_importing_is_light(statement: str, absent: tuple[str, ...]) -> None:
    script = f"{statement}\nimport sys\nprint(*(name for name in {absent!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_the_version_is_the_same_everywhere() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert cited[1] == ss_gym.__version__
