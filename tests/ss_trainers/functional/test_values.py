import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.values import clipped_value_loss, explained_variance

NUMBERS = st.floats(-5, 5)


def loss_and_slope(value, old, target, clip=None):
    point = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    before, wanted = torch.tensor(old, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)
    loss = clipped_value_loss(point, before, wanted, clip)
    loss.backward()
    return loss.item(), point.grad.item()


@pytest.mark.parametrize(
    ("value", "clip", "loss", "slope"),
    [
        (1.5, None, 0.125, 0.5),
        # Moved from 0 to 1.5, of which .2 count: (.2 - 1)^2 / 2, and no gradient.
        (1.5, 0.2, 0.32, 0.0),
        # Within the bound.
        (0.1, 0.2, 0.405, -0.9),
        # Away from the target: the plain error is the greater.
        (-1.0, 0.2, 2.0, -2.0),
    ],
)
def test_value_loss_from_zero_to_a_target_of_one(value, clip, loss, slope) -> None:
    assert loss_and_slope(value, 0.0, 1.0, clip) == pytest.approx((loss, slope))


@given(NUMBERS, NUMBERS, NUMBERS, st.floats(0, 3))
def test_clipping_never_makes_the_loss_smaller(value, old, target, clip) -> None:
    plain, bounded = loss_and_slope(value, old, target)[0], loss_and_slope(value, old, target, clip)[0]
    assert bounded >= plain
    assert loss_and_slope(value, value, target, clip)[0] == pytest.approx(plain)


def test_explained_variance_of_three_critics() -> None:
    targets, mask = torch.tensor([[1.0, 2.0, 3.0, 99.0]]), torch.tensor([[True, True, True, False]])
    assert explained_variance(targets + 7, targets, mask).item() == pytest.approx(1.0)
    assert explained_variance(torch.full((1, 4), 2.0), targets, mask).item() == pytest.approx(0.0)
    assert explained_variance(-targets, targets, mask).item() == pytest.approx(-3.0)
    # Of errors 0, 0, 1: variance 2/9 of 2/3.
    assert explained_variance(torch.tensor([[1.0, 2.0, 2.0, 0.0]]), targets, mask).item() == pytest.approx(2 / 3)


def test_targets_that_do_not_vary_leave_nothing_to_explain() -> None:
    values = torch.tensor([[1.0, 2.0]])
    assert explained_variance(values, torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool)).item() == 0.0
    assert explained_variance(values, values, torch.zeros(1, 2, dtype=torch.bool)).item() == 0.0
