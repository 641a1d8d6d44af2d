"""Trainers for language models in text environments."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ss_trainers.algorithms.grpo import GRPO as GRPO
    from ss_trainers.algorithms.grpo import GRPOConfig as GRPOConfig
    from ss_trainers.config import LoraSettings as LoraSettings
    from ss_trainers.config import TrainingConfig as TrainingConfig
    from ss_trainers.rollout import Episode as Episode
    from ss_trainers.trainer import GRPOTrainer as GRPOTrainer
    from ss_trainers.trainer import Trainer as Trainer

# Public name -> module that holds it; torch is imported only when one of them is used.
_EXPORTS = {
    "GRPO": "ss_trainers.algorithms.grpo",
    "GRPOConfig": "ss_trainers.algorithms.grpo",
    "GRPOTrainer": "ss_trainers.trainer",
    "Episode": "ss_trainers.rollout",
    "LoraSettings": "ss_trainers.config",
    "Trainer": "ss_trainers.trainer",
    "TrainingConfig": "ss_trainers.config",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
