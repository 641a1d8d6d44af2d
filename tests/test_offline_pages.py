"""The code of the pages on offline learning runs as it stands, for a hundredth of the updates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_trainers import NumericPolicy, OfflineTrainer, OfflineTraining, Transitions
from ss_trainers.offline.registry import make_config
from ss_trainers.reporter import METRICS_FILE
from tests.benchmarks.offline.logs import played
from tests.ss_trainers.offline.logs import log
from tests.ss_trainers.offline_text.talks import dataset

PAGES = Path(__file__).parents[1] / "docs" / "pages"
UPDATES = re.compile(r"((?:max_updates|save_every|warmup_updates)\"?[=:] ?)([\d_]+)")


def run(page: str) -> dict[str, Any]:
    """The names that a page's code leaves behind."""
    names: dict[str, Any] = {}
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        short = UPDATES.sub(lambda found: f"{found[1]}{int(found[2]) // 100}", block)
        exec(compile(short, f"{page}, block {number}", "exec", dont_inherit=True), names)
    return names


def test_the_overview_runs_from_a_log_to_a_policy_that_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = run("offline")
    made, trained, resumed = capsys.readouterr().out.splitlines()
    assert f"```\n{made}\n```" in (PAGES / "offline.md").read_text(encoding="utf-8")
    assert trained.startswith("30 updates: ") and resumed.startswith("35 updates: ")
    assert names["log"].terminals.sum() == 300 and names["actions"].shape == (2,)
    assert Transitions.from_npz("cartpole.npz").spaces == names["policy"].spaces


@pytest.mark.parametrize("page", ["offline-bc", "bcq", "bear", "cql", "iql", "decision-transformer"])
def test_the_code_of_an_algorithms_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, env_id in (("cartpole", "CartPole-v1"), ("pendulum", "Pendulum-v1")):
        space = gym.make(env_id).action_space
        space.seed(0)
        played(lambda seen, space=space: space.sample(), env_id, 40, seed=0).save(f"{name}.npz")
    names = run(page)
    policy, returns = names["trainer"].policy(), names.get("returns")
    assert isinstance(policy, NumericPolicy) and names["trainer"].updates > 0
    assert returns is None or (returns.shape == (20,) and np.isfinite(returns).all())
    # What is advised is not warned of.
    assert caplog.messages == []


def test_the_code_of_the_page_on_words_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset().to_jsonl("conversations.jsonl")
    names = run("ilql")
    assert isinstance(names["agent"], MultiTurnAgent) and names["reply"].token_ids
    again = MultiTurnAgent(AgentConfig("offline://outputs/ilql/checkpoint", max_new_tokens=160, temperature=0.0))
    again.load()
    assert again.act([[{"role": "user", "content": "I want my money back."}]]) == [names["reply"]]


@pytest.mark.parametrize("name", ["bc", "bcq", "bear", "cql", "decision_transformer", "iql"])
def test_the_overview_names_the_metrics_that_are_reported(name: str, tmp_path: Path) -> None:
    text = (PAGES / "offline.md").read_text(encoding="utf-8").partition("## What is reported")[2]
    (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", text, re.MULTILINE)
    found: set[str] = set()
    for discrete in (True, False):
        folder = tmp_path / str(discrete)
        if not (name == "bear" and discrete):
            config = make_config(name, {"hidden_dim": 4})
            OfflineTrainer(config, OfflineTraining(max_updates=1, output_dir=str(folder))).train(log(discrete=discrete))
            found |= set(re.findall(r'"(\w+)":', (folder / METRICS_FILE).read_text(encoding="utf-8")))
    assert set(re.findall(r"`(\w+)`", row)) == found - {"iteration"}
