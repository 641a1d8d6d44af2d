import pytest
import torch

from ss_trainers.functional.ratios import token_ratio

DIFFERENCES = torch.tensor([[0.2, -0.1, 0.05]], dtype=torch.float64)


def test_ratio_of_three_tokens():
    ratio = token_ratio(DIFFERENCES, torch.zeros_like(DIFFERENCES), torch.ones(1, 3, dtype=torch.bool))
    assert ratio[0].tolist() == pytest.approx([1.221403, 0.904837, 1.051271], abs=1e-6)


def test_is_one_where_policies_agree_and_its_gradient_is_that_of_the_logprob():
    logprobs = DIFFERENCES.clone().requires_grad_()
    ratio = token_ratio(logprobs, DIFFERENCES, torch.ones(1, 3, dtype=torch.bool))
    ratio.sum().backward()
    assert ratio[0].tolist() == [1.0] * 3
    assert logprobs.grad[0].tolist() == [1.0] * 3


def test_outside_the_mask_it_is_one_with_gradient_zero_whatever_is_there():
    logprobs = torch.tensor([[0.3, 1e6, float("nan"), float("-inf")]], dtype=torch.float64, requires_grad=True)
    ratio = token_ratio(logprobs, torch.zeros(1, 4), torch.tensor([[True, False, False, False]]))
    ratio.sum().backward()
    assert ratio[0, 1:].tolist() == [1.0] * 3
    assert logprobs.grad[0].tolist() == pytest.approx([1.349859, 0.0, 0.0, 0.0], abs=1e-6)
