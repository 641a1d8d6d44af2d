"""Which architectures can be sampled from and trained: right numbers, or a refusal before anything is done."""

import random

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2LMHeadModel

from ss_trainers.generation import Generator
from ss_trainers.policy import LanguagePolicy
from ss_trainers.token_sampling import SamplingSettings
from tests.ss_trainers.samples import VOCABULARY, gpt2, llama
from tests.ss_trainers.test_generation import EOS, play, worst_difference
from tests.ss_trainers.test_policy import batch_of, expected_logprobs

COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 0,
    "pad_token_id": None,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
LOCAL = {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
RIGHT = [
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    ("gpt_neox", {}),
    ("opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ("qwen2", GROUPED),
    ("qwen3", GROUPED),
    ("gemma", GROUPED),
    ("gemma2", {**GROUPED, "sliding_window": 128, "final_logit_softcapping": 2.0}),
    ("gemma3_text", {**GROUPED, "sliding_window": 128}),
    ("mistral", {**GROUPED, "sliding_window": None}),
    ("mixtral", {**GROUPED, "num_local_experts": 2}),
    ("phi3", GROUPED),
    ("falcon", {"alibi": False}),
    ("granite", {**GROUPED, "logits_scaling": 4.0}),
    ("cohere", {**GROUPED, "logit_scale": 0.25}),
    ("hyperclovax", {**GROUPED, "logits_scaling": 4.0}),
    ("gpt_neo", {**LOCAL, "window_size": 128}),
]
# They need the mask in another form, or see less than the whole past.
NOT_SAMPLED = [
    ("bloom", {"n_layer": 2, "n_head": 4}, "BloomForCausalLM can't be sampled from here"),
    ("falcon", {"alibi": True}, "FalconForCausalLM can't be sampled from here"),
    ("gpt_neo", {**LOCAL, "window_size": 16}, "attention window shorter than 128 tokens"),
    (
        "recurrent_gemma",
        {**GROUPED, "num_hidden_layers": 3, "lru_width": 32, "logits_soft_cap": 2.0},
        "recurrent state",
    ),
    (
        "falcon_h1",
        {
            **GROUPED, "lm_head_multiplier": 0.25, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8,
            "mamba_d_state": 8,
        },
        "recurrent state",
    ),
]  # fmt: skip


def make(name, settings):
    """A model whose attention and logits are far from uniform, so that whatever is left out shows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**COMMON, **settings}))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.2, generator=rng)
    return model.float().eval()


def generator_of(model):
    return Generator(model, SamplingSettings((EOS,), max_new_tokens=8), max_context=128)


@pytest.mark.parametrize(("name", "settings"), RIGHT)
def test_sampled_log_probabilities_are_those_of_the_models_own_forward_pass(name, settings):
    model = make(name, settings)
    said, replies = play(generator_of(model), random.Random(1), turns=3)
    assert worst_difference(model, said, replies) <= 1e-3


@pytest.mark.parametrize(("name", "settings"), [*RIGHT, *((name, settings) for name, settings, _ in NOT_SAMPLED)])
def test_trained_log_probabilities_are_those_of_the_models_own_forward_pass(name, settings):
    model, batch = make(name, settings), batch_of(count=3)
    with torch.no_grad():
        logprobs = LanguagePolicy(model).logprobs(batch)
        torch.testing.assert_close(logprobs, expected_logprobs(model, batch), atol=1e-3, rtol=0, check_dtype=False)


@pytest.mark.parametrize(("name", "settings", "message"), NOT_SAMPLED)
def test_what_can_not_be_sampled_from_is_refused_before_the_first_token(name, settings, message):
    with pytest.raises(ValueError, match=message):
        generator_of(make(name, settings))


class Louder(GPT2LMHeadModel):
    """Someone's model that does something of its own after the head."""

    def forward(self, *arguments, **keywords):
        output = super().forward(*arguments, **keywords)
        output.logits = output.logits * 1.5
        return output


def test_a_model_that_would_silently_give_other_numbers_is_refused():
    model = Louder(gpt2().config).eval()
    model.load_state_dict(gpt2().state_dict())
    with pytest.raises(ValueError, match=r"Louder can't be sampled from here: .* nats from those of its own"):
        generator_of(model)
    with pytest.raises(ValueError, match=r"Louder can't be trained here: .* nats from those of its own"):
        LanguagePolicy(model)


def test_the_check_leaves_the_model_as_it_was():
    model = gpt2(torch.float32)
    model.train()
    model.transformer.h[0].eval()
    before = [module.training for module in model.modules()]
    draws = torch.random.get_rng_state()
    generator_of(model)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.random.get_rng_state(), draws)


@pytest.mark.parametrize("max_context", range(2, 13))
def test_a_model_with_a_short_context_can_be_checked_too(max_context):
    generator = Generator(gpt2(torch.float32), SamplingSettings((EOS,)), max_context=max_context)
    assert generator.max_context == max_context
    model = gpt2(torch.float32)
    model.config.max_position_embeddings = max_context
    assert LanguagePolicy(model).model is model


def test_a_llama_of_ours_is_not_asked(monkeypatch):
    model = llama()
    monkeypatch.setattr(type(model), "forward", lambda *_, **__: pytest.fail("the model was run"))
    assert not generator_of(model).waiting
    assert LanguagePolicy(model).model is model
