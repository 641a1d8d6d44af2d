"""Fitted Q evaluation: what a policy would earn, by a model of its action values that is learnt from a log.

The model is linear in the features of a state with an action, and in a layer of random ones over them, so that what is
good in one state may be bad in another. Each regression is then a product with a matrix that is factored once, the
result follows from the seed to the last bit of a processor, and how much it varies from log to log can be told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.off_policy import linear_value_terms
from ss_trainers.functional.returns import bellman_target, episode_returns

# Rows whose random features are computed at once: with 512 of them, 32 MB.
_ROWS = 2**13
# Least penalty, a step: of the constant, too, which is not to be shrunk, but may be a sum of other features.
_LEAST_RIDGE = 1e-13
# How far the chances of what a policy does may be from 1 in sum.
_SLACK = 1e-4


class UnsettledError(ArithmeticError):
    """The values of a policy grow from regression to regression, or come and go: there is nothing to report.

    Args:
        change: by how much, as a share of the greatest return, they still changed.
        iterations: how many regressions there were.
    """

    def __init__(self, change: float, iterations: int) -> None:
        super().__init__(
            f"after {iterations} regressions values still change by {change:.2g} of the greatest return: give bounds, "
            "raise ridge, lower gamma, or allow more iterations"
        )
        self.change, self.iterations = change, iterations


@dataclass(frozen=True, slots=True)
class FittedQConfig:
    """Settings of fitted Q evaluation.

    Attributes:
        gamma: discount of a step.
        hidden: random features; 0 for a model that is linear in those that are given, as for tables.
        ridge: penalty of squared weights, in steps of the log: features are scaled to a mean square of 1 in all.
        bounds: least and greatest return that is possible; what next states are worth in targets is clipped to them.
            It keeps values from growing without end. It also raises those that are near the least return, and lowers
            those that are near the greatest, so leave it out where nothing grows.
        folds: parts of the log, of which each is told the values of a model that has learnt from the others: those of
            the doubly robust estimate. With 1 they are those of the model that has learnt from all.
        iterations: regressions at most.
        tolerance: a model is done when the values of states change by less, as a share of the greatest return in the
            log. An episode of H steps has told its first step what it earned after H regressions.
        seed: of the random features and the folds.
    """

    gamma: float = 1.0
    hidden: int = 256
    ridge: float = 0.01
    bounds: tuple[float, float] | None = None
    folds: int = 2
    iterations: int = 300
    tolerance: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no fit could mean."""
        require_between(self, 0, 1, "gamma")
        require_between(self, 0, math.inf, "hidden", "ridge")
        require_between(self, 1, math.inf, "folds", "iterations")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"FittedQConfig.tolerance must be a share between 0 and 1, not {self.tolerance}")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"FittedQConfig.bounds must be a least and a greatest return, not {self.bounds}")


@dataclass(frozen=True, slots=True)
class LoggedSteps:
    """The steps of whole episodes, one after the other.

    Attributes:
        features: float (T, F); of a state with the action that was taken in it, together.
        rewards: float (T,).
        ends: bool (T,); the last steps of episodes. Nothing is earned after them, whatever ended the episode: a limit
            of turns is part of the task, and a return that is weighed ends there, too. So log episodes to their ends;
            one that was cut off from outside, such as by a server that went down, is to be left out.
        clusters: int64 (N,); which episodes belong together, such as attempts at one scenario. Folds do not part them.
            None if each is alone.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, there are no steps, or the last is not an end.
    """

    features: Tensor
    rewards: Tensor
    ends: Tensor
    clusters: Tensor | None = None

    def __post_init__(self) -> None:
        _check_rows("features of logged steps", self.features)
        steps = len(self.features)
        if self.rewards.shape != (steps,) or self.ends.shape != (steps,) or self.ends.dtype != torch.bool:
            told = f"{tuple(self.rewards.shape)} and {self.ends.dtype} {tuple(self.ends.shape)}"
            raise ValueError(f"rewards must be ({steps},) and ends bool ({steps},), one a step, not {told}")
        if not bool(self.rewards.isfinite().all()):
            raise ValueError(f"the reward of step {_first(~self.rewards.isfinite())} is not finite")
        if not bool(self.ends[-1]):
            raise ValueError("the last step must be the end of its episode: give whole episodes")
        if self.clusters is not None and self.clusters.shape != (int(self.ends.sum()),):
            told = f"{int(self.ends.sum())} episodes, and {tuple(self.clusters.shape)} of them"
            raise ValueError(f"clusters must be one for each episode: there are {told}")

    @property
    def starts(self) -> Tensor:
        """The first steps of episodes, bool (T,)."""
        return torch.cat([torch.ones_like(self.ends[:1]), self.ends[:-1]])

    @property
    def episodes(self) -> Tensor:
        """Of which episode each step is, int64 (T,)."""
        return self.starts.cumsum(0) - 1


