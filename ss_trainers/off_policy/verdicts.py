"""Whether a policy is to take the place of the one that was logged: a rule, and what it says of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from ss_trainers.algorithms.checks import require_between
from ss_trainers.off_policy.estimates import ESTIMATORS, OffPolicyEstimate, PolicyEvaluation


class Decision(Enum):
    """What to do with a policy."""

    DEPLOY = "deploy"
    DO_NOT_DEPLOY = "do not deploy"
    NOT_KNOWN = "not known: log more, or try a closer policy"


@dataclass(frozen=True, slots=True)
class DeploymentRule:
    """When a policy is better than the one that was logged, or worse, for all that can be known.

    It is better if the lower bounds of all estimators that have a say are above the upper bound of the logged policy's
    mean return, and worse if their upper bounds are below its lower bound. Otherwise, and in these cases, it is not
    known: one of them says nothing; the log is worth less than ``least`` episodes of the policy's own; the mean weight
    of an episode is not 1, so that weights are wrong; two of the intervals do not overlap; or the whole interval of an
    estimator that has no say is on the other side of the logged policy's mean.

    Attributes:
        estimators: those that have a say, by the names of ``ESTIMATORS``. Without a model of values these can be
            ``("wis", "pdis")``.
        least: effective episodes, which intervals by resampling need to hold as often as they say.
    """

    estimators: tuple[str, ...] = ("wis", "dr")
    least: float = 50.0

    def __post_init__(self) -> None:
        """Refuse a rule by which nobody, or somebody unknown, has a say."""
        unknown = [name for name in self.estimators if name not in ESTIMATORS]
        if unknown or not self.estimators:
            told = f"one or more of {', '.join(ESTIMATORS)}, not {self.estimators}"
            raise ValueError(f"DeploymentRule.estimators must be {told}")
        require_between(self, 0, math.inf, "least")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a policy, and why.

    Attributes:
        decision: what.
        reason: why, a sentence.
    """

    decision: Decision
    reason: str


def verdict_of(evaluation: PolicyEvaluation, rule: DeploymentRule | None = None) -> Verdict:
    """What a rule says of an evaluation.

    Args:
        evaluation: of a policy.
        rule: the default if None.
    """
    rule = rule or DeploymentRule()
    for doubt in _doubts(evaluation, rule):
        return Verdict(Decision.NOT_KNOWN, doubt)
    heard = {ESTIMATORS[name]: _known(evaluation.estimates[name]) for name in rule.estimators}
    lowest, highest = min(low for low, _ in heard.values()), max(high for _, high in heard.values())
    low, high = _known(evaluation.behavior)
    logged, names = f"the logged policy's {evaluation.behavior}", " and ".join(heard)
    if low <= highest and lowest <= high:
        told = _listed({name: evaluation.estimates[name] for name in rule.estimators})
        return Verdict(Decision.NOT_KNOWN, f"Not all intervals are to one side of {logged}: {told}.")
    for objection in _objections(evaluation, better=lowest > high):
        return Verdict(Decision.NOT_KNOWN, objection)
    if lowest > high:
        return Verdict(Decision.DEPLOY, f"By {names} it earns {lowest:.3f} at least, which is above {logged}.")
    return Verdict(Decision.DO_NOT_DEPLOY, f"By {names} it earns {highest:.3f} at most, which is below {logged}.")


def _doubts(evaluation: PolicyEvaluation, rule: DeploymentRule) -> Iterator[str]:
    """Why nothing can be known, a sentence each, whichever policy seems to be better."""
    heard = {name: evaluation.estimates[name] for name in rule.estimators}
    for name, estimate in heard.items():
        if estimate.bounds is None:
            yield f"{ESTIMATORS[name]} says nothing: {estimate.reason}."
    if evaluation.effective_samples < rule.least:
        yield (
            f"The {evaluation.episodes:,} logged episodes tell as much about this policy as "
            f"{evaluation.effective_samples:.1f} of its own would, and the rule asks for {rule.least:g}."
        )
    low, high = _known(evaluation.mean_weight)
    if not low <= 1 <= high:
        yield (
            f"Episodes should weigh 1 in the mean, and weigh {evaluation.mean_weight}: the log-probabilities are not "
            "those of the policy that played, or this one does what was never logged."
        )
    if max(_known(each)[0] for each in heard.values()) > min(_known(each)[1] for each in heard.values()):
        yield f"The estimators contradict each other: {_listed(heard)}."


def _objections(evaluation: PolicyEvaluation, better: bool) -> Iterator[str]:
    """What is said to the contrary by estimators, a sentence each."""
    mean = evaluation.behavior.value
    assert mean is not None
    for name, estimate in evaluation.estimates.items():
        low, high = estimate.bounds or (mean, mean)
        if high < mean if better else low > mean:
            told = f"{ESTIMATORS[name]} {estimate} is {'below' if better else 'above'} the logged policy's {mean:.3f}"
            yield f"{told}, which contradicts the others."


def _listed(estimates: Mapping[str, OffPolicyEstimate]) -> str:
    return ", ".join(f"{ESTIMATORS[name]} {estimate}" for name, estimate in estimates.items())


def _known(estimate: OffPolicyEstimate) -> tuple[float, float]:
    assert estimate.bounds is not None
    return estimate.bounds
