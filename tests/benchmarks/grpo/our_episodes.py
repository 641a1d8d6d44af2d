"""Steps of our trainer with whole episodes: ``python -m tests.benchmarks.grpo.our_episodes SETTING``."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import torch
import transformers

import ss_gym
from ss_trainers import GRPO, Trainer
from ss_trainers.rollout import Rollouts
from tests.benchmarks.grpo.episode_setting import EpisodeSetting
from tests.benchmarks.grpo.ours import timed


def main() -> None:
    """Prints what the steps took."""
    setting = EpisodeSetting.load(sys.argv[1])
    trainer = Trainer(setting.environment, setting.folder, GRPO(), setting.training())
    trainer.step()
    spent, played = {"sampling": 0.0}, list[Rollouts]()
    play = timed(trainer._play, spent, "sampling")

    def kept(*arguments: Any, **keywords: Any) -> Rollouts:
        played.append(play(*arguments, **keywords))
        return played[-1]

    trainer._play = kept  # type: ignore[method-assign]
    begun, left_out = time.process_time(), 0.0
    for _ in range(setting.steps):
        left_out += trainer.step()["groups_without_variance"]
    whole = time.process_time() - begun
    trajectories = [trajectory for rollouts in played for trajectory in rollouts.trajectories]
    turns = [turn for trajectory in trajectories for turn in trajectory.turns]
    own = [turn for turn in turns if turn.role == "assistant"]
    read = sum(len(trajectory.prompt_ids or ()) for trajectory in trajectories)
    counts = {
        "episodes": len(trajectories),
        "replies": len(own),
        "tokens": sum(len(turn.token_ids or ()) for turn in own),
        "read_and_written": read + sum(len(turn.token_ids or ()) for turn in turns),
    }
    result = {
        "step": whole / setting.steps,
        "sampling": spent["sampling"] / setting.steps,
        "training": (whole - spent["sampling"]) / setting.steps,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "groups_left_out": left_out / setting.steps,
        **{name: count / setting.steps for name, count in counts.items()},
    }
    versions = {"version": ss_gym.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps(result | versions))


if __name__ == "__main__":
    main()
