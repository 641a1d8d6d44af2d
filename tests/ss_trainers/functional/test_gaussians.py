import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from ss_trainers.functional.gaussians import (
    gaussian_logprob,
    reparameterized,
    squashed_logprob,
    standard_normal_divergence,
)

MEANS, LOG_STDS, SAMPLES = st.floats(-3, 3), st.floats(-2, 1), st.floats(-6, 6)


def double(*numbers):
    return [torch.tensor([number], dtype=torch.float64) for number in numbers]


def test_samples_of_a_gaussian_and_their_gradient() -> None:
    mean, log_std = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[math.log(2)]], requires_grad=True)
    # Three of one distribution: each noise times a standard deviation of 2 from the mean.
    samples = reparameterized(mean, log_std, torch.tensor([[0.0], [1.0], [-0.5]]))
    samples.sum().backward()
    assert samples.flatten().tolist() == pytest.approx([1.0, 3.0, 0.0])
    assert mean.grad.item() == 3 and log_std.grad.item() == pytest.approx(2 * 0.5)


def test_logprob_of_an_action_at_the_mean() -> None:
    # The tanh has slope 1 at 0; at 1 it has 1 - tanh(1)^2 = .419974.
    assert squashed_logprob(*double(0.0, 0.0, 0.0)).item() == pytest.approx(-0.918939, abs=1e-6)
    assert squashed_logprob(*double(1.0, 1.0, math.log(2))).item() == pytest.approx(
        -0.918939 - math.log(2) - math.log(0.419974), abs=1e-6
    )


def test_logprob_of_a_gaussian() -> None:
    # At the mean -log(2 pi) / 2 a component; then one at a standard deviation of 2 from it.
    numbers = torch.tensor([[1.0, 5.0], [1.0, 3.0], [0.0, math.log(2)]], dtype=torch.float64)
    assert gaussian_logprob(*numbers).item() == pytest.approx(-0.918939 - 0.918939 - math.log(2) - 0.5, abs=1e-6)


@given(SAMPLES, MEANS, LOG_STDS)
def test_it_is_the_normal_density_over_the_slope_of_the_tanh(sample, mean, log_std) -> None:
    # 1 - tanh^2 is 1 / cosh^2.
    normal = Normal(*double(mean, math.exp(log_std))).log_prob(*double(sample)).item()
    expected = normal + 2 * math.log(math.cosh(sample))
    assert squashed_logprob(*double(sample, mean, log_std)).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(MEANS, LOG_STDS)
def test_densities_of_all_actions_add_up_to_one(mean, log_std) -> None:
    points = torch.linspace(-30, 30, 60_001, dtype=torch.float64)[:, None]
    density = squashed_logprob(points, *double(mean, log_std)).exp()
    assert torch.trapezoid(density, points[:, 0].tanh()).item() == pytest.approx(1, abs=1e-3)


def test_an_action_that_rounds_to_one_has_a_density_and_a_gradient() -> None:
    sample, mean, log_std = (number.float().requires_grad_() for number in double(40.0, 39.0, 0.0))
    logprob = squashed_logprob(sample, mean, log_std)
    logprob.sum().backward()
    # -.918939 - 1/2 less log(4 exp(-80)).
    assert logprob.item() == pytest.approx(-1.418939 - math.log(4) + 80, abs=1e-4)
    assert mean.grad.item() == pytest.approx(1.0) and sample.grad.item() == pytest.approx(1.0)


def test_components_are_added() -> None:
    numbers = torch.tensor([[0.3, -1.0], [0.1, 0.2], [0.0, -1.0]], dtype=torch.float64)
    together = squashed_logprob(*numbers)
    apart = sum(squashed_logprob(*numbers[:, place : place + 1]) for place in range(2))
    assert together.shape == () and together.item() == pytest.approx(apart.item())


def test_divergence_from_the_standard_normal() -> None:
    mean, log_std = torch.tensor([0.0, 1.0, 0.0]).double(), torch.tensor([0.0, 0.0, math.log(2)]).double()
    # The last: (4 - 1) / 2 - log 2.
    assert standard_normal_divergence(mean, log_std).tolist() == pytest.approx([0.0, 0.5, 0.806853], abs=1e-6)


@given(MEANS, LOG_STDS)
def test_divergence_agrees_with_torchs_and_is_not_negative(mean, log_std) -> None:
    one, other = Normal(*double(mean, math.exp(log_std))), Normal(*double(0.0, 1.0))
    found = standard_normal_divergence(*double(mean, log_std))
    torch.testing.assert_close(found, kl_divergence(one, other), rtol=1e-9, atol=1e-12)
    assert found.item() >= -1e-12
