"""Weights that are pushed into the engine are those that answer."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

from ss_gym.agents import Conversation, Sampling
from ss_trainers.backends.models import load_model
from ss_trainers.checkpoint_weights import checkpoint_weights
from tests.ss_trainers.tiny_model import make_tokenizer
from tests.vllm.engines import HELLO, conversations, differences, hugging_face, vllm_of


def changed(model):
    """A model that has become another one."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * parameter.std().nan_to_num(0.0) * torch.randn(parameter.shape, generator=noise))
    return model


def test_weights_that_are_pushed_are_those_that_answer(alone, record_property):
    backend, peer, greedy = vllm_of(), hugging_face(), Sampling(24, temperature=0.0)
    before = backend.generate(conversations(), greedy)
    begun = Conversation(HELLO)
    backend.submit(begun, Sampling(30))
    changed(peer.loaded.model)
    peer.weights_changed()
    backend.load_weights(checkpoint_weights(peer.loaded.model))
    after = backend.generate(conversations(), greedy)
    expected = peer.generate(conversations(), greedy)
    assert [one.token_ids for one in before] != [one.token_ids for one in after]
    worst = max(differences(one, other) for one, other in zip(after, expected, strict=True))
    record_property("greatest_difference", worst)
    assert worst < 1e-4
    assert backend.trained and backend.replies() == []  # what was begun with the old weights is given up
    backend.shutdown()
    with pytest.raises(RuntimeError, match="give it all of them"):
        backend.generate([Conversation(HELLO)], greedy)
    backend.load_weights(checkpoint_weights(peer.loaded.model))
    assert differences(backend.generate(conversations(1), greedy)[0], expected[0]) < 1e-4


def test_weights_that_are_not_the_models_are_refused_and_change_nothing(backend):
    whole = dict(checkpoint_weights(load_model("tiny").model))
    (before,) = backend.generate(conversations(1), Sampling(8, temperature=0.0))
    name = "model.layers.0.self_attn.q_proj.weight"
    for wrong, message in (
        ({**whole, "model.layers.0.self_attn.q_prj.weight": whole[name]}, "the model has no weight .*did you mean"),
        ({**whole, name: whole[name][:-1]}, r"must have the shape \(128, 128\), got \(127, 128\)"),
        ({key: value for key, value in whole.items() if key != name}, f"the weight {name} is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            backend.load_weights(wrong.items())
    assert differences(backend.generate(conversations(1), Sampling(8, temperature=0.0))[0], before) == 0


def test_adapters_are_added_to_the_weights(alone, tmp_path):
    base = load_model("tiny")
    base.model.name_or_path = "tiny"
    adapted = get_peft_model(base.model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = "tiny"
    adapted.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    backend, peer, greedy = vllm_of(str(tmp_path)), hugging_face(str(tmp_path)), Sampling(16, temperature=0.0)
    pairs = zip(backend.generate(conversations(3), greedy), peer.generate(conversations(3), greedy), strict=True)
    assert max(differences(one, other) for one, other in pairs) < 1e-4
    with pytest.raises(RuntimeError, match="follows a model in this process"):
        backend.load_weights(checkpoint_weights(peer.loaded.model))
    assert backend.save(tmp_path / "saved") is not None
    saved = load_model(str(tmp_path / "saved")).model.state_dict()
    assert all(torch.equal(saved[name], weight) for name, weight in checkpoint_weights(backend.loaded.model))


def test_another_architecture_gives_the_same_numbers_and_takes_weights(alone, tmp_path):
    tokenizer = make_tokenizer()
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "tie_word_embeddings": False}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 512}
    config = AutoConfig.for_model("qwen3", vocab_size=len(tokenizer), eos_token_id=0, **shape, **heads)
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(config).float()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():  # far from uniform, so that nothing is a tie
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3, generator=noise)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backend, peer, greedy = vllm_of(str(tmp_path)), hugging_face(str(tmp_path)), Sampling(16, temperature=0.0)
    for _ in range(2):
        pairs = zip(backend.generate(conversations(4), greedy), peer.generate(conversations(4), greedy), strict=True)
        assert max(differences(one, other) for one, other in pairs) < 1e-4
        changed(peer.loaded.model)
        peer.weights_changed()
        backend.load_weights(checkpoint_weights(peer.loaded.model))
    with pytest.raises(OSError, match="save the model that they are of"):
        backend.save(tmp_path / "saved")
