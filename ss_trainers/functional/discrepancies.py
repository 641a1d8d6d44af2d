r"""How different two sets of samples are, by a kernel: the maximum mean discrepancy.

The kernels' sigma is not that of every library. Here it is a length for the Gaussian kernel,
:math:`\exp(-\lVert x - y\rVert_2^2 / (2\sigma^2))`, and half a length for the Laplace kernel,
:math:`\exp(-\lVert x - y\rVert_1 / (2\sigma))`, which is how BEAR's code and d3rlpy write it. These divide by
:math:`2\sigma` in the Gaussian kernel too: a sigma of theirs there is the square of one here.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# Similarity of each of n samples to each of m: float (..., n, d), float (..., m, d) -> float (..., n, m).
Kernel = Callable[[Tensor, Tensor], Tensor]

# What is added before the root, whose slope has no bound at 0; as in BEAR's code.
_ROOT_FLOOR = 1e-6


def laplace_kernel(samples: Tensor, others: Tensor, sigma: float) -> Tensor:
    r"""Similarity that falls with the sum of absolute differences: :math:`\exp(-\lVert x - y\rVert_1 / (2\sigma))`.

    Args:
        samples: float (..., n, d), differentiable.
        others: float (..., m, d), differentiable.
        sigma: half the length over which it falls by e.

    Returns:
        float (..., n, m), from 0 to 1.
    """
    return (-_differences(samples, others).abs().sum(-1) / (2 * sigma)).exp()


def gaussian_kernel(samples: Tensor, others: Tensor, sigma: float) -> Tensor:
    r"""Similarity that falls with the squared distance: :math:`\exp(-\lVert x - y\rVert_2^2 / (2\sigma^2))`.

    Args:
        samples: float (..., n, d), differentiable.
        others: float (..., m, d), differentiable.
        sigma: the standard deviation of the bell.

    Returns:
        float (..., n, m), from 0 to 1.
    """
    return (-_differences(samples, others).square().sum(-1) / (2 * sigma**2)).exp()


def squared_mmd(samples: Tensor, others: Tensor, kernel: Kernel, unbiased: bool = False) -> Tensor:
    r"""Squared distance of two sets' means in the kernel's feature space.

    .. math:: \frac{1}{n^2} \sum_{i,j} k(x_i, x_j) + \frac{1}{m^2} \sum_{i,j} k(y_i, y_j)
              - \frac{2}{nm} \sum_{i,j} k(x_i, y_j)

    Gretton et al. 2012, "A Kernel Two-Sample Test", equation 5; unbiased, equation 3, which leaves out what a
    sample has in common with itself (i = j) and divides by n (n - 1). The biased one is never negative, 0 for
    equal sets, and on average above 0 for samples of one distribution; the unbiased one is 0 there on average,
    and so also negative.

    Args:
        samples: float (..., n, d), differentiable.
        others: float (..., m, d), differentiable.
        kernel: ``functools.partial(gaussian_kernel, sigma=1.5)``, for instance.
        unbiased: see above; needs two samples of each.

    Returns:
        float (...).

    Raises:
        ValueError: if it is to be unbiased and there is but one sample of either.
    """
    if unbiased and min(samples.shape[-2], others.shape[-2]) < 2:
        raise ValueError("the unbiased discrepancy compares samples within a set: give two or more of each")
    within = [_mean_within(kernel(each, each), unbiased) for each in (samples, others)]
    return within[0] + within[1] - 2 * kernel(samples, others).mean((-2, -1))


def reweighting_mmd(points: Tensor, weights: Tensor, others: Tensor, kernel: Kernel) -> Tensor:
    r"""Distance of two distributions over the same points: :math:`\sqrt{(w - v)^T K (w - v) + 10^{-6}}`.

    The maximum mean discrepancy of Gretton et al. 2012, equation 5, where samples are not equally likely; BEAR's for a
    policy that gives other probabilities to what was proposed. The constant is that of ``mmd``.

    Args:
        points: float (..., n, d).
        weights: float (..., n), differentiable; w, adding up to 1.
        others: float (..., n); v, likewise.
        kernel: as for ``squared_mmd``.

    Returns:
        float (...).
    """
    moved = weights - others
    squared = (moved[..., None, :] @ kernel(points, points) @ moved[..., :, None]).squeeze((-2, -1))
    return (squared.clamp(min=0) + _ROOT_FLOOR).sqrt()


def mmd(samples: Tensor, others: Tensor, kernel: Kernel) -> Tensor:
    r"""The distance itself, which BEAR keeps below .05: :math:`\sqrt{\mathrm{MMD}^2 + 10^{-6}}`, of the biased.

    Kumar et al. 2019, arXiv:1906.00949, section 5 and the authors' code, from 4 to 10 actions of the policy
    and of a model of the log in each state, all before the tanh. The constant bounds the slope: equal sets are
    at .001, not at 0.

    Args:
        samples: float (..., n, d), differentiable.
        others: float (..., m, d), differentiable.
        kernel: as for ``squared_mmd``.

    Returns:
        float (...).
    """
    # Rounding may leave a difference of large sums below 0.
    return (squared_mmd(samples, others, kernel).clamp(min=0) + _ROOT_FLOOR).sqrt()


def _differences(samples: Tensor, others: Tensor) -> Tensor:
    return samples[..., :, None, :] - others[..., None, :, :]


def _mean_within(similarities: Tensor, unbiased: bool) -> Tensor:
    if not unbiased:
        return similarities.mean((-2, -1))
    size = similarities.shape[-1]
    itself = similarities.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (similarities.sum((-2, -1)) - itself) / (size * (size - 1))
