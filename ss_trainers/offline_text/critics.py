"""Critics of what is said: an action is the conversation after it, as a language model reads it.

Its values are those of numeric offline algorithms, with what the language model proposes in the place of the actions
that there are: Batch-constrained Q-learning asks for the best that the log supports, conservative Q-learning holds all
proposals down to what was logged, BEAR looks for the best distribution over them that is near to the log's, and
implicit Q-learning asks for none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ss_trainers.functional.conservatism import conservative_gap
from ss_trainers.functional.discrepancies import Kernel, gaussian_kernel, laplace_kernel, reweighting_mmd
from ss_trainers.functional.expectiles import advantage_weights, expectile_loss
from ss_trainers.functional.lagrangian import lagrange_dual_loss, lagrange_multiplier
from ss_trainers.functional.off_policy import expected_values
from ss_trainers.functional.returns import bellman_target
from ss_trainers.functional.support import soft_clipped_minimum, supported_values
from ss_trainers.offline.bcq import BCQConfig
from ss_trainers.offline.bear import BEARConfig
from ss_trainers.offline.cql import CQLConfig, GapWeight
from ss_trainers.offline.iql import IQLConfig
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.networks import Critics, Perceptrons, follow, target_of
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline_text.examples import CandidateBatch, Proposed

_KERNELS = {"laplace": laplace_kernel, "gaussian": gaussian_kernel}
# Learning rate of BEAR's multiplier; as in the authors' code.
_MULTIPLIER_RATE = 1e-3


class _Critics:
    """Two action values of a state and of the conversation after the action, with targets that follow them."""

    def __init__(self, setup: Setup) -> None:
        size = setup.spaces.observation_size
        self.network = Critics(size, size, setup.hidden, setup.initial)
        self.target = target_of(self.network)

    def loss(self, batch: CandidateBatch, next_values: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
        """The squared error of both critics, a scalar, and the values of what was logged, (K, N)."""
        targets = bellman_target(batch.rewards, next_values, batch.terminals, gamma)
        values: Tensor = self.network(batch.states, batch.actions)
        return (values - targets).square().mean(1).sum(), values

    @torch.no_grad()
    def of_next(self, batch: CandidateBatch) -> Tensor:
        """Target values of the candidates in the next state, (K, N, C)."""
        values: Tensor = self.target(batch.next_states, batch.next_proposed.features)
        return values

    @torch.no_grad()
    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better the logged actions are than what is drawn in their states, (N,)."""
        logged: Tensor = self.network(batch.states, batch.actions).amin(0)
        proposed = batch.proposed
        return logged - expected_values(self.least(batch.states, proposed), proposed.shares.log())

    @torch.no_grad()
    def least(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The less of what the critics say of candidates, (N, C); minus infinity where there is none."""
        return supported_values(self.network(states, proposed.features).amin(0), proposed.mask)


class TextBatchConstrainedLearner:
    """The best that the log supports: BCQ, Fujimoto et al. 2018, arXiv:1812.02900, with a language model for its VAE.

    Support is that of discrete BCQ, arXiv:1910.01708, for whole replies, and by token as well; see ``Support``.

    Args:
        config: ``minimum_weight``, ``threshold``, ``target_rate`` and what all algorithms have are used.
        setup: what it is made of.
    """

    def __init__(self, config: BCQConfig, setup: Setup) -> None:
        self._config, self._critics = config, _Critics(setup)
        self.modules = nn.ModuleDict({"critics": self._critics.network, "target": self._critics.target})
        self.modules.to(setup.device)
        self.optimizers = {"critics": Adam(self._critics.network.parameters(), config.learning_rate)}

    def update(self, batch: CandidateBatch, step: int) -> Mapping[str, Tensor]:
        """One step of the critics."""
        after = soft_clipped_minimum(self._critics.of_next(batch), self._config.minimum_weight)
        best = supported_values(after, batch.next_proposed.support).amax(-1)
        loss, values = self._critics.loss(batch, best, self._config.gamma)
        self.optimizers["critics"].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers["critics"].step()
        follow(self._critics.target, self._critics.network, self._config.target_rate)
        return {"critic_loss": loss.detach(), "value": values.detach().mean()}

    def choose(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The best candidate with support, int64 (N,)."""
        return supported_values(self._critics.least(states, proposed), proposed.support).argmax(-1)

    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better the logged actions are than what is drawn in their states, (N,)."""
        return self._critics.advantages(batch)


class TextConservativeLearner:
    """All candidates held down to what was logged: CQL(H), Kumar et al. 2020, arXiv:2006.04779.

    The soft maximum is over the logged action and the candidates that are another.

    Args:
        config: ``conservative_weight``, ``gap_limit``, ``target_rate`` and what all algorithms have are used.
        setup: what it is made of.
    """

    def __init__(self, config: CQLConfig, setup: Setup) -> None:
        self._config, self._critics, self._gap_weight = config, _Critics(setup), GapWeight(config)
        critics = {"critics": self._critics.network, "target": self._critics.target}
        self.modules = nn.ModuleDict({**critics, "gap_weight": self._gap_weight}).to(setup.device)
        parameters = [*self._critics.network.parameters(), *self._gap_weight.parameters()]
        self.optimizers = {"critics": Adam(parameters, config.learning_rate)}

    def update(self, batch: CandidateBatch, step: int) -> Mapping[str, Tensor]:
        """One step of the critics."""
        after = supported_values(self._critics.of_next(batch).amin(0), batch.next_proposed.mask).amax(-1)
        loss, values = self._critics.loss(batch, after, self._config.gamma)
        others = batch.proposed.mask & ~batch.proposed.logged
        proposed = supported_values(self._critics.network(batch.states, batch.proposed.features), others)
        logged = torch.zeros(len(batch), dtype=torch.int64, device=values.device)
        gap = conservative_gap(torch.cat([values[..., None], proposed], -1), logged.expand(len(values), -1)).mean(1)
        self.optimizers["critics"].zero_grad()
        (loss + self._gap_weight.weight() * gap.sum() + self._gap_weight.loss(gap)).backward()  # type: ignore[no-untyped-call]
        self.optimizers["critics"].step()
        follow(self._critics.target, self._critics.network, self._config.target_rate)
        figures = {"critic_loss": loss, "gap": gap.mean(), "value": values.mean()}
        return {name: figure.detach() for name, figure in figures.items()}

    def choose(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The best candidate, int64 (N,)."""
        return self._critics.least(states, proposed).argmax(-1)

    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better the logged actions are than what is drawn in their states, (N,)."""
        return self._critics.advantages(batch)


class TextBEARLearner:
    """The best distribution over candidates that is near to the log's: BEAR, Kumar et al. 2019, arXiv:1906.00949.

    The log's policy in a state is what was drawn there from a model of it. The policy begins as that, so there is no
    warm-up, and gives other probabilities to the same candidates: as far as the maximum mean discrepancy allows, in the
    mean over states in which there is something to choose.

    Args:
        config: ``mmd_limit``, ``mmd_kernel``, ``mmd_sigma``, ``target_rate`` and what all algorithms have are used.
        setup: what it is made of.
    """

    def __init__(self, config: BEARConfig, setup: Setup) -> None:
        size = setup.spaces.observation_size
        self._config, self._critics = config, _Critics(setup)
        self._kernel: Kernel = partial(_KERNELS[config.mmd_kernel], sigma=config.mmd_sigma)
        self._policy = Critics(size, size, setup.hidden, setup.initial, members=1)
        self._log_multiplier = nn.Parameter(torch.zeros(()))
        critics = {"critics": self._critics.network, "target": self._critics.target}
        multiplier = nn.ParameterList([self._log_multiplier])
        self.modules = nn.ModuleDict({**critics, "policy": self._policy, "log_multiplier": multiplier})
        self.modules.to(setup.device)
        learnt = [*self._critics.network.parameters(), *self._policy.parameters()]
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            "all": Adam(learnt, config.learning_rate),
            "multiplier": Adam([self._log_multiplier], _MULTIPLIER_RATE),
        }

    def update(self, batch: CandidateBatch, step: int) -> Mapping[str, Tensor]:
        """One step of critics, policy and multiplier."""
        config, proposed = self._config, batch.proposed
        with torch.no_grad():
            next_logprobs = self._logprobs(batch.next_states, batch.next_proposed)
        after = expected_values(soft_clipped_minimum(self._critics.of_next(batch)), next_logprobs)
        critic_loss, values = self._critics.loss(batch, after, config.gamma)
        logprobs = self._logprobs(batch.states, proposed)
        several = (proposed.mask.sum(-1) > 1).to(logprobs.dtype)
        moved = reweighting_mmd(proposed.features, logprobs.exp(), proposed.shares, self._kernel)
        # With a single candidate there is nothing to move, and the limit would be that of a mean over little else.
        discrepancy = (moved * several).sum() / several.sum().clamp(min=1)
        multiplier = lagrange_multiplier(self._log_multiplier)
        worth = expected_values(self._critics.least(batch.states, proposed), logprobs).mean()
        dual_loss = lagrange_dual_loss(self._log_multiplier, discrepancy, config.mmd_limit)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        (critic_loss + multiplier * discrepancy - worth + dual_loss).backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            optimizer.step()
        follow(self._critics.target, self._critics.network, config.target_rate)
        figures = {"critic_loss": critic_loss, "value": values.mean(), "mmd": discrepancy, "multiplier": multiplier}
        return {name: figure.detach() for name, figure in figures.items()}

    @torch.no_grad()
    def choose(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The policy's likeliest candidate, int64 (N,)."""
        return self._logprobs(states, proposed).argmax(-1)

    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better the logged actions are than what is drawn in their states, (N,)."""
        return self._critics.advantages(batch)

    def _logprobs(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The policy's log-probabilities, (N, C); minus infinity where there is no candidate."""
        tilt: Tensor = self._policy(states, proposed.features)[0]
        return supported_values(tilt + proposed.shares.clamp(min=1e-9).log(), proposed.mask).log_softmax(-1)


class TextImplicitLearner:
    """No candidate is asked for: IQL, Kostrikov et al. 2021, arXiv:2110.06169; a language model is its actor.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: IQLConfig, setup: Setup) -> None:
        self._config, self._critics = config, _Critics(setup)
        self._value = Perceptrons((setup.spaces.observation_size, *setup.hidden, 1), setup.initial)
        critics = {"critics": self._critics.network, "target": self._critics.target}
        self.modules = nn.ModuleDict({**critics, "value": self._value}).to(setup.device)
        parameters = [*self._critics.network.parameters(), *self._value.parameters()]
        self.optimizers = {"all": Adam(parameters, config.learning_rate)}

    def update(self, batch: CandidateBatch, step: int) -> Mapping[str, Tensor]:
        """One step of value and critics."""
        now, advantages = self._advantages(batch)
        with torch.no_grad():
            after = self._value(batch.next_states).squeeze(-1)
        value_loss = expectile_loss(now, now.detach() + advantages, self._config.expectile).mean()
        critic_loss, values = self._critics.loss(batch, after, self._config.gamma)
        self.optimizers["all"].zero_grad()
        (value_loss + critic_loss).backward()  # type: ignore[no-untyped-call]
        self.optimizers["all"].step()
        follow(self._critics.target, self._critics.network, self._config.target_rate)
        figures = {"value_loss": value_loss, "critic_loss": critic_loss, "value": values.mean()}
        return {name: figure.detach() for name, figure in figures.items()}

    @torch.no_grad()
    def weights(self, batch: CandidateBatch) -> Tensor:
        """How much each logged action is to be cloned, (N,)."""
        return advantage_weights(self._advantages(batch)[1], self._config.beta, self._config.weight_cap)

    def choose(self, states: Tensor, proposed: Proposed) -> Tensor:
        """The best candidate, int64 (N,)."""
        return self._critics.least(states, proposed).argmax(-1)

    @torch.no_grad()
    def advantages(self, batch: CandidateBatch) -> Tensor:
        """How much better the logged actions are than what was done in their states, (N,)."""
        return self._advantages(batch)[1]

    def _advantages(self, batch: CandidateBatch) -> tuple[Tensor, Tensor]:
        """The values of states, (N,), and how much better the logged actions are, without gradient."""
        now: Tensor = self._value(batch.states).squeeze(-1)
        with torch.no_grad():
            best = self._critics.target(batch.states, batch.actions).amin(0)
        return now, best - now.detach()
