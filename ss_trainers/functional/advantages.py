"""Advantage estimators: how much better a sample was than what it is compared with."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def group_relative(
    returns: Tensor,
    group_ids: Tensor,
    scale: Literal["std", "none"] = "std",
    unbiased: bool = False,
    std_floor: float = 1e-6,
) -> Tensor:
    r"""Return minus the mean of its group, divided by the group's standard deviation or not.

    .. math:: A_i = \frac{R_i - \bar R_g}{\max(\sigma_g, f)} \quad\text{or}\quad A_i = R_i - \bar R_g

    ``scale="std"`` is GRPO (Shao et al. 2024, arXiv:2402.03300, section 4.1.2); ``scale="none"``
    is Dr. GRPO (Liu et al. 2025, arXiv:2503.20783, section 3.2). A group whose returns are all
    equal, or that has one member, gets exactly 0. A return that is NaN or infinite gets 0 and
    takes no part in the statistics of its group.

    Args:
        returns: float (B,).
        group_ids: int64 (B,); any values.
        scale: what to divide by.
        unbiased: divide by G - 1 instead of G in the variance.
        std_floor: the least f that a deviation is divided by. The paper adds a small constant
            instead; a floor keeps differences of the size of a style penalty from becoming unit
            advantages in a group that agrees on everything else.

    Returns:
        float (B,), of the dtype of ``returns``.
    """
    group, finite, count = _groups(returns, group_ids)
    values = torch.where(finite, returns, 0.0)

    def total(amounts: Tensor) -> Tensor:
        return torch.zeros_like(count).index_add_(0, group, amounts)

    deviation = torch.where(finite, values - (total(values) / count.clamp(min=1))[group], 0.0)
    # Rounding can leave a mean that differs from equal returns in the last digit, which the
    # division would blow up: equal returns are recognised, not computed.
    varied = _varied(values, group, finite, count)
    advantages = torch.where(varied[group], deviation, 0.0)
    if scale == "none":
        return advantages
    variance = total(deviation.square()) / (count - 1 if unbiased else count).clamp(min=1)
    spread = torch.where(varied, variance.sqrt().clamp(min=std_floor), 1.0)
    return advantages / spread[group]


def varied_groups(values: Tensor, group_ids: Tensor) -> Tensor:
    """Which rows belong to a group whose values are not all equal: bool (B,).

    Args:
        values: float (B,); those that are NaN or infinite take no part.
        group_ids: int64 (B,); any values.
    """
    group, finite, count = _groups(values, group_ids)
    return _varied(values, group, finite, count)[group]


def best_of_group(values: Tensor, group_ids: Tensor) -> Tensor:
    """The row of each varied group that has its greatest value, the first of several: bool (B,).

    Args:
        values: float (B,); those that are NaN or infinite take no part.
        group_ids: int64 (B,); any values.
    """
    group, finite, count = _groups(values, group_ids)
    greatest = torch.full_like(count, -torch.inf).scatter_reduce_(0, group[finite], values[finite], "amax")
    top = finite & (values == greatest[group]) & _varied(values, group, finite, count)[group]
    places = torch.arange(len(values), device=values.device)
    first = torch.full_like(count, len(values), dtype=torch.int64).scatter_reduce_(0, group[top], places[top], "amin")
    return top & (places == first[group])


def leave_one_out(returns: Tensor, group_ids: Tensor) -> Tensor:
    r"""Return minus the mean of the *other* members of its group, which is an unbiased baseline.

    .. math:: A_i = R_i - \frac{1}{G-1} \sum_{j \ne i} R_j = \frac{G}{G-1}\,(R_i - \bar R_g)

    RLOO, Ahmadian et al. 2024, arXiv:2402.14740, section 3. A group of one gets 0. A return that
    is NaN or infinite gets 0 and is nobody's baseline.

    Args:
        returns: float (B,).
        group_ids: int64 (B,); any values.

    Returns:
        float (B,), of the dtype of ``returns``.
    """
    group, _, count = _groups(returns, group_ids)
    factor = count / (count - 1).clamp(min=1)
    return factor[group] * group_relative(returns, group_ids, scale="none")


def shrunk_relative(returns: Tensor, values: Tensor, group_ids: Tensor, strength: float = 1.0) -> Tensor:
    r"""Return minus the mean of its group, drawn the more to a critic's value the fewer its members are.

    .. math:: A_i = R_i - b_i, \quad b_i = \frac{G\,\bar R_g + \kappa V_i}{G + \kappa}

    The value counts as kappa more returns of the group. A lone attempt, which logs often are, keeps an
    advantage. A return that is NaN or infinite gets 0 and takes no part in the mean of its group.

    Args:
        returns: float (B,).
        values: float (B,); what a critic expects of each row.
        group_ids: int64 (B,); any values.
        strength: kappa; 0 is the group's mean alone.

    Returns:
        float (B,), of the dtype of ``returns``.
    """
    group, finite, count = _groups(returns, group_ids)
    total = torch.zeros_like(count).index_add_(0, group, torch.where(finite, returns, 0.0))
    baseline = (total[group] + strength * values) / (count[group] + strength)
    return torch.where(finite, returns - baseline, 0.0)


def source_groups(group_ids: Tensor, sources: Tensor) -> Tensor:
    """Groups of the rows that share a group *and* where they come from: a baseline for each source.

    The mean of a group that was partly logged is no baseline for either part, where the two differ. Other
    estimators take these ids for the group's; ratios to each row's own behaviour policy are as ever.

    Args:
        group_ids: int64 (B,); any values.
        sources: int64 (B,); any values, such as 0 for fresh and 1 for logged.

    Returns:
        int64 (B,), from 0.
    """
    if not len(group_ids):
        return group_ids
    groups: Tensor = torch.unique(torch.stack([group_ids, sources], 1), dim=0, return_inverse=True)[1]
    return groups


def reinforce_plus_plus(token_rewards: Tensor, action_mask: Tensor, std_floor: float = 1e-6) -> Tensor:
    r"""Undiscounted return-to-go of each action token, whitened over all action tokens of the batch.

    .. math:: G_t = \sum_{s \ge t} r_s, \qquad A_t = \frac{G_t - \mu}{\max(\sigma, f)}

    REINFORCE++, Hu et al. 2025, arXiv:2501.03262, section 3. Its variant with a baseline is the same
    with each return less the mean of its group.

    Args:
        token_rewards: float (B, T); a reward outside the mask belongs to the action tokens before it.
        action_mask: bool (B, T).
        std_floor: the least f that is divided by.

    Returns:
        float (B, T), 0 outside ``action_mask``.
    """
    return whiten(returns_to_go(token_rewards, action_mask), action_mask, std_floor)


def returns_to_go(rewards: Tensor, action_mask: Tensor, gamma: float = 1.0) -> Tensor:
    r"""Discounted sum of the rewards from each action on: :math:`G_t = r_t + \gamma G_{t+1}`.

    What lies between two actions takes no time: the return is carried over it, and a reward there
    belongs to the action before it.

    Args:
        rewards: float (B, T), of tokens or turns.
        action_mask: bool (B, T).
        gamma: discount from one action to the next.

    Returns:
        float (B, T), 0 outside ``action_mask``.
    """
    nothing = torch.zeros_like(rewards)
    return generalized_advantage_estimation(rewards, nothing, action_mask, gamma, 1.0)


def whiten(values: Tensor, action_mask: Tensor, std_floor: float = 1e-6) -> Tensor:
    r"""Values less their mean over the mask, divided by their standard deviation there.

    .. math:: \frac{x - \mu}{\max(\sigma, f)}

    Equal values become exactly 0.

    Args:
        values: float (...).
        action_mask: bool (...).
        std_floor: the least f that is divided by.

    Returns:
        float (...), 0 outside ``action_mask``.
    """
    inside = values[action_mask]
    if not len(inside) or bool((inside == inside[0]).all()):
        return torch.zeros_like(values)
    scaled = (values - inside.mean()) / inside.std(correction=0).clamp(min=std_floor)
    return torch.where(action_mask, scaled, 0.0)


def generalized_advantage_estimation(
    rewards: Tensor,
    values: Tensor,
    action_mask: Tensor,
    gamma: float = 1.0,
    lam: float | Tensor = 1.0,
    terminal: Tensor | None = None,
    bootstrap: Tensor | None = None,
) -> Tensor:
    r"""Exponentially weighted sum of temporal-difference errors, from one action to the next.

    .. math:: \delta_t = r_t + \gamma V_{t+1} - V_t, \qquad A_t = \delta_t + \gamma\lambda A_{t+1}

    Schulman et al. 2015, arXiv:1506.02438, equation 16. ``t + 1`` is the row's next *action*: tokens
    of the environment and padding take no time, change nothing that is carried, and hand a reward of
    theirs to the action before them. A reward before the first action is nobody's and is left out.
    Works on tokens and, with a value a turn, on turns. The target of the critic is the advantage plus
    the value.

    Args:
        rewards: float (B, T).
        values: float (B, T); of the state in which each action is taken.
        action_mask: bool (B, T).
        gamma: discount from one action to the next.
        lam: weight of later errors; a number, or one a row (B,).
        terminal: bool (B,); whether the row ended by itself, so that nothing is to be earned after
            it. All did, if None.
        bootstrap: float (B,); the value after the last action, for rows that were cut by a limit.

    Returns:
        float (B, T), 0 outside ``action_mask``.

    Raises:
        ValueError: if a row did not end by itself and ``bootstrap`` is missing.
    """
    rows = rewards.new_zeros(len(rewards))
    carried, advantage, pending = rows, rows, rows
    if terminal is not None and not bool(terminal.all()):
        if bootstrap is None:
            raise ValueError("rows that were cut by a limit need the value after their last action: give bootstrap")
        carried = torch.where(terminal, 0.0, bootstrap)
    columns = []
    for step in range(rewards.shape[1] - 1, -1, -1):
        acts = action_mask[:, step]
        pending = pending + rewards[:, step]
        error = pending + gamma * carried - values[:, step]
        current = error + gamma * lam * advantage
        columns.append(torch.where(acts, current, 0.0))
        # Outside the mask these may be anything, NaN too.
        carried, advantage = torch.where(acts, values[:, step], carried), torch.where(acts, current, advantage)
        pending = torch.where(acts, 0.0, pending)
    return torch.stack(columns[::-1], 1) if columns else torch.zeros_like(rewards)


def length_adaptive_lambda(lengths: Tensor, alpha: float = 0.05, least: float = 0.0) -> Tensor:
    r"""The longer a reply, the further its outcome is carried back.

    .. math:: \lambda_i = \max\bigl(1 - \tfrac{1}{\alpha\,n_i},\ f\bigr)

    VAPO, Yue et al. 2025, arXiv:2504.05118: the weights of all later errors then add up
    to about :math:`\alpha n`. Up to :math:`n = 1/\alpha` tokens the paper's formula is not positive;
    it is kept at the least value there.

    Args:
        lengths: (B,); action tokens of each row.
        alpha: tokens' share that the weights add up to.
        least: f, from 0 to 1.

    Returns:
        float64 (B,), from ``least`` to 1.
    """
    amounts = lengths.to(torch.float64)
    formula = 1 - 1 / (alpha * amounts.clamp(min=1))
    return formula.clamp(min=least, max=1.0)


def _varied(values: Tensor, group: Tensor, finite: Tensor, count: Tensor) -> Tensor:
    """Whether the finite values of each group differ."""
    extremes = [
        torch.zeros_like(count).scatter_reduce_(0, group[finite], values[finite], mode, include_self=False)
        for mode in ("amin", "amax")
    ]
    return extremes[0] < extremes[1]


def _groups(returns: Tensor, group_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The number of each row's group, whether its return is finite, and how many are in each group."""
    finite = torch.isfinite(returns)
    _, group = torch.unique(group_ids, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    count = returns.new_zeros(groups).index_add_(0, group, finite.to(returns.dtype))
    return group, finite, count
