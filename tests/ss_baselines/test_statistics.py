"""Intervals against numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_baselines.statistics import (
    Estimate,
    auc,
    auc_difference,
    auc_within,
    mean,
    paired_difference,
    proportion,
    wilson,
)


def test_wilson_of_8_in_10_is_the_textbook_interval() -> None:
    estimate = wilson(8, 10)
    assert estimate.value == 0.8
    # centre = (0.8 + 3.8415/20) / (1 + 3.8415/10) = 0.71675; half = 0.22658
    assert estimate.low == pytest.approx(0.49016, abs=1e-4)
    assert estimate.high == pytest.approx(0.94332, abs=1e-4)


def test_wilson_at_the_ends_keeps_width_on_one_side_only() -> None:
    # 0 of 10: high = z²/(n + z²) = 3.8415 / 13.8415
    assert wilson(0, 10) == Estimate(0.0, 0.0, pytest.approx(0.27753, abs=1e-4))
    assert wilson(10, 10) == Estimate(1.0, pytest.approx(0.72247, abs=1e-4), 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share_and_stays_in_the_unit_interval(counts: tuple[int, int]) -> None:
    estimate = wilson(*counts)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="0 <= successes <= trials"):
        wilson(successes, trials)


def test_pairs_that_agree_count_once() -> None:
    # Ten pairs whose members always agree carry the information of K − 1 = 9 episodes, not 20.
    outcomes = [True, True] * 5 + [False, False] * 5
    pairs = [place // 2 for place in range(20)]
    estimate = proportion(outcomes, pairs)
    expected = wilson(4.5, 9)
    assert estimate.value == 0.5
    assert estimate.low == pytest.approx(expected.low)
    assert estimate.high == pytest.approx(expected.high)


def test_pairs_that_always_differ_are_no_wider_than_independent_episodes() -> None:
    estimate = proportion([True, False] * 10, [place // 2 for place in range(20)])
    assert estimate == wilson(10, 20)


def test_unanimous_outcomes_are_as_wide_as_the_number_of_pairs() -> None:
    assert proportion([True] * 20, [place // 2 for place in range(20)]) == wilson(10, 10)


def test_mean_of_equal_values_has_no_width() -> None:
    assert mean([0.5] * 6, list("aabbcc")) == Estimate(0.5, 0.5, 0.5)


def test_mean_interval_resamples_whole_pairs() -> None:
    # Two clusters, (0, 0) and (1, 1): a replicate can only be 0, 0.5 or 1.
    estimate = mean([0.0, 0.0, 1.0, 1.0], list("aabb"))
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


def test_mean_interval_is_that_of_the_normal_for_many_episodes() -> None:
    values = [float(place % 2) for place in range(2_000)]
    estimate = mean(values, range(2_000))
    assert estimate.low == pytest.approx(0.5 - 1.96 * 0.5 / 2_000**0.5, abs=3e-3)
    assert estimate.high == pytest.approx(0.5 + 1.96 * 0.5 / 2_000**0.5, abs=3e-3)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.1 * (place % 7) for place in range(40)]
    assert mean(values, range(40), seed=3) == mean(values, range(40), seed=3)


def test_paired_difference_removes_what_the_scenarios_share() -> None:
    hard = [float(place % 3 == 0) for place in range(300)]
    better = [min(1.0, value + (place % 10 == 1)) for place, value in enumerate(hard)]
    estimate = paired_difference(better, hard, range(300))
    assert estimate.value == pytest.approx(sum(better) / 300 - sum(hard) / 300)
    assert estimate.low > 0


def test_paired_difference_needs_the_same_scenarios() -> None:
    with pytest.raises(ValueError, match="same scenarios"):
        paired_difference([1.0], [1.0, 0.0], [0])


def test_clusters_must_match_the_values() -> None:
    with pytest.raises(ValueError, match="as many clusters"):
        proportion([True, False], ["a"])


def test_overlap_is_symmetric_and_includes_touching_ends() -> None:
    low, high = Estimate(0.2, 0.1, 0.3), Estimate(0.4, 0.3, 0.5)
    assert low.overlaps(high)
    assert high.overlaps(low)
    assert not low.overlaps(Estimate(0.6, 0.5, 0.7))


# Successes score 3 and 1, failures 2, 1 and 0: of six pairs four are won and one is even.
SCORES, OUTCOMES = [3.0, 1.0, 2.0, 1.0, 0.0], [True, True, False, False, False]


def test_auc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    assert auc(SCORES, OUTCOMES, range(5)).value == 4.5 / 6
    assert auc([-score for score in SCORES], OUTCOMES, range(5)).value == pytest.approx(1.5 / 6)
    assert auc([7.0] * 5, OUTCOMES, range(5)) == Estimate(0.5, 0.5, 0.5)
    assert auc([2.0, 3.0, 1.0], [True, True, False], "abc") == Estimate(1.0, 1.0, 1.0)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=12))
def test_auc_sees_the_order_alone_and_lies_in_its_interval(rows: list[tuple[int, bool, int]]) -> None:
    scores, outcomes, clusters = map(list, zip(*rows, strict=True))
    if len(set(outcomes)) < 2:
        return
    estimate = auc(scores, outcomes, clusters, resamples=200)
    assert auc([score**3 + 7 for score in scores], outcomes, clusters, resamples=200) == estimate
    flipped = auc(scores, [not outcome for outcome in outcomes], clusters, resamples=200)
    assert flipped.value == pytest.approx(1 - estimate.value)
    assert 0 <= estimate.low <= estimate.high <= 1


def test_auc_resamples_whole_clusters_and_their_pairs() -> None:
    # One cluster has both outcomes in order, the other out of order, far apart: drawn twice, each is 1 or 0.
    scores, outcomes, clusters = [1.0, 0.0, 10.0, 11.0], [True, False, True, False], list("aabb")
    estimate = auc(scores, outcomes, clusters)
    # Pairs: 1 > 0, 1 < 11, 10 > 0, 10 < 11.
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


def test_auc_interval_is_that_of_hanley_and_mcneil_for_many_episodes() -> None:
    # At 0.5 their variance is (n₊ + n₋ + 1) / 12n₊n₋.
    scores = [float((place * 7_919) % 1_009) for place in range(1_000)]
    outcomes = [place % 2 == 0 for place in range(1_000)]
    estimate = auc(scores, outcomes, range(1_000))
    half = 1.96 * (1_001 / (12 * 500 * 500)) ** 0.5
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.06)


def test_auc_difference_is_paired() -> None:
    other = [0.0, 0.0, 1.0, 1.0, 1.0]
    assert auc_difference(SCORES, SCORES, OUTCOMES, range(5)) == Estimate(0.0, 0.0, 0.0)
    assert auc_difference(SCORES, other, OUTCOMES, range(5)).value == 0.75


def test_auc_within_groups_compares_attempts_at_the_same_task() -> None:
    # a: 3 > 2; b: 1 = 1 and 1 > 0; c has failures alone.
    scores, outcomes = [3.0, 2.0, 1.0, 1.0, 0.0, 9.0], [True, False, True, False, False, False]
    estimate, pairs = auc_within(scores, outcomes, list("aabbbc"), list("xxyyyy"))
    assert (estimate.value, pairs) == (2.5 / 3, 3)
    # Drawn twice, x has 1 and y 1.5 of 2.
    assert (estimate.low, estimate.high) == (0.75, 1.0)
    hard, _ = auc_within([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], outcomes, list("aabbbc"), list("xxyyyy"))
    assert hard == Estimate(0.5, 0.5, 0.5)


def test_auc_needs_both_outcomes_and_within_groups_too() -> None:
    with pytest.raises(ValueError, match="at least one success and one failure"):
        auc([1.0, 2.0], [True, True], "ab")
    with pytest.raises(ValueError, match="as many scores as outcomes and clusters, got 2, 3, 2"):
        auc_difference([1.0, 2.0], [1.0, 2.0, 3.0], [True, False], "ab")
    with pytest.raises(ValueError, match="one is NaN"):
        auc([1.0, float("nan")], [True, False], "ab")
    with pytest.raises(ValueError, match="no group has both"):
        auc_within([1.0, 2.0], [True, False], "ab", "ab")
