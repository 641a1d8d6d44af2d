"""Parts of a run: each is kept when it is done, goes on where it was left, and is refused to another run."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.loop import Updates
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.stages import Stages
from tests.ss_trainers.offline.logs import log
from tests.ss_trainers.offline.recording import RecordingConfig, RecordingLearner

CPU = torch.device("cpu")
ABOUT = {"log": "a", "seed": 0, "widths": (4, 4), "config": {"gamma": 0.9}}
# 20 steps in batches of 8, 8 and 4, three times.
TOTAL = 9


def run(folder, name="critic", about=ABOUT, training=None, **accidents):
    """A learner after its stage, and its generator."""
    noise = torch.Generator().manual_seed(0)
    setup = Setup(Spaces(3, 3, True), (4,), torch.Generator(), noise, CPU)
    learner = RecordingLearner(RecordingConfig(**accidents), setup)
    torch.nn.init.zeros_(learner.modules["sum"].weight)
    training = replace(training or OfflineTraining(), output_dir=None if folder is None else str(folder))
    Stages(training).learnt(name, about, learner, log(20).tensors(), Updates(0, 8, CPU), TOTAL, noise)
    return learner, noise


def weight(learner):
    return learner.modules["sum"].weight.item()


def assert_same(one, other):
    (learner, noise), (expected, generator) = one, other
    assert weight(learner) == weight(expected) and torch.equal(noise.get_state(), generator.get_state())


@pytest.mark.parametrize("interrupted_at", [0, 4, 8])
def test_a_stage_goes_on_where_it_was_interrupted(tmp_path, caplog, interrupted_at):
    whole = run(None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted_at=interrupted_at)
    assert f"interrupted in 'critic' after update {interrupted_at + 1}; kept in {tmp_path}" in caplog.text
    again = run(tmp_path)
    assert again[0].seen == whole[0].seen[interrupted_at + 1 :]
    assert_same(again, whole)


def test_a_stage_that_is_done_is_not_done_again(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path)
    assert len(first[0].seen) == TOTAL and again[0].seen == []
    assert_same(again, first)


def test_what_breaks_goes_on_from_what_was_kept_last(tmp_path):
    often = OfflineTraining(save_every=2)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, training=often, broken_at=5)
    again = run(tmp_path, training=often)
    assert [step for step, _ in again[0].seen] == [4, 5, 6, 7, 8]
    assert_same(again, run(None))


def test_what_is_not_finite_is_not_kept(tmp_path):
    with pytest.raises(FloatingPointError, match="not finite any more: nothing"):
        run(tmp_path, training=OfflineTraining(save_every=2), not_finite_at=5)
    assert json.loads((tmp_path / "critic" / "stage.json").read_text())["updates"] == 4


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(None, interrupted_at=4)
    assert not any(tmp_path.iterdir()) and "interrupted" not in caplog.text
    assert len(run(None)[0].seen) == TOTAL


def test_stages_and_their_metrics_lie_side_by_side(tmp_path):
    often = OfflineTraining(report_every=3)
    run(tmp_path, "critic", training=often)
    assert len(run(tmp_path, "policy", {"log": "b"}, training=often)[0].seen) == TOTAL
    assert sorted(each.name for each in tmp_path.iterdir()) == ["critic", "metrics", "policy"]
    for name in ("critic", "policy"):
        lines = (tmp_path / "metrics" / name / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["iteration"] for line in lines] == [3, 6, 9]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"log": "b"}, "log"),
        ({"seed": 1, "config": {"gamma": 0.8}}, "config, seed"),
        ({"widths": (4,)}, "widths"),
        ({"lora": None, "log": "c"}, "log"),
        ({"lora": {"rank": 2}}, "lora"),
    ],
)
def test_another_run_is_refused_and_told_what_is_other(tmp_path, changes, named):
    other, stages = {**ABOUT, **changes}, Stages(OfflineTraining(output_dir=str(tmp_path)))
    run(tmp_path)
    stages.made("reading", ABOUT, lambda: {"states": torch.zeros(2)})
    told = f"was made with another {named}: take another output_dir, or the same settings and log"
    with pytest.raises(ValueError, match=f"critic' {told}"):
        run(tmp_path, about=other)
    with pytest.raises(ValueError, match=f"reading' {told}"):
        stages.made("reading", other, dict)
    assert run(tmp_path)[0].seen == []  # what is kept is as it was


def test_what_was_made_is_not_made_again(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"states": torch.arange(6.0).view(2, 3).T, "last": torch.tensor([True, False])}

    for _ in range(2):
        tensors = Stages(OfflineTraining(output_dir=str(tmp_path))).made("reading", ABOUT, make)
        assert set(tensors) == {"states", "last"} and tensors["last"].tolist() == [True, False]
        assert torch.equal(tensors["states"], torch.arange(6.0).view(2, 3).T)
    assert made == [0]
    Stages(OfflineTraining()).made("reading", ABOUT, make)
    assert made == [0, 1]


def test_what_is_interrupted_while_it_is_made_leaves_nothing(tmp_path):
    stages = Stages(OfflineTraining(output_dir=str(tmp_path)))

    def make():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.made("reading", ABOUT, make)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["no JSON", "no key", "cut", "tensors missing"])
def test_a_stage_that_is_damaged_is_refused(tmp_path, what):
    run(tmp_path)
    about, tensors = tmp_path / "critic" / "stage.json", tmp_path / "critic" / "stage.safetensors"
    if what == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-8])
    elif what == "tensors missing":
        tensors.unlink()
    else:
        about.write_text("{" if what == "no JSON" else "{}")
    with pytest.raises(CheckpointError, match=r"critic' is damaged: .*; remove it, and it runs anew"):
        run(tmp_path)


def test_a_stage_of_other_weights_is_refused(tmp_path):
    learner, noise = run(tmp_path)
    learner.modules = torch.nn.ModuleDict({"other": torch.nn.Linear(2, 1)})
    stages = Stages(OfflineTraining(output_dir=str(tmp_path)))
    with pytest.raises(CheckpointError, match="critic' does not fit"):
        stages.learnt("critic", ABOUT, learner, log(20).tensors(), Updates(0, 8, CPU), TOTAL, noise)


def test_progress_is_drawn_where_there_is_a_console():
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with Stages(OfflineTraining(), console).progress("reading", 3) as told:
        told(1)
        told(2)
    assert "reading" in console.file.getvalue() and "3/3" in console.file.getvalue()
    with Stages(OfflineTraining()).progress("reading", 3) as told:
        told(1)


@pytest.mark.parametrize("accident", [{"not_finite_at": 4}, {"weight_lost_at": 4}])
def test_what_is_not_finite_any_more_is_not_kept_by_ctrl_c_either(tmp_path, accident):
    with pytest.raises(FloatingPointError):
        run(tmp_path, training=OfflineTraining(save_every=3), interrupted_at=4, **accident)
    again, _ = run(tmp_path)
    assert again.seen[0][0] == 3
