"""What critics of conversations learn from: steps of a log with what a language model would have said in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ss_trainers.functional.support import supported_actions, supported_candidates
from ss_trainers.offline.bcq import BCQConfig
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline_text.reading import StepColumns

# Components that hardly vary are not blown up.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Proposed:
    """Candidates in some states.

    Attributes:
        features: float (N, C, D), scaled.
        mask: bool (N, C); which there are.
        support: bool (N, C); which of them the log supports.
        shares: float (N, C); how often each was drawn, adding up to 1 where there is one.
        logged: bool (N, C); which are what the log has.
    """

    features: Tensor
    mask: Tensor
    support: Tensor
    shares: Tensor
    logged: Tensor


@dataclass(frozen=True, slots=True)
class Support:
    """Which candidates the log supports: neither by token nor as a whole much less likely than the likeliest.

    A long reply may have a slip in it that its other tokens make up for in the mean, and a short one is less likely by
    token for a choice that both have in common, so that neither rule is enough by itself.

    Attributes:
        margin: kappa, nats a token.
        threshold: tau; the least share of the likeliest reply's probability. 0 asks for none.
    """

    margin: float
    threshold: float = 0.0

    @classmethod
    def of(cls, config: OfflineConfig, margin: float) -> Support:
        """As an algorithm asks for it.

        Args:
            config: of the algorithm; the threshold is BCQ's.
            margin: see ``TextTraining.support_margin``.
        """
        return cls(margin, config.threshold if isinstance(config, BCQConfig) else 0.0)

    def __call__(self, mean_logprobs: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Which have support, bool (..., C); one at least where there is a candidate.

        Args:
            mean_logprobs: float (..., C); log-probability a token, nats.
            tokens: float (..., C); how many there are.
            mask: bool (..., C); which candidates there are.
        """
        near = supported_candidates(mean_logprobs, mask, self.margin)
        whole = torch.where(near, mean_logprobs * tokens, -torch.inf)
        return near & supported_actions(whole, self.threshold)


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """Steps of a log.

    Attributes:
        states: float (N, D), scaled; before the action.
        actions: float (N, D), scaled; after it.
        rewards: float (N,).
        terminals: bool (N,); the conversation has no further step.
        proposed: what the model would have said.
        next_states: float (N, D); of the next step, and 0 where there is none.
        next_proposed: what it would say there.
    """

    states: Tensor
    actions: Tensor
    rewards: Tensor
    terminals: Tensor
    proposed: Proposed
    next_states: Tensor
    next_proposed: Proposed

    def __len__(self) -> int:
        """N."""
        return len(self.rewards)


@dataclass(frozen=True, slots=True)
class FeatureScaling:
    """Hidden states as networks take them: about 0, with spread 1.

    Attributes:
        shift: float (D,).
        spread: float (D,).
    """

    shift: Tensor
    spread: Tensor

    @classmethod
    def of(cls, columns: StepColumns) -> FeatureScaling:
        """As the hidden states of a log are spread."""
        return cls.across(torch.cat([columns.states, columns.actions]))

    @classmethod
    def across(cls, seen: Tensor) -> FeatureScaling:
        """As hidden states (N, D) are spread."""
        return cls(seen.mean(0), seen.std(0, correction=0).clamp(min=_LEAST_SPREAD))

    def to(self, device: torch.device) -> FeatureScaling:
        """The same on another device."""
        return FeatureScaling(self.shift.to(device), self.spread.to(device))

    def __call__(self, features: Tensor) -> Tensor:
        """Scaled ones, (..., D)."""
        return (features - self.shift) / self.spread


class CandidateExamples:
    """All steps of a log, on the device.

    Args:
        columns: of the log.
        scaling: of its hidden states.
        supports: which candidates have support.
        reward_scale: what rewards are multiplied by.
        device: where they are kept.
    """

    def __init__(
        self,
        columns: StepColumns,
        scaling: FeatureScaling,
        supports: Support,
        reward_scale: float,
        device: torch.device,
    ) -> None:
        support = supports(columns.candidate_logprobs, columns.candidate_tokens, columns.candidate_mask)
        self._states = scaling(columns.states).to(device)
        self._actions = scaling(columns.actions).to(device)
        self._rewards = (columns.rewards * reward_scale).to(device)
        self._last = columns.last.to(device)
        self._proposed = Proposed(
            scaling(columns.candidates).to(device),
            columns.candidate_mask.to(device),
            support.to(device),
            columns.candidate_shares.to(device),
            columns.candidate_logged.to(device),
        )

    def __len__(self) -> int:
        """How many steps there are."""
        return len(self._rewards)

    def batches(self, order: Tensor, size: int) -> Iterator[CandidateBatch]:
        """Steps one batch after the other."""
        for places in torch.split(order, size):
            last = self._last[places]
            # The last step's next is never looked at: it has to be somewhere.
            following = torch.where(last, places, places + 1)
            yield CandidateBatch(
                self._states[places],
                self._actions[places],
                self._rewards[places],
                last,
                self._at(places),
                self._states[following],
                self._at(following),
            )

    def _at(self, places: Tensor) -> Proposed:
        columns = self._proposed
        return Proposed(
            columns.features[places],
            columns.mask[places],
            columns.support[places],
            columns.shares[places],
            columns.logged[places],
        )
