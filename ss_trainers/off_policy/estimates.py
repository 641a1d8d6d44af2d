"""What a policy would earn, by all estimators, each with its interval, or with the reason why it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ss_trainers.algorithms.checks import require_between
from ss_trainers.functional.off_policy import (
    SupportError,
    bootstrap_interval,
    doubly_robust,
    effective_samples,
    importance_sampled,
    log_trajectory_weights,
    per_decision,
    require_support,
    weighted_mean,
)
from ss_trainers.off_policy.episodes import LoggedEpisodes, check_steps
from ss_trainers.off_policy.fitted_q import FittedValues

# Name -> what it is called in tables.
ESTIMATORS: Mapping[str, str] = {"is": "IS", "wis": "WIS", "pdis": "PDIS", "dr": "DR", "fqe": "FQE"}
# Of the interval of the mean weight: of a hundred logs that are as they should be, one is suspected.
_WEIGHT_LEVEL = 0.99
_NO_MODEL = "no values of the policy were given: fitted_q_evaluation learns them"


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How estimates are made.

    Attributes:
        gamma: discount of a step, the same as of fitted values.
        level: how often an interval is to hold the truth. Where the best of K policies is looked for, 1 - 0.05 / K
            keeps all intervals at once at 95 %.
        resamples: logs that are drawn for an interval.
        least: effective episodes below which nothing is estimated.
        seed: of the resampling.
    """

    gamma: float = 1.0
    level: float = 0.95
    resamples: int = 1000
    least: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no evaluation could mean."""
        require_between(self, 0, 1, "gamma")
        require_between(self, 1, math.inf, "resamples")
        require_between(self, 0, math.inf, "least")
        if not 0 < self.level < 1:
            raise ValueError(f"EvaluationSettings.level must be between 0 and 1, not {self.level}")


@dataclass(frozen=True, slots=True)
class OffPolicyEstimate:
    """What one estimator says of a policy.

    Attributes:
        value: mean return of an episode; None if it says nothing.
        low: lower bound of its interval; None likewise.
        high: upper bound.
        effective_samples: how many episodes of its own would tell as much; None for a model, which weighs none.
        reason: why it says nothing; empty if it does.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    effective_samples: float | None = None
    reason: str = ""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval; None if it says nothing."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def __str__(self) -> str:
        """The value with its interval; a dash if it says nothing."""
        return "–" if self.value is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class PolicyEvaluation:
    """What a log says of a policy.

    Attributes:
        estimates: by the names of ``ESTIMATORS``, all of them.
        behavior: the mean return of the policy that was logged.
        mean_weight: the mean weight of an episode, with its 99 % interval. It is 1 but for chance; otherwise the
            behaviour's log-probabilities are not those of what was played, or the policy does what was never logged.
        effective_samples: how many episodes of the policy's own would tell as much as the log.
        episodes: in the log.
        level: of all intervals.
    """

    estimates: Mapping[str, OffPolicyEstimate]
    behavior: OffPolicyEstimate
    mean_weight: OffPolicyEstimate
    effective_samples: float
    episodes: int
    level: float


def evaluate_off_policy(
    log: LoggedEpisodes,
    logprobs: Tensor,
    values: FittedValues | None = None,
    settings: EvaluationSettings | None = None,
) -> PolicyEvaluation:
    """Estimates what a policy would earn from episodes that another one played.

    Intervals resample clusters of episodes, the same ones for each estimator. Where the log supports the policy too
    little (``require_support``), all of them say nothing, and why is in their ``reason``. Fitted Q evaluation, too: it
    weighs no episodes and could answer, but of what was hardly ever logged it tells by hearsay, which no weights can
    check. Whoever wants that has ``FittedValues.estimate``.

    Args:
        log: the episodes.
        logprobs: float (N, H); how likely each logged action is to the policy, nats; minus infinity for what it never
            does.
        values: of the policy, for the doubly robust estimate; those of ``fitted_q_evaluation`` also have one of their
            own. Without, both say nothing.
        settings: how estimates are made; the defaults if None.

    Raises:
        ValueError: if log-probabilities are of another shape, NaN or infinitely high, or values not one a step or
            fitted with another discount.
    """
    settings = settings or EvaluationSettings()
    if logprobs.shape != log.rewards.shape:
        shapes = f"{tuple(logprobs.shape)}, and the log is {tuple(log.rewards.shape)}"
        raise ValueError(f"log-probabilities of the policy are {shapes}")
    if values is not None and values.gamma not in (None, settings.gamma):
        raise ValueError(f"values were fitted with a gamma of {values.gamma}, and the settings have {settings.gamma}")
    check_steps("policy's log-probability", log.step_mask & ~(logprobs < math.inf), logprobs)
    weights = log_trajectory_weights(logprobs, log.behavior_logprobs, log.step_mask)
    effective, refusal = float(effective_samples(weights)), ""
    try:
        require_support(weights, settings.least)
    except SupportError as error:
        refusal = str(error)
    interval = partial(_interval, log=log, settings=settings)
    estimates = {}
    for name, terms in _terms(log, logprobs, weights, values, settings.gamma).items():
        if refusal or terms is None:
            estimates[name] = OffPolicyEstimate(effective_samples=effective, reason=refusal or _NO_MODEL)
        else:
            estimates[name] = interval(terms, weights if name == "wis" else None, effective)
    return PolicyEvaluation(
        estimates={**estimates, "fqe": _by_model(log, values, refusal, interval)},
        behavior=interval(log.returns(settings.gamma)),
        mean_weight=interval(weights.exp(), settings=replace(settings, level=_WEIGHT_LEVEL)),
        effective_samples=effective,
        episodes=len(log),
        level=settings.level,
    )


def _terms(
    log: LoggedEpisodes, logprobs: Tensor, weights: Tensor, values: FittedValues | None, gamma: float
) -> dict[str, Tensor | None]:
    """What each estimator that weighs episodes makes of them, (N,); None where it needs a model."""
    columns = (logprobs, log.behavior_logprobs, log.rewards)
    returns = log.returns(gamma)
    model = None
    if values is not None:
        tables = log.table(values.action_values), log.table(values.state_values)
        model = doubly_robust(*columns, *tables, log.step_mask, gamma)
    return {
        "is": importance_sampled(weights, returns),
        "wis": returns,
        "pdis": per_decision(*columns, log.step_mask, gamma),
        "dr": model,
    }


def _by_model(
    log: LoggedEpisodes, values: FittedValues | None, refusal: str, interval: Callable[[Tensor], OffPolicyEstimate]
) -> OffPolicyEstimate:
    if values is None or values.terms is None:
        return OffPolicyEstimate(reason=_NO_MODEL)
    if values.terms.shape != (len(log),):
        raise ValueError(f"fitted values are of {tuple(values.terms.shape)} episodes, and the log has {len(log)}")
    return OffPolicyEstimate(reason=refusal) if refusal else interval(values.terms)


def _interval(
    terms: Tensor,
    weights: Tensor | None = None,
    effective: float | None = None,
    *,
    log: LoggedEpisodes,
    settings: EvaluationSettings,
) -> OffPolicyEstimate:
    value = terms.mean() if weights is None else weighted_mean(terms, weights)
    # Anew for each, so that all are of the same resamples.
    generator = torch.Generator().manual_seed(settings.seed)
    bounds = bootstrap_interval(terms, generator, weights, settings.level, settings.resamples, log.clusters)
    return OffPolicyEstimate(float(value), *bounds, effective_samples=effective)
