import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.utils import logging as transformers_logging

from ss_trainers import causal_lm
from ss_trainers import policy as policy_module
from ss_trainers.collate import collate, split_by_length
from ss_trainers.policy import LanguagePolicy
from tests.ss_trainers.samples import VOCABULARY, gpt2, llama, trajectories


def batch_of(seed=0, share=True, count=5):
    return collate(trajectories(random.Random(seed), count=count), share_prefix=share, dtype=torch.float64)


def expected_logprobs(model, batch, temperature=1.0):
    rows = []
    for row in range(len(batch)):
        length = int(batch.lengths[row])
        ids = torch.cat([batch.prefix, batch.input_ids[row, :length]])
        logprobs = (model(ids[None]).logits[0] / temperature).log_softmax(-1)
        start = len(batch.prefix)
        values = [
            logprobs[start + place - 1, ids[start + place]] if batch.action_mask[row, place] else logprobs.new_zeros(())
            for place in range(length)
        ]
        rows.append(torch.stack([*values, *[logprobs.new_zeros(())] * (batch.input_ids.shape[1] - length)]))
    return torch.stack(rows)


def mistral(window):
    config = MistralConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=window, max_position_embeddings=128,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MistralForCausalLM(config).double().eval()


def mamba():
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2, use_mambapy=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MambaForCausalLM(config).double().eval()


@pytest.mark.parametrize("make", [llama, gpt2, lambda: mistral(None), lambda: mistral(7), mamba])
@pytest.mark.parametrize("share", [True, False])
def test_logprobs_are_those_of_the_whole_model_on_each_sequence(make, share):
    model, batch = make(), batch_of(share=share)
    logprobs = LanguagePolicy(model).logprobs(batch, temperature=0.7)
    # Mamba's own forward pass rounds its logits to float32.
    expected = expected_logprobs(model, batch, 0.7).double()
    torch.testing.assert_close(logprobs, expected, rtol=1e-6, atol=1e-6)
    assert not logprobs[~batch.action_mask].any()


def test_a_model_that_can_not_reuse_keys_and_values_reads_the_prompt_in_every_row(monkeypatch):
    model, batch = mistral(7), batch_of()
    monkeypatch.setattr(LanguagePolicy, "_encode", lambda *_: pytest.fail("the prompt was encoded by itself"))
    assert LanguagePolicy(model).logprobs(batch).shape == batch.input_ids.shape


def test_the_shared_prompt_is_read_once_a_micro_batch_or_once_in_all():
    model, batch = llama(), batch_of(count=8)
    policy, read = LanguagePolicy(model), []
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].numel()))
    parts = split_by_length(batch, 50)
    assert len(parts) > 2
    for part in parts:
        policy.logprobs(part)
    assert sum(read) == sum(part.input_ids.numel() + len(batch.prefix) for part in parts)
    read.clear()
    with policy.prompt_encoded_once(parts):
        for part in parts:
            policy.logprobs(part).sum().backward()
    assert sum(read) == sum(part.input_ids.numel() for part in parts) + len(batch.prefix)


def test_within_the_block_scores_without_gradient_do_not_use_the_kept_prompt():
    model, batch = llama(), batch_of()
    policy = LanguagePolicy(model)
    with policy.prompt_encoded_once([batch]):
        with torch.no_grad():
            model.model.layers[0].self_attn.v_proj.weight.mul_(1.5)
            changed = policy.logprobs(batch)
        torch.testing.assert_close(changed, expected_logprobs(model, batch), rtol=1e-6, atol=1e-6)


def test_a_block_that_raises_leaves_the_policy_as_it_was():
    model, batch = llama(), batch_of()
    policy = LanguagePolicy(model)
    with pytest.raises(KeyError), policy.prompt_encoded_once([batch]):
        policy.logprobs(batch).sum().backward()
        raise KeyError
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight.mul_(1.5)
    torch.testing.assert_close(policy.logprobs(batch), expected_logprobs(model, batch), rtol=1e-6, atol=1e-6)


