"""An algorithm that learns nothing, tells what it was given, and has accidents."""

import os
import signal
from dataclasses import dataclass

import torch
from torch import nn

from ss_trainers.offline.learner import Memoryless
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig

MODULE = __name__


@dataclass(frozen=True, slots=True)
class RecordingConfig(OfflineConfig):
    """What happens at an update, counted from 0: a Ctrl-C, an error, or a metric or a weight that is not finite."""

    interrupted_at: int | None = None
    broken_at: int | None = None
    not_finite_at: int | None = None
    weight_lost_at: int | None = None


class RecordingLearner:
    """Rewards are taken for the names of steps."""

    def __init__(self, config, setup):
        self.config, self.noise, self.seen = config, setup.noise, []
        self.modules = nn.ModuleDict({"sum": nn.Linear(1, 1, bias=False)}).to(setup.device)
        self.optimizers = {"all": Adam(self.modules.parameters(), config.learning_rate)}

    def examples(self, log, transitions):
        return log

    def update(self, batch, step):
        self.seen.append((step, batch.rewards.tolist()))
        torch.rand((), generator=self.noise)
        if step == self.config.broken_at:
            raise RuntimeError("out of memory")
        if step == self.config.interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
        with torch.no_grad():
            self.modules["sum"].weight.add_(float("nan") if step == self.config.weight_lost_at else 1)
        nothing = float("inf") if step == self.config.not_finite_at else 0.0
        metrics = {"rows": torch.tensor(float(len(batch))), "nothing": torch.tensor(nothing)}
        return metrics if step % 2 else {**metrics, "even": torch.tensor(float(step))}

    def actor(self, rows):
        return Memoryless(lambda observations: torch.zeros(len(observations), dtype=torch.int64))


def learner(config, setup):
    return RecordingLearner(config, setup)
