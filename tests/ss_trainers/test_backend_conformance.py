"""The conformance suite of backends on models of several families, with adapters, and in lower precision."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from ss_gym.agents import AgentConfig
from ss_gym.testing import check_backend
from tests.ss_trainers.tiny_model import make_tokenizer, save_tiny

GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024},
    "qwen3": {**GROUPED, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 1024},
}


def save_model(folder, family):
    """A model of a family with weights that are far from uniform, so that whatever is left out shows."""
    tokenizer = make_tokenizer()
    shared = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "bos_token_id": None}
    settings = {**shared, "eos_token_id": 0, "pad_token_id": 2, **FAMILIES[family]}
    rng = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.3, generator=rng)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_shipped_model_passes():
    check_backend(AgentConfig("tiny"))


def test_a_model_of_another_family_passes(tmp_path):
    check_backend(AgentConfig(save_model(tmp_path, "gpt2")))


@pytest.mark.parametrize("family", [None, "qwen3"])
def test_a_model_with_an_adapter_passes(tmp_path, family):
    base = str(save_tiny(tmp_path / "base")) if family is None else save_model(tmp_path / "base", family)
    settings = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "adapter")
    check_backend(AgentConfig(base, adapter=str(tmp_path / "adapter")))


def test_a_model_in_bfloat16_passes_within_what_its_rounding_allows():
    check_backend(AgentConfig("tiny", dtype="bfloat16"), tolerance=0.1)
