"""The example that logs a mixture of agents: what is in the file, and that it is the same however it came about."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ss_baselines.agents.wavering import PRESETS, log_probability
from ss_baselines.trajectories import RecordingLane
from ss_gym.agents.checkpoint import write_manifest
from ss_gym.agents.config import AgentConfig
from ss_gym.datasets import ConversationDataset
from ss_gym.wrappers import read_trajectories
from ss_trainers.collate import collate
from tests.ss_baselines.interruption import press
from tests.ss_trainers.tiny_model import save_tiny

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import offline_logs

    monkeypatch.setattr(offline_logs, "LANES", 3)
    monkeypatch.setattr(offline_logs, "BLOCK", 16)
    return offline_logs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with random weights, which says little."""
    folder = save_tiny(tmp_path_factory.mktemp("model"))
    write_manifest(folder, AgentConfig(str(folder), max_new_tokens=4), {})
    return str(folder)


def shares(model: str) -> list[str]:
    return ["--shares", "lenient=0.4", "careful=0.3", "always_grant=0.2", f"{model}=0.1"]


def test_the_log_tells_who_played_what_was_decided_and_how_likely_it_was(
    logs: ModuleType, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "log.jsonl"
    logs.main(["--out", str(out), "--episodes", "40", "--attempts", "2", *shares(model)])
    dataset = ConversationDataset.from_jsonl(out)
    assert len(dataset) == 40 and list(out.parent.iterdir()) == [out]
    assert [one.id for one in dataset] == [str(number) for number in range(40)]
    agents = Counter(one.metadata["agent"] for one in dataset)
    assert set(agents) == {"lenient", "careful", "always_grant", model}
    for one in dataset:
        agent, logprobs = one.metadata["agent"], one.behavior_logprobs
        assert logprobs is not None and len(logprobs) == len(one.actions)
        if agent in PRESETS:
            decisions = one.metadata["decisions"]
            assert list(logprobs) == [log_probability(step, PRESETS[agent]) for step in decisions]
            assert any(logprobs) and all(map(math.isfinite, logprobs))
        else:
            assert "decisions" not in one.metadata
            assert (one.episode.tokens is not None) == (agent == model) == any(logprobs)
    for one, other in zip(dataset[::2], dataset[1::2], strict=True):
        assert one.scenario == other.scenario and one.messages[:2] == other.messages[:2]
    assert len({one.scenario for one in dataset}) == 20
    assert dataset[0].messages[0]["content"].startswith("refund | today ")  # the compact prompt
    sampled = [one.trajectory() for one in dataset if one.metadata["agent"] == model]
    assert int(collate(sampled).action_mask.sum()) > 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    assert rows["all"][:2] == ["1.000", "40"]
    for name in ("lenient", "careful", "always_grant"):
        mine = [one for one in dataset if one.metadata["agent"] == name]
        success = sum(bool(one.success) for one in mine) / len(mine)
        assert rows[name][:3] == [f"{len(mine) / 40:.3f}", str(len(mine)), f"{success:.3f}"]
        assert rows[name][-2] == f"{sum(len(one.actions) for one in mine) / len(mine):.2f}"
        assert rows[name][-1] == f"{sum(one.total_reward for one in mine) / len(mine):.3f}"
    logs.main(["--report", str(out)])
    assert capsys.readouterr().out == printed


def test_the_same_seed_makes_the_same_bytes_and_another_does_not(logs: ModuleType, model: str, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        logs.main(["--out", str(tmp_path / name), "--episodes", "24", "--seed", seed, *shares(model)])
    first, second, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second != other


def test_a_log_that_was_stopped_goes_on_and_is_the_same_file(
    logs: ModuleType, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.main(["--out", str(tmp_path / "whole.jsonl"), "--episodes", "40", *shares(model)])
    for step in (10, 150, 250):
        out = tmp_path / f"{step}.jsonl"
        words = ["--out", str(out), "--episodes", "40", *shares(model)]
        with monkeypatch.context() as pressing, pytest.raises(SystemExit) as stopped:
            press(pressing, RecordingLane, "step", step)
            logs.main(words)
        assert stopped.value.code == 130 and not out.exists()
        assert 0 < len(list(read_trajectories(f"{out}.partial"))) < 40
        logs.main([*words, "--resume"])
        assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_agents_play_their_shares_and_scenarios_are_drawn(logs: ModuleType) -> None:
    plan = logs.LogPlan("StateSet/Refund-v0", {"careful": 0.7, "lenient": 0.2, "always_grant": 0.1}, 10_000, attempts=4)
    agents = Counter(plan.agent(number) for number in range(10_000))
    for name, share in plan.shares.items():
        assert abs(agents[name] - 10_000 * share) < 4 * math.sqrt(10_000 * share * (1 - share))
    starts = [plan.start(number).options["scenario_id"] for number in range(40)]
    assert len(set(starts)) == 10 and starts[0] == starts[3] != starts[4]
    assert starts != sorted(starts) and all(start.startswith("refund/train/") for start in starts)


def test_several_wishes_in_a_conversation_are_logged_too(logs: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "retail.jsonl"
    words = ["--out", str(out), "--env", "StateSet/Retail-v0", "--episodes", "30", "--shares"]
    logs.main([*words, "careless=0.5", "rule_bot=0.5"])
    dataset = ConversationDataset.from_jsonl(out)
    assert {one.scenario.split("/")[0] for one in dataset} == {"retail"}
    judged = [
        sum(name in ("grants_due", "denies_undue") for step in one.metadata["decisions"] for name, _ in step)
        for one in dataset
        if "decisions" in one.metadata
    ]
    assert max(judged) > 1


def test_the_estimate_of_the_page_is_near_what_it_estimates(
    logs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLES.parent / "pages" / "datasets.md").read_text(encoding="utf-8")
    (code,) = re.findall(r'```python title="estimate.py"\n(.*?)```', page, re.DOTALL)
    logs.main(["--out", "refund.jsonl", "--episodes", "300", "--shares", "careless=0.4", "lenient=0.5", "rule_bot=0.1"])
    names: dict[str, Any] = {}
    exec(compile(code, "estimate.py", "exec", dont_inherit=True), names)
    assert 0.8 < names["low"] < names["estimate"] < names["high"] <= 1
    assert float(names["success"].mean()) < 0.6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "x.jsonl", "--shares", "careful=0.5", "lenient=0.6"], "must add up to 1, got 1.1"),
        (
            ["--out", "x.jsonl", "--shares", "careful=-1", "lenient=2"],
            "the share of 'careful' must be a number above 0",
        ),
        (["--out", "x.jsonl", "--shares", "careful=nan"], "the share of 'careful' must be a number above 0"),
        (["--out", "x.jsonl", "--shares", "careful"], "a share is written NAME=SHARE"),
        (["--out", "x.jsonl", "--shares", "careful=0.5", "careful=0.5"], "'careful' is named twice"),
        (["--out", "x.jsonl", "--shares", "carefull=1"], "no agent 'carefull'; did you mean 'careful'?"),
        (["--out", "x.jsonl", "--episodes", "0"], "episodes must be a whole number from 1 up, got 0"),
        (["--out", "x.jsonl", "--attempts", "-1"], "attempts must be a whole number from 1 up, got -1"),
        (["--out", "x.jsonl", "--env", "CartPole-v1"], "CartPole-v1 has no scenarios of a shop"),
        (["--out", "x.jsonl", "--resume"], "there is no run to go on with"),
        (["--out", "."], "is a folder"),
        (["--report", "nowhere.jsonl"], "there is no file 'nowhere.jsonl'"),
        ([], "name the file to write: --out FILE"),
    ],
)
def test_what_can_not_be_played_is_told_before_anything_is(
    logs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        logs.main(words)
    assert refused.value.code == 2 and says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_log_goes_on_with_its_own_settings_only(
    logs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "log.jsonl"), "--episodes", "20", "--shares"]
    with monkeypatch.context() as pressing, pytest.raises(SystemExit):
        press(pressing, RecordingLane, "step", 40)
        logs.main([*words, "careful=1"])
    assert "go on with the same command and --resume" in capsys.readouterr().err
    for changed in (["lenient=1", "--resume"], ["careful=1", "--resume", "--seed", "1"], ["careful=1"]):
        with pytest.raises(SystemExit):
            logs.main([*words, *changed])
        assert "differs from that of the run" in (told := capsys.readouterr().err) or "was stopped" in told
