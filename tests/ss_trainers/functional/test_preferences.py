import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.preferences import (
    bradley_terry_loss,
    direct_preference_loss,
    direct_preference_weight,
    swap_averaged,
)

SCORES = st.floats(-20, 20)
SHARES = st.floats(0, 1)


def double(*numbers):
    return [torch.tensor(number, dtype=torch.float64) for number in numbers]


def test_two_orders_are_averaged() -> None:
    assert swap_averaged(*double(0.8, 0.4)).item() == pytest.approx(0.6)


@given(SHARES, SHARES)
def test_swapping_the_labels_gives_the_complement(first, second) -> None:
    one = swap_averaged(*double(first, second)).item()
    other = swap_averaged(*double(1 - second, 1 - first)).item()
    assert other == pytest.approx(1 - one)


def test_the_loss_of_a_pair() -> None:
    assert bradley_terry_loss(*double(2.0, 1.0)).item() == pytest.approx(0.3133, abs=1e-4)
    assert bradley_terry_loss(*double(2.0, 1.0), 0.0).item() == pytest.approx(1.3133, abs=1e-4)
    assert bradley_terry_loss(*double(2.0, 1.0), torch.tensor(0.5)).item() == pytest.approx(0.8133, abs=1e-4)


@given(SCORES, SCORES, SHARES, st.floats(-5, 5))
def test_only_the_difference_of_the_scores_counts(one, other, share, shift) -> None:
    plain = bradley_terry_loss(*double(one, other), share).item()
    assert bradley_terry_loss(*double(one + shift, other + shift), share).item() == pytest.approx(plain, abs=1e-9)
    assert bradley_terry_loss(*double(other, one), 1 - share).item() == pytest.approx(plain, abs=1e-9)
    assert plain >= 0


def test_dpo_of_a_pair() -> None:
    loss = direct_preference_loss(*double(-10.0, -12.0, -11.0, -10.0))
    assert loss.item() == pytest.approx(0.5544, abs=1e-4)


@given(SCORES, SCORES, st.floats(0, 1))
def test_dpo_of_the_reference_itself_is_the_logarithm_of_two(chosen, rejected, beta) -> None:
    loss = direct_preference_loss(*double(chosen, rejected, chosen, rejected), beta)
    assert loss.item() == pytest.approx(math.log(2))


@given(SCORES, SCORES, st.floats(0.01, 2))
def test_the_weight_of_a_pair_is_the_slope_of_its_loss(chosen, rejected, beta) -> None:
    point = torch.tensor(chosen, dtype=torch.float64, requires_grad=True)
    direct_preference_loss(point, *double(rejected, -1.0, -2.0), beta).backward()
    margin = torch.tensor(chosen + 1 - (rejected + 2), dtype=torch.float64)
    assert direct_preference_weight(margin, beta).item() == pytest.approx(-point.grad.item())
