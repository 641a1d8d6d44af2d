"""Log-densities and divergences of the Gaussians that continuous actors and variational autoencoders are made of."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import softplus


def reparameterized(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    r"""A sample through which the gradient reaches the distribution: :math:`\mu + \sigma\epsilon`.

    Kingma and Welling 2013, arXiv:1312.6114, section 2.4.

    Args:
        mean: float (..., d), differentiable.
        log_std: float (..., d), differentiable.
        noise: float (..., d), standard normal; epsilon.

    Returns:
        float (..., d), with dimensions broadcast: several samples of each distribution are noise (..., S, d) to a mean
        and a log_std of (..., 1, d).
    """
    return mean + log_std.exp() * noise


def gaussian_logprob(values: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    r"""Log-density of a Gaussian whose components are independent.

    .. math:: \sum_i \log\mathcal N(x_i; \mu_i, \sigma_i)
              = -\sum_i \Bigl(\frac{(x_i - \mu_i)^2}{2\sigma_i^2} + \log\sigma_i + \tfrac12\log 2\pi\Bigr)

    Args:
        values: float (..., d); x.
        mean: float (..., d), differentiable.
        log_std: float (..., d), differentiable.

    Returns:
        float (...), of all d components together.
    """
    return _log_density(values, mean, log_std).sum(-1)


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
    normal = _log_density(unsquashed, mean, log_std)
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


def _log_density(values: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Of each component by itself, (..., d)."""
    standard = (values - mean) * (-log_std).exp()
    return -standard.square() / 2 - log_std - math.log(2 * math.pi) / 2
