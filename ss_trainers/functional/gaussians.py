"""Log-densities and divergences of the Gaussians that continuous actors and variational autoencoders are made of."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import softplus


def squashed_logprob(unsquashed: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    r"""Log-density of an action that is the tanh of a Gaussian's sample.

    .. math:: \log\pi(a \mid s) = \sum_i \log\mathcal N(u_i; \mu_i, \sigma_i) - \log(1 - \tanh^2 u_i),
              \quad a = \tanh u

    SAC, Haarnoja et al. 2018, arXiv:1801.01290, appendix C. A sample with gradient is
    :math:`u = \mu + \sigma\epsilon` with standard normal noise. It is taken before the tanh, whose
    inverse is lost where it rounds to 1.

    Args:
        unsquashed: float (..., d), differentiable; u.
        mean: float (..., d), differentiable.
        log_std: float (..., d), differentiable.

    Returns:
        float (...), of all d components together.
    """
    standard = (unsquashed - mean) * (-log_std).exp()
    normal = -standard.square() / 2 - log_std - math.log(2 * math.pi) / 2
    # log(1 - tanh(u)^2), which would be log 0 from |u| = 20 on.
    slope = 2 * (math.log(2) - unsquashed - softplus(-2 * unsquashed))
    return (normal - slope).sum(-1)


def standard_normal_divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    r"""KL divergence of a Gaussian from the standard normal distribution, for each component.

    .. math:: \tfrac12 (\mu^2 + \sigma^2 - 1) - \log\sigma

    The regulariser of a variational autoencoder, Kingma and Welling 2013, arXiv:1312.6114, appendix B.
    BCQ's loss is the mean squared error of the decoded actions plus half this divergence's mean over rows and
    components.

    Args:
        mean: float (..., d), differentiable.
        log_std: float (..., d), differentiable.

    Returns:
        float (..., d), 0 or more.
    """
    return (mean.square() + (2 * log_std).exp() - 1) / 2 - log_std
