"""Decision Transformer: what the log did where as much was still to be earned as is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from ss_trainers.algorithms.checks import require_between, require_not_negative
from ss_trainers.functional.aggregation import token_mean
from ss_trainers.functional.returns import remaining_return
from ss_trainers.offline.learner import Actor, Setup
from ss_trainers.offline.optimizers import Adam
from ss_trainers.offline.sequences import WindowBatch, Windows
from ss_trainers.offline.settings import OfflineConfig
from ss_trainers.offline.transformer import CausalTransformer, dense, projection, table
from ss_trainers.offline.transitions import Spaces, TransitionBatch, Transitions

# Greatest norm of the gradient, as in the authors' code.
_MAX_NORM = 0.25
# Tokens of observations, among those of a return, an observation and an action for each step: of all, and the newest.
_OBSERVATIONS, _NEWEST = slice(1, None, 3), slice(-2, -1)


@dataclass(frozen=True, slots=True)
class DecisionTransformerConfig(OfflineConfig):
    """Settings of Decision Transformer; widths and rates are the authors' for MuJoCo.

    ``OfflineTraining.batch_size`` counts windows, of which the authors take 64, and ``hidden_layers`` has no part.

    Attributes:
        hidden_dim: width of a token.
        learning_rate: Adam's, after the warm-up.
        gamma: discount of a step; above 0. The authors' returns have none.
        context_length: K, steps that an action depends on.
        layers: of the transformer.
        heads: of attention in a layer.
        dropout: share of the numbers that are left out in training.
        max_timesteps: steps of an episode that are told apart; those after the last are taken for it.
        weight_decay: of all parameters, decoupled from the gradient.
        warmup_updates: updates over which the learning rate rises from zero. The authors take a tenth of all, 10,000.
        target_return: what to earn in an episode, in the log's own units, whatever ``OfflineTraining.reward_scale`` is;
            if None, as much as the best episode of the log. ``NumericPolicy.with_target`` asks for another.
    """

    hidden_dim: int = 128
    learning_rate: float = 1e-4
    gamma: float = 1.0
    context_length: int = 20
    layers: int = 3
    heads: int = 1
    dropout: float = 0.1
    max_timesteps: int = 1000
    weight_decay: float = 1e-4
    warmup_updates: int = 1000
    target_return: float | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        OfflineConfig.__post_init__(self)
        require_between(self, 1, math.inf, "context_length", "layers", "heads", "max_timesteps")
        require_not_negative(self, "weight_decay", "warmup_updates")
        require_between(self, 0, 0.99, "dropout")
        if self.hidden_dim % self.heads:
            raise ValueError(
                f"DecisionTransformerConfig.heads must divide hidden_dim, and {self.heads} does not divide "
                f"{self.hidden_dim}"
            )
        if not self.gamma > 0:
            raise ValueError(
                "DecisionTransformerConfig.gamma must be above 0: what is left of a target is divided by it"
            )
        if self.target_return is not None and not math.isfinite(self.target_return):
            raise ValueError(f"DecisionTransformerConfig.target_return must be finite, not {self.target_return}")


class DecisionTransformerNetwork(nn.Module):
    """From windows of returns, observations and actions to the next actions.

    Args:
        config: the settings.
        spaces: of the log.
        initial: where initial weights come from.
    """

    best_return: Tensor
    return_scale: Tensor

    def __init__(self, config: DecisionTransformerConfig, spaces: Spaces, initial: torch.Generator) -> None:
        super().__init__()
        width, done = config.hidden_dim, spaces.action_size
        # Found by trying: small weights earn more on logs of counted actions, and much less where actions are real
        # numbers (see the page on Decision Transformer).
        layer = dense if spaces.discrete else projection
        self.returns = layer(1, width, initial)
        self.observations = layer(spaces.observation_size, width, initial)
        self.actions = table(done, width, initial) if spaces.discrete else layer(done, width, initial)
        self.timesteps = table(config.max_timesteps, width, initial)
        self.norm = nn.LayerNorm(width)
        self.transformer = CausalTransformer(width, config.layers, config.heads, config.dropout, initial)
        self.head = layer(width, done, initial)
        # What has to be known of the log to act: in the checkpoint, but not learnt.
        self.register_buffer("best_return", torch.tensor(0.0))
        self.register_buffer("return_scale", torch.tensor(1.0))

    @torch.no_grad()
    def measure(self, windows: Windows) -> None:
        """Takes from a log how much its best episode earned, and how great returns are."""
        self.best_return.copy_(windows.returns[windows.firsts].max())
        greatest = windows.returns.abs().max()
        self.return_scale.copy_(torch.where(greatest > 0, greatest, 1.0))

    def forward(
        self, windows: WindowBatch, noise: torch.Generator | None = None, asked: slice = _OBSERVATIONS
    ) -> Tensor:
        """What to do next.

        Args:
            windows: (B, K) steps.
            noise: where dropout is drawn from; none without.
            asked: tokens that answer; those of all observations, or of the newest.

        Returns:
            float (B, K, A), or (B, 1, A) of the newest: logits, or actions before the tanh. Each depends on what came
            before its action alone.
        """
        times = self.timesteps(windows.timesteps.clamp(max=self.timesteps.num_embeddings - 1))
        returns = self.returns((windows.returns / self.return_scale)[..., None])
        parts = (returns, self.observations(windows.observations), self.actions(windows.actions))
        tokens = torch.stack([part + times for part in parts], 2).flatten(1, 2)
        mask = windows.mask.repeat_interleave(3, 1)
        return cast("Tensor", self.head(self.transformer(self.norm(tokens), mask, noise, asked)))


class DecisionTransformerLearner:
    """Decision Transformer, Chen et al. 2021, arXiv:2106.01345.

    A step is three tokens: what is still to be earned, the observation and the action, to each of which the embedding
    of the timestep is added. What comes out at an observation is the action there. As in the authors' code, but that
    returns are divided by the greatest of the log, and attention's weights are not dropped.

    Args:
        config: the settings.
        setup: what it is made of.
    """

    def __init__(self, config: DecisionTransformerConfig, setup: Setup) -> None:
        self._config, self._spaces, self._noise = config, setup.spaces, setup.noise
        self._reward_scale = setup.reward_scale
        self._network = DecisionTransformerNetwork(config, setup.spaces, setup.initial)
        self.modules = nn.ModuleDict({"policy": self._network}).to(setup.device)
        self.optimizers = {"policy": Adam(self._network.parameters(), config.learning_rate, config.weight_decay)}

    def examples(self, log: TransitionBatch, transitions: Transitions) -> Windows:
        """Windows."""
        timeouts = torch.from_numpy(transitions.timeouts).to(log.terminals.device)
        windows = Windows.of(log, timeouts, self._config.context_length, self._config.gamma)
        self._network.measure(windows)
        return windows

    def update(self, batch: WindowBatch, step: int) -> Mapping[str, Tensor]:
        """One step on the likelihood of all actions in the windows."""
        said = self._network(batch, self._noise)
        if self._spaces.discrete:
            surprise = cross_entropy(said.transpose(1, 2), batch.actions, reduction="none")
        else:
            surprise = (said.tanh() - batch.actions).square().mean(-1)
        loss = token_mean(surprise, batch.mask)
        optimizer = self.optimizers["policy"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(self._network.parameters(), _MAX_NORM)
        for group in optimizer.param_groups:
            group["lr"] = self._config.learning_rate * min((step + 1) / max(self._config.warmup_updates, 1), 1.0)
        optimizer.step()
        return {"loss": loss.detach(), "gradient_norm": norm}

    def actor(self, rows: int) -> Actor:
        """The likeliest action where the target of the settings is to be earned."""
        target = self._config.target_return
        if target is not None:
            return self.actor_towards(target * self._reward_scale, rows)
        return self._episodes(self._network.best_return.expand(rows))

    def actor_towards(self, target_return: float, rows: int) -> Actor:
        """The likeliest action where so much is to be earned, in units of scaled rewards."""
        return self._episodes(self._network.best_return.new_full((rows,), target_return))

    def _episodes(self, targets: Tensor) -> Actor:
        return ReturnConditionedActor(self._choose, targets, self._spaces, self._config)

    @torch.no_grad()
    def _choose(self, windows: WindowBatch) -> Tensor:
        said: Tensor = self._network(windows, asked=_NEWEST)[:, 0]
        return said.argmax(-1) if self._spaces.discrete else said.tanh()


class ReturnConditionedActor:
    """Episodes, side by side, of a policy that is asked for a return; it sees the newest steps of each.

    All are equally old, so that their windows need no padding.

    Args:
        choose: from windows, whose newest actions are still to be chosen, to these.
        targets: float (N,); what is to be earned in each episode, in units of scaled rewards.
        spaces: of the log.
        config: the settings.
    """

    def __init__(
        self,
        choose: Callable[[WindowBatch], Tensor],
        targets: Tensor,
        spaces: Spaces,
        config: DecisionTransformerConfig,
    ) -> None:
        self._choose, self._left, self._config = choose, targets, config
        rows = len(targets)
        self._actions = (
            torch.zeros(rows, 1, dtype=torch.int64, device=targets.device)
            if spaces.discrete
            else targets.new_zeros(rows, 1, spaces.action_size)
        )
        self._windows: WindowBatch | None = None
        self._timesteps = torch.zeros(rows, 1, dtype=torch.int64, device=targets.device)

    def act(self, observations: Tensor) -> Tensor:
        """What to do next.

        Raises:
            ValueError: if there are not as many observations as episodes.
        """
        if len(observations) != len(self._left):
            raise ValueError(f"there are {len(observations)} observations for {len(self._left)} episodes")
        newest = WindowBatch(
            self._left[:, None],
            observations[:, None],
            self._actions.clone(),
            self._timesteps,
            torch.ones_like(self._timesteps, dtype=torch.bool),
        )
        before, length = self._windows, self._config.context_length
        self._windows = newest if before is None else before.followed_by(newest, length)
        chosen = self._choose(self._windows)
        self._windows.actions[:, -1] = chosen
        self._timesteps = self._timesteps + 1
        return chosen

    def earned(self, rewards: Tensor) -> None:
        """So much less is left to earn."""
        self._left = remaining_return(self._left, rewards, self._config.gamma)


def learner(config: DecisionTransformerConfig, setup: Setup) -> DecisionTransformerLearner:
    """The algorithm for a log."""
    return DecisionTransformerLearner(config, setup)
