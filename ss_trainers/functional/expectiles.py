"""Implicit Q-learning: the value of a state as an expectile of what was done there, and weights for cloning it.

No action but the logged ones is ever valued, so there is nothing that a critic could overestimate unseen.
"""

from __future__ import annotations

from torch import Tensor


def expectile_loss(values: Tensor, targets: Tensor, expectile: float = 0.7) -> Tensor:
    r"""The squared error, weighed by tau where the value is too low and by 1 - tau where it is too high.

    .. math:: |\tau - \mathbb 1[u < 0]|\,u^2, \quad u = Y - V

    IQL, Kostrikov et al. 2021, arXiv:2110.06169, equation 5, where the targets are the less of two target
    critics at the logged action. It is least at the targets' expectile: their mean for tau 1/2, and the
    nearer to their maximum the nearer tau is to 1.

    Args:
        values: float (...), differentiable.
        targets: float (...).
        expectile: tau, between 0 and 1.

    Returns:
        float (...), for each value.
    """
    error = targets - values
    return (expectile - (error < 0).to(error.dtype)).abs() * error.square()


def advantage_weights(advantages: Tensor, beta: float = 3.0, cap: float = 100.0) -> Tensor:
    r"""How much a logged action is cloned: the more, the better it is than what is usual in its state.

    .. math:: \min\bigl(\exp(\beta A),\ c\bigr)

    IQL, Kostrikov et al. 2021, arXiv:2110.06169, equation 7, where the advantage is the less of two target
    critics less the value; advantage-weighted regression, Peng et al. 2019, arXiv:1910.00177. The loss is the
    action's negative log-probability times this.

    Args:
        advantages: float (...).
        beta: the inverse temperature; 0 is plain cloning.
        cap: c, the greatest weight.

    Returns:
        float (...), without gradient.
    """
    return (beta * advantages.detach()).exp().clamp(max=cap)
