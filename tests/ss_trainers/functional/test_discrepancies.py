import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.discrepancies import gaussian_kernel, laplace_kernel, mmd, reweighting_mmd, squared_mmd

NEAR, FAR = (torch.tensor(numbers, dtype=torch.float64)[:, None] for numbers in ([0.0, 1.0], [0.0, 3.0]))
BELL, TENT = partial(gaussian_kernel, sigma=1.5), partial(laplace_kernel, sigma=0.5)


@st.composite
def two_sets(draw):
    dimensions, sizes = draw(st.integers(1, 3)), (draw(st.integers(2, 5)), draw(st.integers(2, 5)))
    made = []
    for size in sizes:
        numbers = draw(st.lists(st.floats(-4, 4), min_size=size * dimensions, max_size=size * dimensions))
        made.append(torch.tensor(numbers, dtype=torch.float64).view(size, dimensions))
    return made


KERNELS = st.sampled_from([BELL, TENT, partial(laplace_kernel, sigma=20.0), partial(gaussian_kernel, sigma=0.3)])


# --- kernels -------------------------------------------------------------------------------------


def test_kernels_of_two_points() -> None:
    points, others = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[2.0, 0.0], [1.0, 2.0]]).double()
    # |x - y| is 3 in absolute differences, and 5 squared.
    assert laplace_kernel(points, others, 2.0).tolist() == [[pytest.approx(math.exp(-3 / 4)), 1.0]]
    assert gaussian_kernel(points, others, 2.0).tolist() == [[pytest.approx(math.exp(-5 / 8)), 1.0]]


def test_a_sigma_of_d3rlpy_is_the_square_of_one_here_for_the_gaussian_and_the_same_for_the_laplace() -> None:
    def theirs(power: int, sigma: float) -> float:
        return math.exp(-(3.0**power) / (2 * sigma))

    zero, three = FAR[:1], FAR[1:]
    assert gaussian_kernel(zero, three, math.sqrt(20)).item() == pytest.approx(theirs(2, 20))
    assert laplace_kernel(zero, three, 20).item() == pytest.approx(theirs(1, 20))


# --- discrepancy ---------------------------------------------------------------------------------


def test_discrepancies_of_two_pairs() -> None:
    # Laplace: exp(-d). (2 + 2 e^-1) / 4 + (2 + 2 e^-3) / 4 - 2 (1 + e^-3 + e^-1 + e^-2) / 4.
    assert squared_mmd(NEAR, FAR, TENT).item() == pytest.approx(0.432332, abs=1e-6)
    assert squared_mmd(NEAR, FAR, BELL).item() == pytest.approx(0.294, abs=5e-4)
    assert squared_mmd(NEAR, FAR, BELL, unbiased=True).item() == pytest.approx(-0.238, abs=5e-4)
    assert mmd(NEAR, FAR, TENT).item() == pytest.approx(math.sqrt(0.432333), abs=1e-6)


def test_a_set_and_itself() -> None:
    assert squared_mmd(NEAR, NEAR, BELL).item() == pytest.approx(0.0, abs=1e-15)
    # With k = e^(-2/9) it is 2 k - (1 + k): what a sample has in common with itself is missing within, not between.
    assert squared_mmd(NEAR, NEAR, BELL, unbiased=True).item() == pytest.approx(-0.199, abs=5e-4)
    assert mmd(NEAR, NEAR, BELL).item() == pytest.approx(1e-3)


def test_sets_of_several_states_at_once() -> None:
    both = squared_mmd(torch.stack([NEAR, FAR]), torch.stack([FAR, FAR]), BELL)
    assert both.tolist() == pytest.approx([squared_mmd(NEAR, FAR, BELL).item(), 0.0], abs=1e-12)


def test_one_sample_has_no_unbiased_discrepancy() -> None:
    for pair in ((NEAR[:1], FAR), (FAR, NEAR[:1])):
        with pytest.raises(ValueError, match="two or more of each"):
            squared_mmd(*pair, BELL, unbiased=True)
    assert squared_mmd(NEAR[:1], FAR, BELL).item() > 0


