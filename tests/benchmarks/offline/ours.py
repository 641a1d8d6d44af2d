"""Runs of our trainer: ``python -m tests.benchmarks.offline.ours SETTING…``, a line of JSON for each."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch

import ss_gym
from ss_trainers.offline.policies import NumericEpisodes
from ss_trainers.offline.registry import make_config
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Transitions
from tests.benchmarks.offline.recipes import ours
from tests.benchmarks.offline.setting import Clock, Setting, measured


class OurLearning:
    """Our trainer on a log.

    Args:
        setting: of the run.
    """

    def __init__(self, setting: Setting) -> None:
        self.version, self.clock = ss_gym.__version__, Clock()
        self._log = Transitions.from_npz(setting.log)
        training = OfflineTraining(
            batch_size=setting.batch,
            normalize_observations=setting.normalize,
            reward_scale=setting.reward_scale,
            seed=setting.seed,
        )
        config = make_config(setting.algorithm, ours(setting, self._log.spaces.discrete))
        self._trainer = OfflineTrainer(config, training)

    def fit(self, updates: int) -> None:
        """Goes on for so many updates."""
        trainer = self._trainer
        first = trainer.updates == 0
        trainer.training = replace(trainer.training, max_updates=trainer.updates + updates)
        trainer.train(self._log)
        if first:
            learner = trainer._learner
            assert learner is not None
            learner.update = self.clock.timed(learner.update)  # type: ignore[method-assign]

    def playing(self, episodes: int) -> NumericEpisodes:
        """The policy at the beginning of so many episodes."""
        return self._trainer.policy().begin(episodes)


def main() -> None:
    """Prints what was found."""
    torch.set_num_threads(1)
    for path in sys.argv[1:]:
        setting = Setting.load(path)
        print(json.dumps(measured(OurLearning(setting), setting)), flush=True)


if __name__ == "__main__":
    main()
