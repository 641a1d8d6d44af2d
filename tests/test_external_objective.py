"""A package that brings an objective of its own: ``tests/external/acme_objective``, in under 40 lines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_external import ROOT, run

PROJECT = ROOT / "tests" / "external" / "acme_objective"
SETTINGS = """
algorithm: tapered
config: {cap: 0.9}
training: {iterations: 2, groups_per_iteration: 2, group_size: 4}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its entry point, as pip installs them."""
    folder = tmp_path_factory.mktemp("site")
    source = folder.parent / f"{folder.name}_source"
    shutil.copytree(PROJECT, source)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    done = run(folder, "-m", "pip", "install", *options, "--target", str(folder), str(source))
    assert done.returncode == 0, done.stderr
    return folder


def train(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(site, "-c", "from ss_baselines.cli import main; main()", "train", *arguments)


def test_it_has_fewer_than_forty_lines_of_code() -> None:
    text = (PROJECT / "acme_objective.py").read_text(encoding="utf-8")
    code = re.sub(r'"""(?:.|\n)*?"""', "", text)
    assert len([line for line in code.splitlines() if line.strip()]) < 40


def test_it_trains_and_is_resumed_by_its_name(site: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "run.yaml", tmp_path / "run"
    config.write_text(SETTINGS, encoding="utf-8")
    done = train(site, "--config", str(config), "--save", str(out))
    assert done.returncode == 0, done.stderr
    settings = json.loads((out / "checkpoint" / "trainer.json").read_text(encoding="utf-8"))["settings"]
    assert settings["algorithm"] == "tapered" and settings["config"] == {"cap": 0.9}
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["iteration"] for each in metrics] == [1, 2] and "policy_loss" in metrics[0]
    config.write_text("training: {iterations: 3}\n", encoding="utf-8")
    done = train(site, "--resume", str(out), "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert len((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_where_it_is_not_installed_it_is_not_known(tmp_path: Path) -> None:
    done = train(tmp_path, "--algorithm", "tapered", "--save", str(tmp_path / "run"))
    assert done.returncode != 0 and "there is no algorithm 'tapered'" in done.stderr