@given(two_sets(), KERNELS)
def test_the_biased_is_a_squared_distance(sets, kernel) -> None:
    one, other = sets
    distance = squared_mmd(one, other, kernel)
    assert -1e-12 <= distance.item() <= 2
    torch.testing.assert_close(squared_mmd(other, one, kernel), distance, rtol=0, atol=1e-12)
    assert squared_mmd(one, one.flip(0), kernel).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(squared_mmd(one + 3, other + 3, kernel), distance, rtol=1e-6, atol=1e-9)


@given(two_sets(), KERNELS)
def test_the_unbiased_leaves_out_the_diagonal(sets, kernel) -> None:
    def within(rows: list[list[float]]) -> float:
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(kernel(torch.tensor([rows[i]]), torch.tensor([rows[j]])).item() for i, j in pairs) / len(pairs)

    between = sum(kernel(a[None], b[None]).item() for a in sets[0] for b in sets[1]) / (len(sets[0]) * len(sets[1]))
    expected = sum(within(each.tolist()) for each in sets) - 2 * between
    assert squared_mmd(*sets, kernel, unbiased=True).item() == pytest.approx(expected, abs=1e-5)


def test_the_unbiased_is_zero_on_average_for_samples_of_one_distribution() -> None:
    draws = torch.randn(4000, 10, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    estimates = squared_mmd(draws[:, :5], draws[:, 5:], BELL, unbiased=True)
    error = (estimates.std() / len(estimates) ** 0.5).item()
    assert estimates.mean().item() == pytest.approx(0, abs=3 * error)
    assert squared_mmd(draws[:, :5], draws[:, 5:], BELL).mean() > 30 * error


@given(two_sets())
def test_descent_draws_the_sets_together(sets) -> None:
    samples, others = sets[0].clone().requires_grad_(), sets[1]
    before = mmd(samples, others, BELL)
    before.backward()
    assert mmd(samples.detach() - 1e-4 * samples.grad, others, BELL) <= before + 1e-9


@given(two_sets(), KERNELS)
def test_equal_sets_have_a_finite_gradient(sets, kernel) -> None:
    samples = sets[0].clone().requires_grad_()
    mmd(samples, sets[0], kernel).backward()
    assert bool(samples.grad.isfinite().all())


# --- other probabilities of the same points ------------------------------------------------------


def shares(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_what_is_moved_between_two_points_is_at_a_distance_that_falls_with_their_similarity() -> None:
    # sqrt(2 d^2 (1 - k)), with k = e^-1, and e^-3.
    moved, even = shares(0.8, 0.2), shares(0.5, 0.5)
    assert reweighting_mmd(NEAR, moved, even, TENT).item() == pytest.approx(
        math.sqrt(2 * 0.09 * (1 - math.exp(-1)) + 1e-6)
    )
    both = reweighting_mmd(torch.stack([NEAR, FAR]), torch.stack([moved, moved]), torch.stack([even, even]), TENT)
    assert both.tolist() == pytest.approx([0.337317, 0.413569], abs=1e-6)


@given(two_sets(), KERNELS, st.data())
def test_it_is_the_discrepancy_of_sets_in_which_points_are_repeated(sets, kernel, data) -> None:
    points = torch.cat(sets)
    drawn = st.lists(st.integers(0, len(points) - 1), min_size=6, max_size=6)
    one, other = (torch.tensor(data.draw(drawn)) for _ in range(2))
    weights, others = (places.bincount(minlength=len(points)).double() / 6 for places in (one, other))
    expected = squared_mmd(points[one], points[other], kernel).clamp(min=0).item()
    assert reweighting_mmd(points, weights, others, kernel).square().item() == pytest.approx(expected + 1e-6, abs=1e-9)


def test_equal_probabilities_are_at_the_floor_with_a_finite_gradient_and_absent_points_do_not_count() -> None:
    weights = shares(0.7, 0.3).requires_grad_()
    distance = reweighting_mmd(NEAR, weights, shares(0.7, 0.3), BELL)
    distance.backward()
    assert distance.item() == pytest.approx(1e-3) and weights.grad is not None and bool(weights.grad.isfinite().all())
    padded = reweighting_mmd(torch.cat([NEAR, FAR]), shares(0.8, 0.2, 0, 0), shares(0.5, 0.5, 0, 0), TENT)
    assert padded.item() == pytest.approx(reweighting_mmd(NEAR, shares(0.8, 0.2), shares(0.5, 0.5), TENT).item())
