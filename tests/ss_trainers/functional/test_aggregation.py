import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.aggregation import (
    constant_length,
    sequence_mean_token_mean,
    sequence_mean_token_sum,
    token_mean,
)

# Two sequences of 2 and 4 tokens with losses 1 and 0.5, and an environment's token in the second.
MASK = torch.tensor([[1, 1, 0, 0, 0], [1, 0, 1, 1, 1]], dtype=torch.bool)
LOSSES = torch.tensor([[1, 1, 7, 7, 7], [0.5, 7, 0.5, 0.5, 0.5]], dtype=torch.float64)


@st.composite
def masked_values(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    numbers = st.lists(st.floats(-5, 5), min_size=rows * columns, max_size=rows * columns)
    flags = st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)
    values = torch.tensor(draw(numbers), dtype=torch.float64).view(rows, columns)
    return values, torch.tensor(draw(flags)).view(rows, columns)


def test_two_sequences_of_different_length():
    assert sequence_mean_token_mean(LOSSES, MASK).item() == pytest.approx(0.75)
    assert token_mean(LOSSES, MASK).item() == pytest.approx(4 / 6)
    assert constant_length(LOSSES, MASK, max_length=8).item() == pytest.approx(0.25)
    assert sequence_mean_token_sum(LOSSES, MASK).item() == pytest.approx(2.0)


@given(masked_values(), st.integers(0, 5))
def test_parts_with_the_whole_batch_normaliser_add_up(batch, cut):
    values, mask = batch
    parts = [(values[:cut], mask[:cut]), (values[cut:], mask[cut:])]
    tokens, sequences = float(mask.sum()), float(mask.any(-1).sum())
    for whole, split in (
        (token_mean(values, mask), [token_mean(*part, max(1.0, tokens)) for part in parts]),
        (
            sequence_mean_token_mean(values, mask),
            [sequence_mean_token_mean(*part, max(1.0, sequences)) for part in parts],
        ),
        (
            sequence_mean_token_sum(values, mask),
            [sequence_mean_token_sum(*part, max(1.0, sequences)) for part in parts],
        ),
        (constant_length(values, mask, 9), [constant_length(*part, 9, float(len(values))) for part in parts]),
    ):
        torch.testing.assert_close(sum(split), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "aggregate",
    [
        token_mean,
        sequence_mean_token_mean,
        sequence_mean_token_sum,
        lambda values, mask: constant_length(values, mask, 4),
    ],
)
def test_what_is_masked_has_no_influence_and_no_gradient(aggregate):
    values = LOSSES.masked_fill(~MASK, float("nan")).requires_grad_()
    result = aggregate(values, MASK)
    result.backward()
    assert result.item() == pytest.approx(aggregate(LOSSES, MASK).item())
    assert not values.grad[~MASK].any()


@pytest.mark.parametrize(
    "aggregate",
    [
        token_mean,
        sequence_mean_token_mean,
        sequence_mean_token_sum,
        lambda values, mask: constant_length(values, mask, 4),
    ],
)
def test_nothing_but_masked_tokens_is_zero_with_gradient_zero(aggregate):
    values = LOSSES.clone().requires_grad_()
    result = aggregate(values, torch.zeros_like(MASK))
    result.backward()
    assert result.item() == 0.0
    assert not values.grad.any()


def test_an_empty_sequence_does_not_dilute_the_mean_over_sequences():
    mask = torch.cat([MASK, torch.zeros(1, 5, dtype=torch.bool)])
    values = torch.cat([LOSSES, torch.ones(1, 5, dtype=torch.float64)])
    assert sequence_mean_token_mean(values, mask).item() == pytest.approx(0.75)
