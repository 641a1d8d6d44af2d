"""Whole episodes of ``StateSet/Refund-v0``: the model, the environment and the limits that both trainers are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, SupportsFloat

import gymnasium as gym

import ss_gym  # noqa: F401  (registers the ids)
from ss_baselines.agents.reference import ReferenceAgent
from ss_gym.types import Message
from ss_trainers import TrainingConfig
from ss_trainers.backends.models import load_model
from ss_trainers.sampling import training_episodes
from tests.benchmarks.grpo.setting import Stored


@dataclass(frozen=True)
class EpisodeSetting(Stored):
    """One comparison.

    Attributes:
        folder: where model and tokenizer lie.
        scripted: whether the reference agent acts in the model's place; see :class:`Scripted`.
        completion: most tokens of a reply.
        scenarios: of a step.
        group: attempts at each.
        steps: that are measured, after one that warms up.
    """

    folder: str
    scripted: bool = False
    completion: int = 128
    scenarios: int = 4
    group: int = 4
    steps: int = 2

    def environment(self) -> gym.Env[str, str]:
        """An environment with the full policy and its own limits of steps and turns."""
        env = gym.make("StateSet/Refund-v0", prompt="full")
        return Varied(Scripted(env) if self.scripted else env)

    def training(self) -> TrainingConfig:
        """The engine's settings of our trainer."""
        return TrainingConfig(
            iterations=self.steps + 1,
            groups_per_iteration=self.scenarios,
            group_size=self.group,
            learning_rate=1e-5,
            max_new_tokens=self.completion,
        )

    def seeds(self) -> list[int]:
        """The seed of each scenario, in the order in which they are played."""
        training = self.training()
        played = [training_episodes(number, training)[:: self.group] for number in range(self.steps + 1)]
        return [episode.seed for episodes in played for episode in episodes if episode.seed is not None]


class Scripted(gym.Wrapper[str, str, str, str]):
    """Lets the reference agent act, whatever the model writes.

    A model with random weights writes noise, and its episodes would have nothing of a customer's in
    them. Here they have the steps, tool results and answers of an agent that follows the policy,
    while what the model reads of its own turns, and is trained on, is what it sampled.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins an episode, and a script that reads along."""
        observation, info = super().reset(seed=seed, options=options)
        self._script = ReferenceAgent().start(info["system_prompt"])
        self._heard: list[Message] = info["messages"]
        return observation, info

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Goes on with the script."""
        stepped = super().step(self._script.step(self._heard))
        self._heard = stepped[-1]["messages"]
        return stepped


class Varied(gym.Wrapper[str, str, str, str]):
    """Adds a reward that differs between attempts.

    Our trainer leaves out attempts that all have the same return, TRL's does not: without this, it
    would train on fewer episodes.
    """

    def step(self, action: str) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """Adds something that depends on the words alone."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, float(reward) + sum(map(ord, action)) % 97 / 97, terminated, truncated, info


def make_model(setting: EpisodeSetting, width: int = 256, layers: int = 4) -> None:
    """Writes the tiny agent or, for scripted episodes, a Llama with random weights that has its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tiny = load_model("tiny", "cpu")
    tiny.tokenizer.save_pretrained(setting.folder)
    if not setting.scripted:
        tiny.model.save_pretrained(setting.folder)
        return
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tiny.tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        max_position_embeddings=4096,
        eos_token_id=tiny.tokenizer.eos_token_id,
        pad_token_id=tiny.tokenizer.pad_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(setting.folder)
