"""Agents that are saved and come back, adapters and precisions, and what is not read: pickles."""

import asyncio
import json
import os
import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import ss_trainers
from ss_gym.agents import AgentConfig, CheckpointError, MultiTurnAgent, load_agent_from_checkpoint
from ss_gym.agents.checkpoint import read_manifest, write_manifest
from ss_trainers import GRPOTrainer, LoraSettings, TrainingConfig, train
from ss_trainers.backends.models import load_model
from tests.ss_trainers.tiny_model import make_model, make_tokenizer, save_tiny

HELLO = [{"role": "user", "content": "where is my order"}]
IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    """A LoRA folder as peft itself writes it: without a tokenizer, and naming a base that is not there any more."""
    settings = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), settings)
    model.peft_config["default"].base_model_name_or_path = "/nowhere/base"
    place = tmp_path_factory.mktemp("models") / "adapter"
    model.save_pretrained(place)
    return place


def agent_of(folder, **settings):
    agent = MultiTurnAgent(AgentConfig(str(folder), **{"max_new_tokens": 8, "temperature": 0.0, **settings}))
    agent.load()
    return agent


def load(folder, **changes):
    return asyncio.run(load_agent_from_checkpoint(folder, **changes))


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def own_logits(agent):
    return logits(agent.backend.loaded.model)


def test_a_saved_agent_answers_as_before_and_transformers_reads_it(folder, tmp_path):
    agent = agent_of(folder, system_prompt="be kind")
    agent.save(tmp_path / "agent")
    again = load(tmp_path / "agent")
    assert again.act([HELLO]) == agent.act([HELLO]) and again.config.system_prompt == "be kind"
    assert again.provenance == {"base_model": str(folder)}
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "agent")
    assert torch.equal(logits(plain), own_logits(agent))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "agent")
    assert tokenizer.get_vocab() == agent.backend.loaded.tokenizer.get_vocab()
    assert tokenizer.chat_template == agent.backend.loaded.tokenizer.chat_template


def test_an_agent_may_take_the_place_of_itself(folder, tmp_path):
    agent_of(folder).save(tmp_path / "agent")
    agent = load(tmp_path / "agent", temperature=1.0)
    agent.save(tmp_path / "agent")
    assert load(tmp_path / "agent").config.temperature == 1.0


def test_an_adapter_is_put_on_the_model_and_goes_with_it(folder, adapter, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)  # what is named relative to here is found from elsewhere, too
    agent = agent_of("base", adapter=str(adapter))
    expected = logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter))
    torch.testing.assert_close(own_logits(agent), expected)
    assert not torch.allclose(own_logits(agent_of(folder)), expected, atol=1e-3)
    agent.save(tmp_path / "agent")
    monkeypatch.chdir(tmp_path)
    again = load("agent")
    assert again.config.adapter is None and again.provenance == {"base_model": str(folder)}
    assert again.act([HELLO]) == agent.act([HELLO])
    for read in (
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "agent"),
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "agent"),
    ):
        torch.testing.assert_close(logits(read), expected)
    assert "library_name: peft" in (tmp_path / "agent" / "README.md").read_text()


def test_an_adapter_on_a_model_that_has_one_is_put_on_both_together(folder, adapter, tmp_path):
    agent_of(folder, adapter=str(adapter)).save(tmp_path / "first")
    both = agent_of(tmp_path / "first", adapter=str(adapter))
    once = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter).merge_and_unload()
    expected = logits(PeftModel.from_pretrained(once, adapter))
    torch.testing.assert_close(own_logits(both), expected, atol=1e-5, rtol=1e-5)
    both.save(tmp_path / "second")
    torch.testing.assert_close(own_logits(load(tmp_path / "second")), expected, atol=1e-5, rtol=1e-5)


