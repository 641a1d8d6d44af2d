"""Agents that are trained to be baselines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ss_baselines.commands.agents import accustomed_prompt, choose_agent
from ss_baselines.trained import ALGORITHMS, ENGINE, main, train
from ss_trainers.algorithms.registry import make_algorithm

SMALL = replace(ENGINE, iterations=1, groups_per_iteration=2, group_size=2, max_new_tokens=8)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_settings_are_those_of_the_algorithm(algorithm: str) -> None:
    assert make_algorithm(algorithm, ALGORITHMS[algorithm]).name == algorithm


def test_a_run_goes_on_where_it_was_and_its_folder_plays(tmp_path: Path) -> None:
    folder = tmp_path / "gspo"
    train("gspo", folder, SMALL)
    train("gspo", folder, SMALL)  # it is there
    train("gspo", folder, replace(SMALL, iterations=2))
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]
    agent = choose_agent(str(folder), 0.0, 0)
    assert agent.act([[{"role": "user", "content": "hello"}]]) and accustomed_prompt(str(folder)) == "compact"
    with pytest.raises(ValueError, match="is of gspo with seed 0: take another --out, or delete it"):
        main(["--algorithm", "gspo", "--seed", "1", "--out", str(tmp_path)])
