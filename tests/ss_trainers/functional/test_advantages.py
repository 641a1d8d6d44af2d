import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.functional.advantages import (
    best_of_group,
    generalized_advantage_estimation,
    group_relative,
    leave_one_out,
    length_adaptive_lambda,
    reinforce_plus_plus,
    returns_to_go,
    shrunk_relative,
    source_groups,
    varied_groups,
    whiten,
)
from tests.ss_trainers.functional.tables import tables

ONE_OF_FOUR = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
ONE_GROUP = torch.zeros(4, dtype=torch.int64)
FINITE = st.floats(-100, 100, width=32)


@st.composite
def batches(draw):
    size = draw(st.integers(1, 12))
    returns = draw(st.lists(FINITE, min_size=size, max_size=size))
    groups = draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    return torch.tensor(returns, dtype=torch.float64), torch.tensor(groups)


def token_rows():
    """Rewards, values and mask of some rows, (B, T) each."""
    return tables(st.floats(-5, 5), st.floats(-5, 5), st.booleans(), most_rows=3, most_columns=7)


def looped_gae(rewards, values, mask, gamma, lam):
    """Row by row: first the actions and what each earned until the next one, then the recursion."""
    result = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        places = mask[row].nonzero()[:, 0].tolist()
        ends = [*places[1:], rewards.shape[1]][: len(places)]
        earned = [rewards[row, start:end].sum().item() for start, end in zip(places, ends, strict=True)]
        value, advantage = 0.0, 0.0
        for place, reward in reversed(list(zip(places, earned, strict=True))):
            advantage = reward + gamma * value - values[row, place].item() + gamma * lam * advantage
            value = values[row, place].item()
            result[row, place] = advantage
    return result


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


@given(batches())
def test_varied_groups_and_their_best_rows(batch) -> None:
    returns, groups = batch[0].round(), batch[1]
    varied, best = varied_groups(returns, groups), best_of_group(returns, groups)
    for group in groups.unique():
        members = groups == group
        values = returns[members]
        differ = bool((values != values[0]).any())
        assert bool(varied[members].all()) == bool(varied[members].any()) == differ
        assert int(best[members].sum()) == int(differ)
        if differ:
            assert best[members].nonzero()[0, 0] == int(values.argmax())


def test_a_return_that_is_no_number_is_never_the_best() -> None:
    returns, groups = torch.tensor([float("inf"), 1.0, 1.0, 0.0]), torch.zeros(4, dtype=torch.int64)
    assert best_of_group(returns, groups).tolist() == [False, True, False, False]
    assert not varied_groups(torch.tensor([1.0, float("nan")]), torch.zeros(2, dtype=torch.int64)).any()


# --- leave one out -------------------------------------------------------------------------------


def test_leave_one_out_of_one_success_in_four() -> None:
    advantages = leave_one_out(ONE_OF_FOUR, ONE_GROUP)
    assert advantages.tolist() == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3], abs=1e-12)


@given(batches())
def test_leave_one_out_is_the_return_less_the_mean_of_the_others(batch) -> None:
    returns, groups = batch
    values, names = returns.tolist(), groups.tolist()
    expected = []
    for index, value in enumerate(values):
        others = [values[j] for j in range(len(values)) if j != index and names[j] == names[index]]
        expected.append(value - sum(others) / len(others) if others else 0.0)
    torch.testing.assert_close(
        leave_one_out(returns, groups), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )


@given(batches())
def test_leave_one_out_is_a_multiple_of_the_deviation_from_the_mean(batch) -> None:
    returns, groups = batch
    sizes = torch.tensor([(groups == group).sum() for group in groups]).double()
    expected = group_relative(returns, groups, "none") * sizes / (sizes - 1).clamp(min=1)
    torch.testing.assert_close(leave_one_out(returns, groups), expected, rtol=1e-12, atol=1e-12)


# --- baselines of mixed groups -------------------------------------------------------------------


def test_baselines_between_the_mean_and_a_critic() -> None:
    # Of the group: mean 1/4, value 1/2 as one more return: (1 + 1/2) / 5 = .3. Alone: (1 + .5) / 2 = .75.
    returns, groups = torch.cat([ONE_OF_FOUR, ONE_OF_FOUR[:1]]), torch.tensor([0, 0, 0, 0, 1])
    values = torch.full((5,), 0.5, dtype=torch.float64)
    advantages = shrunk_relative(returns, values, groups)
    assert advantages.tolist() == pytest.approx([0.7, -0.3, -0.3, -0.3, 0.25])