def test_the_model_that_adapters_are_for_is_not_replaced_by_them(folder, adapter, tmp_path):
    agent_of(folder).save(tmp_path / "base")
    agent = agent_of(tmp_path / "base", adapter=str(adapter))
    with pytest.raises(CheckpointError, match=r"holds the model that the adapters are for"):
        agent.save(tmp_path / "base")
    assert load(tmp_path / "base").act([HELLO]) == agent_of(folder).act([HELLO])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_is_loaded_computed_and_saved_in_the_precision_that_is_asked_for(folder, adapter, tmp_path, dtype):
    for number, settings in enumerate(({}, {"adapter": str(adapter)})):
        agent = agent_of(folder, dtype=dtype, **settings)
        inner = agent.backend.loaded.model
        assert inner.dtype == getattr(torch, dtype) and agent.backend.generator._decoder._dtype == inner.dtype
        same = agent_of(folder, backend_options={"dtype": dtype}, **settings)
        assert agent.act([HELLO]) == same.act([HELLO])
        agent.save(tmp_path / str(number))
        assert load(tmp_path / str(number)).act([HELLO]) == agent.act([HELLO])
    assert json.loads((tmp_path / "0" / "config.json").read_text())["dtype"] == dtype


def test_a_precision_is_given_once(folder):
    both = {"dtype": "bfloat16", "backend_options": {"dtype": "float16"}}
    with pytest.raises(ValueError, match=r"dtype is 'bfloat16' and, in backend_options, 'float16': give it once"):
        agent_of(folder, **both)
    with pytest.raises(ValueError, match=r"dtype must be one of float32, float16, bfloat16, got 'int8'"):
        agent_of(folder, dtype="int8")


def test_settings_of_before_are_still_read(folder, tmp_path):
    agent_of(folder).save(tmp_path / "agent")
    manifest = json.loads((tmp_path / "agent" / "agent.json").read_text())
    for name in ("dtype", "adapter", "enable_planning", "planning_config"):
        del manifest["agent"][name]
    (tmp_path / "agent" / "agent.json").write_text(json.dumps(manifest))
    assert load(tmp_path / "agent").config.dtype is None


def test_an_adapter_that_is_none_or_another_models_is_refused(folder, adapter, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no adapter in '/nowhere': there is no such folder, or no adapter_config"
    ):
        agent_of(folder, adapter="/nowhere")
    with pytest.raises(FileNotFoundError, match=r"no adapter in .*base'"):
        agent_of(folder, adapter=str(folder))
    wider = save_tiny(tmp_path / "wider", width=64)
    with pytest.raises(ValueError, match=r"does not fit its base model '.*wider' \(size mismatch"):
        agent_of(wider, adapter=str(adapter))
    moved = shutil.copytree(adapter, tmp_path / "moved")
    make_tokenizer(special=("<pad>", "<|end|>", "<|start|>")).save_pretrained(moved)
    with pytest.raises(ValueError, match=r"has another vocabulary than its base model"):
        agent_of(folder, adapter=str(moved))


def test_a_model_under_an_adapter_is_not_trained_without_it(folder, adapter):
    for settings in ({"adapter": str(adapter)}, {"backend_options": {"adapter": str(adapter)}}):
        with pytest.raises(TypeError, match=r"an adapter is put on the agent's model .*save the agent"):
            asyncio.run(train(agent_of(folder, **settings), "StateSet/Refund-v0"))


def trainer_of(model, **training):
    training = {"iterations": 2, "groups_per_iteration": 1, "group_size": 2, "max_new_tokens": 6, **training}
    return GRPOTrainer(
        "StateSet/Refund-v0",
        str(model),
        training=TrainingConfig(**training),
        env_kwargs={"prompt": "compact", "max_steps": 2},
    )


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_a_run_and_the_agent_that_it_trains_are_read_by_transformers_and_peft_and_say_where_they_come_from(
    tmp_path, lora
):
    trainer = trainer_of("tiny", lora=lora)
    agent = trainer.agent()
    trainer.step()
    trainer.step()
    trainer.save(tmp_path / "run", {"eval/success": 0.25})
    agent.save(tmp_path / "agent")
    for name in ("run", "agent"):
        kind = AutoModelForCausalLM if lora is None else AutoPeftModelForCausalLM
        torch.testing.assert_close(logits(kind.from_pretrained(tmp_path / name)), own_logits(agent))
        manifest = read_manifest(tmp_path / name)
        told = (manifest.provenance["algorithm"], manifest.provenance["base_model"], manifest.provenance["iteration"])
        assert told == ("grpo", "tiny", 2)  # as the weights are, not as they were when the agent was asked for
        card = (tmp_path / name / "README.md").read_text()
        assert "# tiny after grpo in StateSet/Refund-v0" in card and ("| eval/success | 0.25 |" in card) == (
            name == "run"
        )
        torch.testing.assert_close(own_logits(load(tmp_path / name)), own_logits(agent))
    trainer.close()
    again = GRPOTrainer.resume(tmp_path / "run", training={"iterations": 3})
    again.step()
    again.agent().save(tmp_path / "agent")
    assert read_manifest(tmp_path / "agent").provenance["iteration"] == 3
    again.close()


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


