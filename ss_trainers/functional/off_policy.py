"""Off-policy evaluation: what a policy would earn, from episodes that another one played.

``(N, H)`` are the steps of N logged episodes; those outside ``step_mask`` take no time. An estimator
gives a value for each episode, whose mean is the estimate, so that it can be resampled; all but the weighted
one are unbiased if the behaviour policy does, sometimes, all that the target does.

A step should be a *turn*, or the choice among a set of candidates: a product of ratios over hundreds of tokens is
almost 0 but for one episode. ``require_support`` refuses such a log.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ss_trainers.functional.ratios import effective_sample_share, sequence_logprob, token_ratio

# Episodes of resamples that are drawn at once.
_DRAWN = 2**18


class SupportError(ValueError):
    """A log says too little about a policy to estimate what it would earn.

    Args:
        effective: how many equally weighted episodes would tell as much.
        least: how many are needed.
        episodes: how many were logged.
    """

    def __init__(self, effective: float, least: float, episodes: int) -> None:
        super().__init__(
            f"the {episodes} logged episodes tell as much about this policy as {effective:.1f} of its own would, and "
            f"{least:g} are needed: log more of them, or evaluate a policy that is closer to the logged one"
        )
        self.effective, self.least, self.episodes = effective, least, episodes


def log_trajectory_weights(logprobs: Tensor, behavior_logprobs: Tensor, step_mask: Tensor) -> Tensor:
    r"""How much likelier an episode's actions are to the target policy than to the one that played it.

    .. math:: \log W = \sum_t m_t\,\bigl(\log\pi(a_t \mid s_t) - \log\pi_\beta(a_t \mid s_t)\bigr)

    Precup et al. 2000, "Eligibility Traces for Off-Policy Policy Evaluation".

    Args:
        logprobs: float (N, H); minus infinity for what the target policy never does.
        behavior_logprobs: float (N, H).
        step_mask: bool (N, H).

    Returns:
        float (N,); 0 for an episode without steps.
    """
    return sequence_logprob(logprobs - behavior_logprobs, step_mask)


def importance_sampled(log_weights: Tensor, returns: Tensor) -> Tensor:
    r"""Each episode's return times its weight: :math:`W_i G_i`, whose mean is the IS estimate.

    Precup et al. 2000; Thomas and Brunskill 2016, arXiv:1604.00923.

    Args:
        log_weights: float (N,).
        returns: float (N,); discounted, from the first step.

    Returns:
        float (N,).
    """
    return log_weights.exp() * returns


def weighted_mean(values: Tensor, log_weights: Tensor) -> Tensor:
    r"""Mean of episodes, each as much as it weighs, which of returns is the WIS estimate.

    .. math:: \frac{\sum_i W_i G_i}{\sum_i W_i}

    Precup et al. 2000; Thomas and Brunskill 2016, arXiv:1604.00923. Biased, but never outside the returns that were
    seen, and of much smaller variance. Weights are scaled before they are exponentiated.

    Args:
        values: float (N,).
        log_weights: float (N,).

    Returns:
        scalar; NaN if no episode has a weight.
    """
    return (torch.softmax(log_weights, 0) * values).sum()


def per_decision(
    logprobs: Tensor, behavior_logprobs: Tensor, rewards: Tensor, step_mask: Tensor, gamma: float = 1.0
) -> Tensor:
    r"""Each reward times the weight of the actions up to it: later ones had no part in it.

    .. math:: \sum_t \gamma^t \Bigl(\prod_{j \le t} \rho_j\Bigr) r_t, \quad \rho_j = \pi(a_j) / \pi_\beta(a_j)

    PDIS, Precup et al. 2000; the mean over episodes is the estimate.

    Args:
        logprobs: float (N, H).
        behavior_logprobs: float (N, H).
        rewards: float (N, H).
        step_mask: bool (N, H).
        gamma: discount a step.

    Returns:
        float (N,).
    """
    nothing = torch.zeros_like(rewards)
    # With no values at all, the doubly robust recursion is v = rho (r + gamma v).
    return doubly_robust(logprobs, behavior_logprobs, rewards, nothing, nothing, step_mask, gamma)


def doubly_robust(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    rewards: Tensor,
    action_values: Tensor,
    state_values: Tensor,
    step_mask: Tensor,
    gamma: float = 1.0,
) -> Tensor:
    r"""The values of a model of the target policy, corrected at each step by what was seen instead.

    .. math:: v_t = \hat V(s_t) + \rho_t\,\bigl(r_t + \gamma\,v_{t+1} - \hat Q(s_t, a_t)\bigr), \qquad v_{H+1} = 0

    DR, Jiang and Li 2016, arXiv:1511.03722, equation 10; the mean of v_1 over episodes is the estimate. It is unbiased
    for any values, and has no variance of its own where they are right and the world has none.

    Args:
        logprobs: float (N, H).
        behavior_logprobs: float (N, H).
        rewards: float (N, H).
        action_values: float (N, H); of the logged action under the target policy.
        state_values: float (N, H); mean of the action values over the target policy (``expected_values``).
        step_mask: bool (N, H).
        gamma: discount a step.

    Returns:
        float (N,), 0 for an episode without steps.
    """
    ratio = token_ratio(logprobs, behavior_logprobs, step_mask)
    value = rewards.new_zeros(len(rewards))
    for step in range(rewards.shape[1] - 1, -1, -1):
        seen = rewards[:, step] + gamma * value - action_values[:, step]
        value = torch.where(step_mask[:, step], state_values[:, step] + ratio[:, step] * seen, value)
    return value


def expected_values(action_values: Tensor, logprobs: Tensor) -> Tensor:
    r"""Mean of the action values over a policy, never their maximum unless it is greedy.

    .. math:: V(s) = \sum_a \pi(a \mid s)\,Q(s, a)

    The next state's value in fitted Q evaluation (FQE), Le et al. 2019, arXiv:1903.08738, algorithm 3, with
    ``bellman_target``; the first state's in its estimate.

    Args:
        action_values: float (..., A); anything where the policy never acts, also minus infinity.
        logprobs: float (..., A).

    Returns:
        float (...).
    """
    return (logprobs.exp() * torch.where(logprobs > -torch.inf, action_values, 0.0)).sum(-1)


def linear_value_terms(
    features: Tensor,
    next_features: Tensor,
    errors: Tensor,
    first_features: Tensor,
    weights: Tensor,
    episodes: Tensor,
    penalty: Tensor,
    gamma: float = 1.0,
) -> Tensor:
    r"""What each episode contributes to the value of a policy by a model that is linear and was fitted to the log.

    .. math:: w^\top\bar\phi(s_{i1}) + N\Bigl(g_i - \frac1N \sum_j g_j\Bigr), \qquad
        g_i = a^\top \sum_{t \in i} \phi_t\,\delta_t, \qquad A^\top a = \frac1N \sum_j \bar\phi(s_{j1}), \qquad
        A = \sum_t \phi_t\,(\phi_t - \gamma\,\bar\phi(s_{t+1}))^\top + \Lambda

    The weights solve the estimating equation :math:`\sum_t \phi_t\,\delta_t = \Lambda w`, as those of converged
    fitted Q evaluation do; to first order an episode moves the estimate by its influence :math:`g_i`. The mean of the
    terms is the estimate, and their variance over N that of the estimate, the model's bias apart. Asymptotics of linear
    fitted Q evaluation: Hao et al. 2021, arXiv:2102.03607, theorem 4.2; Z-estimation: Zhang et al. 2022,
    arXiv:2202.04970.

    Args:
        features: float (T, D); of state and action of each step.
        next_features: float (T, D); their mean over the policy in the next state, 0 after an end.
        errors: float (T,); :math:`\delta_t = r_t + \gamma\,w^\top\bar\phi(s_{t+1}) - w^\top\phi_t`.
        first_features: float (N, D); mean over the policy in the first states.
        weights: float (D,).
        episodes: int64 (T,); of which episode each step is.
        penalty: float (D,); the diagonal of Lambda.
        gamma: discount a step.

    Returns:
        float (N,).
    """
    moments = features.T @ (features - gamma * next_features) + penalty.diag()
    direction = torch.linalg.solve(moments.T, first_features.mean(0))
    moved = torch.zeros_like(first_features[:, 0]).index_add_(0, episodes, (features @ direction) * errors)
    return first_features @ weights + len(moved) * (moved - moved.mean())


def effective_samples(log_weights: Tensor) -> Tensor:
    r"""How many equally weighted episodes would tell as much: :math:`(\sum W)^2 / \sum W^2`.

    Kish 1965; see ``effective_sample_share``. Weights are scaled before they are exponentiated.

    Args:
        log_weights: float (N,).

    Returns:
        scalar from 1 to N; 0 if no episode has a weight.
    """
    weights = torch.softmax(log_weights, 0).nan_to_num(0.0)
    return effective_sample_share(weights, torch.ones_like(weights, dtype=torch.bool)) * len(weights)


def require_support(log_weights: Tensor, least: float = 10.0) -> float:
    """Refuse a log that says next to nothing about the target policy.

    Args:
        log_weights: float (N,).
        least: the effective number of episodes below which no estimate is to be believed.

    Returns:
        the effective number of episodes.

    Raises:
        SupportError: if it is less than ``least``.
    """
    effective = float(effective_samples(log_weights))
    if effective < least:
        raise SupportError(effective, least, len(log_weights))
    return effective


def bootstrap_interval(
    values: Tensor,
    generator: torch.Generator,
    log_weights: Tensor | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    clusters: Tensor | None = None,
) -> tuple[float, float]:
    r"""Between which bounds an estimate lies when the log is drawn again, by episodes, from itself.

    The percentile interval of Efron 1981: quantiles :math:`(1 \mp \text{level}) / 2` of the mean of N episodes that are
    drawn with replacement. A resample in which no episode has a weight has no mean, and is left out. Episodes that tell
    of each other, such as attempts at the same scenario, are drawn together or not at all (Efron and Tibshirani 1993).

    Args:
        values: float (N,); of ``importance_sampled``, ``per_decision`` or ``doubly_robust``, or returns.
        generator: where the draws come from.
        log_weights: float (N,); for the interval of ``weighted_mean``.
        level: how often it is to hold.
        resamples: how many logs are drawn.
        clusters: int64 (N,); episodes with the same number are drawn together. Each is alone if None.

    Returns:
        the lower and the upper bound; NaN if no episode has a weight.

    Raises:
        ValueError: if there are no episodes, or not as many clusters as there are.
    """
    if not len(values):
        raise ValueError("an interval needs at least one episode to draw from")
    if clusters is not None and clusters.shape != values.shape:
        raise ValueError(f"clusters must be one for each of the {len(values)} episodes, not {tuple(clusters.shape)}")
    places = None if clusters is None else torch.unique(clusters, return_inverse=True)[1]
    size = len(values) if places is None else int(places.max()) + 1
    estimates = []
    most = max(1, _DRAWN // len(values))
    for first in range(0, resamples, most):
        rows = min(most, resamples - first)
        drawn = torch.randint(size, (rows, size), generator=generator, device=generator.device).to(values.device)
        # How often each episode is in each resample.
        times = values.new_zeros(rows, size).scatter_add_(1, drawn, values.new_ones(drawn.shape))
        times = times if places is None else times[:, places]
        if log_weights is None:
            estimates.append(times @ values / times.sum(1))
        else:
            estimates.append((torch.softmax(log_weights + times.log(), 1) * values).sum(1))
    found = torch.cat(estimates)
    low, high = torch.nanquantile(found, found.new_tensor([(1 - level) / 2, (1 + level) / 2])).tolist()
    return low, high
