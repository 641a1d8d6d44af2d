import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.aggregation import sequence_mean_token_mean
from ss_trainers.functional.ratios import (
    effective_sample_share,
    group_expectation_ratio,
    log_group_expectation,
    masked_importance_weight,
    sequence_logprob,
    sequence_ratio,
    sequence_token_ratio,
    token_ratio,
    truncated_importance_weight,
)
from tests.ss_trainers.functional.tables import tables

DIFFERENCES = torch.tensor([[0.2, -0.1, 0.05]], dtype=torch.float64)
ALL = torch.ones(1, 3, dtype=torch.bool)
BAD = torch.tensor([[0.3, 1e6, float("nan"), float("-inf")]], dtype=torch.float64)
FIRST = torch.tensor([[True, False, False, False]])


def scored():
    """Log-probabilities of two policies and a mask, (B, T) each."""
    return tables(st.floats(-4, 0), st.floats(-4, 0), st.booleans())


# --- tokens --------------------------------------------------------------------------------------


def test_ratio_of_three_tokens() -> None:
    ratio = token_ratio(DIFFERENCES, torch.zeros_like(DIFFERENCES), ALL)
    assert ratio[0].tolist() == pytest.approx([1.221403, 0.904837, 1.051271], abs=1e-6)


def test_is_one_where_policies_agree_and_its_gradient_is_that_of_the_logprob() -> None:
    logprobs = DIFFERENCES.clone().requires_grad_()
    ratio = token_ratio(logprobs, DIFFERENCES, ALL)
    ratio.sum().backward()
    assert ratio[0].tolist() == [1.0] * 3
    assert logprobs.grad[0].tolist() == [1.0] * 3


def test_outside_the_mask_it_is_one_with_gradient_zero_whatever_is_there() -> None:
    logprobs = BAD.clone().requires_grad_()
    ratio = token_ratio(logprobs, torch.zeros(1, 4), FIRST)
    ratio.sum().backward()
    assert ratio[0, 1:].tolist() == [1.0] * 3
    assert logprobs.grad[0].tolist() == pytest.approx([1.349859, 0.0, 0.0, 0.0], abs=1e-6)


# --- sequences -----------------------------------------------------------------------------------


def test_ratio_of_a_sequence_is_the_geometric_mean() -> None:
    assert sequence_ratio(DIFFERENCES, torch.zeros(1, 3), ALL).item() == pytest.approx(1.0513, abs=1e-4)


@pytest.mark.parametrize("ratio", [sequence_ratio, sequence_token_ratio])
def test_what_is_masked_has_no_part_in_a_sequences_ratio(ratio) -> None:
    logprobs = BAD.clone().requires_grad_()
    value = ratio(logprobs, torch.zeros(1, 4), FIRST)
    value.sum().backward()
    assert value[0].flatten()[0].item() == pytest.approx(1.349859, abs=1e-6)
    assert logprobs.grad[0].tolist() == pytest.approx([1.349859, 0, 0, 0], abs=1e-6)
    assert ratio(BAD, torch.zeros(1, 4), FIRST & False).flatten().tolist() == [1.0] * value.numel()


@given(scored())
def test_a_sequences_ratio_lies_between_those_of_its_tokens(batch) -> None:
    logprobs, old, mask = batch
    tokens, whole = token_ratio(logprobs, old, mask), sequence_ratio(logprobs, old, mask)
    for row in range(len(mask)):
        if mask[row].any():
            inside = tokens[row][mask[row]]
            assert inside.min() * (1 - 1e-9) <= whole[row] <= inside.max() * (1 + 1e-9)


@given(scored(), st.floats(-1, 1))
def test_where_all_token_ratios_are_equal_the_sequences_is_that(batch, shift) -> None:
    logprobs, _, mask = batch
    whole = sequence_ratio(logprobs, logprobs - shift, mask)
    expected = torch.where(mask.any(1), torch.tensor(shift).double().exp(), 1.0)
    torch.testing.assert_close(whole, expected)