PICKLES = ["pytorch_model.bin", "model.pt", "weights.ckpt", "model.pkl", "adapter_model.bin", "optimizer.pt"]


def plant(folder, mark, *names):
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Trap(mark)))


@pytest.mark.parametrize("name", PICKLES[:4])
def test_a_model_whose_weights_are_pickles_only_is_refused_and_they_are_not_read(tmp_path, name):
    make_model(320).config.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    plant(tmp_path, tmp_path / "mark", name)
    with pytest.raises(FileNotFoundError, match=rf"has no weights in safetensors, only {name}: a pickle runs whatever"):
        load_model(str(tmp_path))
    write_manifest(tmp_path, AgentConfig("x"), {})
    manifest = json.loads((tmp_path / "agent.json").read_text())
    del manifest["agent"]["model_name"]  # as of a checkpoint with weights
    (tmp_path / "agent.json").write_text(json.dumps(manifest))
    with pytest.raises(FileNotFoundError, match=r"has no weights in safetensors"):
        load(tmp_path)
    assert not (tmp_path / "mark").exists()


def test_an_adapter_whose_weights_are_a_pickle_or_missing_is_refused(folder, adapter, tmp_path):
    own = shutil.copytree(adapter, tmp_path / "adapter")
    (own / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has an adapter_config.json, but no adapter_model.safetensors"):
        agent_of(folder, adapter=str(own))
    plant(own, tmp_path / "mark", "adapter_model.bin")
    for refused in (lambda: agent_of(folder, adapter=str(own)), lambda: agent_of(own)):
        with pytest.raises(FileNotFoundError, match=r"has no weights in safetensors, only adapter_model.bin"):
            refused()
    assert not (tmp_path / "mark").exists()


def test_pickles_beside_the_weights_are_never_read(folder, adapter, tmp_path):
    trainer = trainer_of(folder)
    trainer.save(tmp_path / "run")
    trainer.close()
    put_on = shutil.copytree(adapter, tmp_path / "adapter")
    for place in (tmp_path / "run", put_on):
        plant(place, tmp_path / "mark", *PICKLES, "training_args.bin", "rng_state.pth", "scheduler.pt", "vocab.pkl")
    load(tmp_path / "run")
    agent_of(tmp_path / "run", adapter=str(put_on))
    GRPOTrainer.resume(tmp_path / "run").close()
    assert not (tmp_path / "mark").exists()


def test_code_that_comes_with_a_model_is_not_run_and_nobody_is_asked_whether_it_shall(tmp_path):
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "own", "architectures": ["Own"]}
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'mark')!r})\n")
    with pytest.raises(FileNotFoundError, match=r"does not hold a causal language model: .*custom code"):
        load_model(str(tmp_path))
    assert not (tmp_path / "mark").exists()


def test_nothing_here_asks_torch_to_unpickle():
    for package in ("ss_gym", "ss_trainers", "ss_baselines"):
        for file in (Path(ss_trainers.__file__).parents[1] / package).rglob("*.py"):
            assert "torch.load" not in file.read_text(encoding="utf-8"), file


def test_several_gguf_files_in_a_folder_have_to_be_told_apart(tmp_path):
    for name in ("a.Q4.gguf", "a.Q8.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(
        ValueError, match=r"holds several GGUF files, give the path of one of them: a.Q4.gguf, a.Q8.gguf"
    ):
        load_model(str(tmp_path))


@pytest.mark.skipif(find_spec("gguf") is not None, reason="the package gguf is installed")
def test_the_package_that_reads_gguf_files_is_named(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for location in (tmp_path, tmp_path / "model.gguf"):
        with pytest.raises(ImportError, match=r"model.gguf' is a GGUF file, .*: pip install gguf"):
            load_model(str(location))


@pytest.mark.skipif(find_spec("gguf") is None, reason="the package gguf is not installed")
def test_what_is_no_gguf_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("STATESET_GYM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ValueError, match=r"model.gguf' is no GGUF file that transformers can read"):
        load_model(str(tmp_path))
    assert not (tmp_path / "cache").exists()