@given(batches(), st.floats(-100, 100), st.floats(0, 50))
def test_a_shrunk_baseline_lies_between_the_mean_and_the_value(batch, value, strength) -> None:
    returns, groups = batch
    values = torch.full_like(returns, value)
    baseline = returns - shrunk_relative(returns, values, groups, strength)
    mean = returns - group_relative(returns, groups, "none")
    assert bool((torch.minimum(mean, values) - 1e-6 <= baseline).all())
    assert bool((baseline <= torch.maximum(mean, values) + 1e-6).all())
    by_mean, by_value = (shrunk_relative(returns, values, groups, extreme) for extreme in (0.0, 1e12))
    torch.testing.assert_close(by_mean, returns - mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(by_value, returns - values, rtol=1e-6, atol=1e-6)


def test_a_return_that_is_no_number_takes_no_part_in_the_baseline() -> None:
    returns = torch.tensor([1.0, float("nan"), 0.0], dtype=torch.float64)
    advantages = shrunk_relative(returns, torch.zeros(3).double(), torch.zeros(3, dtype=torch.int64), 0.0)
    assert advantages.tolist() == pytest.approx([0.5, 0.0, -0.5])


def test_a_group_that_was_partly_logged_has_two_baselines() -> None:
    returns = torch.tensor([1.0, 0.0, 9.0, 7.0, 5.0], dtype=torch.float64)
    groups, logged = torch.tensor([4, 4, 4, 4, 6]), torch.tensor([0, 0, 1, 1, 1])
    advantages = group_relative(returns, source_groups(groups, logged), "none")
    assert advantages.tolist() == [0.5, -0.5, 1.0, -1.0, 0.0]


@given(batches(), st.randoms(use_true_random=False))
def test_rows_share_a_source_group_if_they_share_both(batch, random) -> None:
    groups = batch[1]
    sources = torch.tensor([random.randint(0, 2) for _ in groups])
    found = source_groups(groups, sources)
    together = (groups[:, None] == groups) & (sources[:, None] == sources)
    assert torch.equal(found[:, None] == found, together)


def test_no_rows_have_no_source_groups() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert source_groups(nothing, nothing).shape == (0,)


# --- REINFORCE++ ---------------------------------------------------------------------------------


def test_whitened_returns_of_two_sequences() -> None:
    rewards = torch.tensor([[0, 0, 1], [0, 0, 0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    advantages = reinforce_plus_plus(rewards, mask)
    assert advantages.flatten().tolist() == pytest.approx([3**-0.5, 3**-0.5, 3**-0.5, -(3**0.5), 0, 0], abs=1e-12)


def test_a_return_is_carried_over_the_tokens_of_the_environment() -> None:
    rewards, mask = torch.tensor([[0.0, 0.0, 0.0, 1.0]]), torch.tensor([[True, False, True, True]])
    assert returns_to_go(rewards, mask).tolist() == [[1.0, 0.0, 1.0, 1.0]]


@given(token_rows(), st.floats(0.0, 1.0))
def test_returns_agree_with_a_loop(row, gamma) -> None:
    rewards, _, mask = row
    torch.testing.assert_close(
        returns_to_go(rewards, mask, gamma), looped_gae(rewards, torch.zeros_like(rewards), mask, gamma, 1.0)
    )


@given(token_rows())
def test_whitened_values_have_mean_zero_and_variance_one(row) -> None:
    values, _, mask = row
    inside = whiten(values, mask)[mask]
    if len(inside) and bool((values[mask] - values[mask].mean()).abs().max() > 1e-3):
        assert inside.mean().item() == pytest.approx(0, abs=1e-9)
        assert inside.var(correction=0).item() == pytest.approx(1, rel=1e-9)
    assert not whiten(values, mask)[~mask].any()


def test_equal_values_are_whitened_to_zero() -> None:
    assert not whiten(torch.full((2, 3), 0.1).cumsum(0)[:1], torch.ones(1, 3, dtype=torch.bool)).any()
    assert not whiten(torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool)).any()


# --- generalised advantage estimation ------------------------------------------------------------

REWARDS = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 0.6, 0.8]], dtype=torch.float64)
ACTS = torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("lam", "expected"), [(0.0, [0.1, 0.2, 0.2]), (0.95, [0.4705, 0.39, 0.2]), (1.0, [0.5, 0.4, 0.2])]
)
def test_gae_of_three_tokens(lam, expected) -> None:
    advantages = generalized_advantage_estimation(REWARDS, VALUES, ACTS, 1.0, lam)
    assert advantages[0].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [9.0, float("nan"), float("inf")])
