import asyncio
import json

import pytest

from ss_gym.agents import AgentConfig, CheckpointError, load_agent_from_checkpoint
from ss_gym.agents.checkpoint import MANIFEST, locate, read_manifest, write_manifest


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "refund_agent"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(100)))
    (folder / "config.json").write_text("{}")
    write_manifest(folder, AgentConfig(model_name="tiny", temperature=0.5, seed=3), {"iteration": 7})
    return folder


def load(path):
    return asyncio.run(load_agent_from_checkpoint(path))


def test_a_manifest_gives_back_the_agent_and_where_it_comes_from(checkpoint):
    manifest = read_manifest(checkpoint)
    assert manifest.agent == AgentConfig(model_name=str(checkpoint), temperature=0.5, seed=3)
    assert manifest.provenance == {"iteration": 7}


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere'"):
        load(tmp_path / "nowhere")


def test_a_folder_without_manifest_is_told_from_a_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=rf"it has no {MANIFEST}.*AgentConfig"):
        load(tmp_path)


def test_a_truncated_file_is_damage(checkpoint):
    with (checkpoint / "model.safetensors").open("rb+") as file:
        file.truncate(40)
    with pytest.raises(CheckpointError, match=r"damaged: model.safetensors has 40 bytes instead of 100"):
        load(checkpoint)


def test_one_changed_bit_is_damage(checkpoint):
    content = bytearray((checkpoint / "model.safetensors").read_bytes())
    content[50] ^= 1
    (checkpoint / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged: the content of model.safetensors has changed"):
        load(checkpoint)


def test_a_missing_file_is_damage(checkpoint):
    (checkpoint / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"damaged: the file config.json is missing"):
        load(checkpoint)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_an_unreadable_manifest_is_damage(checkpoint, content):
    (checkpoint / MANIFEST).write_text(content)
    with pytest.raises(CheckpointError, match=f"damaged: {MANIFEST} cannot be read"):
        load(checkpoint)


@pytest.mark.parametrize(("change", "error"), [({"format": 99}, "format 99"), ({"agent": {"warp": 1}}, "warp")])
def test_a_checkpoint_of_another_version_is_named_as_such(checkpoint, change, error):
    content = json.loads((checkpoint / MANIFEST).read_text())
    (checkpoint / MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(CheckpointError, match=error):
        load(checkpoint)


def test_a_replacement_that_was_interrupted_leaves_the_earlier_checkpoint_in_reach(checkpoint):
    checkpoint.rename(checkpoint.with_name("refund_agent.previous"))
    assert locate(checkpoint).name == "refund_agent.previous"
    assert read_manifest(checkpoint).provenance == {"iteration": 7}
