"""A row of the table, and how much is measured where."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from ss_trainers import GRPOTrainer, TrainingConfig
from tests.benchmarks import learning


@dataclass(frozen=True)
class Row:
    """A line of the table; ``passed`` is None for what is measured and not checked."""

    name: str
    figure: str
    passed: bool | None = None
    error: str = ""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        parallel: conversations at once, for each row of generation.
        rounds: episodes that each of them plays.
        rows: conversations of a batch to train on.
        groups: scenarios of an iteration.
        group_size: attempts at each.
        max_new_tokens: most tokens of one completion.
        checked: episodes whose numbers are compared with naive ones.
        width: hidden size of the large model.
        layers: its layers.
        vocabulary: its tokens.
        reply_tokens: tokens of each of its replies.
        limits: keyword arguments of the environment.
    """

    parallel: tuple[int, ...] = (64, 512)
    rounds: int = 2
    rows: int = 128
    groups: int = 8
    group_size: int = 8
    max_new_tokens: int = 128
    checked: int = 8
    width: int = 2048
    layers: int = 16
    vocabulary: int = 50_304
    reply_tokens: int = 64
    limits: tuple[tuple[str, int], ...] = ()


SMALL = Sizes(
    parallel=(2, 4),
    rounds=1,
    rows=2,
    groups=2,
    group_size=4,
    max_new_tokens=24,
    checked=2,
    width=128,
    layers=2,
    vocabulary=400,
    reply_tokens=4,
    limits=(("max_turns", 3), ("max_steps", 4)),
)


@dataclass(frozen=True)
class Setting:
    """What is measured, where and how much of it."""

    model: str
    device: str
    sizes: Sizes

    @property
    def on_cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    @property
    def env_kwargs(self) -> dict[str, Any]:
        return {**learning.COMPACT, **dict(self.sizes.limits)}

    def training(self, **changes: Any) -> TrainingConfig:
        sizes = self.sizes
        settings: dict[str, Any] = {
            "iterations": 4,
            "groups_per_iteration": sizes.groups,
            "group_size": sizes.group_size,
            "max_new_tokens": sizes.max_new_tokens,
            "device": self.device,
        }
        return TrainingConfig(**settings | changes)

    def trainer(self, **changes: Any) -> GRPOTrainer:
        training = self.training(**changes)
        return GRPOTrainer(learning.ENV_ID, self.model, training=training, env_kwargs=self.env_kwargs)

    def clock(self) -> float:
        """Seconds on the wall, once the device has done what it was asked for."""
        if self.on_cuda:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