@given(scored(), st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_gspo_token_is_gspo_in_value_and_gradient(batch, numbers) -> None:
    logprobs, old, mask = batch
    advantages = torch.tensor(numbers, dtype=torch.float64)[: len(mask)]
    results = []
    for tokenwise in (False, True):
        point = logprobs.clone().requires_grad_()
        ratio = sequence_token_ratio(point, old, mask)
        if not tokenwise:
            ratio = sequence_ratio(point, old, mask)[:, None].expand_as(mask)
        objective = sequence_mean_token_mean(ratio * advantages[:, None], mask)
        objective.backward()
        results.append((objective.item(), point.grad))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12, abs=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)


def test_logprob_of_a_sequence() -> None:
    mask = torch.tensor([[True, False, True]])
    assert sequence_logprob(DIFFERENCES, mask).item() == pytest.approx(0.25)
    assert sequence_logprob(DIFFERENCES, mask, length_normalized=True).item() == pytest.approx(0.125)


# --- group expectation ---------------------------------------------------------------------------

SAMPLER, LEARNER = torch.tensor([0.5, 0.6, 0.4]).double().log(), torch.tensor([0.55, 0.57, 0.42]).double().log()
ONE = torch.ones(3, 1, dtype=torch.bool)
GROUP = torch.zeros(3, dtype=torch.int64)


def test_weights_of_a_group_of_three() -> None:
    expectation = log_group_expectation(SAMPLER[:, None], ONE, GROUP)
    assert expectation.exp().tolist() == pytest.approx([0.51333] * 3, abs=1e-5)
    weights = group_expectation_ratio(LEARNER[:, None], expectation, ONE)
    assert weights.tolist() == pytest.approx([1.0714, 1.1104, 0.8182], abs=1e-4)
    on_policy = group_expectation_ratio(SAMPLER[:, None], expectation, ONE)
    assert on_policy.tolist() == pytest.approx([0.974, 1.169, 0.779], abs=1e-3)


def test_sums_of_logprobs_degenerate() -> None:
    sums = torch.tensor([-300.0, -310.0, -305.0], dtype=torch.float64)[:, None]
    expectation = log_group_expectation(sums, ONE, GROUP, length_normalized=False)
    weights = group_expectation_ratio(sums, expectation, ONE, length_normalized=False)
    assert weights.tolist() == pytest.approx([1.007, 4.6e-5, 6.8e-3], rel=1e-2)


@given(scored(), st.floats(-2, 2))
def test_expectation_is_bounded_by_its_group_and_scales_with_it(batch, shift) -> None:
    logprobs, old, mask = batch
    groups = torch.arange(len(mask)) % 2
    lengths = mask.any(1)
    expectation = log_group_expectation(old, mask, groups)
    likelihood = sequence_logprob(old, mask, length_normalized=True).exp()
    for group in groups.unique():
        members = groups == group
        found = expectation[members].exp()
        said = likelihood[members & lengths]
        if len(said):
            assert said.mean() * (1 - 1e-9) <= found[0] <= said.max() * (1 + 1e-9)
    if bool(lengths.all()):
        weights = group_expectation_ratio(logprobs, expectation, mask)
        moved = group_expectation_ratio(logprobs + shift, log_group_expectation(old + shift, mask, groups), mask)
        torch.testing.assert_close(moved, weights, rtol=1e-9, atol=1e-12)


@given(scored())
def test_with_one_member_or_equal_ones_it_is_gspo(batch) -> None:
    logprobs, old, mask = batch
    alone = log_group_expectation(old, mask, torch.arange(len(mask)))
    torch.testing.assert_close(group_expectation_ratio(logprobs, alone, mask), sequence_ratio(logprobs, old, mask))
    same = old[:1].expand_as(old), mask[:1].expand_as(mask)
    together = log_group_expectation(*same, torch.zeros(len(mask), dtype=torch.int64))
    torch.testing.assert_close(
        group_expectation_ratio(logprobs, together, same[1]), sequence_ratio(logprobs, same[0], same[1])
    )


