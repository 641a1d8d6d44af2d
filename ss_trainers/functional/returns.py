"""What a log's steps earned and what their values are learnt from: returns, targets and classes of returns.

``(N,)`` are the steps of whole episodes, one after the other. An episode ends with a step that is
``terminal``, after which nothing can be earned, or a ``timeout``, after which more could have been.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bellman_target(rewards: Tensor, next_values: Tensor, terminal: Tensor, gamma: float = 0.99) -> Tensor:
    r"""What a step earns and what its next state is worth; nothing is, after the end of the task.

    .. math:: y = r + \gamma\,V(s') \quad\text{or, if terminal,}\quad y = r

    Sutton and Barto 2018, section 6.1; Pardo et al. 2018, arXiv:1712.00378, for timeouts: these do not end the
    task, and are worth the value of the state that they stopped in. A log has to keep it as the next one, not the
    first of the next episode.

    Args:
        rewards: float (...).
        next_values: float (...); anything where ``terminal``, also minus infinity or NaN.
        terminal: bool (...).
        gamma: discount a step.

    Returns:
        float (...).
    """
    return rewards + gamma * torch.where(terminal, 0.0, next_values)


def episode_returns(
    rewards: Tensor, terminal: Tensor, timeout: Tensor, gamma: float = 1.0, bootstrap: Tensor | None = None
) -> Tensor:
    r"""Discounted sum of the rewards from each step to the end of its episode.

    .. math:: G_t = r_t + \gamma\,G_{t+1}, \qquad G_{T+1} = 0 \text{ or, after a timeout, } V(s_{T+1})

    The return-to-go of Decision Transformer, Chen et al. 2021, arXiv:2106.01345, section 3, with gamma 1 and no
    bootstrap. For a table with a row an episode see ``returns_to_go``.

    Args:
        rewards: float (N,).
        terminal: bool (N,).
        timeout: bool (N,); a last step that is neither counts as one.
        gamma: discount a step.
        bootstrap: float (N,); the value of the state after each step, of which those at timeouts count.

    Returns:
        float (N,).
    """
    ends = terminal | timeout
    ends[-1:] = True
    places = torch.arange(len(rewards), device=rewards.device)
    last = ends.nonzero()[:, 0]
    left = last[torch.searchsorted(last, places)] - places
    # All steps that are as far from their end as each other at once, from the ends backwards.
    batches = torch.split(left.argsort(stable=True), left.bincount().tolist())
    after = torch.zeros_like(rewards) if bootstrap is None else torch.where(terminal, 0.0, bootstrap)
    returns = rewards.clone()
    for distance, steps in enumerate(batches):
        returns[steps] += gamma * (returns[steps + 1] if distance else after[steps])
    return returns


def return_thresholds(returns: Tensor, buckets: int) -> Tensor:
    r"""Returns that divide a log into classes of about the same size, none of which is empty.

    Of the k-th buckets-quantiles, those that are not equal and below the greatest return: where
    returns repeat (successes and failures alone), there are fewer classes than asked for.

    Args:
        returns: float (N,), one or more.
        buckets: classes that are asked for, one or more.

    Returns:
        float (K,), rising, with K less than ``buckets``.

    Raises:
        ValueError: if there are no returns.
    """
    if not len(returns):
        raise ValueError("returns of at least one episode are needed to divide them into classes")
    ordered = returns.sort().values
    ranks = torch.arange(1, buckets, device=returns.device) * len(returns)
    # The least return that so many of all do not exceed: one of the log's, never between two of them.
    quantiles = ordered[(ranks + buckets - 1) // buckets - 1] if len(ranks) else ordered[:0]
    thresholds: Tensor = torch.unique_consecutive(quantiles[quantiles < ordered[-1]])
    return thresholds


def return_buckets(returns: Tensor, thresholds: Tensor) -> Tensor:
    """The class of each return, which a control token stands for: how many thresholds it is above.

    Return-conditioned generation asks for the highest; "reward-conditioned policies", Kumar et al. 2019,
    arXiv:1912.13465, and, by tokens of quantiles, Quark, Lu et al. 2022, arXiv:2205.13636, section 2.

    Args:
        returns: float (...).
        thresholds: float (K,); of ``return_thresholds``.

    Returns:
        int64 (...), from 0 to K.
    """
    return torch.bucketize(returns.contiguous(), thresholds)


def remaining_return(target: Tensor, rewards: Tensor, gamma: float = 1.0) -> Tensor:
    r"""What is left to earn of a return that was asked for, after a step.

    .. math:: \hat R_{t+1} = (\hat R_t - r_t) / \gamma

    Chen et al. 2021, arXiv:2106.01345, section 3, with gamma 1: what was observed is subtracted from the target. The
    recursion of ``episode_returns`` the other way round.

    Args:
        target: float (...); before the step.
        rewards: float (...); what the step earned.
        gamma: discount a step, above 0.

    Returns:
        float (...).
    """
    return (target - rewards) / gamma
