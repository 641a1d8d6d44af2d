import json
import logging
import math
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ss_trainers import GRPOTrainer, TrainingConfig, trackers
from ss_trainers.checkpoint import read_settings
from ss_trainers.reporter import Reporter
from ss_trainers.trackers import RUN_ID_FILE, TRACKERS, TrackedRun, check_trackers
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
ROOT = Path(__file__).parents[2]


def training(folder, **changes):
    small = {"iterations": 2, "groups_per_iteration": 2, "group_size": 4, "max_new_tokens": 4}
    return TrainingConfig(**{**small, "output_dir": str(folder), **changes})


class Recorder:
    """A tracker that remembers what it was told, and by which run."""

    def __init__(self, run):
        self.run = run
        self.told.append((run.id, "begun", run.settings.get("algorithm")))

    def report(self, iteration, metrics):
        self.told.append((self.run.id, iteration, metrics))

    def close(self, failed=False):
        self.told.append((self.run.id, "failed" if failed else "closed", None))


class Failing:
    """A tracker whose service is down."""

    def __init__(self, run):
        pass

    def report(self, iteration, metrics):
        raise ConnectionError("the service is down")

    def close(self, failed=False):
        raise ConnectionError("still down")


@pytest.fixture
def recorded(monkeypatch):
    """A recorder in the place of wandb, as if that were installed."""
    told = []
    monkeypatch.setitem(TRACKERS, "wandb", type("Recorder", (Recorder,), {"told": told}))
    monkeypatch.setattr(trackers, "find_spec", lambda name: SimpleNamespace(origin=name))
    return told


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def test_a_run_that_raised_is_told_as_failed(recorded):
    with pytest.raises(KeyboardInterrupt), Reporter(trackers=["wandb"]):
        raise KeyboardInterrupt
    assert recorded[-1][1] == "failed"


def test_a_tracker_gets_the_finite_metrics_of_each_iteration(recorded):
    with Reporter(trackers=["wandb"], settings={"algorithm": "grpo"}) as reporter:
        reporter.report(1, {"return": 0.5, "kl": math.nan})
        reporter.report(2, {"return": math.inf, "kl": 0.1})
    assert [entry[1:] for entry in recorded] == [
        ("begun", "grpo"),
        (1, {"return": 0.5}),
        (2, {"kl": 0.1}),
        ("closed", None),
    ]