def test_a_sequence_in_which_nothing_was_said_takes_no_part() -> None:
    mask = torch.cat([ONE, torch.zeros(1, 1, dtype=torch.bool)])
    logprobs = torch.cat([SAMPLER, torch.tensor([-9.0]).double()])[:, None]
    groups = torch.zeros(4, dtype=torch.int64)
    expectation = log_group_expectation(logprobs, mask, groups)
    assert expectation.exp().tolist() == pytest.approx([0.51333] * 4, abs=1e-5)
    assert log_group_expectation(logprobs, mask & False, groups).tolist() == [0.0] * 4


def test_an_empty_batch_has_no_expectation() -> None:
    nothing = torch.zeros(0, 3)
    assert log_group_expectation(nothing, nothing.bool(), torch.zeros(0, dtype=torch.int64)).shape == (0,)


# --- mismatch of trainer and sampler -------------------------------------------------------------

WEIGHTS = torch.tensor([[0.5, 1.2, 4.0]], dtype=torch.float64)


def test_truncated_and_masked_weights() -> None:
    old, sampler = WEIGHTS.log(), torch.zeros(1, 3).double()
    assert truncated_importance_weight(old, sampler, ALL)[0].tolist() == pytest.approx([0.5, 1.2, 2.0])
    assert masked_importance_weight(old, sampler, ALL)[0].tolist() == pytest.approx([0.5, 1.2, 0.0])
    assert masked_importance_weight(old, sampler, ALL, low=1.0)[0].tolist() == pytest.approx([0.0, 1.2, 0.0])
    assert effective_sample_share(WEIGHTS, ALL).item() == pytest.approx(0.612, abs=1e-3)


def test_weights_of_whole_sequences() -> None:
    old, sampler = WEIGHTS.log(), torch.zeros(1, 3).double()
    # The product is 2.4, the geometric mean 1.339.
    product = masked_importance_weight(old, sampler, ALL, high=3.0, level="sequence")
    assert product[0].tolist() == pytest.approx([2.4] * 3)
    assert not masked_importance_weight(old, sampler, ALL, high=2.0, level="sequence").any()
    gated = masked_importance_weight(old, sampler, ALL, high=1.4, level="geometric")
    assert gated[0].tolist() == pytest.approx([0.5, 1.2, 4.0])
    assert not masked_importance_weight(old, sampler, ALL, high=1.3, level="geometric").any()


@given(scored(), st.floats(0.1, 5))
def test_weights_keep_to_their_bounds(batch, cap) -> None:
    old, sampler, mask = batch
    cut, masked = truncated_importance_weight(old, sampler, mask, cap), masked_importance_weight(old, sampler, mask)
    plain = token_ratio(old, sampler, mask)
    assert cut.max() <= cap and bool((cut <= plain).all())
    assert not (masked[plain == 0] != 0).any() and masked.max() <= 2.0
    torch.testing.assert_close(truncated_importance_weight(old, sampler, mask, float("inf")), plain)
    assert (truncated_importance_weight(old, old, mask, max(1.0, cap)) == 1).all()


def test_weights_have_no_gradient() -> None:
    old = DIFFERENCES.clone().requires_grad_()
    for weights in (truncated_importance_weight(old, DIFFERENCES, ALL), masked_importance_weight(old, old, ALL)):
        assert not weights.requires_grad


def test_the_share_of_no_samples_is_zero() -> None:
    assert effective_sample_share(WEIGHTS, ALL & False).item() == 0.0
    assert effective_sample_share(torch.zeros(1, 3), ALL).item() == 0.0
    assert effective_sample_share(torch.full((1, 3), 0.3), ALL).item() == pytest.approx(1.0)
