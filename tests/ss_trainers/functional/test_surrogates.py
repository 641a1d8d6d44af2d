import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.surrogates import capped_policy_gradient, clip_active, clipped, dual_clipped

RATIOS = st.floats(0.01, 10)
ADVANTAGES = st.floats(-5, 5, allow_subnormal=False)
BOUNDS = st.floats(0, 0.9)


def value_and_slope(ratio, advantage, low=0.2, high=0.2):
    point = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    objective = clipped(point, torch.tensor(advantage, dtype=torch.float64), low, high)
    objective.backward()
    return objective.item(), point.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.0),  # inside
        (1.5, 2.0, 2.4, 0.0),  # good and already likelier: stopped at 1.2
        (0.5, 2.0, 1.0, 2.0),  # good but less likely than before: pulled back
        (0.5, -2.0, -1.6, 0.0),  # bad and already less likely: stopped at 0.8
        (5.0, -1.0, -5.0, -1.0),  # bad but likelier than before: pulled back without bound
    ],
)
def test_ppo_clipping(ratio, advantage, value, slope):
    assert value_and_slope(ratio, advantage) == pytest.approx((value, slope))


def test_the_bounds_differ_for_clip_higher():
    assert value_and_slope(1.25, 1.0, 0.2, 0.28) == pytest.approx((1.25, 1.0))
    assert value_and_slope(1.3, 1.0, 0.2, 0.28) == pytest.approx((1.28, 0.0))


@given(RATIOS, ADVANTAGES, BOUNDS, BOUNDS)
def test_never_exceeds_the_unclipped_objective(ratio, advantage, low, high):
    assert value_and_slope(ratio, advantage, low, high)[0] <= ratio * advantage + 1e-12


@given(ADVANTAGES)
def test_at_ratio_one_the_slope_is_the_advantage(advantage):
    assert value_and_slope(1.0, advantage) == pytest.approx((advantage, advantage))


@given(RATIOS, ADVANTAGES.filter(bool), BOUNDS, BOUNDS)
def test_clip_active_says_where_the_slope_is_zero(ratio, advantage, low, high):
    numbers = torch.tensor([ratio, advantage], dtype=torch.float64)
    at_low, at_high = clip_active(numbers[0], numbers[1], low, high)
    stopped = value_and_slope(ratio, advantage, low, high)[1] == 0
    on_a_bound = ratio in (1 - low, 1 + high)
    assert on_a_bound or bool(at_low | at_high) == stopped
    assert not (at_low and at_high)


# --- dual clip -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [(5.0, -1.0, -3.0, 0.0), (2.0, -1.0, -2.0, -1.0), (5.0, 1.0, 1.2, 0.0), (0.5, -2.0, -1.6, 0.0)],
)
def test_a_bad_actions_objective_has_a_floor(ratio, advantage, value, slope) -> None:
    point = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    objective = dual_clipped(point, torch.tensor(advantage, dtype=torch.float64), 0.2, 0.2)
    objective.backward()
    assert (objective.item(), point.grad.item()) == pytest.approx((value, slope))


@given(RATIOS, ADVANTAGES, st.floats(1.5, 5))
def test_dual_clip_is_between_ppo_and_its_floor(ratio, advantage, bound) -> None:
    numbers = torch.tensor([ratio, advantage], dtype=torch.float64)
    plain = clipped(numbers[0], numbers[1], 0.2, 0.2)
    assert dual_clipped(numbers[0], numbers[1], 0.2, 0.2, bound) >= plain
    assert dual_clipped(numbers[0], numbers[1], 0.2, 0.2, bound) >= min(0.0, bound * advantage) - 1e-12
    assert dual_clipped(numbers[0], numbers[1], 0.2, 0.2, 1e9) == plain


# --- CISPO ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "coefficient"), [(3.0, 1.2), (1.1, 1.1), (0.1, 0.1)])
def test_a_capped_weight_keeps_the_gradient(ratio, coefficient) -> None:
    logprob = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    objective = capped_policy_gradient(weight, torch.tensor(2.0), logprob, 1.2)
    objective.backward()
    assert logprob.grad.item() == pytest.approx(2 * coefficient) and weight.grad is None


@given(ADVANTAGES)
def test_on_the_policys_own_samples_the_slopes_of_all_surrogates_agree(advantage) -> None:
    slopes = []
    for surrogate in (
        lambda lp, a: clipped((lp - lp.detach()).exp(), a, 0.2, 0.2),
        lambda lp, a: dual_clipped((lp - lp.detach()).exp(), a, 0.2, 0.2),
        lambda lp, a: capped_policy_gradient(torch.ones(()), a, lp, 1.2),
        lambda lp, a: a * lp,
    ):
        logprob = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
        surrogate(logprob, torch.tensor(advantage, dtype=torch.float64)).backward()
        slopes.append(logprob.grad.item())
    assert slopes == pytest.approx([advantage] * 4)
