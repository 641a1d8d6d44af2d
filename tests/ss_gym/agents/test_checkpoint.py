import asyncio
import json

import pytest

from ss_gym.agents import AgentConfig, CheckpointError, MultiTurnAgent, load_agent_from_checkpoint
from ss_gym.agents.checkpoint import MANIFEST, checkpoint_folder, locate, read_manifest, write_manifest

HELLO = [{"role": "user", "content": "Hi!"}]


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "refund_agent"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(100)))
    (folder / "config.json").write_text("{}")
    write_manifest(folder, AgentConfig(model_name="tiny", temperature=0.5, seed=3), {"iteration": 7})
    return folder


def load(path, **changes):
    return asyncio.run(load_agent_from_checkpoint(path, **changes))


def agent_of(name, **settings):
    agent = MultiTurnAgent(AgentConfig(name, **settings))
    agent.load()
    return agent


class Weights:
    """A backend whose model is here, or was to be."""

    def __init__(self, error=None, here=True):
        self.error, self.here = error, here

    def generate(self, conversations, sampling):
        raise NotImplementedError

    def save(self, folder):
        if not self.here:
            return None
        (folder / "model.safetensors").write_bytes(b"abc")
        if self.error:
            raise self.error
        return {}


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


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"format": 1}'),
        '{"format": 1, "agent": [], "provenance": {}, "files": {}}',
        '{"format": 1, "agent": {}, "provenance": [1], "files": {}}',
        '{"format": 1, "agent": {}, "provenance": {}, "files": []}',
        '{"format": 1, "agent": {}, "provenance": {}, "files": {"config.json": 2}}',
        '{"format": 1, "agent": {}, "provenance": {}, "files": {"config.json": {"bytes": 2}}}',
    ],
)
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


@pytest.mark.parametrize("setting", [{"temperature": -1}, {"temperature": "hot"}, {"stop": "END"}])
def test_a_setting_that_no_agent_can_have_is_told_with_the_file_that_has_it(checkpoint, setting):
    content = json.loads((checkpoint / MANIFEST).read_text())
    (checkpoint / MANIFEST).write_text(json.dumps(content | {"agent": content["agent"] | setting}))
    with pytest.raises(
        CheckpointError, match=rf"no agent can have the settings in '.*{MANIFEST}': {next(iter(setting))}"
    ):
        load(checkpoint)


def test_a_replacement_that_was_interrupted_leaves_the_earlier_checkpoint_in_reach(checkpoint):
    checkpoint.rename(checkpoint.with_name("refund_agent.previous"))
    assert locate(checkpoint).name == "refund_agent.previous"
    assert read_manifest(checkpoint).provenance == {"iteration": 7}


def test_so_is_that_of_a_run_by_the_name_of_the_run(tmp_path):
    agent_of("stub://demo", temperature=0.5).save(tmp_path / "run" / "checkpoint")
    (tmp_path / "run" / "checkpoint").rename(tmp_path / "run" / "checkpoint.previous")
    assert checkpoint_folder(tmp_path / "run") == tmp_path / "run" / "checkpoint"
    assert load(tmp_path / "run").config.temperature == 0.5
    (tmp_path / "run" / "checkpoint").mkdir()  # something else by now
    assert checkpoint_folder(tmp_path / "run") is None


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("stub://demo", {"temperature": 0.5, "stop": ("END",), "system_prompt": "Be brief."}),
        ("stub://demo", {"stub_responses": ["One.", "Two."]}),
        ("openai://127.0.0.1:9/m", {"backend_options": {"timeout": 3.0, "prices": [0.5, 1.0]}}),
    ],
)
def test_an_agent_whose_model_is_elsewhere_is_saved_by_its_name_and_comes_back(tmp_path, name, settings):
    agent = agent_of(name, **settings)
    agent.save(tmp_path / "agent")
    again = load(tmp_path / "agent")
    assert again.config == agent.config and type(again.backend) is type(agent.backend)
    assert sorted(path.name for path in (tmp_path / "agent").iterdir()) == ["README.md", MANIFEST]
    if name.startswith("stub"):
        assert again.act([HELLO]) == agent.act([HELLO])


def test_a_backend_that_has_its_model_writes_it_and_one_that_has_not_after_all_does_not(tmp_path):
    for here, name in ((True, f"some://{tmp_path / 'agent'}"), (False, "some://model")):
        MultiTurnAgent(AgentConfig("some://model"), Weights(here=here)).save(tmp_path / "agent")
        assert read_manifest(tmp_path / "agent").agent.model_name == name
        assert (tmp_path / "agent" / "model.safetensors").exists() == here


def test_what_is_known_of_an_agent_is_told_again_when_it_is_saved_elsewhere(tmp_path):
    agent = agent_of("stub://demo")
    agent.provenance = {"algorithm": "grpo", "iteration": 7}
    agent.save(tmp_path / "one")
    load(tmp_path / "one").save(tmp_path / "two")
    assert read_manifest(tmp_path / "two").provenance == {"algorithm": "grpo", "iteration": 7}


def test_settings_can_be_others_when_an_agent_is_loaded(tmp_path):
    agent_of("stub://demo", temperature=0.5).save(tmp_path / "agent")
    config = load(tmp_path / "agent", temperature=0.0, max_new_tokens=3).config
    assert (config.temperature, config.max_new_tokens) == (0.0, 3)


def test_the_card_is_one_of_the_files_that_are_checked(tmp_path):
    agent_of("stub://demo").save(tmp_path / "agent")
    (tmp_path / "agent" / "README.md").write_text("I am the best agent.")
    with pytest.raises(CheckpointError, match=r"damaged: README.md"):
        load(tmp_path / "agent")


def test_an_agent_without_a_model_yet_can_not_be_saved(tmp_path):
    with pytest.raises(RuntimeError, match=r"await agent.initialize"):
        MultiTurnAgent(AgentConfig("stub://demo")).save(tmp_path / "agent")


@pytest.mark.parametrize("content", ["holiday.jpg", ".hidden"])
def test_what_is_no_checkpoint_is_not_replaced(tmp_path, content):
    (tmp_path / content).write_text("mine")
    for place in (tmp_path, tmp_path / content):
        with pytest.raises(CheckpointError, match=r"is no checkpoint, and what it holds would be lost"):
            agent_of("stub://demo").save(place)
    assert [path.name for path in tmp_path.iterdir()] == [content] and (tmp_path / content).read_text() == "mine"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_earlier_agent(tmp_path, error):
    agent_of("stub://demo").save(tmp_path / "agent")
    with pytest.raises((CheckpointError, KeyboardInterrupt)) as raised:
        MultiTurnAgent(AgentConfig("some://model"), Weights(error)).save(tmp_path / "agent")
    if isinstance(error, OSError):
        assert "disk full; the earlier checkpoint is as it was" in str(raised.value)
    assert load(tmp_path / "agent").config.model_name == "stub://demo"
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]


def test_a_setting_that_json_does_not_have_is_told(tmp_path):
    agent = MultiTurnAgent(AgentConfig("some://model", backend_options={"where": object()}), Weights())
    with pytest.raises(CheckpointError, match=r"can't be saved: JSON does not have one of its settings"):
        agent.save(tmp_path / "agent")
    assert not list(tmp_path.iterdir())
