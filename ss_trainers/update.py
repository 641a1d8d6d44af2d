"""The optimizer steps of one iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import nn

from ss_gym.streams import Stream
from ss_trainers.collate import split_by_length
from ss_trainers.config import TrainingConfig
from ss_trainers.distributed import Workers
from ss_trainers.experience import minibatches
from ss_trainers.interruption import undisturbed
from ss_trainers.optimization import even_share, set_learning_rate
from ss_trainers.ranks import Ranks
from ss_trainers.types import BatchCounts, TokenBatch, merge_metrics


class Updater:
    """Takes an iteration's steps.

    Args:
        training: the engine's settings.
        optimizer: of all parameters.
        policy: parameters of the policy.
        critic: parameters of the critic; none without one.
        pull: adds gradients to those of the policy, before they are clipped; tells figures.
    """

    def __init__(
        self,
        training: TrainingConfig,
        optimizer: torch.optim.Optimizer,
        policy: Sequence[nn.Parameter],
        critic: Sequence[nn.Parameter] = (),
        pull: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._training, self._optimizer, self._pull = training, optimizer, pull
        self._policy, self._critic = list(policy), list(critic)

    def update(
        self, batch: TokenBatch, workers: Workers | Ranks, iteration: int, held: ExitStack, critic_only: bool = False
    ) -> dict[str, float]:
        """Goes through a batch, and tells what happened.

        Args:
            batch: prepared by the algorithm.
            workers: add up the gradients.
            iteration: which this is, counted from 0.
            held: from the first step on, when the weights belong to no checkpoint, Ctrl-C waits for it to close.
            critic_only: leave the policy as it is.

        Returns:
            means over the steps; ``_max`` and ``_min`` are of all steps, and ``logprob_difference`` is that
            of the first: what trainer and sampler disagree about before anything has changed.

        Raises:
            FloatingPointError: if a gradient is not finite.
        """
        config, steps = self._training, list[dict[str, float]]()
        set_learning_rate(self._optimizer, config.learning_rate_at(iteration))
        for epoch in range(config.epochs):
            for part in minibatches(batch, config.minibatches, Stream(config.seed, "minibatch", iteration, epoch)):
                metrics = self._accumulate(part, workers, critic_only)
                if not all(math.isfinite(value) for name, value in metrics.items() if name.startswith("gradient_norm")):
                    raise FloatingPointError(
                        f"the gradient of iteration {iteration + 1} is not finite; lower the learning rate"
                    )
                if not steps:
                    held.enter_context(undisturbed())
                self._optimizer.step()
                steps.append(metrics)
        workers.weights_changed()
        return _over_steps(steps)

    def _accumulate(self, part: TokenBatch, workers: Workers | Ranks, critic_only: bool) -> dict[str, float]:
        """The gradient of one step, with norms no greater than allowed."""
        config = self._training
        self._optimizer.zero_grad()
        micro_batches = split_by_length(part, even_share(part, workers.count, config.micro_batch_tokens))
        outputs = workers.accumulate(micro_batches, BatchCounts.of(part), config.temperature, critic_only)
        metrics = merge_metrics(outputs)
        if critic_only:
            # Zeros would still be a step: the optimizer remembers and decays.
            for parameter in self._policy:
                parameter.grad = None
        else:
            metrics |= self._pull()
            metrics["gradient_norm"] = _clipped(self._policy, config)
        if self._critic:
            metrics["gradient_norm_critic"] = _clipped(self._critic, config)
        return metrics


def _clipped(parameters: list[nn.Parameter], config: TrainingConfig) -> float:
    return float(nn.utils.clip_grad_norm_(parameters, config.max_grad_norm))


def _over_steps(steps: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for metrics in steps for name in metrics)
    merged = {}
    for name in names:
        values = [metrics[name] for metrics in steps if name in metrics]
        if name.endswith("_max"):
            merged[name] = max(values)
        elif name.endswith("_min"):
            merged[name] = min(values)
        else:
            merged[name] = values[0] if name == "logprob_difference" else sum(values) / len(values)
    return merged
