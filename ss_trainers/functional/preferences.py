"""Preferences between two replies: how they are put together, and what is learnt from them."""

from __future__ import annotations

from torch import Tensor, sigmoid
from torch.nn.functional import logsigmoid


def swap_averaged(first_shown: Tensor, second_shown: Tensor) -> Tensor:
    r"""How probable it is that A is better, judged once in each order, which cancels a liking for a place.

    .. math:: p = \tfrac12 \bigl(P(A \succ B \mid A, B) + P(A \succ B \mid B, A)\bigr)

    RLAIF, Lee et al. 2023, arXiv:2309.00267, section 2.1; Wang et al. 2023, arXiv:2305.17926.

    Args:
        first_shown: float (...); probability that A is better, where A was shown first.
        second_shown: float (...); the same where A was shown second.

    Returns:
        float (...).
    """
    return (first_shown + second_shown) / 2


def bradley_terry_loss(scores: Tensor, other_scores: Tensor, preference: Tensor | float = 1.0) -> Tensor:
    r"""Cross-entropy of a preference under the difference of two scores.

    .. math:: -\bigl[p \log\sigma(\Delta) + (1 - p) \log\sigma(-\Delta)\bigr], \quad \Delta = s_A - s_B

    Bradley and Terry 1952; with labels from 0 to 1 as in Lee et al. 2023, arXiv:2309.00267, section 2.2.1.

    Args:
        scores: float (...), differentiable; of A.
        other_scores: float (...), differentiable; of B.
        preference: p, the probability that A is better.

    Returns:
        float (...), for each pair.
    """
    margin = scores - other_scores
    return -(preference * logsigmoid(margin) + (1 - preference) * logsigmoid(-margin))


def direct_preference_loss(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    r"""Bradley and Terry's loss with a policy's own log-probabilities, against a reference, as scores.

    .. math:: -\log\sigma\Bigl(\beta\bigl[(\log\pi_w - \log\pi_{ref,w}) - (\log\pi_l - \log\pi_{ref,l})\bigr]\Bigr)

    DPO, Rafailov et al. 2023, arXiv:2305.18290, equation 7.

    Args:
        chosen: float (...), differentiable; log-probability of the better reply, summed over its tokens.
        rejected: float (...), differentiable; of the other.
        reference_chosen: float (...); of the better reply under the reference.
        reference_rejected: float (...); of the other under the reference.
        beta: how far the policy is held to the reference.

    Returns:
        float (...), for each pair.
    """
    return bradley_terry_loss(beta * (chosen - reference_chosen), beta * (rejected - reference_rejected))


def direct_preference_weight(margin: Tensor, beta: float = 0.1) -> Tensor:
    r"""How much a pair still has to teach: the size of the slope of its loss in either log-probability.

    .. math:: \beta\,\sigma(-\beta\,m), \quad m = (\log\pi_w - \log\pi_{ref,w}) - (\log\pi_l - \log\pi_{ref,l})

    DPO, Rafailov et al. 2023, arXiv:2305.18290, section 4 ("What does the DPO update do?").

    Args:
        margin: float (...); m.
        beta: as for ``direct_preference_loss``.

    Returns:
        float (...), from 0 to beta.
    """
    return beta * sigmoid(-beta * margin)
