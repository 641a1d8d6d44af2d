import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from ss_trainers.functional.conservatism import conservative_gap, sampled_logsumexp


@st.composite
def logged_choices(draw):
    """Values of some actions in some states, and which one was logged in each."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    numbers = draw(st.lists(st.floats(-50, 50), min_size=rows * columns, max_size=rows * columns))
    actions = draw(st.lists(st.integers(0, columns - 1), min_size=rows, max_size=rows))
    return torch.tensor(numbers, dtype=torch.float64).view(rows, columns), torch.tensor(actions)


# --- actions that can be counted -----------------------------------------------------------------


def test_gap_of_three_actions() -> None:
    values = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64, requires_grad=True)
    gap = conservative_gap(values, torch.tensor(1))
    gap.backward()
    assert gap.item() == pytest.approx(0.407606, abs=1e-6)
    assert values.grad.tolist() == pytest.approx([0.244728, -0.334759, 0.090031], abs=1e-6)


def test_a_candidate_that_is_missing_has_no_part() -> None:
    values = torch.tensor([[1.0, -torch.inf, 2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    gap = conservative_gap(values, torch.tensor([2]))
    gap.backward()
    assert gap.item() == pytest.approx(0.407606, abs=1e-6)
    assert values.grad[0].tolist() == pytest.approx([0.244728, 0.0, -0.334759, 0.090031], abs=1e-6)


@given(logged_choices())
def test_the_gap_is_never_negative_and_its_gradient_adds_up_to_zero(choices) -> None:
    values, actions = choices
    point = values.clone().requires_grad_()
    gap = conservative_gap(point, actions)
    gap.sum().backward()
    assert bool((gap >= 0).all())
    torch.testing.assert_close(point.grad.sum(-1), torch.zeros(len(values)).double(), rtol=0, atol=1e-12)
    logged = torch.nn.functional.one_hot(actions, values.shape[1])
    torch.testing.assert_close(point.grad, values.softmax(-1) - logged, rtol=0, atol=1e-12)


@given(logged_choices(), st.floats(-20, 20))
def test_the_gap_is_a_cross_entropy_and_blind_to_the_level(choices, shift) -> None:
    values, actions = choices
    gap = conservative_gap(values, actions)
    torch.testing.assert_close(gap, cross_entropy(values, actions, reduction="none"), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(conservative_gap(values + shift, actions), gap, rtol=1e-9, atol=1e-9)


# --- actions that cannot -------------------------------------------------------------------------

# log of the integral of exp(-a^2) from -1 to 1, which is sqrt(pi) erf(1).
EXACT = math.log(math.sqrt(math.pi) * math.erf(1))


def test_logsumexp_of_two_uniform_samples() -> None:
    # log((e^0 + e^1) / 2 * 2), the density of [-1, 1] being 1/2.
    values = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert sampled_logsumexp(values, torch.tensor(-math.log(2))).item() == pytest.approx(math.log(1 + math.e))


def test_uniform_samples_find_the_integral() -> None:
    assert pytest.approx(0.4012, abs=1e-4) == EXACT
    actions = 2 * torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    weights = (-actions.square()).exp()
    error = (weights.std() / weights.mean() / len(actions) ** 0.5).item()
    estimate = sampled_logsumexp(-actions.square(), torch.tensor(-math.log(2))).item()
    assert estimate == pytest.approx(EXACT, abs=4 * error) and error < 1e-3


def test_samples_of_several_distributions_find_the_same_integral() -> None:
    generator = torch.Generator().manual_seed(1)
    count = 100_000
    uniform = 2 * torch.rand(count, dtype=torch.float64, generator=generator) - 1
    # Two policies on [-1, 1] with densities (1 + a) / 2 and (1 - a) / 2: roots of uniform numbers.
    rising = 2 * torch.rand(count, dtype=torch.float64, generator=generator).sqrt() - 1
    falling = 1 - 2 * torch.rand(count, dtype=torch.float64, generator=generator).sqrt()
    actions = torch.cat([uniform, rising, falling])
    densities = torch.cat([torch.full_like(uniform, 0.5), (1 + rising) / 2, (1 - falling) / 2])
    assert sampled_logsumexp(-actions.square(), densities.log()).item() == pytest.approx(EXACT, abs=0.02)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=9), st.floats(-5, 5), st.integers(1, 4))
def test_repeating_the_samples_changes_nothing_and_a_level_adds(numbers, shift, times) -> None:
    values, density = torch.tensor(numbers, dtype=torch.float64), torch.tensor(-0.7)
    plain = sampled_logsumexp(values, density)
    torch.testing.assert_close(sampled_logsumexp(values.repeat(times), density), plain, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sampled_logsumexp(values + shift, density), plain + shift, rtol=1e-9, atol=1e-9)


def test_values_have_a_gradient_and_densities_none() -> None:
    values = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    densities = torch.tensor([-1.0, -2.0], dtype=torch.float64, requires_grad=True)
    sampled_logsumexp(values, densities).backward()
    assert values.grad.tolist() == pytest.approx(torch.tensor([1.0, 3.0]).softmax(0).tolist())
    assert densities.grad is None
