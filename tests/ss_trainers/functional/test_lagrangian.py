import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ss_trainers.functional.lagrangian import lagrange_dual_loss, lagrange_multiplier

LOGARITHMS = st.floats(-8, 13)


def loss_and_slope(log_multiplier: float, measured: list[float], limit: float) -> tuple[float, float]:
    point = torch.tensor(log_multiplier, dtype=torch.float64, requires_grad=True)
    loss = lagrange_dual_loss(point, torch.tensor(measured, dtype=torch.float64), limit)
    loss.backward()
    return loss.item(), point.grad.item()


@pytest.mark.parametrize(
    ("log_multiplier", "measured", "loss", "slope"),
    [
        # Violated by .2 on average: descent raises the logarithm.
        (math.log(2), [0.05, 0.45], -0.4, -0.4),
        # Kept by .05: descent lowers it.
        (math.log(2), [0.0, 0.0], 0.1, 0.1),
        # Above the bound of 10: no further up, but back down.
        (11.0, [0.25], -0.2 * math.exp(10), 0.0),
        (11.0, [0.0], 0.05 * math.exp(10), 0.05 * math.exp(10)),
        # Below that of -5: no further down, but back up.
        (-6.0, [0.0], 0.05 * math.exp(-5), 0.0),
        (-6.0, [0.25], -0.2 * math.exp(-5), -0.2 * math.exp(-5)),
    ],
)
def test_dual_loss_with_a_limit_of_a_twentieth(log_multiplier, measured, loss, slope) -> None:
    assert loss_and_slope(log_multiplier, measured, 0.05) == pytest.approx((loss, slope))


@given(st.floats(-4.9, 9.9), st.floats(-1, 2), st.floats(0, 1))
def test_the_multiplier_rises_exactly_while_the_limit_is_exceeded(log_multiplier, measured, limit) -> None:
    slope = loss_and_slope(log_multiplier, [measured], limit)[1]
    assert (slope < 0) == (measured > limit) and (slope > 0) == (measured < limit)


@given(LOGARITHMS, st.floats(-1, 1), st.floats(0.001, 0.5))
def test_descent_never_stays_outside_the_bounds(log_multiplier, excess, rate) -> None:
    assume(abs(excess) > 1e-3)
    before = torch.tensor(log_multiplier, dtype=torch.float64)
    slope = loss_and_slope(log_multiplier, [excess], 0.0)[1]
    after = log_multiplier - rate * math.copysign(slope != 0, slope)
    assert -5 - rate <= after <= 10 + rate or abs(after) <= abs(log_multiplier)
    inwards = (log_multiplier < -5 and excess > 0) or (log_multiplier > 10 and excess < 0)
    assert not inwards or slope != 0
    assert math.exp(-5) * (1 - 1e-12) <= lagrange_multiplier(before).item() <= math.exp(10) * (1 + 1e-12)


def test_a_multiplier_that_overshot_comes_back() -> None:
    logarithm = torch.tensor(9.9, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logarithm], lr=0.3)
    seen = []
    for measured in [1.0] * 20 + [-1.0] * 20:
        optimizer.zero_grad()
        lagrange_dual_loss(logarithm, torch.tensor(measured), 0.0).backward()
        optimizer.step()
        seen.append(logarithm.item())
    assert max(seen) > 10 and seen[-1] < 10


def test_what_is_measured_gets_no_gradient_from_the_dual_loss_nor_the_multiplier_from_the_penalty() -> None:
    logarithm = torch.tensor(0.0, requires_grad=True)
    measured = torch.tensor([0.3, 0.5], requires_grad=True)
    lagrange_dual_loss(logarithm, measured, 0.05).backward()
    assert measured.grad is None
    (lagrange_multiplier(logarithm) * measured.mean()).backward()
    assert logarithm.grad.item() == pytest.approx(-0.35) and measured.grad.tolist() == [0.5, 0.5]


def test_a_policy_whose_entropy_is_too_low_gets_a_greater_temperature() -> None:
    # Two actions a mean log-probability of 0.2; a target entropy of -1 lets it rise to 1, one of 0.5 only to -0.5.
    assert loss_and_slope(0.0, [0.1, 0.3], 1.0)[1] > 0
    assert loss_and_slope(0.0, [0.1, 0.3], -0.5)[1] < 0