def test_gae_steps_over_a_token_of_the_environment(value) -> None:
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    values = torch.tensor([[0.5, value, 0.6, 0.8]], dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True]])
    advantages = generalized_advantage_estimation(rewards, values, mask, 1.0, 0.95)
    assert advantages[0].tolist() == pytest.approx([0.4705, 0.0, 0.39, 0.2], abs=1e-12)


def test_a_row_that_was_cut_goes_on_from_its_bootstrap() -> None:
    rewards, values = REWARDS.expand(2, -1), VALUES.expand(2, -1)
    cut, bootstrap = torch.tensor([True, False]), torch.tensor([7.0, 0.5], dtype=torch.float64)
    advantages = generalized_advantage_estimation(rewards, values, ACTS.expand(2, -1), 1.0, 0.0, cut, bootstrap)
    assert advantages.flatten().tolist() == pytest.approx([0.1, 0.2, 0.2, 0.1, 0.2, 0.7], abs=1e-12)
    with pytest.raises(ValueError, match="give bootstrap"):
        generalized_advantage_estimation(rewards, values, ACTS.expand(2, -1), 1.0, 0.0, cut)


@given(token_rows(), st.floats(0, 1), st.floats(0, 1))
def test_gae_agrees_with_a_loop(row, gamma, lam) -> None:
    rewards, values, mask = row
    torch.testing.assert_close(
        generalized_advantage_estimation(rewards, values, mask, gamma, lam),
        looped_gae(rewards, values, mask, gamma, lam),
        rtol=1e-9,
        atol=1e-9,
    )


@given(token_rows())
def test_with_both_factors_one_gae_is_return_minus_value(row) -> None:
    rewards, values, mask = row
    expected = torch.where(mask, returns_to_go(rewards, mask) - values, 0.0)
    torch.testing.assert_close(generalized_advantage_estimation(rewards, values, mask), expected, rtol=1e-9, atol=1e-9)


@given(token_rows(), token_rows(), st.floats(-3, 3))
def test_gae_is_linear_in_the_rewards(row, other, factor) -> None:
    rewards, values, mask = row
    more = other[0].flatten()[: rewards.numel()]
    more = torch.nn.functional.pad(more, (0, rewards.numel() - len(more))).view_as(rewards)
    plain = generalized_advantage_estimation(rewards, values, mask, 0.9, 0.8)
    added = generalized_advantage_estimation(more, torch.zeros_like(values), mask, 0.9, 0.8)
    both = generalized_advantage_estimation(rewards + factor * more, values, mask, 0.9, 0.8)
    torch.testing.assert_close(both, plain + factor * added, rtol=1e-9, atol=1e-9)


@given(token_rows(), st.integers(0, 7), st.integers(0, 3))
def test_tokens_of_the_environment_and_padding_change_nothing(row, place, padding) -> None:
    rewards, values, mask = row
    place = min(place, rewards.shape[1])

    def longer(tensor, fill):
        extra = tensor.new_full((len(tensor), 1), fill)
        parts = [tensor[:, :place], extra, tensor[:, place:], tensor.new_full((len(tensor), padding), fill)]
        return torch.cat(parts, 1)

    expected = generalized_advantage_estimation(rewards, values, mask, 0.9, 0.8)
    found = generalized_advantage_estimation(longer(rewards, 0.0), longer(values, 9.0), longer(mask, False), 0.9, 0.8)
    left = [column for column in range(found.shape[1]) if column != place][: rewards.shape[1]]
    torch.testing.assert_close(found[:, left], expected, rtol=1e-12, atol=1e-12)


def test_a_factor_for_each_row() -> None:
    both = generalized_advantage_estimation(
        REWARDS.expand(2, -1), VALUES.expand(2, -1), ACTS.expand(2, -1), 1.0, torch.tensor([0.0, 1.0]).double()
    )
    assert both.flatten().tolist() == pytest.approx([0.1, 0.2, 0.2, 0.5, 0.4, 0.2], abs=1e-12)


# --- length-adaptive lambda ----------------------------------------------------------------------


def test_lambda_by_length() -> None:
    lengths = torch.tensor([0, 10, 20, 40, 100, 1000])
    assert length_adaptive_lambda(lengths).tolist() == pytest.approx([0, 0, 0, 0.5, 0.8, 0.98], abs=1e-12)
    assert length_adaptive_lambda(lengths, least=0.9).tolist() == pytest.approx([0.9] * 5 + [0.98], abs=1e-12)


@given(st.lists(st.integers(0, 5000), min_size=1), st.floats(0.001, 1))
def test_lambda_grows_with_length_between_zero_and_one(lengths, alpha) -> None:
    values = length_adaptive_lambda(torch.tensor(sorted(lengths)), alpha)
    assert bool((values.diff() >= 0).all()) and 0 <= values.min() and values.max() <= 1
