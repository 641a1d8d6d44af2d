"""What is trained and how its weights move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from ss_trainers.backends.models import LoadedModel
from ss_trainers.config import TrainingConfig
from ss_trainers.types import TokenBatch


def trainable_model(loaded: LoadedModel, training: TrainingConfig) -> LoadedModel:
    """The model with gradients asked for where it is to be trained: everywhere, or in its adapters."""
    model, lora = loaded.model, training.lora
    if lora is not None and not hasattr(model, "disable_adapter"):
        targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
        settings = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type="CAUSAL_LM")
        # peft draws initial values from torch's global generator, which is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(training.seed)
            model = get_peft_model(model, settings).eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(lora is None or "lora_" in name)
    return replace(loaded, model=model)


def adamw(
    parameters: Sequence[nn.Parameter], training: TrainingConfig, critic: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only; the critic's parameters learn at their own rate.

    Args:
        parameters: the policy's.
        training: the rates and the decay.
        critic: the critic's.
    """
    factor = (training.critic_learning_rate or training.learning_rate) / training.learning_rate
    groups = [
        {"params": chosen, "weight_decay": decay, "rate_factor": rate}
        for values, rate in ((parameters, 1.0), (critic, factor))
        for chosen, decay in (
            ([value for value in values if value.ndim >= 2], training.weight_decay),
            ([value for value in values if value.ndim < 2], 0.0),
        )
        if values
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the policy's rate, and the critic's in its proportion."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)


def even_share(batch: TokenBatch, processes: int, most: int) -> int:
    """Tokens of a micro-batch, at most so many, so that each process has as many of about the same size."""
    total = int(batch.lengths.sum())
    rounds = math.ceil(total / (processes * most))
    return math.ceil(total / (processes * rounds))