def test_a_tracker_that_fails_is_given_up_and_the_others_go_on(recorded, monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(TRACKERS, "trackio", Failing)
    with Reporter(tmp_path, trackers=["trackio", "wandb"]) as reporter:
        reporter.report(1, {"return": 0.5})
        reporter.report(2, {"return": 0.75})
    assert [entry[1] for entry in recorded] == ["begun", 1, 2, "closed"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == [
        "the tracker 'trackio' gets no more metrics from iteration 1 on: ConnectionError('the service is down')",
        "the tracker 'trackio' could not be closed: ConnectionError('still down')",
    ]


def test_a_tracker_that_can_not_begin_ends_the_run_and_closes_the_others(recorded, monkeypatch):
    def refuses(run):
        raise ConnectionError("no such account")

    monkeypatch.setitem(TRACKERS, "trackio", refuses)
    with pytest.raises(ConnectionError, match="no such account"), Reporter(trackers=["wandb", "trackio"]):
        raise AssertionError("it has begun")
    assert [entry[1] for entry in recorded] == ["begun", "closed"]


def test_a_run_has_an_id_of_its_own_and_keeps_it_where_it_is_resumed(tmp_path):
    first = TrackedRun.begun(tmp_path / "run", 0, {})
    assert first.name == f"run-{first.id}" and (tmp_path / "run" / RUN_ID_FILE).read_text().strip() == first.id
    (tmp_path / "run").rename(tmp_path / "moved")
    assert TrackedRun.begun(tmp_path / "moved", 3, {}).id == first.id
    # From the start again, in another folder, and without one it is another run.
    assert TrackedRun.begun(tmp_path / "moved", 0, {}).id != first.id
    assert TrackedRun.begun(tmp_path / "other", 3, {}).id != first.id
    alone = TrackedRun.begun(None, 3, {})
    assert alone.name == alone.id != first.id


def test_a_folder_whose_id_was_lost_gets_a_new_one(tmp_path):
    (tmp_path / RUN_ID_FILE).write_text("\n")
    run = TrackedRun.begun(tmp_path, 3, {})
    assert run.id and (tmp_path / RUN_ID_FILE).read_text().strip() == run.id


def test_a_resumed_run_goes_on_in_its_tracker(model, recorded, tmp_path):
    GRPOTrainer(ENV, model, training=training(tmp_path, trackers=("wandb",))).train()
    resumed = GRPOTrainer.resume(tmp_path / "checkpoint", training={"iterations": 3})
    assert resumed.training.trackers == ("wandb",)
    resumed.train()
    assert len({run for run, *_ in recorded}) == 1
    assert [what for _, what, _ in recorded] == ["begun", 1, 2, "closed", "begun", 3, "closed"]
    assert recorded[0][2] == "grpo" and "return" in recorded[1][2]


def test_of_several_processes_the_first_one_tracks(model, recorded, monkeypatch, tmp_path):
    monkeypatch.setattr("ss_trainers.trainer.is_first", lambda: False)
    GRPOTrainer(ENV, model, training=training(tmp_path, trackers=("wandb",), iterations=1)).train()
    assert recorded == [] and not list(tmp_path.iterdir())


def test_a_checkpoint_from_before_there_were_trackers_has_none(model, monkeypatch, tmp_path):
    trainer = GRPOTrainer(ENV, model, training=training(tmp_path))
    settings = trainer._settings()
    del settings["training"]["trackers"]
    monkeypatch.setattr(trainer, "_settings", lambda: settings)
    trainer.save(tmp_path / "checkpoint")
    assert "trackers" not in read_settings(tmp_path / "checkpoint")["training"]
    assert GRPOTrainer.resume(tmp_path / "checkpoint").training == trainer.training


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_is_not_installed_is_named_with_its_extra_before_anything_is_done(name, monkeypatch, tmp_path):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"the tracker '{name}' is not installed: .*'stateset-gym\[{name}\]'"):
        GRPOTrainer(ENV, "/nowhere", training=training(tmp_path / "run", trackers=(name,)))
    assert not (tmp_path / "run").exists()


def test_a_folder_of_its_name_is_no_tracker(monkeypatch, tmp_path):
    (tmp_path / "some_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_spec("some_tracker") is not None
    with pytest.raises(ImportError, match="'some_tracker' is not installed"):
        check_trackers(["some_tracker"])


# --- the packages themselves, where they are installed ----------------------------------------------

SCRIPT = """
import sys
from ss_trainers import GRPOTrainer
from tests.ss_trainers.test_trackers import ENV, training

name, model, folder = sys.argv[1:]
GRPOTrainer(ENV, model, training=training(folder, trackers=(name,))).train()
GRPOTrainer.resume(folder + "/checkpoint", training={"iterations": 3}).train()
"""


def tracked(name, model, folder):
    """Trains two iterations with a tracker, resumes for a third, and gives the run's id."""
    variables = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(folder / "trackio")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), name, model, str(folder)],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (folder / RUN_ID_FILE).read_text().strip()


def asked_of_trackio(folder, *question):
    command = [sys.executable, "-m", "trackio.cli", *question, "--project", "stateset-gym", "--json"]
    variables = os.environ | {"TRACKIO_DIR": str(folder / "trackio")}
    return json.loads(subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout)


def test_trackio_has_one_run_with_all_iterations(model, tmp_path):
    pytest.importorskip("trackio", reason="pip install 'stateset-gym[trackio]'")
    run = f"{tmp_path.name}-{tracked('trackio', model, tmp_path)}"
    assert asked_of_trackio(tmp_path, "list", "runs")["runs"] == [run]
    values = asked_of_trackio(tmp_path, "get", "metric", "--run", run, "--metric", "return")["values"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(entry["step"], entry["value"]) for entry in values] == [
        (line["iteration"], line["return"]) for line in lines
    ]
    assert len(values) == 3


def test_wandb_has_one_run_in_the_runs_folder(model, tmp_path):
    pytest.importorskip("wandb", reason="pip install 'stateset-gym[wandb]'")
    run = tracked("wandb", model, tmp_path)
    parts = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(parts) == 2 and all(part.name.endswith(run) for part in parts)
    assert all((part / f"run-{run}.wandb").stat().st_size for part in parts)
