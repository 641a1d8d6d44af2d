"""The code of the pages on learning from conversations runs as it stands, on a log of two dozen episodes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ss_gym.agents import MultiTurnAgent
from tests.short_refunds import shorten

DOCS = Path(__file__).parents[1] / "docs"
LESS = {
    "iterations=20": "iterations=1, groups_per_iteration=1, group_size=2",
    "pretrain_steps=300": "pretrain_steps=1",
    "num_epochs=15": "num_epochs=1",
    "episodes=20": "episodes=2",
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    import offline_logs

    shares = {"careful": 0.5, "careless": 0.5}
    offline_logs.write(offline_logs.LogPlan("StateSet/Refund-v0", shares, 24), Path("log.jsonl"), False, Console())
    return tmp_path


@pytest.mark.parametrize("page", ["from-logs", "offline-text", "hybrid"])
def test_the_code_of_a_page_makes_an_agent_that_speaks(page: str, log: Path) -> None:
    names: dict[str, Any] = {}
    text = (DOCS / "pages" / f"{page}.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        for shown, less in LESS.items():
            block = block.replace(shown, less)
        exec(compile(block, f"{page}, block {number}", "exec", dont_inherit=True), names)
    agent = names["agent"]
    assert isinstance(agent, MultiTurnAgent)
    (reply,) = agent.act([[{"role": "user", "content": "Hi!"}]])
    assert reply.token_ids


@pytest.mark.parametrize(
    ("example", "words", "told"),
    [
        ("offline_from_logs", ["--episodes", "12", "--updates", "1", "--customers", "2"], "of 2 new customers by iql"),
        (
            "hybrid_offline_online",
            ["--episodes", "12", "--updates", "1", "--customers", "2", "--iterations", "1", "--groups", "1"],
            "after all: ",
        ),
    ],
)
def test_an_example_goes_from_a_log_to_an_agent(
    example: str,
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    monkeypatch.setattr(sys, "argv", [example, *words, "--out", str(tmp_path / "out")])
    __import__(example).main()
    assert told in capsys.readouterr().out
    assert (tmp_path / "out" / "checkpoint" / "agent.json").exists()
