"""A language model that learns to say what a log says, of some of it more than of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.backends.models import LoadedModel
from ss_trainers.collate import collate, split_by_length
from ss_trainers.config import TrainingConfig
from ss_trainers.functional.aggregation import token_mean
from ss_trainers.offline_text.settings import TextTraining
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog
from ss_trainers.optimization import adamw, set_learning_rate, trainable_model
from ss_trainers.policy import LanguagePolicy
from ss_trainers.types import BatchCounts, TokenBatch

# Updates over which the learning rate rises from zero, as a share of all, and its weight decay.
_WARM_UP, _WEIGHT_DECAY = 0.05, 0.01
# Prompts that agree on fewer tokens are read each by itself.
_LEAST_SHARED = 64


class ConversationExamples:
    """Conversations of a log, each an example.

    Args:
        log: in the model's tokens.
        device: where batches are put.
        weights: float (S,) of the steps of all conversations, one after the other; how much each is cloned. All alike
            if None.
        written: makes a trajectory of a conversation, which may say more than the log does.
    """

    def __init__(
        self,
        log: TokenLog,
        device: torch.device,
        weights: Tensor | None = None,
        written: Callable[[LoggedTokens], MultiTurnTrajectory] = LoggedTokens.trajectory,
    ) -> None:
        self._log, self._device, self._written = log, device, written
        sizes = [len(conversation.actions) for conversation in log]
        self._weights = None if weights is None else torch.split(weights, sizes)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._log)

    def batches(self, order: Tensor, size: int) -> Iterator[TokenBatch]:
        """Conversations side by side, with the weight of each action token as its advantage."""
        for places in torch.split(order, size):
            rows = places.tolist()
            batch = collate([self._written(self._log[place]) for place in rows], min_prefix=_LEAST_SHARED)
            weights = batch.action_mask.to(batch.behavior_logprobs.dtype)
            if self._weights is not None:
                padded = nn.utils.rnn.pad_sequence([self._weights[place] for place in rows], batch_first=True)
                weights *= padded.to(weights.dtype).gather(1, batch.turn_ids.clamp(min=0))
            yield replace(batch, advantages=weights).to(self._device)


class CloningLearner:
    r"""Weighted maximum likelihood of a log's actions.

    .. math:: -\frac{1}{\sum m} \sum_{i,t} m_{it}\,w_{it} \log\pi(a_{it} \mid s_{it})

    With weights of 1 behaviour cloning; with those of the advantage, advantage-weighted regression (Peng et al. 2019,
    arXiv:1910.00177) and the actor of IQL (Kostrikov et al. 2021, arXiv:2110.06169, equation 7).

    Args:
        loaded: the model, which is trained in place.
        text: the settings.
        updates: of the whole run, over which the learning rate falls.
        seed: of the initial values of adapters.

    Attributes:
        loaded: the model as it is trained, with its adapters.
    """

    def __init__(self, loaded: LoadedModel, text: TextTraining, updates: int, seed: int) -> None:
        self._settings = TrainingConfig(
            iterations=updates,
            warmup_iterations=round(_WARM_UP * updates),
            learning_rate=text.learning_rate,
            weight_decay=_WEIGHT_DECAY,
            micro_batch_tokens=text.micro_batch_tokens,
            lora=text.lora,
            seed=seed,
        )
        self.loaded = trainable_model(loaded, self._settings)
        self._policy = LanguagePolicy(self.loaded.model)
        self._parameters = [value for value in self.loaded.model.parameters() if value.requires_grad]
        # Not the whole model: what is not trained need not be kept, and tied weights are there once.
        self.modules = nn.ModuleDict({"trained": nn.ParameterList(self._parameters)})
        self.optimizers = {"model": adamw(self._parameters, self._settings)}

    def update(self, batch: TokenBatch, step: int) -> Mapping[str, Tensor]:
        """One step on the likelihood."""
        optimizer, counts = self.optimizers["model"], BatchCounts.of(batch)
        set_learning_rate(optimizer, self._settings.learning_rate_at(step))
        optimizer.zero_grad()
        total = torch.zeros((), device=batch.input_ids.device)
        for part in split_by_length(batch, self._settings.micro_batch_tokens):
            assert part.advantages is not None
            loss = -token_mean(part.advantages * self._policy.logprobs(part), part.action_mask, counts.tokens)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = clip_grad_norm_(self._parameters, self._settings.max_grad_norm)
        optimizer.step()
        return {"loss": total, "gradient_norm": norm.detach()}
