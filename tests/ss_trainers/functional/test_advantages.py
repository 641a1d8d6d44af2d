import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.advantages import group_relative

ONE_OF_FOUR = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
ONE_GROUP = torch.zeros(4, dtype=torch.int64)
FINITE = st.floats(-100, 100, width=32)


@st.composite
def batches(draw):
    size = draw(st.integers(1, 12))
    returns = draw(st.lists(FINITE, min_size=size, max_size=size))
    groups = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    return torch.tensor(returns, dtype=torch.float64), torch.tensor(groups)


def by_hand(returns, groups, scale, unbiased, std_floor):
    result = []
    for value, group in zip(returns, groups, strict=True):
        members = [other for other, at in zip(returns, groups, strict=True) if at == group]
        mean = sum(members) / len(members)
        if max(members) == min(members):
            result.append(0.0)
            continue
        squares = sum((member - mean) ** 2 for member in members)
        spread = (squares / (len(members) - 1 if unbiased else len(members))) ** 0.5
        spread = max(spread, std_floor)
        result.append((value - mean) / (spread if scale == "std" else 1.0))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"unbiased": False}, [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)]),
        ({"unbiased": True}, [1.5, -0.5, -0.5, -0.5]),
        ({"scale": "none"}, [0.75, -0.25, -0.25, -0.25]),
    ],
)
def test_one_success_of_four(settings, expected):
    advantages = group_relative(ONE_OF_FOUR, ONE_GROUP, std_floor=0.0, **settings)
    assert advantages.tolist() == pytest.approx(expected, abs=1e-12)


@given(batches(), st.sampled_from(["std", "none"]), st.booleans())
def test_agrees_with_a_loop(batch, scale, unbiased):
    returns, groups = batch
    expected = by_hand(returns.tolist(), groups.tolist(), scale, unbiased, 1e-6)
    torch.testing.assert_close(group_relative(returns, groups, scale, unbiased), expected, rtol=1e-9, atol=1e-9)


@given(batches())
def test_sums_to_zero_in_each_group(batch):
    returns, groups = batch
    for scale in ("std", "none"):
        advantages = group_relative(returns, groups, scale)
        for group in groups.unique():
            assert advantages[groups == group].sum().item() == pytest.approx(0.0, abs=1e-9)


@given(batches(), st.floats(0.1, 50), FINITE)
def test_with_std_is_invariant_to_positive_affine_maps(batch, factor, shift):
    # Whole numbers, so that the map neither creates nor removes a difference by rounding.
    returns, groups = batch[0].round(), batch[1]
    mapped = group_relative(returns * factor + shift, groups, std_floor=0.0)
    torch.testing.assert_close(mapped, group_relative(returns, groups, std_floor=0.0), rtol=1e-6, atol=1e-6)


@given(batches(), FINITE)
def test_without_std_is_invariant_to_shifts(batch, shift):
    returns, groups = batch[0].round(), batch[1]
    shifted = group_relative(returns + shift, groups, "none")
    torch.testing.assert_close(shifted, group_relative(returns, groups, "none"), rtol=1e-9, atol=1e-9)


@given(batches(), st.randoms(use_true_random=False))
def test_is_permutation_equivariant(batch, random):
    returns, groups = batch
    order = list(range(len(returns)))
    random.shuffle(order)
    permuted = group_relative(returns[order], groups[order])
    torch.testing.assert_close(permuted, group_relative(returns, groups)[order], rtol=1e-9, atol=1e-12)


@given(batches(), FINITE)
def test_another_group_changes_nothing(batch, other):
    returns, groups = batch
    extended = group_relative(
        torch.cat([returns, torch.tensor([other, 0.0])]), torch.cat([groups, torch.tensor([9, 9])])
    )
    torch.testing.assert_close(extended[:-2], group_relative(returns, groups), rtol=1e-12, atol=1e-12)


@given(FINITE, st.integers(1, 9), st.sampled_from(["std", "none"]), st.booleans())
def test_equal_returns_give_exactly_zero(value, size, scale, unbiased):
    returns = torch.full((size,), value, dtype=torch.float64) / 3
    advantages = group_relative(returns, torch.ones(size, dtype=torch.int64), scale, unbiased, std_floor=0.0)
    assert advantages.tolist() == [0.0] * size


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_return_that_is_not_finite_gets_zero_and_leaves_its_group(bad):
    returns = torch.tensor([1.0, bad, 0.0, bad], dtype=torch.float64)
    groups = torch.tensor([5, 5, 5, 6])
    advantages = group_relative(returns, groups, std_floor=0.0)
    assert advantages.tolist() == pytest.approx([1.0, 0.0, -1.0, 0.0])


def test_an_empty_batch_has_no_advantages():
    assert group_relative(torch.zeros(0), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_a_floor_of_the_deviation_keeps_small_differences_small() -> None:
    returns = torch.tensor([1.0, 0.99, 1.0, 0.99], dtype=torch.float64)
    groups = torch.zeros(4, dtype=torch.int64)
    # The mean is 0.995 and the deviation 0.005: divided by it, penalties of 0.01 would be advantages of 1.
    assert group_relative(returns, groups).tolist() == pytest.approx([1, -1, 1, -1])
    assert group_relative(returns, groups, std_floor=0.1).tolist() == pytest.approx([0.05, -0.05, 0.05, -0.05])
