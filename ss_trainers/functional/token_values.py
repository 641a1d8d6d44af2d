"""Implicit language Q-learning: values of tokens, and how they steer what a language model says.

ILQL, Snell et al. 2022, arXiv:2206.11871. Its action is a token, its state all before it. The value of a state
is learnt with ``expectile_loss`` from the less of two target critics at the token that was said; a turn's reward
is earned on its last token (``to_last_tokens``); both losses are averaged over action tokens (``token_mean``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ss_trainers.functional.advantages import generalized_advantage_estimation
from ss_trainers.functional.conservatism import conservative_gap


def token_targets(
    rewards: Tensor,
    values: Tensor,
    action_mask: Tensor,
    gamma: float = 0.99,
    terminal: Tensor | None = None,
    bootstrap: Tensor | None = None,
) -> Tensor:
    r"""What each token earns, and what the state is worth in which the policy says its next one.

    .. math:: y_t = r_t + \gamma\,V_{t+1}

    ILQL, Snell et al. 2022, arXiv:2206.11871. ``t + 1`` is the row's next *action* token: what the customer, the tools
    and the padding put between two of them takes no time, and what is valued there is skipped. After the last one
    there is nothing, or the bootstrap.

    Args:
        rewards: float (B, T); on the last token of each turn.
        values: float (B, T); of the state in which each token is said, without gradient.
        action_mask: bool (B, T).
        gamma: discount from one action token to the next.
        terminal: bool (B,); as for ``generalized_advantage_estimation``.
        bootstrap: float (B,); as there.

    Returns:
        float (B, T), 0 outside ``action_mask``.

    Raises:
        ValueError: if a row did not end by itself and ``bootstrap`` is missing.
    """
    errors = generalized_advantage_estimation(rewards, values, action_mask, gamma, 0.0, terminal, bootstrap)
    return torch.where(action_mask, errors + values, 0.0)


def token_critic_loss(
    action_values: Tensor, tokens: Tensor, targets: Tensor, conservatism: float = 0.0, raising: bool = True
) -> Tensor:
    r"""Squared error of the value of the token that was said, and a pull on all others below it.

    .. math:: (Q(s_t, a_t) - y_t)^2 + \alpha \Bigl(\log \sum_a \exp Q(s_t, a) - Q(s_t, a_t)\Bigr)

    ILQL, Snell et al. 2022, arXiv:2206.11871; the second term is CQL's, a cross-entropy of the values. It holds other
    tokens down and raises the one that was said: where that is always the same one, its value comes to rest up to
    ``conservatism / 2`` above its target. Values of a conversation follow from each other, token by token, so that
    200 tokens with a conservatism of .1 and no discount are worth 10 more at their beginning than they earn, and long
    conversations more than short ones. ``raising=False`` leaves that part of the gradient out.

    Args:
        action_values: float (..., V), differentiable; of one critic, for any selection of tokens.
        tokens: int64 (...); what was said.
        targets: float (...); of ``token_targets``.
        conservatism: alpha.
        raising: whether the pull also raises what was said. The loss is the same, its gradient is not.

    Returns:
        float (...), for each token.
    """
    said = action_values.gather(-1, tokens[..., None]).squeeze(-1)
    error = (said - targets).square()
    if not conservatism:
        return error
    gap = conservative_gap(action_values, tokens)
    if not raising:
        # Worth nothing; its slope at the said token, one less its share of the soft maximum, takes back the gap's.
        gap = gap - torch.expm1(-gap).detach() * (said - said.detach())
    return error + conservatism * gap


def guided_logprobs(behavior_logits: Tensor, advantages: Tensor, beta: float = 1.0) -> Tensor:
    r"""The next token's distribution: the language model's, tilted towards what is better than usual.

    .. math:: \log \mathrm{softmax}\Bigl(\log\pi_\beta(a \mid s) + \beta\,\bigl(\min_k Q_k(s, a) - V(s)\bigr)\Bigr)

    ILQL, Snell et al. 2022, arXiv:2206.11871. V shifts all tokens of a state alike and cancels; it counts where
    advantages are clipped before.

    Args:
        behavior_logits: float (..., V); minus infinity for what is not to be said, whatever it is worth.
        advantages: float (..., V); the bracket.
        beta: how far values are followed; 0 is the language model.

    Returns:
        float (..., V), log-probabilities.
    """
    tilted = behavior_logits + beta * advantages
    return torch.where(behavior_logits == -torch.inf, -torch.inf, tilted).log_softmax(-1)
