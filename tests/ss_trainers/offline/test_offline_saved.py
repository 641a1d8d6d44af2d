"""Checkpoints of offline runs: what is in them, and what is said of those that are missing or damaged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers.offline.iql import IQLConfig
from ss_trainers.offline.saved import read_offline, write_offline
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from tests.ss_trainers.offline.logs import assert_same, contents, log

TRAINING = OfflineTraining(batch_size=8, max_updates=2, reward_scale=0.1)


@pytest.fixture
def trainer():
    return OfflineTrainer(IQLConfig(hidden_dim=4, learning_rate=1 / 3), TRAINING).train(log(discrete=False))


@pytest.fixture
def run(trainer, tmp_path):
    trainer.save(tmp_path / "run")
    return tmp_path / "run"


def test_a_checkpoint_tells_what_the_run_is(trainer, run):
    state = read_offline(run)
    assert (state.config, state.training, state.updates) == (trainer.config, TRAINING, 2)
    assert (state.spaces, state.log) == (log(discrete=False).spaces, trainer._log)
    for name in ("shift", "spread", "action_low", "action_high"):
        found, wanted = getattr(state.scaling, name), getattr(trainer._scaling, name)
        assert np.array_equal(found, wanted) and found.dtype == wanted.dtype
    assert state.scaling.reward_scale == 0.1
    assert {path.name for path in run.iterdir()} == {"offline.json", "offline.safetensors"}


def test_a_checkpoint_takes_the_place_of_the_one_before(trainer, run):
    trainer.training = replace(TRAINING, max_updates=3)
    trainer.train(log(discrete=False)).save(run)
    assert read_offline(run).updates == 3
    assert_same(contents(OfflineTrainer.resume(run)), contents(trainer))


def test_a_checkpoint_that_could_not_be_written_leaves_the_one_before(run):
    state = read_offline(run)
    with pytest.raises(TypeError):
        write_offline(run, replace(state, updates=9, plain={"all": object()}))
    assert read_offline(run).updates == 2 and [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("other", ["file", "folder"])
def test_what_is_no_checkpoint_is_not_replaced(other, trainer, tmp_path):
    place = tmp_path / "mine"
    if other == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("all of it")
    else:
        place.write_text("all of it")
    with pytest.raises(CheckpointError, match=r"mine' is no checkpoint, .* save to another folder"):
        trainer.save(place)
    assert (place if other == "file" else place / "thesis.txt").read_text() == "all of it"
    (tmp_path / "empty").mkdir()
    trainer.save(tmp_path / "empty")
    assert read_offline(tmp_path / "empty").updates == 2


def test_an_agent_with_its_critic_is_not_replaced(trainer, tmp_path):
    for name in ("agent.json", "offline.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=r"is no checkpoint, .* save to another folder"):
        trainer.save(tmp_path)


def test_missing_checkpoints_are_named(run):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere"):
        OfflineTrainer.resume(run.parent / "nowhere")
    with pytest.raises(CheckpointError, match=r"run' holds no offline training: .*offline\.json is missing"):
        (run / "offline.json").rename(run / "other.json")
        OfflineTrainer.resume(run)
    (run / "other.json").rename(run / "offline.json")
    (run / "offline.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"offline\.safetensors is missing"):
        OfflineTrainer.resume(run)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_truncated_tensors_are_told(share, run):
    file = run / "offline.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"run' is damaged: SafetensorError"):
        OfflineTrainer.resume(run)


def changed(settings, path, value):
    *outer, last = path
    for name in outer:
        settings = settings[name]
    settings[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], 2, "damaged: .*its format is 2, and this version reads 1"),
        (["algorithm"], "iqn", "damaged: .*no offline algorithm 'iqn'; did you mean 'iql'"),
        (["config", "expectle"], 1, "damaged: .*unknown setting 'expectle' of IQLConfig; did you mean 'expectile'"),
        (["config", "target_rate"], 7, "damaged: .*IQLConfig.target_rate must be from 0 to 1, not 7"),
        (["training", "batch_size"], "many", "damaged: .*batch_size"),
        (["spaces"], {"observation_size": 3}, "damaged: TypeError"),
        (["scaling"], None, "damaged: AttributeError"),
        (["scaling", "shift"], ["a"], "damaged: ValueError"),
        (["updates"], None, "damaged: TypeError"),
        (["optimizers"], {}, "does not fit: KeyError"),
        (["optimizers"], [], "does not fit: TypeError"),
        (["spaces", "observation_size"], 5, "does not fit: RuntimeError.*size mismatch"),
        (["config", "hidden_dim"], 5, "does not fit: RuntimeError.*size mismatch"),
    ],
)
def test_damaged_settings_are_told(path, value, message, run):
    file = run / "offline.json"
    settings = json.loads(file.read_text())
    changed(settings, path, value)
    file.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=rf"(?s)run' (is )?{message}"):
        OfflineTrainer.resume(run)


@pytest.mark.parametrize("content", ["", "{", "[]", '"iql"', "{}"])
def test_settings_that_are_no_settings_are_told(content, run):
    (run / "offline.json").write_text(content)
    with pytest.raises(CheckpointError, match="run' is damaged"):
        OfflineTrainer.resume(run)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("noise", "does not fit: KeyError.*noise"),
        ("module.value.weights.0", r"does not fit: RuntimeError.*value\.weights\.0"),
        ("optimizer.all.0.exp_avg", r"does not fit: ValueError.*averages of a parameter of \(2, 5, 4\) are missing"),
    ],
)
def test_tensors_that_are_missing_are_named(name, message, run):
    tensors = load_file(run / "offline.safetensors")
    del tensors[name]
    save_file(tensors, run / "offline.safetensors")
    with pytest.raises(CheckpointError, match=rf"(?s){message}"):
        OfflineTrainer.resume(run)


def test_a_policy_that_was_trained_on_a_gpu_acts_on_a_processor(trainer, run):
    # As a GPU writes it: its generator has a state of another form.
    settings, tensors = json.loads((run / "offline.json").read_text()), load_file(run / "offline.safetensors")
    settings["training"]["device"] = "cuda:0"
    (run / "offline.json").write_text(json.dumps(settings))
    save_file({**tensors, "noise": torch.zeros(16, dtype=torch.uint8)}, run / "offline.safetensors")
    seen = np.ones((3, 3), np.float32)
    policy = OfflineTrainer.resume(run, training={"device": "cpu"}).policy()
    assert policy.begin(3).act(seen).tolist() == trainer.policy().begin(3).act(seen).tolist()
