"""Training on what vLLM samples: it has the weights of the model that is trained."""

from dataclasses import replace

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here: make test-vllm")

from ss_trainers import GRPOTrainer, LoraSettings, TrainingConfig
from ss_trainers.backends.vllm import VLLMBackend
from tests.ss_trainers.toy_env import register

ENV = register()
SMALL = TrainingConfig(
    iterations=3,
    groups_per_iteration=4,
    group_size=4,
    max_new_tokens=8,
    learning_rate=2e-3,
    schedule="constant",
    sampler="vllm",
    sampler_options={"kv_cache_gib": 0.25},
)


def made(training=SMALL):
    return GRPOTrainer(ENV, "tiny", training=training)


def trained(trainer, steps):
    metrics = [trainer.step() for _ in range(steps)]
    weights = {name: value.clone() for name, value in trainer.agent().backend.loaded.model.state_dict().items()}
    trainer.close()
    return metrics, weights


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4)])
def test_vllm_samples_with_the_weights_of_each_update(lora, record_property):
    trainer = made(replace(SMALL, lora=lora))
    assert isinstance(trainer.agent().backend, VLLMBackend)
    metrics, weights = trained(trainer, 3)
    before = made(replace(SMALL, lora=lora, sampler="builtin", sampler_options={}))
    begun = before.agent().backend.loaded.model.state_dict()
    assert any(not torch.equal(weights[name], value) for name, value in begun.items())
    differences = [each["logprob_difference"] for each in metrics]
    record_property("mean_differences", differences)
    assert max(differences) < 1e-4
    assert all(each["dropped_episodes"] == 0 and each["tokens"] > 0 for each in metrics)


def test_a_run_can_be_repeated_and_resumed_exactly(tmp_path):
    (metrics, whole), trainer = trained(made(), 3), made()
    trainer.step()
    trainer.save(tmp_path / "first")
    trainer.close()
    resumed_metrics, resumed = trained(GRPOTrainer.resume(tmp_path / "first"), 2)
    assert [each["gradient_norm"] for each in metrics[1:]] == [each["gradient_norm"] for each in resumed_metrics]
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_agent_of_a_run_that_was_closed_answers():
    trainer = made()
    trainer.step()
    agent = trainer.agent()
    trainer.close()
    assert agent.act([[{"role": "user", "content": "Hi!"}]])[0].token_ids
    agent.backend.shutdown()
