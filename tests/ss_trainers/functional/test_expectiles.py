import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.expectiles import advantage_weights, expectile_loss

SAMPLES = st.lists(st.floats(-5, 5), min_size=1, max_size=8).map(lambda numbers: torch.tensor(numbers).double())
EXPECTILES = st.floats(0.01, 0.99)


def expectile_of(samples: torch.Tensor, expectile: float) -> float:
    """Where the loss is least: the mean, weighed as the loss there weighs squares (Newton, on a piecewise parabola)."""
    value = samples.mean()
    for _ in range(12):
        squares = (samples - value).square()
        weights = torch.where(squares > 0, expectile_loss(value, samples, expectile) / squares, expectile)
        value = (weights * samples).sum() / weights.sum()
    return value.item()


@pytest.mark.parametrize(
    ("value", "loss", "slope"),
    [
        (-1.0, 0.7 * 4, -0.7 * 4),  # two too low
        (1.5, 0.3 * 0.25, 0.3),  # half too high
        (1.0, 0.0, 0.0),
    ],
)
def test_loss_of_a_value_whose_target_is_one(value, loss, slope) -> None:
    point = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    found = expectile_loss(point, torch.tensor(1.0, dtype=torch.float64), 0.7)
    found.backward()
    assert (found.item(), point.grad.item()) == pytest.approx((loss, slope), rel=1e-12)


@pytest.mark.parametrize(("expectile", "expected"), [(0.5, 1 / 3), (0.7, 0.538462), (0.9, 0.818182)])
def test_expectiles_of_one_success_in_three(expectile, expected) -> None:
    # Of m: tau (1 - m) = 2 (1 - tau) m, so that m = tau / (2 - tau).
    samples = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert expectile_of(samples, expectile) == pytest.approx(expected, abs=1e-6)


@given(SAMPLES, EXPECTILES)
def test_the_slope_is_zero_at_the_expectile_and_rises(samples, expectile) -> None:
    middle = expectile_of(samples, expectile)
    points = torch.tensor([[middle - 0.1], [middle], [middle + 0.1]], dtype=torch.float64, requires_grad=True)
    expectile_loss(points, samples, expectile).sum().backward()
    below, there, above = points.grad.flatten().tolist()
    assert below < 0 < above and there == pytest.approx(0, abs=1e-9)


@given(SAMPLES)
def test_half_is_the_mean_and_nearly_one_the_maximum(samples) -> None:
    assert expectile_of(samples, 0.5) == pytest.approx(samples.mean().item(), abs=1e-9)
    assert expectile_of(samples, 1 - 1e-7) == pytest.approx(samples.max().item(), abs=1e-5)


@given(SAMPLES, EXPECTILES, EXPECTILES)
def test_expectiles_rise_with_tau_within_the_samples(samples, one, other) -> None:
    low, high = (expectile_of(samples, expectile) for expectile in sorted((one, other)))
    assert samples.min() - 1e-9 <= low <= high + 1e-9 <= samples.max() + 2e-9


@given(SAMPLES, EXPECTILES, st.floats(0.1, 5), st.floats(-5, 5))
def test_expectiles_move_with_the_samples(samples, expectile, factor, shift) -> None:
    moved = expectile_of(factor * samples + shift, expectile)
    assert moved == pytest.approx(factor * expectile_of(samples, expectile) + shift, abs=1e-8)


def test_weights_of_four_advantages() -> None:
    advantages = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    weights = advantage_weights(advantages)
    # exp(6) = 403 is above the cap of 100.
    assert weights.tolist() == pytest.approx([0.0497871, 1.0, 20.0855369, 100.0])
    assert not weights.requires_grad


def test_a_great_advantage_does_not_overflow() -> None:
    advantages = torch.tensor([1e6, -1e6])
    assert advantage_weights(advantages).tolist() == [100.0, 0.0]
    assert advantage_weights(advantages[1:], cap=math.inf).tolist() == [0.0]


@given(SAMPLES, st.floats(0, 10), st.floats(0.1, 200))
def test_weights_rise_with_the_advantage_up_to_the_cap(advantages, beta, cap) -> None:
    weights = advantage_weights(advantages.sort().values, beta, cap)
    assert bool((weights.diff() >= 0).all()) and bool((weights >= 0).all()) and weights.max() <= cap
    assert advantage_weights(advantages, 0.0, max(cap, 1.0)).tolist() == [1.0] * len(advantages)
