"""The page of the documentation that lists every command and option, made from the command line itself."""

from __future__ import annotations

from typing import Any

import typer

from ss_baselines.commands.usage import EXAMPLES

_HEAD = """\
# All commands and options

What `--help` tells of each command; what they do is in [The command line](command-line.md). \
This page is printed by `stateset-agents reference`.

`--debug` may stand anywhere and shows the traceback of an error. `stateset-agents --install-completion` teaches your \
shell to complete commands, options, and ids of environments, agents, algorithms and folders after them; \
`--show-completion` prints what that installs.
"""


def reference_page(app: typer.Typer) -> str:
    """The page, in Markdown.

    Args:
        app: the command line.
    """
    group: Any = typer.main.get_command(app)
    shown = (_section(name, command) for name, command in group.commands.items() if not command.hidden)
    return "\n".join([_HEAD, *shown])


def _section(name: str, command: Any) -> str:
    lines = [f"## `{name}`", "", command.help, "", "```bash", *EXAMPLES[name], "```", ""]
    records = [parameter.get_help_record(typer.Context(command)) for parameter in command.params]
    rows = [_row(*record) for record in records if record is not None]  # none for one that is hidden
    if rows:
        lines += ["| | | |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines)


def _row(written: str, told: str) -> str:
    """An option or argument, what it is, and its default and range."""
    help_text, _, rest = told.partition("  [")
    cells = (f"`{written}`", help_text, rest.removesuffix("]").replace("x>=", "≥ ").replace("<=x<=", " to "))
    return " | ".join(["", *(cell.replace("|", "\\|") for cell in cells), ""]).strip()
