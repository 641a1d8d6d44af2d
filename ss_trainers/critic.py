"""A critic: what a policy is going to earn from each of its tokens on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ss_trainers import causal_lm
from ss_trainers.policy import LanguagePolicy, on_action_tokens
from ss_trainers.types import TokenBatch


class ValueNetwork(nn.Module):
    """A language model with a linear layer that tells a value, in place of its head.

    All of it is trained, except a language-model head that is no part of the embedding. At first every
    value is 0.

    Args:
        model: a transformers causal language model; it is not copied.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        inner = causal_lm.underlying(model)
        embedding: Any = inner.get_input_embeddings()
        width = int(embedding.weight.shape[1])
        self.value = nn.Linear(width, 1, device=embedding.weight.device, dtype=embedding.weight.dtype)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)
        self.requires_grad_(True)
        head = causal_lm.head_of(inner)
        if head.weight is not embedding.weight:
            head.requires_grad_(False)


class Critic:
    """Gives the values of token batches.

    Args:
        network: the model and its head.
        gradient_checkpointing: see :class:`ss_trainers.policy.LanguagePolicy`.
    """

    def __init__(self, network: ValueNetwork, gradient_checkpointing: bool = False) -> None:
        self.network = network
        self._policy = LanguagePolicy(network.model, gradient_checkpointing)

    def values(self, batch: TokenBatch) -> Tensor:
        """Values of the states before the action tokens, differentiable: (B, T), 0 elsewhere.

        Args:
            batch: on the model's device, with at least one row.
        """
        hidden, head = self._policy.hidden_states(batch), self.network.value
        # Rounded to half precision, values would be a few thousandths off: as much as a turn's reward.
        with torch.autocast(hidden.device.type, enabled=False) if _autocasts(hidden) else nullcontext():
            return on_action_tokens(head(hidden.to(head.weight.dtype))[:, 0], batch)

    def prompt_encoded_once(self, micro_batches: Sequence[TokenBatch]) -> AbstractContextManager[None]:
        """See :meth:`LanguagePolicy.prompt_encoded_once`."""
        return self._policy.prompt_encoded_once(micro_batches)


def _autocasts(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


def trainable(network: ValueNetwork | None) -> list[nn.Parameter]:
    """The parameters of a critic that are trained, in order; none without a critic."""
    return [] if network is None else [value for value in network.parameters() if value.requires_grad]


def state_of(network: ValueNetwork) -> dict[str, Tensor]:
    """What a checkpoint keeps of a critic: the parameters that are trained, by name."""
    return {name: value.detach().contiguous() for name, value in network.named_parameters() if value.requires_grad}


@torch.no_grad()
def restore(network: ValueNetwork, state: dict[str, Tensor]) -> None:
    """Takes up what a checkpoint kept.

    Raises:
        KeyError: if a parameter is missing.
    """
    for name, value in network.named_parameters():
        if value.requires_grad:
            value.copy_(state[name])
