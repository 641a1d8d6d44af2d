"""Importance ratios between the policy being trained and the policy that sampled."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def token_ratio(logprobs: Tensor, old_logprobs: Tensor, action_mask: Tensor) -> Tensor:
    r"""Probability of each token now over its probability at the start of the update.

    .. math:: \rho_t = \exp(\log\pi_\theta(a_t) - \log\pi_{old}(a_t))

    Schulman et al. 2017, arXiv:1707.06347, equation 6.

    Args:
        logprobs: float (B, T), differentiable.
        old_logprobs: float (B, T).
        action_mask: bool (B, T).

    Returns:
        float (B, T), 1 outside ``action_mask`` (whatever the log-probabilities are there).
    """
    return torch.exp(torch.where(action_mask, logprobs - old_logprobs, 0.0))


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, action_mask: Tensor) -> Tensor:
    r"""Geometric mean of a sequence's token ratios: how its likelihood changed, whatever its length.

    .. math:: s_i = \exp\Bigl(\frac{1}{n_i} \sum_t m_{it}\,(\log\pi_\theta - \log\pi_{old})\Bigr)

    GSPO, Zheng et al. 2025, arXiv:2507.18071, equation 7.

    Args:
        logprobs: float (B, T), differentiable.
        old_logprobs: float (B, T).
        action_mask: bool (B, T).

    Returns:
        float (B,), 1 for a sequence without action tokens.
    """
    return torch.exp(_mean_per_sequence(logprobs - old_logprobs, action_mask))


def sequence_token_ratio(logprobs: Tensor, old_logprobs: Tensor, action_mask: Tensor) -> Tensor:
    r"""The sequence's ratio in value, the token's own log-probability in gradient.

    .. math:: s_{it} = \mathrm{sg}(s_i)\,\exp(\log\pi_\theta(a_t) - \mathrm{sg}(\log\pi_\theta(a_t)))

    GSPO-token, Zheng et al. 2025, arXiv:2507.18071, equation 14: with one advantage a sequence and a mean
    over sequences of means over tokens it is GSPO, and it takes advantages that differ by token.

    Args:
        logprobs: float (B, T), differentiable.
        old_logprobs: float (B, T).
        action_mask: bool (B, T).

    Returns:
        float (B, T), 1 outside ``action_mask``.
    """
    whole = sequence_ratio(logprobs, old_logprobs, action_mask).detach()[:, None]
    own = torch.exp(torch.where(action_mask, logprobs - logprobs.detach(), 0.0))
    return torch.where(action_mask, whole * own, 1.0)


def log_group_expectation(
    old_logprobs: Tensor, action_mask: Tensor, group_ids: Tensor, length_normalized: bool = True
) -> Tensor:
    r"""Logarithm of the mean probability of a group's sequences, each weighted by its probability.

    Sequences without action tokens take no part.

    .. math:: \log\hat E_g = \log\frac{\sum_{j \in g} q_j^2}{\sum_{j \in g} q_j}
              = \mathrm{lse}(2\ell) - \mathrm{lse}(\ell)

    GEPO, Zhang et al. 2025, arXiv:2508.17850, section 3. It needs the whole group: compute it before a
    batch is split.

    Args:
        old_logprobs: float (B, T); at the start of the update.
        action_mask: bool (B, T).
        group_ids: int64 (B,).
        length_normalized: take the mean of the log-probabilities for the sequence's, as the authors'
            code does. Sums of hundreds of tokens leave all weight on one member.

    Returns:
        float (B,); that of each row's group, 0 for a group in which nothing was said.
    """
    likelihood = sequence_logprob(old_logprobs, action_mask, length_normalized)
    _, group = torch.unique(group_ids, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    # One row a group, minus infinity where another group's members are. A sequence without tokens has no
    # probability: it would count as certain.
    counts = (group == torch.arange(groups, device=group.device)[:, None]) & action_mask.any(-1)
    members = torch.where(counts, likelihood, -torch.inf)
    expectation = torch.logsumexp(2 * members, 1) - torch.logsumexp(members, 1)
    return torch.where(counts.any(1), expectation, 0.0)[group]


def group_expectation_ratio(
    logprobs: Tensor, log_expectation: Tensor, action_mask: Tensor, length_normalized: bool = True
) -> Tensor:
    r"""A sequence's probability now over the expected probability in its group.

    .. math:: w_i = p_i / \hat E_g

    GEPO, Zhang et al. 2025, arXiv:2508.17850, section 3. The denominator is a constant. Its weights are
    not 1 on the policy's own samples: likely ones weigh more.

    Args:
        logprobs: float (B, T), differentiable.
        log_expectation: float (B,); of ``log_group_expectation``.
        action_mask: bool (B, T).
        length_normalized: as for ``log_group_expectation``.

    Returns:
        float (B,).
    """
    return torch.exp(sequence_logprob(logprobs, action_mask, length_normalized) - log_expectation)


def sequence_logprob(logprobs: Tensor, action_mask: Tensor, length_normalized: bool = False) -> Tensor:
    """The log-probability of all that a row's policy said: sum over action tokens, or mean.

    Args:
        logprobs: float (B, T), differentiable.
        action_mask: bool (B, T).
        length_normalized: the mean instead of the sum.

    Returns:
        float (B,), 0 for a sequence without action tokens.
    """
    if length_normalized:
        return _mean_per_sequence(logprobs, action_mask)
    return torch.where(action_mask, logprobs, 0.0).sum(-1)


def truncated_importance_weight(
    old_logprobs: Tensor, behavior_logprobs: Tensor, action_mask: Tensor, cap: float = 2.0
) -> Tensor:
    r"""How much likelier a token is to the trainer than it was to the sampler, up to a cap.

    .. math:: w_t = \min\bigl(\exp(\log\pi_{old} - \log\pi_{sampler}),\ C\bigr)

    Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training": it
    multiplies a token's loss where the sampler computes with other numbers than the trainer, and
    ratios are then against ``old_logprobs``.

    Args:
        old_logprobs: float (B, T); the trainer's, at the start of the update.
        behavior_logprobs: float (B, T); the sampler's.
        action_mask: bool (B, T).
        cap: C.

    Returns:
        float (B, T), without gradient, 1 outside ``action_mask``.
    """
    return token_ratio(old_logprobs.detach(), behavior_logprobs.detach(), action_mask).clamp(max=cap)


def masked_importance_weight(
    old_logprobs: Tensor,
    behavior_logprobs: Tensor,
    action_mask: Tensor,
    low: float = 0.0,
    high: float = 2.0,
    level: Literal["token", "sequence", "geometric"] = "token",
) -> Tensor:
    r"""The importance weight where it lies within bounds, 0 elsewhere.

    .. math:: w\,\mathbb 1[C_{min} \le w \le C]

    What the trainer and the sampler disagree about too much is not learnt from; compare
    ``truncated_importance_weight``.

    Args:
        old_logprobs: float (B, T); the trainer's, at the start of the update.
        behavior_logprobs: float (B, T); the sampler's.
        action_mask: bool (B, T).
        low: the least weight that counts.
        high: the greatest.
        level: weigh and judge each token by its own weight, all of a sequence by the product of its
            weights (without bias, and of great variance), or judge a sequence by their geometric mean
            and weigh its tokens each by its own.

    Returns:
        float (B, T), without gradient; outside ``action_mask`` 1 or 0.
    """
    difference = torch.where(action_mask, (old_logprobs - behavior_logprobs).detach(), 0.0)
    weights = judged = difference.exp()
    if level == "sequence":
        weights = judged = difference.sum(-1, keepdim=True).exp().expand_as(difference)
    elif level == "geometric":
        judged = _mean_per_sequence(difference, action_mask).exp()[:, None]
    return torch.where((judged >= low) & (judged <= high), weights, 0.0)


def effective_sample_share(weights: Tensor, action_mask: Tensor) -> Tensor:
    r"""Which share of as many equal weights would tell as much: 1 if all are equal.

    .. math:: \frac{(\sum w)^2}{N \sum w^2}

    Kish 1965, as a share of the number of samples.

    Args:
        weights: float (...).
        action_mask: bool (...).

    Returns:
        scalar from 1/N to 1; 0 if all weights are 0 or there are none.
    """
    inside = weights[action_mask]
    squares = inside.square().sum() * max(1, len(inside))
    return inside.sum().square() / torch.where(squares > 0, squares, 1.0)


def _mean_per_sequence(values: Tensor, action_mask: Tensor) -> Tensor:
    lengths = action_mask.sum(-1).clamp(min=1)
    return torch.where(action_mask, values, 0.0).sum(-1) / lengths
