"""Credit by turns: which part of a conversation's outcome belongs to which of the agent's turns.

``(B, K)`` are the turns of each row, ``turn_mask`` says which of them exist, and ``turn_ids`` (B, T)
which turn a token belongs to, -1 where none.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ss_trainers.functional.advantages import group_relative, returns_to_go


def to_last_tokens(turn_values: Tensor, turn_ids: Tensor) -> Tensor:
    """Each turn's value on the last of its tokens, 0 elsewhere: where a turn's reward is earned.

    Args:
        turn_values: float (B, K).
        turn_ids: int64 (B, T).

    Returns:
        float (B, T).
    """
    following = torch.cat([turn_ids[:, 1:], turn_ids.new_full((len(turn_ids), 1), -1)], 1)
    # A turn whose tokens have others between them, which none of ours has, ends with its last.
    last = (turn_ids >= 0) & (turn_ids != following)
    return torch.where(last, to_tokens(turn_values, turn_ids), 0.0)


def to_tokens(turn_values: Tensor, turn_ids: Tensor) -> Tensor:
    """Each turn's value on all of its tokens, 0 elsewhere: the credit that a turn's tokens share.

    Args:
        turn_values: float (B, K).
        turn_ids: int64 (B, T).

    Returns:
        float (B, T).
    """
    return torch.where(turn_ids >= 0, turn_values.gather(1, turn_ids.clamp(min=0)), 0.0)


def at_first_tokens(token_values: Tensor, turn_ids: Tensor, turns: int) -> Tensor:
    """What stands on the first token of each turn: the value of the state in which it begins.

    Args:
        token_values: float (B, T).
        turn_ids: int64 (B, T).
        turns: K.

    Returns:
        float (B, K), 0 where there is no such turn.
    """
    rows, columns = is_first_token(turn_ids).nonzero(as_tuple=True)
    found = token_values.new_zeros(len(turn_ids), turns)
    return found.index_put((rows, turn_ids[rows, columns]), token_values[rows, columns])


def is_first_token(turn_ids: Tensor) -> Tensor:
    """Which tokens begin a turn: bool (B, T).

    Args:
        turn_ids: int64 (B, T).
    """
    before = torch.cat([turn_ids.new_full((len(turn_ids), 1), -1), turn_ids[:, :-1]], 1)
    return (turn_ids >= 0) & (turn_ids != before)


def multi_turn_relative(
    turn_rewards: Tensor,
    outcomes: Tensor,
    group_ids: Tensor,
    turn_mask: Tensor,
    turn_weight: float = 1.0,
    outcome_weight: float = 1.0,
    std_floor: float = 1e-6,
) -> Tensor:
    r"""A turn's own reward and the outcome, each compared within the group and then added.

    .. math:: A_{ik} = w_T\,\frac{r_{ik} - \bar r_{gk}}{\sigma_{gk}} + w_O\,\frac{O_i - \bar O_g}{\sigma_g}

    with the first term for all turns but a row's last, which gets the outcome alone. MT-GRPO, Zeng et
    al. 2025, arXiv:2505.11821, section 3, with both weights 1. A turn is compared with the same turn
    of those members of the group that have it and another one after it.

    Args:
        turn_rewards: float (B, K); what each turn earned by itself, without the outcome.
        outcomes: float (B,).
        group_ids: int64 (B,).
        turn_mask: bool (B, K).
        turn_weight: w_T.
        outcome_weight: w_O.
        std_floor: the least deviation that is divided by.

    Returns:
        float (B, K), 0 where there is no turn.
    """
    inner = turn_mask.clone()
    inner[:, :-1] &= turn_mask[:, 1:]
    inner[:, -1:] = False
    rows, columns = inner.nonzero(as_tuple=True)
    turns = turn_rewards.shape[1]
    _, group = torch.unique(group_ids, return_inverse=True)
    compared = group_relative(turn_rewards[rows, columns], group[rows] * turns + columns, std_floor=std_floor)
    own = torch.zeros_like(turn_rewards).index_put((rows, columns), compared)
    outcome = group_relative(outcomes, group_ids, std_floor=std_floor).to(turn_rewards.dtype)
    return torch.where(turn_mask, turn_weight * own + outcome_weight * outcome[:, None], 0.0)


def group_in_group(
    turn_rewards: Tensor,
    group_ids: Tensor,
    turn_mask: Tensor,
    anchors: Tensor,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    scale: Literal["std", "none"] = "std",
    std_floor: float = 1e-6,
) -> Tensor:
    r"""The episode's advantage in its group, and each step's among steps in the same state.

    .. math:: A_{ik} = A^E_i + \omega\,A^S_{ik}, \qquad
              A^S_{ik} = \frac{G_{ik} - \bar G_a}{\sigma_a}, \quad G_{ik} = \sum_{j \ge k} \gamma^{j-k} r_{ij}

    GiGPO, Feng et al. 2025, arXiv:2505.10978, section 3. Steps of any attempt at a scenario and
    of any time count as in the same state if their anchors are equal; a state that came once gives 0.

    Args:
        turn_rewards: float (B, K).
        group_ids: int64 (B,).
        turn_mask: bool (B, K).
        anchors: int64 (B, K); a key of the state in which each turn was taken.
        gamma: discount from one turn to the next, of the step returns.
        step_weight: omega.
        scale: what both are divided by; see ``group_relative``.
        std_floor: the least deviation that is divided by.

    Returns:
        float (B, K), 0 where there is no turn.
    """
    rows, columns = turn_mask.nonzero(as_tuple=True)
    states = torch.stack([group_ids[rows], anchors[rows, columns]], 1)
    _, state = torch.unique(states, dim=0, return_inverse=True) if len(rows) else (None, rows)
    steps = returns_to_go(turn_rewards, turn_mask, gamma)[rows, columns]
    compared = group_relative(steps, state, scale, std_floor=std_floor)
    within = torch.zeros_like(turn_rewards).index_put((rows, columns), compared)
    totals = torch.where(turn_mask, turn_rewards, 0.0).sum(1)
    episode = group_relative(totals, group_ids, scale, std_floor=std_floor)
    return torch.where(turn_mask, episode[:, None] + step_weight * within, 0.0)
