"""The policy as it was before a task, which learning without forgetting holds the present one to."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ss_trainers.functional.continual import lwf_loss
from ss_trainers.policy import LanguagePolicy
from ss_trainers.types import TokenBatch

# Logits of each of the two that exist at a time: 64 MB in fp32.
_MAX_LOGITS = 2**24


class PreviousPolicy:
    """A frozen copy of a policy, with weights of its own.

    Args:
        model: the policy's; it is copied.
        weights: float32 (N,), of its trainable parameters, one after the other.

    Raises:
        ValueError: if there are more or fewer weights than the model has.
    """

    def __init__(self, model: nn.Module, weights: Tensor) -> None:
        copied = copy.deepcopy(model)
        trained = [parameter for parameter in copied.parameters() if parameter.requires_grad]
        sizes = [parameter.numel() for parameter in trained]
        if sum(sizes) != weights.numel():
            raise ValueError(f"{weights.numel()} weights of an earlier policy do not fit a model of {sum(sizes)}")
        with torch.no_grad():
            for parameter, part in zip(trained, torch.split(weights, sizes), strict=True):
                parameter.copy_(part.view_as(parameter))
        copied.requires_grad_(False)
        self._policy = LanguagePolicy(copied)

    def price(self, policy: LanguagePolicy, hidden: Tensor, batch: TokenBatch, weight: float, tokens: float) -> Tensor:
        """What it costs to say something else than this policy: ``lwf_loss`` at temperature 1, a scalar.

        It goes by whole distributions, and so holds on conversations that somebody else had as well.

        Args:
            policy: the present one.
            hidden: (N, D), what it knows before each action token; differentiable.
            batch: what was said.
            weight: of a nat.
            tokens: action tokens of the whole batch, where this is a part of one.
        """
        with torch.no_grad():
            before = self._policy.hidden_states(batch)

        def of_chunk(states: Tensor, earlier: Tensor) -> Tensor:
            logits = policy.logits(states)
            said = torch.ones(len(states), dtype=torch.bool, device=states.device)
            return lwf_loss(logits, self._policy.logits(earlier), said, 1.0, weight, tokens)

        size = max(1, _MAX_LOGITS // policy.vocabulary)
        chunks = list(zip(torch.split(hidden, size), torch.split(before, size), strict=True))
        if len(chunks) == 1:
            return of_chunk(*chunks[0])
        parts = [checkpoint(of_chunk, states, earlier, use_reentrant=False) for states, earlier in chunks]
        return torch.stack(parts).sum()
