"""A package that brings a family of its own, installed beside ours: ``tests/external/acme_library``.

It is installed by pip into a folder of its own and used in other processes, so that nothing of it is left in this one.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "tests" / "external" / "acme_library"
CHECKS = ROOT / "tests" / "external" / "library_checks.py"
PAGE = ROOT / "docs" / "pages" / "adding-a-family.md"
OURS = ("ss_gym", "ss_trainers", "ss_baselines")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(PROJECT, tmp_path_factory.mktemp("site"))


def installed(project: Path, folder: Path) -> Path:
    """A folder with a package and its entry points, as pip installs them."""
    source = folder.parent / f"{folder.name}_source"
    shutil.copytree(project, source)  # a build leaves files behind
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = run(folder, "-m", "pip", "install", *options, "--target", str(folder), str(source))
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the packages of a folder besides those that are installed, and this checkout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


# --- what the package gets --------------------------------------------------------------------------


def test_the_installed_package_passes_its_checks(site: Path) -> None:
    """One test, so that workers which share the tests do not each run all of them."""
    options = ["--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = run(site, "-m", "pytest", "-q", *options, str(CHECKS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_id_is_listed_in_a_process_that_has_not_met_it(site: Path) -> None:
    done = run(site, "-c", "from ss_baselines.cli import main; main()", "envs")
    assert done.returncode == 0, done.stderr
    assert re.search(r"Acme/Library-v0 .* endless .* 120 .* 120", done.stdout)


# --- what the package keeps -------------------------------------------------------------------------


def names_used(source: str) -> Iterator[str]:
    """The dotted names that a module imports of ours, and the attributes that it reads of anything but itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in OURS)
        elif isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield f"{ast.unparse(node.value).rpartition('.')[2]}.{node.attr}".removeprefix("_")


def is_private(dotted: str) -> bool:
    # A named tuple's own methods begin with a mark so as not to be fields of it.
    return any(part.startswith("_") and part not in ("_fields", "_replace") for part in dotted.split("."))


def test_it_uses_nothing_private_of_ours() -> None:
    assert [*filter(is_private, names_used("from ss_gym.commerce.store import Store, _base\nx = env._scenario"))] == [
        "ss_gym.commerce.store._base",
        "env._scenario",
    ]
    sources = sorted((PROJECT / "acme_library").glob("*.py"))
    used = {path.name: [*names_used(path.read_text(encoding="utf-8"))] for path in sources}
    assert sum(map(len, used.values())) > 100
    assert {name: private for name, names in used.items() if (private := [*filter(is_private, names)])} == {}


BROKEN = {
    "family.yaml": ("renewal_count:", "renewal_cont:", r"library/family\.yaml, line 13, field rules\.renewal_cont"),
    "policy.md": ("{renewal_days}", "{renewal_dys}", r"library/policy\.md, line 29: {renewal_dys} is no parameter"),
    "phrases.yaml": (
        "slots: item? order_id?",
        "slots: itm? order_id?",
        r"library/phrases\.yaml, line \d+, field acts\.open",
    ),
    "lexicon.yaml": ("  PAY: remedy", "  PAY: remdy", r"library/lexicon\.yaml: PAY: 'remdy pay_fine' must be remedy"),
    "splits.json": ('"kind": "', '"kind": "x', r"library/splits\.json, line 3, field dev\[0\]\.kind: 'x"),
    "stock.yaml": ("titles: [", "names: [", r"library/stock\.yaml, line 26, field dev\.titles: expected a list"),
    "briefing.yaml": ("who:", "whom:", r"library/briefing\.yaml, line 1, field whom: is not known; did you mean 'who'"),
}
_BEGIN = """
from ss_gym.customer_service import CustomerServiceEnvironment
from ss_gym.users.briefing import briefing
env = CustomerServiceEnvironment("library", split="dev")
env.reset(seed=0)
briefing(env.scenario, env.persona)
"""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_it_is_named_with_its_line(site: Path, tmp_path: Path, name: str) -> None:
    old, new, message = BROKEN[name]
    shutil.copytree(site, tmp_path / "site")
    path = tmp_path / "site" / "acme_library" / "scenarios" / "library" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = run(tmp_path / "site", "-c", _BEGIN)
    assert re.search(f"^ValueError: {message}", done.stderr, re.MULTILINE), done.stderr


def test_files_that_are_whole_break_nothing(site: Path) -> None:
    assert run(site, "-c", _BEGIN).returncode == 0


def test_a_package_that_cannot_be_imported_is_named(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site" / "acme_library" / "__init__.py").write_text("import no_such_module\n", encoding="utf-8")
    done = run(tmp_path / "site", "-c", "from ss_gym.families import import_packages; import_packages()")
    assert "ImportError: the package acme_library of the family library can't be imported: No module" in done.stderr


# --- the page ---------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """The blocks of the page's section on packages."""
    section = PAGE.read_text(encoding="utf-8").partition("## In a package of your own")[2]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_the_page_shows_the_entry_points_of_the_package() -> None:
    [shown] = blocks("toml")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tomllib.loads(shown)["project"]["entry-points"] == project["entry-points"]


def test_the_blocks_of_the_page_run_with_the_package(site: Path) -> None:
    found = blocks("python")
    assert len(found) == 3
    [registration] = re.findall(r"gymnasium\.register\(.*?\n\)", found[0], re.DOTALL)
    own = (PROJECT / "acme_library" / "__init__.py").read_text(encoding="utf-8")
    assert registration.replace('"Acme/Library-v0"', "ENV_ID") in own
    done = run(site, "-c", "\n".join(found))
    assert done.returncode == 0, done.stderr
