"""Steps of our trainer: ``python -m tests.benchmarks.grpo.ours SETTING``."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym

import ss_gym
from ss_gym.spaces import Utterance
from ss_trainers import GRPO, Trainer, TrainingConfig
from tests.benchmarks.grpo.setting import Setting


class Questions(gym.Env[str, str]):
    """A question, and the end after the answer."""

    observation_space = action_space = Utterance(20_000)

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Asks the question of a number."""
        messages = self._setting.messages((seed or 0) % 997)
        return messages[-1]["content"], {"messages": messages}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Rewards the answer."""
        return "", self._setting.reward(action), True, False, {"messages": [{"role": "assistant", "content": action}]}


def main() -> None:
    """Prints what the steps took."""
    setting = Setting.load(sys.argv[1])
    training = TrainingConfig(
        iterations=setting.steps + 1,
        groups_per_iteration=setting.prompts,
        group_size=setting.group,
        learning_rate=1e-5,
        max_new_tokens=setting.completion,
    )
    trainer = Trainer(lambda: Questions(setting), setting.folder, GRPO(), training)
    trainer.step()
    spent = {"sampling": 0.0, "training": 0.0}
    trainer._play = timed(trainer._play, spent, "sampling")  # type: ignore[method-assign]
    trainer._updater.update = timed(trainer._updater.update, spent, "training")  # type: ignore[method-assign]
    begun, tokens = time.process_time(), 0.0
    for _ in range(setting.steps):
        tokens += trainer.step()["tokens"] * setting.prompts * setting.group
    whole = time.process_time() - begun
    result = {
        "step": whole / setting.steps,
        "sampling": spent["sampling"] / setting.steps,
        "training": (whole - spent["sampling"]) / setting.steps,
        "tokens": tokens / setting.steps,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }
    print(json.dumps(result | {"version": ss_gym.__version__}))


def timed(work: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """Lets a function add the CPU seconds that it takes to what is spent under a name."""

    def work_timed(*arguments: Any, **keywords: Any) -> Any:
        begun = time.process_time()
        result = work(*arguments, **keywords)
        spent[name] += time.process_time() - begun
        return result

    return work_timed


if __name__ == "__main__":
    main()
