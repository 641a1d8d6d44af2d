"""What the command line tells of itself: help with examples, the page of the documentation, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from ss_baselines.agents import AGENTS
from ss_baselines.cli import app
from ss_baselines.commands import completion
from ss_baselines.commands.envs import own_ids
from ss_baselines.commands.usage import EXAMPLES
from ss_gym.users.persona import PRESETS
from ss_trainers.algorithms.registry import ALGORITHMS
from ss_trainers.algorithms.registry import GROUP as GROUP_OF_OTHERS
from tests.ss_baselines.invocation import invoke

PAGES = Path(__file__).parents[2] / "docs" / "pages"
GROUP: Any = typer.main.get_command(app)


def test_every_command_has_examples_that_it_understands() -> None:
    shown = {name for name, command in GROUP.commands.items() if not command.hidden}
    assert {*EXAMPLES} == {*shown, "stateset-agents"}
    for line in (line for lines in EXAMPLES.values() for line in lines):
        program, name, *words = shlex.split(line.partition(" > ")[0])
        assert program == "stateset-agents"
        with GROUP.commands[name].make_context(name, words) as context:
            taken = str(context.params)
        assert all(word in taken for word in words if not word.startswith("--")), line


@pytest.mark.parametrize("name", ["", *(name for name in EXAMPLES if name != "stateset-agents")])
def test_the_help_fits_into_a_terminal_of_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = invoke(*[name] * bool(name), "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    start = lines.index("Examples:") + 1
    assert tuple(filter(None, lines[start:])) == EXAMPLES[name or "stateset-agents"]  # none is wrapped


def test_the_page_of_the_documentation_is_what_the_command_line_says() -> None:
    page = invoke("reference")
    assert page.exit_code == 0
    written = (PAGES / "command-line-reference.md").read_text(encoding="utf-8")
    assert page.stdout == written, "stateset-agents reference > docs/pages/command-line-reference.md"
    assert re.findall(r"^## `(.*)`$", written, re.MULTILINE) == [name for name in EXAMPLES if " " not in name][1:]


OFFERED = {
    "stateset-agents ro": ["rollout"],
    "stateset-agents rollout --res": ["--resume"],
    "stateset-agents play StateSet/Ref": ["StateSet/Refund-v0", "StateSet/RefundDiscrete-v0"],
    "stateset-agents evaluate --agent re": ["reference"],
    "stateset-agents train --algorithm g": ["gepo", "grpo", "gspo"],
}
# What would make a shell wait, at each press of the key; typer itself imports pydantic.
HEAVY = {"torch", "transformers", "gymnasium", "pettingzoo", "numpy", "yaml", "rich", "sqlite3"}
HEAVY |= {"fastapi", "uvicorn", "httpx", "openai", "asyncio", "ss_gym", "ss_trainers"}
COMPLETING = """
import io, json, os, sys
from contextlib import redirect_stdout
from ss_baselines.cli import main
offered = {}
for line in json.loads(os.environ["LINES_TO_COMPLETE"]):
    os.environ.update(COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    with redirect_stdout(io.StringIO()) as said:
        try:
            main()
        except SystemExit as end:
            assert not end.code, line
    offered[line] = said.getvalue().split()
print(json.dumps([offered, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def completed() -> tuple[dict[str, list[str]], list[str]]:
    """What a shell is offered at the end of each line, all by one process, and the modules that it has loaded."""
    env = {**os.environ, "_STATESET_AGENTS_COMPLETE": "complete_bash", "LINES_TO_COMPLETE": json.dumps([*OFFERED])}
    done = subprocess.run([sys.executable, "-c", COMPLETING], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    offered, modules = json.loads(done.stdout)
    return offered, modules


@pytest.mark.parametrize("line", OFFERED)
def test_the_shell_completes(line: str, completed: tuple[dict[str, list[str]], list[str]]) -> None:
    assert completed[0][line] == OFFERED[line]


def test_what_completes_loads_little(completed: tuple[dict[str, list[str]], list[str]]) -> None:
    _, modules = completed
    assert not HEAVY & {*modules}
    assert len(modules) <= 300


def test_what_completes_is_all_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/refund", "outputs/other", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "outputs" / "file").touch()
    assert sorted(completion.environments("")) == own_ids()
    assert completion.agents("") == [*AGENTS, "tiny", "outputs"]
    assert completion.algorithms("") == [*ALGORITHMS, *(entry.name for entry in entry_points(group=GROUP_OF_OTHERS))]
    assert completion.personas("") == [*PRESETS]
    assert completion.models("outputs/") == ["outputs/other", "outputs/refund"]
    assert completion.models(f"{tmp_path}/out") == [f"{tmp_path}/outputs"]
    assert completion.models(".h") == [".hidden"]
    assert completion.models("no/such/") == []
    assert completion.splits("t") == ["train", "test"]
    assert completion.prompts("c") == ["compact"]
    assert completion.booleans("") == ["true", "false"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_can_be_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = invoke("--show-completion", shell)
    assert result.exit_code == 0, result.output
    assert "_STATESET_AGENTS_COMPLETE" in result.stdout and f"complete_{shell}" in result.stdout
