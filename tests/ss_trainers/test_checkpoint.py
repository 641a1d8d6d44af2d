import json
import resource
import subprocess
from pathlib import Path

import pytest
import torch

from ss_gym.agents.checkpoint import CheckpointError, locate
from ss_trainers.checkpoint import TrainerState, read_state, replaced_folder, write_state
from tests.ss_trainers.another_process import AnotherProcess


def write(folder, text):
    with replaced_folder(folder) as partial:
        (partial / "weights").write_text(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def optimizer_after_a_step():
    parameters = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(4))]
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.arange(parameter.numel(), dtype=torch.float32).view_as(parameter)
    optimizer.step()
    return optimizer


def test_a_folder_takes_the_place_of_the_one_before(tmp_path):
    write(tmp_path / "ckpt", "old")
    write(tmp_path / "ckpt", "new")
    assert content(tmp_path / "ckpt") == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def test_whatever_is_raised_while_saving_leaves_the_earlier_one(tmp_path):
    write(tmp_path / "ckpt", "old")
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "ckpt") as partial:
        (partial / "weights").write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path / "ckpt") == {"weights": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def test_what_a_killed_save_left_is_cleared_away_by_the_next(tmp_path):
    (tmp_path / "ckpt.partial").mkdir()
    (tmp_path / "ckpt.partial" / "rest").write_text("half")
    write(tmp_path / "ckpt", "new")
    assert content(tmp_path / "ckpt") == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def test_killed_between_the_renames_the_earlier_one_is_found_and_then_replaced(tmp_path):
    write(tmp_path / "ckpt.previous", "old")
    assert content(locate(tmp_path / "ckpt")) == {"weights": "old"}
    write(tmp_path / "ckpt", "new")
    assert content(locate(tmp_path / "ckpt")) == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"could not save the checkpoint .*file/ckpt"):
        write(tmp_path / "file" / "ckpt", "new")


@pytest.mark.parametrize("refused", [".partial", ".previous"])
def test_a_folder_that_can_not_be_renamed_is_a_clear_error_and_leaves_the_earlier_one(tmp_path, monkeypatch, refused):
    write(tmp_path / "ckpt", "old")
    rename = Path.rename

    def sometimes(path, target):
        if refused in (path.suffix, Path(target).suffix):
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(CheckpointError, match=r"Permission denied.*the earlier checkpoint is as it was"):
        write(tmp_path / "ckpt", "new")
    # Where the second of the two renames is refused, the first is taken back.
    assert content(tmp_path / "ckpt") == {"weights": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt"]


def save_there(folder, size, largest_file=None):
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    with replaced_folder(folder) as partial:
        tensors = {0: {"exp_avg": torch.zeros(size)}}
        write_state(partial, TrainerState(2, {}, {"state": tensors, "param_groups": []}))


def saved(tmp_path):
    with replaced_folder(tmp_path / "ckpt") as partial:
        write_state(partial, TrainerState(1, {}, {"state": {}, "param_groups": []}))
    return tmp_path / "ckpt"


def test_a_file_that_the_system_refuses_to_grow_leaves_the_earlier_checkpoint(tmp_path):
    (tmp_path / "runs").mkdir()
    folder = saved(tmp_path / "runs")
    _, errors = AnotherProcess(tmp_path / "errors", save_there, folder, 1_000_000, 100_000).ended()
    assert "CheckpointError: could not save the checkpoint" in errors, errors
    assert "the earlier checkpoint is as it was" in errors
    assert read_state(folder).iteration == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["ckpt"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        folder = saved(disk)
        _, errors = AnotherProcess(tmp_path / "errors", save_there, folder, 1_000_000).ended()
        assert "No space left on device" in errors and "is as it was" in errors, errors
        assert read_state(folder).iteration == 1
        assert [path.name for path in disk.iterdir()] == ["ckpt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_optimizers_state_comes_back_bit_for_bit(tmp_path):
    before = optimizer_after_a_step().state_dict()
    write_state(tmp_path, TrainerState(3, {"seed": 7}, before))
    state = read_state(tmp_path)
    assert (state.iteration, state.settings) == (3, {"seed": 7})
    torch.testing.assert_close(state.optimizer["state"], before["state"], atol=0, rtol=0)
    again = optimizer_after_a_step()
    again.load_state_dict(dict(state.optimizer))
    groups = json.loads(json.dumps(before["param_groups"]))
    assert again.state_dict()["param_groups"] == groups


def test_earlier_weights_come_back_and_are_missed(tmp_path):
    state = optimizer_after_a_step().state_dict()
    earlier = {4: torch.rand(5), 11: torch.rand(5)}
    write_state(tmp_path, TrainerState(12, {}, state, earlier=earlier))
    torch.testing.assert_close(read_state(tmp_path).earlier, earlier, atol=0, rtol=0)
    torch.testing.assert_close(read_state(tmp_path).optimizer["state"], state["state"], atol=0, rtol=0)
    settings = json.loads((tmp_path / "trainer.json").read_text())
    (tmp_path / "trainer.json").write_text(json.dumps({**settings, "earlier": [4, 5]}))
    with pytest.raises(CheckpointError, match=r"the training state in .* is damaged: .*5"):
        read_state(tmp_path)
    # Checkpoints of before rollouts could run ahead.
    write_state(tmp_path, TrainerState(12, {}, state))
    del settings["earlier"]
    (tmp_path / "trainer.json").write_text(json.dumps(settings))
    assert read_state(tmp_path).earlier == {}


def test_a_missing_state_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_state(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"training cannot go on from .*trainer.json is missing"):
        read_state(tmp_path)


@pytest.mark.parametrize("name", ["trainer.json", "trainer.safetensors"])
def test_a_damaged_state_is_named(tmp_path, name):
    write_state(tmp_path, TrainerState(3, {}, optimizer_after_a_step().state_dict()))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"the training state in .* is damaged"):
        read_state(tmp_path)