@dataclass(frozen=True, slots=True)
class PolicyActions:
    """What a policy would do in the states of a log: drawn from it, or all that it may do with how likely that is.

    Attributes:
        features: float (M, F); of a state with such an action, as those of the log are.
        steps: int64 (M,); the step in whose state it is.
        chances: float (M,); those of a step add up to 1. An action that was drawn counts as much as any other that was
            drawn there: 1/n of n.

    Raises:
        ValueError: if shapes do not fit, or a number is not finite or a chance negative.
    """

    features: Tensor
    steps: Tensor
    chances: Tensor

    def __post_init__(self) -> None:
        _check_rows("features of a policy's actions", self.features)
        rows = len(self.features)
        if self.steps.shape != (rows,) or self.chances.shape != (rows,) or self.steps.dtype != torch.int64:
            told = f"{self.steps.dtype} {tuple(self.steps.shape)} and {tuple(self.chances.shape)}"
            raise ValueError(f"steps must be int64 ({rows},) and chances ({rows},), one an action, not {told}")
        wrong = ~self.chances.isfinite() | (self.chances < 0)
        if bool(wrong.any()):
            raise ValueError(f"the chance of action {_first(wrong)} is {float(self.chances[_first(wrong)])}")

    @classmethod
    def drawn(cls, features: Tensor) -> PolicyActions:
        """Actions that were drawn from the policy, as many in each state.

        Args:
            features: float (T, n, F); n actions in the state of each step.

        Raises:
            ValueError: if they have another shape.
        """
        if features.ndim != 3 or not features.shape[1]:
            raise ValueError(f"features of drawn actions must be (T, n, F), not {tuple(features.shape)}")
        steps, each, _ = features.shape
        places = torch.arange(steps, device=features.device).repeat_interleave(each)
        return cls(features.flatten(0, 1), places, torch.full_like(features[..., 0], 1 / each).flatten())


@dataclass(frozen=True, slots=True)
class FittedValues:
    """Values of a policy in the steps of a log.

    Attributes:
        action_values: float (T,); Q of the logged actions.
        state_values: float (T,); V of the states that they were taken in: the mean of Q over the policy.
        terms: float (N,), one an episode, whose mean is the estimate, for ``bootstrap_interval``; None where values
            come from elsewhere, without an estimate of their own. They are V of the first state, and by how much the
            estimate would have been another with less or more of the episode in what was learnt. So an interval of
            them tells of the states that were drawn and of what was learnt by chance, and nothing of what the model
            can't say: its bias.
        iterations: regressions of the model that has learnt from all.
        gamma: discount that they were fitted with; None where they come from elsewhere.
    """

    action_values: Tensor
    state_values: Tensor
    terms: Tensor | None = None
    iterations: int = 0
    gamma: float | None = None

    @property
    def estimate(self) -> float | None:
        """What the policy would earn: the mean of V over the first states."""
        return None if self.terms is None else float(self.terms.mean())


