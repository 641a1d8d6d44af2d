"""A log as the tokens that the agent said, each with what the language model knew before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import torch
from torch import Tensor

from ss_trainers.backends.models import LoadedModel
from ss_trainers.collate import collate, split_by_length
from ss_trainers.functional.turns import to_last_tokens
from ss_trainers.offline_text.examples import FeatureScaling
from ss_trainers.offline_text.token_log import TokenLog
from ss_trainers.policy import LanguagePolicy

# Conversations that are read at once, before they are split by length.
_AT_ONCE = 64
# Prompts that agree on fewer tokens are read each by itself.
_LEAST_SHARED = 64


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """The agent's tokens in a log, conversation after conversation; nobody else's are among them.

    Attributes:
        states: float32 (N, D); the hidden state that foretells each token.
        tokens: int64 (N,); what was said.
        rewards: float32 (N,); what a step was paid, on its last token, and 0 on others.
        steps: int64 (N,); which of the log's steps each is of.
        lengths: int64 (C,); how many there are in each conversation.
    """

    states: Tensor
    tokens: Tensor
    rewards: Tensor
    steps: Tensor
    lengths: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def summed(self, values: Tensor) -> Tensor:
        """Values of tokens, float (N,), added up over each step, (S,)."""
        return values.new_zeros(int(self.steps[-1]) + 1).index_add(0, self.steps, values)


@dataclass(frozen=True, slots=True)
class TokenRows:
    """What the agent said in some conversations: N tokens, of B conversations with T of them at most.

    Attributes:
        states: float (N, D), scaled; before each token, row by row.
        tokens: int64 (N,).
        rewards: float (B, T); on the last token of each step.
        mask: bool (B, T); where a row has a token.
    """

    states: Tensor
    tokens: Tensor
    rewards: Tensor
    mask: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.tokens)

    def on_rows(self, values: Tensor) -> Tensor:
        """Values (N,) where those tokens are: (B, T), 0 elsewhere."""
        return values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)


class TokenExamples:
    """Conversations of a log, each an example, on the device.

    Args:
        columns: of the log.
        scaling: of its hidden states.
        reward_scale: what rewards are multiplied by.
        device: where they are kept.
    """

    def __init__(
        self, columns: TokenColumns, scaling: FeatureScaling, reward_scale: float, device: torch.device
    ) -> None:
        self._states, self._tokens = columns.states.to(device), columns.tokens.to(device)
        self._rewards, self._lengths = (columns.rewards * reward_scale).to(device), columns.lengths.to(device)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._scaling = scaling.to(device)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lengths)

    def batches(self, order: Tensor, size: int) -> Iterator[TokenRows]:
        """Conversations side by side."""
        for rows in torch.split(order, size):
            lengths = self._lengths[rows, None]
            columns = torch.arange(int(lengths.max()), device=lengths.device)
            mask = columns < lengths
            places = (self._starts[rows, None] + columns)[mask]
            # Scaled here and not once for all: a second copy of the log's states would be as large as they are.
            states, rewards = self._scaling(self._states[places]), self._rewards[places]
            on_rows = rewards.new_zeros(mask.shape).masked_scatter(mask, rewards)
            yield TokenRows(states, self._tokens[places], on_rows, mask)


@torch.no_grad()
def read_tokens(
    log: TokenLog,
    loaded: LoadedModel,
    micro_batch_tokens: int,
    progress: Callable[[int], None] | None = None,
) -> TokenColumns:
    """Goes through a log with a language model, as it was said.

    Args:
        log: in the model's tokens.
        loaded: the model.
        micro_batch_tokens: most tokens that go through it at once.
        progress: is told how many more conversations have been read.
    """
    policy, device = LanguagePolicy(loaded.model), next(loaded.model.parameters()).device
    found: dict[int, tuple[Tensor, ...]] = {}
    for first in range(0, len(log), _AT_ONCE):
        some = log[first : first + _AT_ONCE]
        placed = [replace(each.trajectory(), group_id=first + place) for place, each in enumerate(some)]
        for part in split_by_length(collate(placed, min_prefix=_LEAST_SHARED), micro_batch_tokens):
            states = policy.hidden_states(part.to(device)).float().cpu()
            rewards = to_last_tokens(part.turn_rewards, part.turn_ids).float()
            read = torch.split(states, part.action_mask.sum(1).tolist())
            for row, place in enumerate(part.group_ids.tolist()):
                own = part.action_mask[row]
                found[place] = (read[row], part.input_ids[row, own], rewards[row, own], part.turn_ids[row, own])
        if progress is not None:
            progress(len(some))
    parts = [found[place] for place in range(len(log))]
    states, tokens, rewards = (torch.cat([part[column] for part in parts]) for column in range(3))
    before = accumulate((len(each.actions) for each in log), initial=0)
    steps = torch.cat([turns + first for (*_, turns), first in zip(parts, before, strict=False)])
    return TokenColumns(states, tokens, rewards, steps, torch.tensor([len(turns) for *_, turns in parts]))
