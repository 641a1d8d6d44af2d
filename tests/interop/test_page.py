"""The page on other libraries."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "other-libraries.md"
NEEDED = ("gem", "openenv", "skyrl_gym", "textarena", "reasoning_gym")


def test_the_page_on_other_libraries_runs_as_it_stands() -> None:
    for library in NEEDED:
        pytest.importorskip(library, reason="the libraries are in an environment of their own: make test-interop")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["told"]["done"] is False and names["question"]
