"""The README's code is what a newcomer tries first."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ss_gym.commerce.prompt import compact_prompt
from ss_gym.rewards import CorrectnessReward, HelpfulnessReward, PolitenessReward, SafetyReward, SalesReward
from ss_gym.testing import EXPLOITS, judge_battery

ROOT = Path(__file__).parents[1]


def test_the_first_example_runs_as_it_stands() -> None:
    (example, *_) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    variables: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), variables)
    assert isinstance(variables["observation"], str)
    assert variables["info"]["turn"] == 1


def test_the_page_on_ones_own_conversations_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "pages" / "own-conversations.md").read_text(encoding="utf-8")
    first, by_id, task, criterion, custom = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(first, "first", "exec"), names)
    (tmp_path / "scenarios.yaml").write_text(json.dumps(names["scenarios"]), encoding="utf-8")
    env = names["env"]
    for reply in ("Yes, on Saturdays as well.", "From 10."):
        env.step(reply)
    assert env.step("You are welcome. " * 10)[1:3] == (0.8, True)
    exec(compile(by_id, "by_id", "exec"), names)
    assert names["env"].reset(options={"scenario_id": "saturday"})[0] == names["observation"]
    exec(compile(task, "task", "exec"), names)
    assert names["env"].messages[-2]["content"] == "4.5"
    exec(compile(criterion, "criterion", "exec"), names)
    env = names["env"]
    env.reset(options={"scenario_id": "mugs"})
    assert env.step("$13.50")[1:3] == (0.0, False)  # not looked up
    env.step('<tool_call>{"name": "price_of", "arguments": {"item": "mug"}}</tool_call>')
    assert env.step("$13.50")[1:3] == (1.0, True)
    exec(compile(custom, "custom", "exec"), names)
    env = names["GuessTheNumber"]()
    env.reset(seed=1)
    for number in range(10):
        _, reward, terminated, _, info = env.step(str(number))
        if terminated:
            break
    assert (reward, info["success"]) == (1.0, True)


def test_the_page_on_adding_a_family_runs_as_it_stands() -> None:
    text = (ROOT / "docs" / "pages" / "adding-a-family.md").read_text(encoding="utf-8")
    page = text.partition("## In a package of your own")[0]  # the rest needs the package: see test_external.py
    names: dict[str, Any] = {"__name__": __name__}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number}", "exec", dont_inherit=True), names)
    rules = names["CancelRules"](9, 5)
    assert compact_prompt("cancel", rules, "2025-01-31") == "cancel | today 2025-01-31 | cancel 9 | days 5"


def test_the_page_on_wrappers_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "pages" / "wrappers.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    names: dict[str, Any] = {}
    seen: list[dict[str, Any]] = []
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
        if not block.startswith("# pip install 'stateset-gym[offline]'") or find_spec("minari"):
            exec(compile(block, f"block {number}", "exec"), names)
        seen.append(dict(names))
    text, tokens, features, memory, menu, terms, kept, minari, domains, batch = seen
    assert text["transcript"].count("Customer: ") == 2 and "\nAgent: Could you" in text["transcript"]
    assert [message["role"] for message in text["messages"]] == ["system", "user"]
    assert tokens["said"].startswith("Customer: ") and tokens["said"].endswith("\n")
    assert features["features"].tolist() == pytest.approx([1, 0.025])
    assert features["vector"] @ features["vector"] == pytest.approx(1)
    assert memory["lookups"].tolist() == [1]
    assert menu["action"] in (0, 1) and menu["info"]["action_mask"].tolist() == [1, 1, 1]
    assert terms["shaping"] == pytest.approx(0.099)
    assert kept["episode"].scenario_id.startswith("refund/dev/") and kept["episode"].success is False
    assert not find_spec("minari") or minari["dataset"].total_episodes == 1
    assert "user_seed" in domains["info"]["drawn_options"]
    assert batch["observations"].shape == (4, 2) and batch["rewards"].tolist() == [-0.01] * 4


def test_the_page_on_rewards_runs_as_it_stands() -> None:
    page = (ROOT / "docs" / "pages" / "rewards.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
        exec(compile(block, f"block {number}", "exec"), names)
    assert dict(names["result"].breakdown) == {"helpfulness": 0.875, "safety": 1.0}
    facts = [names["correctness"].compute(names["turns"], {"reference": days}).score for days in ("30 days", "14 days")]
    assert facts == [1.0, 0.0]
    assert names["partly"].missing == {"correctness": "the context has no reference to compare with"}
    assert names["info"]["reward_terms"]["safety"] == 0.2
    assert names["front"].points[0][1] == 1.0 and names["results"][1].breakdown["safety"] < 0.5
    assert names["graded"].score == 0.75 and names["graded"].breakdown["judge.grade"] == 4.0
    assert names["verdict"].value == 0.5 and names["verdict"].flipped
    assert names["learned"].compute(names["turns"]).score == 0.5
    told = re.search(r'complaint = str\(error\)  # "(.*?): …"', page)
    assert told is not None and names["complaint"].startswith(told[1])


def test_the_table_of_the_battery_is_what_the_rewards_give() -> None:
    page = (ROOT / "docs" / "pages" / "rewards.md").read_text(encoding="utf-8")
    rows = {cells[0].strip("`"): cells[1:] for cells in _table_rows(page.partition("## The battery")[2])}
    for reward in (HelpfulnessReward(), SafetyReward(), CorrectnessReward(), PolitenessReward(), SalesReward()):
        verdicts = judge_battery(reward)
        columns = [[verdict.honest for verdict in verdicts]]
        columns += [[verdict.exploits[kind] for verdict in verdicts] for kind in EXPLOITS]
        told = [f"{sum(scores) / len(scores):.2f}" for scores in columns]
        assert rows[type(reward).__name__] == told


def _table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", ["customers", "multi-agent", "discrete", "sim-to-real", "benchmark", "hpo"])
def test_the_code_of_a_page_runs_as_it_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "hpo":
        pytest.importorskip("optuna", reason="needs optuna: pip install stateset-gym[hpo]")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "pages" / f"{name}.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
        exec(compile(block, f"{name}, block {number}", "exec", dont_inherit=True), names)
    assert names["summary" if name == "hpo" else "observation"] is not None


def test_every_link_to_a_file_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "pages").glob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
