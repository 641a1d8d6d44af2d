"""Steps of TRL's GRPOTrainer with whole episodes: ``python -m tests.benchmarks.grpo.trl_episodes SETTING``.

TRL has two ways to an environment. ``environment_factory`` offers the methods of an object as tools,
and a completion ends with the first reply that calls none: there, nobody answers what is said in
words. So this takes the other one, ``rollout_func``, with the loop that TRL runs over tools: all
conversations that go on are continued in one batch, each by the whole of its ids so far, and what
the environment says is appended in ids, not rendered again. ``GRPOTrainer._generate_single_turn`` is
called for it, as TRL's own loop does, so padding and sampling are TRL's. Log-probabilities of the
sampling are not returned, since TRL does not ask its own transformers generation for any.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import gymnasium as gym
import torch
import transformers

from ss_gym.agents import Conversation
from ss_gym.types import Completion
from ss_trainers.chat import ChatFormat, EncodedConversation
from tests.benchmarks.grpo.episode_setting import EpisodeSetting
from tests.benchmarks.grpo.trl import ALIKE, Clock


class Episode:
    """One that goes on.

    Args:
        env: its environment.
        seed: of the scenario.
        chat: how the model's tokenizer writes conversations.

    Attributes:
        ids: what was read and sampled so far, in order.
        own: 1 for each id that was sampled, 0 for the others.
        opening: how many ids came before the first reply.
        total: reward so far.
        ended: whether there is nothing to reply to.
    """

    def __init__(self, env: gym.Env[str, str], seed: int, chat: ChatFormat) -> None:
        self._env = env
        self._chat = chat
        self._conversation = Conversation.begin(*env.reset(seed=seed))
        self._encoded = EncodedConversation(chat)
        self.ids: list[int] = []
        self.own: list[int] = []
        self.total, self.ended = 0.0, False
        self._read()
        self.opening = len(self.ids)

    def reply(self, ids: list[int], context: int) -> None:
        """Takes the model's reply to the environment.

        Args:
            ids: what was sampled.
            context: most ids of a conversation that the model takes.
        """
        self.ids, self.own = [*self.ids, *ids], [*self.own, *[1] * len(ids)]
        completion = Completion(self._chat.text(ids), tuple(ids))
        observation, reward, terminated, truncated, info = self._env.step(completion.text)
        self.total += float(reward)
        self._conversation.record(completion, observation, info)
        self.ended = terminated or truncated
        if not self.ended:
            self._read()
            self.ended = len(self.ids) >= context

    def _read(self) -> None:
        self._encoded.update(self._conversation)
        self.ids = self._encoded.ids
        self.own += [0] * (len(self.ids) - len(self.own))


class Rollout:
    """TRL's ``rollout_func``; a prompt is the seed of an episode.

    Args:
        setting: of the comparison.
        chat: how the model's tokenizer writes conversations.

    Attributes:
        replies: in the last call.
    """

    def __init__(self, setting: EpisodeSetting, chat: ChatFormat) -> None:
        self._chat = chat
        self._environments = [setting.environment() for _ in range(setting.scenarios * setting.group)]
        self.replies = 0

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """Plays an episode for each prompt."""
        seeded = zip(self._environments, prompts, strict=True)
        episodes = [Episode(env, int(seed), self._chat) for env, seed in seeded]
        context = trainer.model.config.max_position_embeddings
        self.replies = 0
        while going := [episode for episode in episodes if not episode.ended]:
            sampled, _ = trainer._generate_single_turn([episode.ids for episode in going], None, {}, 1)
            for episode, ids in zip(going, sampled, strict=True):
                episode.reply(ids, context)
            self.replies += len(going)
        return {
            "prompt_ids": [episode.ids[: episode.opening] for episode in episodes],
            "completion_ids": [episode.ids[episode.opening :] for episode in episodes],
            "env_mask": [episode.own[episode.opening :] for episode in episodes],
            "logprobs": None,
            "total": [episode.total for episode in episodes],
        }


def main() -> None:
    """Prints what the steps took."""
    import trl
    from datasets import Dataset

    setting = EpisodeSetting.load(sys.argv[1])
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(setting.folder)
    rollout = Rollout(setting, ChatFormat(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        config = trl.GRPOConfig(
            output_dir=folder,
            # The rows of one scenario go through the model at once; all of a step at once need more memory.
            per_device_train_batch_size=setting.group,
            gradient_accumulation_steps=setting.scenarios,
            num_generations=setting.group,
            max_completion_length=setting.completion,
            max_steps=setting.steps + 1,
            shuffle_dataset=False,
            **ALIKE,
        )
        clock = Clock()
        trainer = trl.GRPOTrainer(
            model=transformers.AutoModelForCausalLM.from_pretrained(setting.folder, dtype=torch.float32),
            reward_funcs=lambda total, **_: total,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": str(seed)} for seed in setting.seeds()]),
            processing_class=tokenizer,
            callbacks=[clock],
            rollout_func=rollout,
        )

        def counted(played: dict[str, torch.Tensor]) -> dict[str, float]:
            return {
                "episodes": len(played["prompt_ids"]),
                "replies": rollout.replies,
                "tokens": int((played["completion_mask"] * played["tool_mask"]).sum()),
                "read_and_written": int(played["prompt_mask"].sum() + played["completion_mask"].sum()),
            }

        clock.watch(trainer, counted)
        trainer.train()
    versions = {"version": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps(clock.result(setting.steps) | versions))


if __name__ == "__main__":
    main()
