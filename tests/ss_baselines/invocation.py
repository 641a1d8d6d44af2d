"""The command line, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from ss_baselines.cli import app


def invoke(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=typed)


def assert_one_line_error(result: Result, *fragments: str) -> None:
    """Exit code 2, one line on stderr that holds the fragments, and no traceback."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line