def test_logits_exist_only_for_a_chunk_of_action_tokens_and_chunks_change_nothing(monkeypatch):
    model, batch = llama(), batch_of()
    policy, sizes = LanguagePolicy(model), []
    policy.logprobs(batch).sum().backward()
    whole = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    monkeypatch.setattr(policy_module, "_MAX_LOGITS", 4 * VOCABULARY)
    model.lm_head.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    policy.logprobs(batch).sum().backward()
    # Every chunk goes through the head twice: forward, and again in the backward pass.
    assert max(sizes) == 4
    assert sum(sizes) == 2 * int(batch.action_mask.sum())
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("once", [True, False])
def test_adapters_get_the_same_gradient_with_and_without_shared_prompt(once):
    model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    policy = LanguagePolicy(model.double())

    def gradient(batch):
        model.zero_grad()
        if once:
            with policy.prompt_encoded_once([batch]):
                policy.logprobs(batch).sum().backward()
        else:
            policy.logprobs(batch).sum().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    shared, whole = gradient(batch_of()), gradient(batch_of(share=False))
    assert (shared - whole).norm() <= 1e-6 * whole.norm()


@pytest.mark.parametrize("make", [llama, gpt2, lambda: mistral(None), lambda: mistral(7), mamba])
@pytest.mark.parametrize("share", [True, False])
def test_layers_that_are_computed_again_give_the_same_gradient(make, share):
    batch, gradients = batch_of(share=share), []
    for again in (False, True):
        model = make()
        policy = LanguagePolicy(model, gradient_checkpointing=again)
        with policy.prompt_encoded_once([batch]):
            policy.logprobs(batch).sum().backward()
        gradients.append([value.grad for value in model.parameters()])
        # Nothing is left behind.
        assert not any("forward" in vars(module) for module in model.modules())
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_layers_that_are_computed_again_keep_little():
    kept = {}
    batch = batch_of(count=8)
    for again in (False, True):
        policy, sizes = LanguagePolicy(llama(), gradient_checkpointing=again), []

        def noted(tensor, sizes=sizes):
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
            policy.logprobs(batch)
        kept[again] = sum(sizes)
    assert kept[True] < 0.35 * kept[False]


def test_layers_with_adapters_are_computed_again_too():
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        model = get_peft_model(llama(), LoraConfig(target_modules="all-linear", init_lora_weights=False))
        LanguagePolicy(model, again).logprobs(batch_of()).sum().backward()
        gradients.append([value.grad for value in model.parameters() if value.requires_grad])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


def test_gradient_checkpointing_with_a_shared_prompt_is_refused_and_without_one_works():
    model = llama()
    model.gradient_checkpointing_enable()
    policy = LanguagePolicy(model)
    model.train()
    with pytest.raises(RuntimeError, match="share_prefix=False"):
        policy.logprobs(batch_of())
    batch = batch_of(share=False)
    torch.testing.assert_close(policy.logprobs(batch), expected_logprobs(llama(), batch), rtol=1e-6, atol=1e-6)


def test_a_sequence_longer_than_the_context_and_a_temperature_of_zero_are_refused():
    model = llama()
    model.config.max_position_embeddings = 20
    policy = LanguagePolicy(model)
    with pytest.raises(ValueError, match="context is 20"):
        policy.logprobs(batch_of())
    with pytest.raises(ValueError, match="temperature must be above 0"):
        policy.logprobs(batch_of(), temperature=0)


def test_what_is_no_causal_language_model_is_refused():
    transformers_logging.set_verbosity_error()
    with pytest.raises(TypeError, match="not a Hugging Face causal language model"):
        LanguagePolicy(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="LlamaModel"):
        LanguagePolicy(llama().model)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"logit_scale": 0.5}, 0.5),
        ({"logits_scaling": 4.0}, 0.25),
        ({"lm_head_multiplier": 0.5}, 0.5),
        ({"final_logit_softcapping": 1.0}, None),
        ({"logits_soft_cap": 1.0}, None),
    ],
)
def test_constants_that_families_apply_to_logits_are_applied(changes, expected):
    model = llama()
    hidden = torch.randn(3, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = causal_lm.logits_of(model, hidden)
    model.config.update(changes)
    changed = causal_lm.logits_of(model, hidden)
    torch.testing.assert_close(changed, plain.tanh() if expected is None else plain * expected)