def fitted_q_evaluation(log: LoggedSteps, policy: PolicyActions, config: FittedQConfig | None = None) -> FittedValues:
    r"""Learns the values of a policy from a log that another one played.

    .. math:: Q_{k+1} = \arg\min_Q \sum_t
        \bigl(Q(s_t, a_t) - r_t - \gamma\,\mathbb E_{a' \sim \pi} Q_k(s_{t+1}, a')\bigr)^2

    Le et al. 2019, arXiv:1903.08738, algorithm 3, from :math:`Q_0 = 0`, with ridge regression on random features
    (Rahimi and Recht 2008, "Weighted Sums of Random Kitchen Sinks"). The next state is worth the mean over what the
    policy does, never the best of it. How likely the log's policy was to do what it did is not asked. The values of a
    fold come from a model that has not seen it (Kallus and Uehara 2020, arXiv:1908.08526, section 4), so that they do
    not know what they are to be corrected by. They are not clipped: V must be the mean of Q. It takes some five tables
    of T times 1 + F + ``hidden`` numbers of eight bytes.

    Args:
        log: its steps.
        policy: what it would do in all of their states.
        config: the settings; the defaults if None.

    Raises:
        UnsettledError: if values do not come to rest.
        ValueError: if the policy has no action in some state, or its features are of another size.
    """
    config = config or FittedQConfig()
    _check_policy(log, policy)
    generator = torch.Generator().manual_seed(config.seed)
    design = _Design(log.features, config.hidden, generator)
    own, meant = design(log.features), _means(design, policy, len(log.rewards))
    # What follows the end of an episode is the first state of another; it is worth nothing.
    after = torch.where(log.ends[:, None], 0.0, meant.roll(-1, 0))
    problem = _Problem(own, after, log.rewards.double(), log.ends, _greatest_return(log, config.gamma), config)
    everything = torch.ones_like(log.ends)
    weights, iterations = problem.solved(everything)
    values = torch.stack([own @ weights, meant @ weights])
    folds = _folds(log, config.folds, generator)[log.episodes]
    for fold in range(config.folds) if config.folds > 1 else ():
        held_out = folds == fold
        others, _ = problem.solved(~held_out)
        values[:, held_out] = torch.stack([own[held_out] @ others, meant[held_out] @ others])
    terms = problem.terms(weights, meant[log.starts], log.episodes)
    return FittedValues(values[0], values[1], terms, iterations, config.gamma)


class _Design:
    """Turns features into what the model is linear in: a constant, the features, and random ones over them.

    Args:
        features: float (T, F); of the log, which they are shifted and scaled by.
        hidden: how many random ones.
        generator: where they are drawn.
    """

    def __init__(self, features: Tensor, hidden: int, generator: torch.Generator) -> None:
        rows = features.double()
        self._shift = rows.mean(0)
        spread = (rows - self._shift).square().sum(1).mean().sqrt()
        self._scale = 1 / spread if spread > 0 else torch.ones_like(spread)
        drawn = torch.randn(rows.shape[1] + 1, hidden, dtype=torch.float64, generator=generator).to(rows.device)
        self._directions, self._thresholds = drawn[:-1], drawn[-1]

    def __call__(self, features: Tensor) -> Tensor:
        """Float64 (T, D) of features (T, F)."""
        rows = (features.double() - self._shift) * self._scale
        parts = [rows.new_ones(len(rows), 1), rows]
        if hidden := len(self._thresholds):
            # Of a mean square of about 1 in all, as the features themselves.
            parts.append((rows @ self._directions + self._thresholds).relu_() / math.sqrt(hidden))
        return torch.cat(parts, 1)


def _means(design: _Design, policy: PolicyActions, steps: int) -> Tensor:
    """The mean over what a policy does in each state, float64 (T, D)."""
    size = design(policy.features[:1]).shape[1]
    means = torch.zeros(steps, size, dtype=torch.float64, device=policy.features.device)
    columns = (policy.features, policy.steps, policy.chances.double())
    for features, places, chances in zip(*(torch.split(column, _ROWS) for column in columns), strict=True):
        means.index_add_(0, places, design(features) * chances[:, None])
    return means


