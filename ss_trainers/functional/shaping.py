"""Rewards that are added to the environment's."""

from __future__ import annotations

from torch import Tensor


def overlong_penalty(lengths: Tensor, max_length: int, buffer: int) -> Tensor:
    r"""A penalty that grows over the last tokens before a limit, from 0 to -1.

    .. math:: 0 \text{ if } n \le L - C; \quad \frac{(L - C) - n}{C} \text{ if } n \le L; \quad -1 \text{ above}

    Soft overlong punishment of DAPO, Yu et al. 2025, arXiv:2503.14476, equation 13.

    Args:
        lengths: (...); tokens that the policy wrote.
        max_length: L.
        buffer: C, from 1 to L: over how many tokens it grows.

    Returns:
        float64 (...).
    """
    return ((max_length - buffer - lengths.double()) / buffer).clamp(-1.0, 0.0)
