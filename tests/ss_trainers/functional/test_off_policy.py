import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.off_policy import (
    SupportError,
    bootstrap_interval,
    doubly_robust,
    effective_samples,
    expected_values,
    importance_sampled,
    linear_value_terms,
    log_trajectory_weights,
    per_decision,
    require_support,
    weighted_mean,
)

WEIGHTS = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64).log()
RETURNS = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
NOTHING = float("-inf")


@st.composite
def logged_episodes(draw):
    """Two policies' log-probabilities, rewards, and which steps there are: (N, H) each."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    lengths = torch.tensor(draw(st.lists(st.integers(0, columns), min_size=rows, max_size=rows)))
    logs = st.lists(st.floats(-2, 0), min_size=rows * columns, max_size=rows * columns)
    numbers = st.lists(st.floats(-3, 3), min_size=rows * columns, max_size=rows * columns)
    made = [torch.tensor(draw(kind), dtype=torch.float64).view(rows, columns) for kind in (logs, logs, numbers)]
    return *made, torch.arange(columns) < lengths[:, None]


def discounted(rewards: torch.Tensor, mask: torch.Tensor, gamma: float) -> torch.Tensor:
    powers = gamma ** torch.arange(rewards.shape[1], dtype=rewards.dtype)
    return torch.where(mask, rewards * powers, 0.0).sum(1)


# --- whole episodes ------------------------------------------------------------------------------


def test_estimates_of_three_episodes() -> None:
    assert importance_sampled(WEIGHTS, RETURNS).tolist() == pytest.approx([2.0, 0.0, 1.0])
    assert importance_sampled(WEIGHTS, RETURNS).mean().item() == pytest.approx(1.0)
    assert weighted_mean(RETURNS, WEIGHTS).item() == pytest.approx(6 / 7)
    # 3.5^2 / 5.25.
    assert effective_samples(WEIGHTS).item() == pytest.approx(7 / 3)


def test_weight_of_an_episode_is_the_product_of_its_steps_ratios() -> None:
    target = torch.tensor([[0.8, 0.2, 0.3], [0.5, 0.5, 0.5]], dtype=torch.float64).log()
    behavior = torch.tensor([[0.4, 0.4, 9.0], [0.1, 0.1, 0.1]], dtype=torch.float64).log()
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert log_trajectory_weights(target, behavior, mask).exp().tolist() == pytest.approx([2 * 0.5, 1.0])


@given(logged_episodes(), st.floats(0, 1))
def test_a_policy_that_is_the_logs_own_has_its_mean_return(episodes, gamma) -> None:
    logprobs, _, rewards, mask = episodes
    returns = discounted(rewards, mask, gamma)
    weights = log_trajectory_weights(logprobs, logprobs, mask)
    assert weights.tolist() == [0.0] * len(weights)
    torch.testing.assert_close(importance_sampled(weights, returns), returns)
    torch.testing.assert_close(weighted_mean(returns, weights), returns.mean())
    torch.testing.assert_close(per_decision(logprobs, logprobs, rewards, mask, gamma), returns)
    assert effective_samples(weights).item() == pytest.approx(len(weights))


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-5, 5)), min_size=1, max_size=9), st.floats(-900, 900))
def test_the_weighted_mean_is_within_the_returns_and_blind_to_scale(pairs, shift) -> None:
    weights, returns = torch.tensor(pairs, dtype=torch.float64).T
    estimate = weighted_mean(returns, weights)
    assert returns.min() - 1e-9 <= estimate <= returns.max() + 1e-9
    torch.testing.assert_close(weighted_mean(returns, weights + shift), estimate, rtol=1e-9, atol=1e-9)
    samples = effective_samples(weights)
    assert 1 - 1e-9 <= samples <= len(pairs) + 1e-9
    torch.testing.assert_close(effective_samples(weights + shift), samples, rtol=1e-9, atol=1e-9)


# --- by steps ------------------------------------------------------------------------------------

RATIOS = torch.tensor([[2.0, 0.5]], dtype=torch.float64).log()
EVEN = torch.zeros(1, 2, dtype=torch.float64)
BOTH = torch.ones(1, 2, dtype=torch.bool)


def test_per_decision_leaves_out_what_came_later() -> None:
    # 2 * 3 + .9 * 2 * .5 * 1; the weight of the whole episode would be 1 for both rewards.
    rewards = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    assert per_decision(RATIOS, EVEN, rewards, BOTH, 0.9).tolist() == pytest.approx([6.9])


def test_doubly_robust_of_two_steps() -> None:
    rewards, action_values = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([[0.4, 0.6]]).double()
    state_values = torch.tensor([[0.5, 0.7]]).double()
    # .7 + .5 (1 - .6) = .9, then .5 + 2 (.9 - .4).
    assert doubly_robust(RATIOS, EVEN, rewards, action_values, state_values, BOTH).tolist() == pytest.approx([1.5])
    # And .5 + 2 (.5 * .9 - .4).
    assert doubly_robust(RATIOS, EVEN, rewards, action_values, state_values, BOTH, 0.5).tolist() == pytest.approx([0.6])


def test_a_step_that_is_not_there_takes_no_time() -> None:
    def gap(numbers: torch.Tensor) -> torch.Tensor:
        return torch.cat([numbers[:, :1], torch.full((1, 1), 9.0), numbers[:, 1:]], 1)

    numbers = torch.tensor([[0.0, 1.0], [0.4, 0.6], [0.5, 0.7]], dtype=torch.float64)[:, None]
    mask = torch.tensor([[True, False, True]])
    found = doubly_robust(gap(RATIOS), gap(EVEN), *(gap(each) for each in numbers), mask, 0.5)
    assert found.tolist() == pytest.approx([0.6])


@given(logged_episodes(), st.floats(0, 1))
def test_per_decision_agrees_with_a_loop(episodes, gamma) -> None:
    logprobs, behavior, rewards, mask = episodes
    expected = []
    for row in range(len(mask)):
        total, weight = 0.0, 1.0
        for step in range(int(mask[row].sum())):
            weight *= math.exp(logprobs[row, step] - behavior[row, step])
            total += gamma**step * weight * rewards[row, step].item()
        expected.append(total)
    found = per_decision(logprobs, behavior, rewards, mask, gamma)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@given(logged_episodes(), logged_episodes(), st.floats(0, 1))
def test_on_the_logs_own_policy_no_model_moves_the_doubly_robust_mean(episodes, other, gamma) -> None:
    logprobs, _, rewards, mask = episodes
    model = other[2].flatten()[0] * torch.ones_like(rewards) + rewards.flip(0)
    found = doubly_robust(logprobs, logprobs, rewards, model, model, mask, gamma)
    torch.testing.assert_close(found, discounted(rewards, mask, gamma), rtol=1e-9, atol=1e-9)


@given(logged_episodes(), st.floats(0, 1), st.floats(-2, 2))
def test_a_model_that_is_right_leaves_nothing_to_chance(episodes, gamma, constant) -> None:
    # A world that earns V(s) - gamma V(s') at each step, whatever is done: the values are right, for any policy.
    logprobs, behavior, numbers, mask = episodes
    values = torch.where(mask, numbers + constant, 0.0)
    following = torch.cat([values[:, 1:], values.new_zeros(len(values), 1)], 1)
    found = doubly_robust(logprobs, behavior, values - gamma * following, values, values, mask, gamma)
    torch.testing.assert_close(found, values[:, 0], rtol=1e-9, atol=1e-9)


@given(logged_episodes(), st.sampled_from([float("nan"), float("inf")]))
def test_what_is_behind_an_episodes_end_has_no_part(episodes, value) -> None:
    logprobs, behavior, rewards, mask = episodes
    spoilt = [torch.where(mask, number, value) for number in (logprobs, behavior, rewards)]
    for found, expected in (
        (log_trajectory_weights(*spoilt[:2], mask), log_trajectory_weights(logprobs, behavior, mask)),
        (per_decision(*spoilt, mask, 0.9), per_decision(logprobs, behavior, rewards, mask, 0.9)),
        (
            doubly_robust(*spoilt, spoilt[2], spoilt[2], mask),
            doubly_robust(logprobs, behavior, rewards, rewards, rewards, mask),
        ),
    ):
        torch.testing.assert_close(found, expected)


# --- values under a policy -----------------------------------------------------------------------


def test_a_state_is_worth_the_mean_of_its_actions_not_the_best() -> None:
    values = torch.tensor([[1.0, 2.0], [1.0, NOTHING]], dtype=torch.float64, requires_grad=True)
    policy = torch.tensor([[0.25, 0.75], [1.0, 0.0]], dtype=torch.float64).log().requires_grad_()
    means = expected_values(values, policy)
    means.sum().backward()
    assert means.tolist() == [1.75, 1.0]
    assert values.grad.tolist() == [[0.25, 0.75], [1.0, 0.0]] and bool(policy.grad.isfinite().all())


# --- values that are linear in features ----------------------------------------------------------


def terms_of_two(gamma: float, penalty: float = 0.0, weights: tuple[float, float] = (0.25, 0.5)) -> list[float]:
    """Two episodes of two steps, the first of which earns 1 in the end and the second 0; a feature for each step."""
    features = torch.eye(2, dtype=torch.float64).repeat(2, 1)
    following = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64).repeat(2, 1)
    learnt, rewards = torch.tensor(weights, dtype=torch.float64), torch.tensor([0.0, 1.0, 0.0, 0.0]).double()
    errors = rewards + gamma * following @ learnt - features @ learnt
    shrink, episodes = torch.full((2,), penalty, dtype=torch.float64), torch.tensor([0, 0, 1, 1])
    return linear_value_terms(features, following, errors, features[::2], learnt, episodes, shrink, gamma).tolist()


def test_terms_of_a_linear_value_by_hand() -> None:
    # A = [[2, -1], [0, 2]] and the mean first features are [1, 0], so that a = [.5, .25]; errors are .5 and -.5 in the
    # last steps: influences of .125 and -.125 on .25. They are the returns, of which there is no more to know.
    assert terms_of_two(0.5) == pytest.approx([0.5, 0.0])


def test_a_penalty_moves_the_mean_of_the_terms_and_makes_episodes_count_for_less() -> None:
    # With 2 on the diagonal A = [[4, -1], [0, 4]], a = [.25, .0625]; w = [.0625, .25] solves 4 w_2 = 1, 4 w_1 = w_2.
    # Errors are .0625 in the first steps, .75 and -.25 in the last: influences of .0625 and 0, .03125 from their mean.
    assert terms_of_two(0.5, 2.0, (0.0625, 0.25)) == pytest.approx([0.0625 + 2 * 0.03125, 0.0625 - 2 * 0.03125])


# --- whether to answer, and how surely -----------------------------------------------------------


def test_a_log_that_says_too_little_is_refused() -> None:
    with pytest.raises(SupportError, match=r"3 logged episodes .* as 2\.3 .* 10 are needed") as caught:
        require_support(WEIGHTS)
    assert (caught.value.least, caught.value.episodes) == (10.0, 3)
    assert caught.value.effective == pytest.approx(7 / 3)
    assert require_support(WEIGHTS, 2.0) == pytest.approx(7 / 3)
    assert require_support(torch.zeros(10)) == pytest.approx(10.0)


@pytest.mark.parametrize("weights", [[NOTHING] * 20, [float("inf")] * 20, [float("nan")] * 20, []])
def test_weights_that_are_none_are_no_support(weights) -> None:
    with pytest.raises(SupportError, match=r"0\.0"):
        require_support(torch.tensor(weights))


def test_episodes_that_the_target_would_never_play_count_for_nothing() -> None:
    weights = torch.cat([WEIGHTS, torch.full((5,), NOTHING).double()])
    returns = torch.cat([RETURNS, torch.full((5,), 9.0).double()])
    assert weighted_mean(returns, weights).item() == pytest.approx(6 / 7)
    assert effective_samples(weights).item() == pytest.approx(7 / 3)
    assert math.isnan(weighted_mean(returns[3:], weights[3:]).item())


def test_interval_of_a_mean_of_equal_episodes_is_a_point() -> None:
    assert bootstrap_interval(torch.full((7,), 0.5), torch.Generator(), resamples=20) == (0.5, 0.5)
    with pytest.raises(ValueError, match="at least one episode"):
        bootstrap_interval(torch.zeros(0), torch.Generator())


def test_interval_of_a_mean_is_about_two_standard_errors_to_either_side() -> None:
    values = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = bootstrap_interval(values, torch.Generator().manual_seed(1))
    error = (values.std(correction=0) / 20).item()
    assert low == pytest.approx(values.mean().item() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean().item() + 1.96 * error, abs=0.3 * error)
    narrow = bootstrap_interval(values, torch.Generator().manual_seed(1), level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_the_same_generator_draws_the_same_interval_and_the_global_one_is_left_alone() -> None:
    values = torch.arange(9.0)
    state = torch.get_rng_state()
    both = [bootstrap_interval(values, torch.Generator().manual_seed(3), resamples=50) for _ in range(2)]
    assert both[0] == both[1] and torch.equal(state, torch.get_rng_state())


def test_interval_of_a_weighted_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, returns = WEIGHTS.repeat(40), RETURNS.repeat(40)
    low, high = bootstrap_interval(returns, generator, weights)
    assert 0.7 < low < 6 / 7 < high < 1.0
    assert bootstrap_interval(returns.float(), generator, weights) == pytest.approx((low, high), abs=0.02)
    # Resamples without the one episode that weighs anything are left out.
    alone = torch.tensor([0.0, NOTHING, NOTHING])
    assert bootstrap_interval(RETURNS.float(), generator, alone, resamples=50) == (1.0, 1.0)
    assert all(math.isnan(bound) for bound in bootstrap_interval(RETURNS, generator, torch.full((3,), NOTHING)))


def test_episodes_that_belong_together_are_drawn_together() -> None:
    values = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = values.flip(0) / 2

    def interval(
        numbers: torch.Tensor, logs: torch.Tensor | None = None, clusters: torch.Tensor | None = None
    ) -> tuple[float, float]:
        return bootstrap_interval(numbers, torch.Generator().manual_seed(1), logs, clusters=clusters)

    each, order = torch.arange(200), torch.randperm(400, generator=torch.Generator().manual_seed(2))
    twins, twice = each.repeat(2)[order] * 7 - 3, values.repeat(2)[order]
    for logs in (None, weights):
        assert interval(values, logs, each) == interval(values, logs)
        double = None if logs is None else logs.repeat(2)[order]
        # The second of two that are the same tells nothing.
        assert interval(twice, double, twins) == pytest.approx(interval(values, logs))
        apart = interval(twice, double)
        assert apart[1] - apart[0] < 0.85 * (interval(values, logs)[1] - interval(values, logs)[0])


def test_a_large_cluster_counts_for_all_its_episodes() -> None:
    # Either cluster twice, or each once: the mean is 0, 1 or three quarters, as often as 1, 1 and 2.
    values, clusters = torch.tensor([0.0, 1.0, 1.0, 1.0]), torch.tensor([4, 9, 9, 9])
    found = {
        level: bootstrap_interval(values, torch.Generator().manual_seed(0), level=level, clusters=clusters)
        for level in (0.9, 0.4)
    }
    assert found == {0.9: (0.0, 1.0), 0.4: (0.75, 0.75)}
    with pytest.raises(ValueError, match=r"one for each of the 4 episodes, not \(3,\)"):
        bootstrap_interval(values, torch.Generator(), clusters=clusters[:3])


def test_intervals_hold_about_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(5)
    held = 0
    for _ in range(100):
        values = torch.rand(60, dtype=torch.float64, generator=generator)
        low, high = bootstrap_interval(values, generator, level=0.9, resamples=100)
        held += low <= 0.5 <= high
    # 90 expected, with a standard deviation of 3.
    assert 80 <= held <= 98
