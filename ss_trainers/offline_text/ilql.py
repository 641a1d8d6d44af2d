"""Implicit language Q-learning: values of single tokens, which steer what a language model says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.expectiles import expectile_loss
from ss_trainers.functional.support import supported_actions, supported_values
from ss_trainers.functional.token_values import guided_logprobs, token_critic_loss, token_targets
from ss_trainers.offline.learner import Learner, Setup
from ss_trainers.offline.networks import Perceptrons, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline_text.token_rows import TokenRows

# Values that exist at a time: 64 MB in fp32.
_MAX_VALUES = 2**24
_MEMBERS = 2


@dataclass(frozen=True, slots=True)
class ILQLConfig(OfflineConfig):
    """Settings of implicit language Q-learning.

    Attributes:
        gamma: discount of a token, not of a step: of what is earned 200 tokens later, .99 leaves .13.
        expectile: tau; the nearer to 1, the nearer a state's value is to that of the best logged token.
        conservatism: alpha, the weight of the cross-entropy that holds the values of other tokens down.
        threshold: tokens that the language model finds less likely than this share of the likeliest one's probability
            are never said; 0 allows all. It has no effect if ``beta`` is 0.
        beta: how far values are followed when the agent speaks; 0 is the language model that was cloned. A token that
            is better by 1, in rewards that ``OfflineTraining.reward_scale`` has scaled, becomes exp(beta) times as
            likely. Nothing that is learnt depends on it or on the threshold, so a run that is kept can be taken up with
            others.
        target_rate: how far target critics move towards the critics in an update.
    """

    gamma: float = 0.99
    expectile: float = 0.7
    conservatism: float = 0.1
    threshold: float = 0.1
    beta: float = 1.0
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_between(self, 0, 1, "target_rate")
        if not 0 < self.expectile < 1:
            raise ValueError(f"ILQLConfig.expectile must be between 0 and 1, not {self.expectile}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"ILQLConfig.threshold must be 0 or more and below 1, not {self.threshold}")
        for name in ("conservatism", "beta"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"ILQLConfig.{name} must be 0 or more, not {getattr(self, name)}")


class TokenCritics(nn.Module):
    """Two values of each token that may be said in a state; all are 0 at first, so that none steers.

    Args:
        size: D, of states.
        hidden: widths of the hidden layers.
        vocabulary: V, how many tokens there are.
        generator: where the initial values of the hidden layers come from.
    """

    def __init__(self, size: int, hidden: Sequence[int], vocabulary: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = Perceptrons((size, *hidden), generator, _MEMBERS) if hidden else None
        self.weight = nn.Parameter(torch.zeros(_MEMBERS, vocabulary, (size, *hidden)[-1]))
        self.bias = nn.Parameter(torch.zeros(_MEMBERS, vocabulary))

    def forward(self, states: Tensor) -> Tensor:
        """Values of all tokens in states (N, D): (2, N, V)."""
        return torch.baddbmm(self.bias[:, None], self._features(states), self.weight.mT)

    def said(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Values of one token in each of the states (N, D), and of no other: (2, N)."""
        return (self._features(states) * self.weight[:, tokens]).sum(-1) + self.bias[:, tokens]

    def _features(self, states: Tensor) -> Tensor:
        return states.expand(_MEMBERS, *states.shape) if self.hidden is None else self.hidden(states).relu()


class TokenHeadsLearner:
    """Implicit language Q-learning, Snell et al. 2022, arXiv:2206.11871, on a language model that stays as it is.

    Two things are ours. The pull on values does not raise what was said: over the tokens of a conversation that would
    add up to more than it earns (``token_critic_loss``). And values choose among tokens that the model itself finds
    likely enough, as discrete BCQ's do: of what nobody said in such a state they know nothing.

    The loss is a mean over tokens. The critics' part of it is computed some tokens at a time, each with its backward
    pass, so that the values of a large vocabulary never exist for all of a batch.

    Args:
        config: the settings.
        setup: what it is made of; an observation is a hidden state, and an action is a token.
    """

    def __init__(self, config: ILQLConfig, setup: Setup) -> None:
        size, vocabulary = setup.spaces.observation_size, setup.spaces.action_size
        self._config, self._rows = config, max(1, _MAX_VALUES // (_MEMBERS * vocabulary))
        self._critics = TokenCritics(size, setup.hidden, vocabulary, setup.initial)
        self._target: Any = target_of(self._critics)
        self._value = Perceptrons((size, *setup.hidden, 1), setup.initial)
        critics = {"critics": self._critics, "target": self._target}
        self.modules = nn.ModuleDict({**critics, "value": self._value}).to(setup.device)
        parameters = [*self._critics.parameters(), *self._value.parameters()]
        self.optimizers = {"all": Adam(parameters, config.learning_rate)}

    def update(self, batch: TokenRows, step: int) -> Mapping[str, Tensor]:
        """One step of value and critics."""
        config, now = self._config, self._value(batch.states).squeeze(-1)
        with torch.no_grad():
            best = self._target.said(batch.states, batch.tokens).amin(0)
            targets = token_targets(batch.rewards, batch.on_rows(now.detach()), batch.mask, config.gamma)[batch.mask]
        value_loss = expectile_loss(now, best, config.expectile).mean()
        self.optimizers["all"].zero_grad()
        value_loss.backward()  # type: ignore[no-untyped-call]
        critic_loss = self._critics_backward(batch, targets)
        self.optimizers["all"].step()
        follow(self._target, self._critics, config.target_rate)
        figures = {"value_loss": value_loss, "critic_loss": critic_loss, "value": now.mean()}
        return {name: figure.detach() for name, figure in figures.items()}

    @torch.no_grad()
    def advantages(self, batch: TokenRows) -> Tensor:
        """How much better each token that was said is than what is usual in its state, (N,)."""
        best: Tensor = self._target.said(batch.states, batch.tokens).amin(0)
        usual: Tensor = self._value(batch.states).squeeze(-1)
        return best - usual

    @torch.no_grad()
    def guided(self, states: Tensor, logits: Tensor) -> Tensor:
        """What the language model's logits (R, V) become in states (R, D), scaled."""
        if not self._config.beta:
            return logits  # to the last bit
        logits = supported_values(logits, supported_actions(logits, self._config.threshold))
        advantages = self._target(states).amin(0) - self._value(states)
        return guided_logprobs(logits, advantages, self._config.beta)

    def _critics_backward(self, batch: TokenRows, targets: Tensor) -> Tensor:
        """The loss of both critics; its gradient is left in their parameters."""
        total = targets.new_zeros(())
        columns = (torch.split(column, self._rows) for column in (batch.states, batch.tokens, targets))
        for states, tokens, aims in zip(*columns, strict=True):
            values = self._critics(states)
            said, alpha = tokens.expand(len(values), -1), self._config.conservatism
            losses = token_critic_loss(values, said, aims, alpha, raising=False)
            loss = losses.sum() / len(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total


def learner(config: ILQLConfig, setup: Setup) -> Learner[Any]:
    """There is none for a log of numbers.

    Raises:
        TypeError: always.
    """
    raise TypeError("ILQL learns from conversations: give a ConversationDataset, or learn from numbers with IQLConfig")