@dataclass(frozen=True, slots=True)
class _Problem:
    """The regressions of one policy: inputs, what comes after, rewards, ends, what changes are measured by."""

    own: Tensor
    after: Tensor
    rewards: Tensor
    ends: Tensor
    unit: float
    config: FittedQConfig

    def solved(self, rows: Tensor) -> tuple[Tensor, int]:
        """The weights that some steps, bool (T,), lead to, and after how many regressions."""
        own, after, rewards, ends = self.own[rows], self.after[rows], self.rewards[rows], self.ends[rows]
        factor = torch.linalg.cholesky(own.T @ own + self.penalty.diag())
        weights, values = own.new_zeros(own.shape[1]), rewards.new_zeros(len(rewards))
        change = math.inf
        for iteration in range(1, self.config.iterations + 1):
            targets = bellman_target(rewards, values, ends, self.config.gamma)
            weights = torch.cholesky_solve((own.T @ targets)[:, None], factor)[:, 0]
            previous, values = values, self._clipped(after @ weights)
            change = float((values - previous).abs().max()) / self.unit
            if change < self.config.tolerance:
                return weights, iteration
            if not math.isfinite(change):
                break
        raise UnsettledError(change, iteration)

    @property
    def penalty(self) -> Tensor:
        """Of each weight's square, float64 (D,)."""
        least = _LEAST_RIDGE * len(self.own)
        penalty = self.own.new_full((self.own.shape[1],), max(self.config.ridge, least))
        penalty[0] = least
        return penalty

    def terms(self, weights: Tensor, first: Tensor, episodes: Tensor) -> Tensor:
        """What each episode contributes to the estimate, float64 (N,)."""
        raw = self.after @ weights
        values = self._clipped(raw)
        errors = bellman_target(self.rewards, values, self.ends, self.config.gamma) - self.own @ weights
        # A value that is clipped does not move with the weights.
        moving = torch.where((raw == values)[:, None], self.after, 0.0)
        return linear_value_terms(self.own, moving, errors, first, weights, episodes, self.penalty, self.config.gamma)

    def _clipped(self, values: Tensor) -> Tensor:
        return values if self.config.bounds is None else values.clamp(*self.config.bounds)


def _greatest_return(log: LoggedSteps, gamma: float) -> float:
    """The greatest return of a step by its size; 1 if all are 0."""
    returns = episode_returns(log.rewards.double(), log.ends, torch.zeros_like(log.ends), gamma)
    return float(returns.abs().max()) or 1.0


def _folds(log: LoggedSteps, folds: int, generator: torch.Generator) -> Tensor:
    """The fold of each episode, int64 (N,): clusters in a drawn order, one to each fold in turn."""
    count = int(log.ends.sum())
    places = torch.arange(count) if log.clusters is None else torch.unique(log.clusters, return_inverse=True)[1].cpu()
    groups = int(places.max()) + 1
    if groups < folds:
        raise ValueError(f"{folds} folds need as many groups of episodes, and there are {groups}: set folds to 1")
    return (torch.randperm(groups, generator=generator) % folds)[places].to(log.ends.device)


def _check_rows(name: str, features: Tensor) -> None:
    if features.ndim != 2 or not features.is_floating_point() or not len(features):
        raise ValueError(
            f"{name} must be float (N, F) with a row or more, not {features.dtype} {tuple(features.shape)}"
        )
    wrong = ~features.isfinite().all(1)
    if bool(wrong.any()):
        raise ValueError(f"{name} are not finite in row {_first(wrong)}")


def _check_policy(log: LoggedSteps, policy: PolicyActions) -> None:
    if policy.features.shape[1] != log.features.shape[1]:
        told = f"{policy.features.shape[1]} numbers, and those of the log {log.features.shape[1]}"
        raise ValueError(f"features of a policy's actions must be made as those of the log: they have {told}")
    steps = len(log.rewards)
    outside = (policy.steps < 0) | (policy.steps >= steps)
    if bool(outside.any()):
        raise ValueError(f"action {_first(outside)} is of step {int(policy.steps[outside][0])}, and there are {steps}")
    sums = torch.zeros(steps, dtype=torch.float64, device=policy.chances.device)
    sums.index_add_(0, policy.steps, policy.chances.double())
    wrong = (sums - 1).abs() > _SLACK
    if bool(wrong.any()):
        step = _first(wrong)
        raise ValueError(f"the chances of what the policy does at step {step} add up to {float(sums[step]):.4g}, not 1")


def _first(marks: Tensor) -> int:
    return int(marks.nonzero()[0])
