import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.divergences import k1, k2, k3

POLICY = torch.tensor([0.7, 0.3], dtype=torch.float64)
REFERENCE = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
DIFFERENCES = st.floats(-15, 15)


def gradient(estimator):
    """Gradient in the first logit of E_policy[estimator], samples drawn but not differentiated."""
    logits = POLICY.log().requires_grad_()
    (POLICY * estimator(logits.log_softmax(0), REFERENCE)).sum().backward()
    return logits.grad[0].item()


def test_a_difference_of_three_tenths():
    one, other = torch.tensor(-0.7, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)
    assert k1(one, other).item() == pytest.approx(0.3)
    assert k2(one, other).item() == pytest.approx(0.045)
    assert k3(one, other).item() == pytest.approx(0.0408182, abs=1e-7)


def test_k1_and_k3_have_the_divergence_as_mean():
    true = (POLICY * (POLICY.log() - REFERENCE)).sum().item()
    assert (POLICY * k1(POLICY.log(), REFERENCE)).sum().item() == pytest.approx(true)
    assert (POLICY * k3(POLICY.log(), REFERENCE)).sum().item() == pytest.approx(true)


def test_gradients_as_terms_of_a_loss():
    # d/dz1 of KL(pi || ref) is .1779, of KL(ref || pi) .2.
    assert gradient(k1) == pytest.approx(0.0, abs=1e-12)
    assert gradient(k2) == pytest.approx(0.1779, abs=1e-4)
    assert gradient(k3) == pytest.approx(0.2, abs=1e-12)


@given(DIFFERENCES)
def test_k3_is_positive_but_where_both_agree(difference):
    estimate = k3(torch.tensor(difference, dtype=torch.float64), torch.tensor(0.0)).item()
    assert estimate >= 0
    assert (estimate == 0) == (abs(difference) < 1e-8) or abs(difference) < 1e-7


def value_and_gradient(estimator, difference, dtype=torch.float64):
    logprob = torch.tensor(difference, dtype=dtype, requires_grad=True)
    value = estimator(logprob, torch.tensor(0.0, dtype=dtype))
    (gradient,) = torch.autograd.grad(value, logprob)
    return value.item(), gradient.item()


@pytest.mark.parametrize(
    ("estimator", "difference", "value", "slope"),
    [
        (k1, -30.0, -30.0, 1.0),
        (k1, 30.0, 30.0, 1.0),
        (k2, -30.0, 450.0, -30.0),
        (k2, 30.0, 450.0, 30.0),
        # e^-30 is nothing beside the rest.
        (k3, 30.0, 29.0, 1.0),
        # The last point of the curve: e^20 - 21, slope 1 - e^20.
        (k3, -20.0, 485165174.4098, -485165194.4098),
        # Three nats further along the tangent: e^20 - 21 + 3 (e^20 - 1).
        (k3, -23.0, 1940660757.6391, -485165194.4098),
    ],
)
def test_far_from_the_reference_there_is_still_a_gradient_back(estimator, difference, value, slope):
    assert value_and_gradient(estimator, difference) == pytest.approx((value, slope), rel=1e-12)


def test_an_outlier_does_not_overflow():
    value, slope = value_and_gradient(k3, -5000.0, torch.float32)
    assert value == pytest.approx(4980 * 485165194.41 + 485165174.41, rel=1e-6)
    assert slope == pytest.approx(-485165194.41, rel=1e-6)
