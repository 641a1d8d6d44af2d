"""A package that brings an objective of its own: ``tests/external/acme_objective``, in under 40 lines."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from ss_baselines.cli import main
from ss_trainers.algorithms.registry import make_algorithm
from tests.ss_trainers.another_process import AnotherProcess
from tests.test_external import ROOT, installed

PROJECT = ROOT / "tests" / "external" / "acme_objective"
SETTINGS = """
algorithm: tapered
config: {cap: 0.9}
env_kwargs: {prompt: compact, max_turns: 6, max_steps: 10}
training: {iterations: 2, groups_per_iteration: 2, group_size: 4}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(PROJECT, tmp_path_factory.mktemp("site"))


def test_it_has_fewer_than_forty_lines_of_code() -> None:
    text = (PROJECT / "acme_objective.py").read_text(encoding="utf-8")
    code = re.sub(r'"""(?:.|\n)*?"""', "", text)
    assert len([line for line in code.splitlines() if line.strip()]) < 40


def train_and_resume(site: Path, folder: Path) -> None:
    """What is done in a process of its own, which has the package among those that are installed."""
    sys.path.insert(0, str(site))
    os.chdir(folder)
    for arguments in (["--config", "run.yaml", "--save", "run"], ["--resume", "run", "--config", "more.yaml"]):
        sys.argv = ["stateset-agents", "train", *arguments]
        try:
            main()
        except SystemExit as error:
            assert not error.code, error.code


def test_it_trains_and_is_resumed_by_its_name(site: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "more.yaml").write_text("training: {iterations: 3}\n", encoding="utf-8")
    code, errors = AnotherProcess(tmp_path / "errors", train_and_resume, site, tmp_path).ended()
    assert code == 0, errors
    settings = json.loads((tmp_path / "run/checkpoint/trainer.json").read_text(encoding="utf-8"))["settings"]
    assert settings["algorithm"] == "tapered" and settings["config"] == {"cap": 0.9}
    text = (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8")
    metrics = [json.loads(line) for line in text.splitlines()]
    assert [each["iteration"] for each in metrics] == [1, 2, 3] and "policy_loss" in metrics[0]


def test_where_it_is_not_installed_it_is_not_known() -> None:
    with pytest.raises(ValueError, match="there is no algorithm 'tapered'"):
        make_algorithm("tapered", {})
