"""The study of off-policy estimates: that it goes on where it was, and that its page tells its results and runs."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from ss_gym import AgentConfig, MultiTurnAgent
from ss_gym.datasets import ConversationDataset
from ss_trainers.off_policy.report import DeploymentReport
from ss_trainers.off_policy.verdicts import Decision
from ss_trainers.rollout import Episode, rollout

ROOT = Path(__file__).parents[1]
EXAMPLES, PAGE = ROOT / "docs" / "examples", ROOT / "docs" / "pages" / "off-policy-evaluation.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The study as it is."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import off_policy_evaluation

    return off_policy_evaluation


@pytest.fixture
def study(whole: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path) -> ModuleType:
    """The study with two policies, 80 episodes a log and 20 customers."""
    for name, value in (
        ("FOLDER", folder),
        ("POLICIES", {name: whole.POLICIES[name] for name in ("careful", "worse")}),
        ("EPISODES", 80),
        ("CUSTOMERS", 20),
        ("REPORTED", 1),
    ):
        monkeypatch.setattr(whole, name, value)
    return whole


@pytest.fixture
def dataset(study: ModuleType) -> ConversationDataset:
    log: ConversationDataset = study.log_of(0)
    return log


def test_the_study_goes_on_with_the_cells_that_are_missing(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "CELLS", ["truth/careful", "truth/worse", "log/0"])
    monkeypatch.setattr(study, "RESULTS", tmp_path / "off_policy.json")
    study.main(["--only", "truth/worse"])
    assert capsys.readouterr().out.endswith("no log and no truth yet\n")
    first = study.read()["truth/worse"]
    study.main([])
    tables = study.markdown(study.read())
    assert capsys.readouterr().out.endswith(f"{tables}\n")
    cells = study.read()
    assert list(cells) == study.CELLS and cells["truth/worse"] == first
    assert cells["truth/careful"]["successes"] > first["successes"] > 0 and cells["log/0"]["episodes"] == 80
    assert [line.split(" | ")[0] for line in tables.split("\n\n")[0].splitlines()[2:]] == ["| `careful`", "| `worse`"]
    assert len(tables.split("\n\n")[1].splitlines()) == 2 + len(study.NAMES)
    written = study.RESULTS.read_bytes()
    study.main([])
    study.main(["--markdown"])
    assert study.RESULTS.read_bytes() == written


def test_what_was_logged_has_the_same_features_as_the_choice_that_was_taken(
    study: ModuleType, dataset: ConversationDataset
) -> None:
    for one in list(dataset)[:6]:
        choices = study.choices_of(one)
        for featurizer in (study.by_decisions, study.by_words):
            own, possible = featurizer(one, choices)
            assert [len(rows) for rows in possible] == [len(each) for each in choices] and len(own) == len(choices)
            for row, rows, each, made in zip(own, possible, choices, one.metadata["decisions"], strict=True):
                taken = [each for each, _ in each].index(tuple(map(tuple, made)))
                np.testing.assert_allclose(rows[taken], row, atol=1e-6)
    counts = study.counted([("wants_postal_code", True), ("asks_consent", False), ("asks_consent", True)])
    assert counts.nonzero()[0].tolist() == [1, 8, 9] and counts.sum() == 3


def test_the_logs_own_policy_is_as_likely_as_it_was_logged(study: ModuleType, dataset: ConversationDataset) -> None:
    log = study.Log(dataset)
    torch.testing.assert_close(log.logprobs(study.BEHAVIOR), log.episodes.behavior_logprobs)
    assert log.episodes.rewards.sum() == dataset.successes.sum() == log.episodes.returns().sum()


def test_a_report_says_whether_to_deploy_each_policy(
    study: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.main(["--report", str(tmp_path / "report.html")])
    page, printed = (tmp_path / "report.html").read_text(encoding="utf-8"), capsys.readouterr().out
    assert "<svg" in page and all(f"* **{name}**: " in printed and f">{name}<" in page for name in study.POLICIES)
    assert printed.startswith("# Whether another agent should take the refunds over\n\n80 logged episodes;")


def test_the_tables_by_hand(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(careful: Any, worse: Any) -> study.Cell:
        rows = {"careful": careful, "worse": worse}
        known = {"mean_weight": [1.0, 0.9, 1.1], "effective_samples": 60.0}
        return {
            "policies": {name: {"estimates": dict.fromkeys(study.NAMES, row), **known} for name, row in rows.items()},
            "behavior": [0.5, 0.45, 0.5],
            "episodes": 900,
        }

    monkeypatch.setattr(study, "CELLS", ["truth/careful", "truth/worse", "log/0", "log/1"])
    cells = {
        "truth/careful": {"successes": 900, "customers": 1000},
        "truth/worse": {"successes": 300, "customers": 1000},
        "log/0": log([0.8, 0.7, 0.95], [0.3, 0.25, 0.35]),
        "log/1": log([0.6, 0.5, 0.7], "too little"),
    }
    first, second = study.markdown(cells).split("\n\n")
    # Errors of .1 and .3: their mean square is .05. One interval of two holds .9.
    assert first.splitlines()[2].startswith("| `careful` | 0.900 ± 0.019 | 60 | 0.700 ± 0.224; 1 |")
    assert first.splitlines()[3].startswith("| `worse` | 0.300 ± 0.028 | 60 | 0.300 ± 0.000; 1 |")
    # The logged policy earns .45 to .5. A lower bound of .7 is above that, one of .5 is not; .35 is below.
    assert [line.split(" | ")[-1] for line in first.splitlines()[2:]] == ["1, 1, 0 |", "0, 1, 1 |"]
    # Errors of .1, .3 and 0, widths of .25, .2 and .1; only the first log says something of both policies.
    assert second.splitlines()[2] == "| IS | 0.133 | 0.183 | 2 of 4 | 1.00 (1.00 to 1.00) |"


def test_rank_correlation_by_hand(study: ModuleType) -> None:
    truth = np.array([0.9, 0.1, 0.5, 0.3])
    assert study.rank_correlation(truth * 2 - 1, truth) == 1 and study.rank_correlation(-truth, truth) == -1
    # Ranks of 3, 0, 2, 1 and 3, 1, 2, 0: 1 - 6 (1 + 1) / (4 x 15).
    assert study.rank_correlation(np.array([0.9, 0.4, 0.5, 0.3]), truth) == pytest.approx(0.8)


def test_the_tables_of_the_page_are_those_of_the_results(whole: ModuleType) -> None:
    cells = whole.read()
    assert list(cells) == whole.CELLS
    assert whole.markdown(cells) in PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spoken(folder: Path) -> Path:
    """A log of the tiny agent."""
    agent = MultiTurnAgent(AgentConfig("tiny"))
    agent.load()
    envs = [gym.make("StateSet/Refund-v0", prompt="compact") for _ in range(12)]
    played = rollout(agent.backend, envs, [Episode(seed, {}, seed) for seed in range(12)])
    return Path(ConversationDataset.from_trajectories(played.trajectories).to_jsonl(folder / "tiny.jsonl"))


def test_agents_are_evaluated_by_what_another_said(
    spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import agents_off_policy

    words = ["--log", str(spoken), "--agent", "tiny", "tiny@0.8", "--play", "2", "--report", str(tmp_path / "r.html")]
    monkeypatch.setattr(sys, "argv", ["agents_off_policy", *words])
    agents_off_policy.main()
    printed = capsys.readouterr().out
    # The agent itself weighs all its episodes alike.
    assert re.search(
        r"^tiny: WIS 0\.\d+ \[.*12 effective episodes, mean weight 1\.00; .* of 2 customers", printed, re.M
    )
    assert "tiny@0.8: not known" in printed and "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_as_it_stands(
    study: ModuleType, dataset: ConversationDataset, spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset.to_jsonl("refund.jsonl")
    shutil.copyfile(spoken, "tiny.jsonl")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number}", "exec", dont_inherit=True), names)
    report, evaluation = names["report"], names["evaluation"]
    assert 1 < names["estimated"].effective_samples < 12
    assert isinstance(report, DeploymentReport) and set(report.verdicts) == {"careful"}
    assert all(estimate.value is not None for estimate in evaluation.estimates.values())
    assert evaluation.estimates["wis"].low < 0.914 < evaluation.estimates["wis"].high
    # Eighty episodes are worth fifteen of its own.
    assert report.verdicts["careful"].decision is Decision.NOT_KNOWN
    assert (tmp_path / "report.html").exists()
