"""Tests of a gap find one that is there, and find none, as often as they say, where there is none."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.sim2real.distances import kolmogorov_smirnov, median_width, ngram_divergence, squared_mmd, wasserstein
from ss_gym.sim2real.two_sample import (
    Statistic,
    classifier_test,
    holm,
    kolmogorov_smirnov_statistic,
    mmd_statistic,
    ngram_statistic,
    permutation_test,
    plain_statistic,
    split_floor,
    wasserstein_statistic,
)

Make = Callable[[np.random.Generator, int, float, float], list[Any]]
DATA_SETS = 300
PERMUTATIONS = 99  # so that p <= .05 has a chance of 5 in 100, and p <= .2 one of 20


def turn_lengths(rng: np.random.Generator, size: int, alike: float, shift: float = 0.0) -> list[Any]:
    """From 2 to 5 values a dialogue, correlated by ``alike`` within it; each is distributed as N(shift, 1)."""
    shared = shift + math.sqrt(alike) * rng.normal(size=size)
    return [mean + math.sqrt(1 - alike) * rng.normal(size=rng.integers(2, 6)) for mean in shared]


def features(rng: np.random.Generator, size: int, alike: float, shift: float = 0.0) -> list[Any]:
    return [np.column_stack([values, np.roll(values, 1) ** 2]) for values in turn_lengths(rng, size, alike, shift)]


def acts(rng: np.random.Generator, size: int, alike: float, shift: float = 0.0) -> list[Any]:
    names = np.array(["ask", "tell", "thank", "leave"])
    return [names[np.digitize(values, [-0.7, 0, 0.7])].tolist() for values in turn_lengths(rng, size, alike, shift)]


KINDS: list[tuple[Statistic, Make]] = [
    (wasserstein_statistic, turn_lengths),
    (kolmogorov_smirnov_statistic, turn_lengths),
    (mmd_statistic(), features),
    (mmd_statistic(unbiased=False), features),
    (ngram_statistic(), acts),
]
NAMES = ["w1", "ks", "unbiased mmd", "biased mmd", "ngrams"]
kinds = pytest.mark.parametrize(("statistic", "make"), KINDS, ids=NAMES)


def chance_of_at_most(count: int, trials: int, chance: float) -> float:
    return sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(count + 1))


def assert_uniform(p_values: Sequence[float]) -> None:
    """Neither the share below a level nor the whole distribution is what uniform p-values have once in a thousand."""
    found = np.asarray(p_values)
    for level in (0.05, 0.2):
        count = int((found <= level).sum())
        assert chance_of_at_most(count, len(found), level) > 0.0005, f"{count} of {len(found)} are at most {level}"
        assert chance_of_at_most(count - 1, len(found), level) < 0.9995, f"{count} of {len(found)} are at most {level}"
    grid = np.arange(1, PERMUTATIONS + 2) / (PERMUTATIONS + 1)
    largest = np.abs((found[:, None] <= grid).mean(0) - grid).max()
    assert largest < 1.95 / math.sqrt(len(found))  # the 99.9 % quantile of Kolmogorov's distribution is 1.95


# Statistics that are prepared once


def pooled(distance: Callable[[np.ndarray, np.ndarray], float]) -> Statistic:
    return plain_statistic(lambda real, simulated: distance(np.concatenate(real), np.concatenate(simulated)))


@pytest.mark.parametrize(
    ("statistic", "plain", "make"),
    [
        (wasserstein_statistic, pooled(wasserstein), turn_lengths),
        (kolmogorov_smirnov_statistic, pooled(kolmogorov_smirnov), turn_lengths),
        (mmd_statistic(0.8, unbiased=False), pooled(partial(squared_mmd, width=0.8)), features),
        (ngram_statistic(1), plain_statistic(partial(ngram_divergence, n=1)), acts),
        (ngram_statistic(3, 0.5), plain_statistic(partial(ngram_divergence, n=3, smoothing=0.5)), acts),
    ],
    ids=["w1", "ks", "mmd", "single acts", "smoothed"],
)
@given(seed=st.integers(0, 10**6))
def test_what_was_prepared_gives_what_the_plain_function_gives(
    statistic: Statistic, plain: Statistic, make: Make, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pool = make(rng, 9, 0.5, 0)
    if make is turn_lengths:
        pool = [values.round(rng.integers(3)) for values in pool]  # with ties
    labels = rng.permuted(np.tile(np.arange(9) < rng.integers(1, 9), (6, 1)), axis=1)
    np.testing.assert_allclose(statistic(pool)(labels), plain(pool)(labels), atol=1e-12)


def test_the_width_is_that_of_the_pool_whatever_the_labels() -> None:
    rng = np.random.default_rng(0)
    pool, labels = features(rng, 12, 0), rng.permuted(np.tile(np.arange(12) < 5, (8, 1)), axis=1)
    width = median_width(np.concatenate(pool))
    np.testing.assert_array_equal(mmd_statistic()(pool)(labels), mmd_statistic(width)(pool)(labels))


def test_with_one_point_a_dialogue_the_unbiased_mmd_is_that_of_points() -> None:
    rng = np.random.default_rng(0)
    pool, labels = rng.normal(size=(9, 1, 2)), rng.permuted(np.tile(np.arange(9) < 5, (8, 1)), axis=1)
    plain = pooled(partial(squared_mmd, width=0.8, unbiased=True))
    np.testing.assert_allclose(mmd_statistic(0.8)(list(pool))(labels), plain(list(pool))(labels), atol=1e-12)


def test_many_labellings_are_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permuted(np.tile(np.arange(12) < 5, (40, 1)), axis=1)
    pools = [make(rng, 12, 0.5, 0) for _, make in KINDS]
    whole = [statistic(pool)(labels) for (statistic, _), pool in zip(KINDS, pools, strict=True)]
    monkeypatch.setattr("ss_gym.sim2real.two_sample._ENTRIES", 100)
    for (statistic, _), pool, expected in zip(KINDS, pools, whole, strict=True):
        np.testing.assert_allclose(statistic(pool)(labels), expected, atol=1e-12)


def test_the_unbiased_mmd_leaves_out_the_pairs_within_a_dialogue() -> None:
    pool = [[[0.0], [1.0]], [[2.0]], [[0.5]], [[4.0], [3.0]]]

    def similar(x: float, y: float) -> float:
        return math.exp(-((x - y) ** 2) / 2)

    within = [(similar(0, 2) + similar(1, 2)) / 2, (similar(0.5, 4) + similar(0.5, 3)) / 2]
    across = np.mean([similar(x, y) for x in (0, 1, 2) for y in (0.5, 4, 3)])
    found = mmd_statistic(width=1)(pool)(np.array([[True, True, False, False]]))
    assert found == pytest.approx([sum(within) - 2 * across])


@pytest.mark.parametrize("statistic", [mmd_statistic(), mmd_statistic(width=0.3)])
def test_the_unbiased_mmd_is_0_on_average_over_all_divisions(statistic: Statistic) -> None:
    points = np.random.default_rng(5).normal(size=(9, 1, 2))
    labels = np.array([[place in real for place in range(9)] for real in combinations(range(9), 4)])
    values = statistic(list(points))(labels)
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.min() < -0.01


# Permutation test


def test_the_p_value_counts_the_permutations_that_are_as_far_apart() -> None:
    # The permutations are at 0, 1, … 998; as far as 987 or farther are 12 of them.
    result = permutation_test([1, 2], [3, 4], lambda _: lambda labels: np.array([987.0, *range(len(labels) - 1)]))
    assert (result.value, result.p_value, result.permutations) == (987, 0.013, 999)
    assert (result.null_mean, result.null_upper) == (499, pytest.approx(0.95 * 998))


def test_a_p_value_converges_to_the_share_of_all_divisions() -> None:
    # {1, 2, 4} against {7, 8, 9} is the farthest of 20 divisions, with its mirror image: p is .1.
    result = permutation_test([1, 2, 4], [9, 7, 8], wasserstein_statistic, permutations=4000)
    assert result.p_value == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / 4000))
    labels = np.array([[place in real for place in range(6)] for real in combinations(range(6), 3)])
    values = wasserstein_statistic([1, 2, 4, 9, 7, 8])(labels)
    assert result.null_mean == pytest.approx(values.mean(), abs=0.1)
    assert result.value == values.max() == pytest.approx(17 / 3)


@kinds
def test_a_p_value_is_never_0_and_is_1_where_all_dialogues_are_alike(statistic: Statistic, make: Make) -> None:
    rng = np.random.default_rng(0)
    far = permutation_test(make(rng, 15, 0.5, 0), make(rng, 15, 0.5, 9), statistic, permutations=49)
    assert far.p_value == 1 / 50
    alike = make(rng, 1, 0.5, 0) * 5
    result = permutation_test(alike, alike, statistic, permutations=49)
    assert result.p_value == 1
    if statistic is not KINDS[2][0]:  # the unbiased one may be below 0
        assert result.value == pytest.approx(0, abs=1e-12)


def test_the_values_of_a_dialogue_stay_together() -> None:
    real, simulated = [[1, 2], [3]], [[4, 5, 6], [7], [8, 9]]

    def check(first: list[Any], second: list[Any]) -> float:
        assert len(first) == 2 and sorted(first + second) == sorted(real + simulated)
        return sum(map(sum, first))

    assert permutation_test(real, simulated, plain_statistic(check), permutations=50).value == 6


@kinds
@pytest.mark.parametrize("alike", [0.0, 0.95], ids=["independent", "dependent"])
def test_p_values_are_uniform_where_there_is_no_gap(statistic: Statistic, make: Make, alike: float) -> None:
    p_values = []
    for seed in range(DATA_SETS):
        rng = np.random.default_rng([seed, 1])
        real, simulated = make(rng, 16, alike, 0), make(rng, 12, alike, 0)
        p_values.append(permutation_test(real, simulated, statistic, PERMUTATIONS, rng).p_value)
    assert_uniform(p_values)


def test_permuting_single_values_would_find_gaps_that_are_not_there() -> None:
    found = {"dialogues": 0, "values": 0}
    for seed in range(DATA_SETS):
        rng = np.random.default_rng([seed, 2])
        real, simulated = (turn_lengths(rng, 16, alike=0.95) for _ in range(2))
        for unit, sides in (("dialogues", (real, simulated)), ("values", map(np.concatenate, (real, simulated)))):
            result = permutation_test(*sides, wasserstein_statistic, PERMUTATIONS, rng)
            found[unit] += result.p_value <= 0.05
    assert found["values"] > 0.3 * DATA_SETS  # where one in twenty is what .05 means
    assert found["dialogues"] < 0.08 * DATA_SETS


@kinds
def test_a_gap_is_found(statistic: Statistic, make: Make) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        real, simulated = make(rng, 60, 0.3, 0), make(rng, 50, 0.3, 1.0)
        result = permutation_test(real, simulated, statistic, 199, rng)
        assert result.p_value <= 0.01
        assert result.value > result.null_upper > result.null_mean


def test_a_gap_of_spread_alone_is_found() -> None:
    rng = np.random.default_rng(0)
    real, simulated = rng.normal(0, 1, 80), rng.normal(0, 2.5, 80)
    for statistic in (wasserstein_statistic, kolmogorov_smirnov_statistic):
        assert permutation_test(real, simulated, statistic, 199).p_value <= 0.02
    assert permutation_test(real[:, None, None], simulated[:, None, None], mmd_statistic(), 199).p_value <= 0.02


def test_the_same_seed_gives_the_same_result_and_the_global_state_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    real, simulated = turn_lengths(rng, 10, 0), turn_lengths(rng, 10, 0)
    rows = [[values[:1, None] for values in side] for side in (real, simulated)]
    before = repr(np.random.get_state())
    tests: list[Callable[[Any], object]] = [
        lambda seed: permutation_test(real, simulated, wasserstein_statistic, 99, seed),
        lambda seed: split_floor(real, wasserstein_statistic, 99, seed),
        lambda seed: classifier_test(*rows, folds=2, permutations=19, seed=seed),
    ]
    for test in tests:
        assert test(3) == test(3) == test(np.random.default_rng(3))
        generator = np.random.default_rng(3)
        assert len({repr(test(generator)) for _ in range(6)}) > 1
    assert repr(np.random.get_state()) == before


# Floor


def test_the_floor_is_that_of_random_halves() -> None:
    floor = split_floor(range(4), wasserstein_statistic, splits=600)
    # {0, 1} against {2, 3} is at 2; {0, 2} against {1, 3} and {0, 3} against {1, 2} are at 1.
    assert set(floor.values) == {1.0, 2.0} and len(floor.values) == 600
    assert floor.mean == pytest.approx(4 / 3, abs=0.06)
    assert (floor.mean, floor.upper) == (np.mean(floor.values), np.quantile(floor.values, 0.95)) and floor.upper == 2


def test_of_an_odd_number_one_half_has_one_more() -> None:
    sizes = plain_statistic(lambda first, second: 10 * len(first) + len(second))
    assert set(split_floor("abcdefg", sizes).values) == {34}


@kinds
def test_a_gap_is_above_the_floor_and_none_is_within_it(statistic: Statistic, make: Make) -> None:
    rng = np.random.default_rng(4)
    real = make(rng, 60, 0.3, 0)
    floor = split_floor(real, statistic)
    evaluate = [
        float(statistic([*real[:30], *make(rng, 30, 0.3, shift)])((np.arange(60) < 30)[None])[0]) for shift in (0, 1.5)
    ]
    assert evaluate[0] < floor.upper < evaluate[1]


# Classifier test


@pytest.mark.parametrize("alike", [0.0, 0.95], ids=["independent", "dependent"])
def test_a_classifier_finds_no_gap_where_there_is_none(alike: float) -> None:
    results = []
    for seed in range(DATA_SETS):
        rng = np.random.default_rng([seed, 3])
        real, simulated = features(rng, 16, alike), features(rng, 10, alike)
        results.append(classifier_test(real, simulated, folds=2, permutations=PERMUTATIONS, seed=rng))
    assert_uniform([result.auc_p for result in results])
    # Accuracies are often equal, and a tie counts as no gap: p is small more rarely than it could be.
    for level in (0.05, 0.2):
        count = sum(result.accuracy_p <= level for result in results)
        assert chance_of_at_most(count - 1, DATA_SETS, level) < 0.9995


def test_a_classifier_finds_a_gap() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        result = classifier_test(features(rng, 60, 0.3), features(rng, 40, 0.3, 1.0), permutations=199, seed=rng)
        assert result.accuracy_p == result.auc_p == 1 / 200
        assert result.accuracy > 0.6 and result.auc > 0.7


def test_accuracy_of_what_can_be_told_apart_is_1_and_of_what_is_alike_one_half() -> None:
    zeros, ones = np.zeros((12, 1, 2)), np.ones((30, 1, 2))
    apart = classifier_test(zeros, ones, permutations=99)
    assert (apart.accuracy, apart.auc, apart.accuracy_p, apart.auc_p) == (1, 1, 0.01, 0.01)
    alike = classifier_test(zeros + 0.1, ones * 0 + 0.1, permutations=99)
    assert (alike.accuracy, alike.auc, alike.accuracy_p, alike.auc_p) == (0.5, 0.5, 1, 1)


def test_real_and_simulated_dialogues_weigh_the_same_whatever_their_numbers() -> None:
    # Of the real dialogues 1 in 4 is at 0, where no simulated one is. At 1 there are more real ones than simulated
    # ones, but these are a larger share of their kind: the best guess recognises 1/4 of one and all of the other.
    real, simulated = np.repeat([0.0, 1.0], [10, 30])[:, None, None], np.ones((12, 1, 1))
    result = classifier_test(real, simulated, permutations=99)
    assert (result.accuracy, result.auc) == (0.625, pytest.approx(0.625, abs=0.03))
    # Where nothing is to be told apart, the kind that is rarer is not missed.
    rng = np.random.default_rng(2)
    found = [
        classifier_test(rng.normal(size=(60, 1, 2)), rng.normal(size=(12, 1, 2)), permutations=1) for _ in range(40)
    ]
    assert np.mean([each.accuracy for each in found]) == pytest.approx(0.5, abs=0.05)


def test_the_units_of_features_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    real, simulated = features(rng, 20, 0.3), features(rng, 25, 0.3, 0.7)
    first = classifier_test(real, simulated, permutations=49)
    scaled = [[rows * [1e4, 1e-3] + [5e3, 0] for rows in side] for side in (real, simulated)]
    assert classifier_test(*scaled, permutations=49) == first


def test_a_dialogue_counts_once_however_many_rows_it_has() -> None:
    rng = np.random.default_rng(0)
    real, simulated = rng.integers(0, 2, (20, 1, 2)) / 7, rng.integers(0, 3, (20, 1, 2)) / 7
    once = classifier_test(real, simulated, permutations=49)
    repeated = [
        [np.repeat(rows, times, axis=0) for times, rows in enumerate(side, start=1)] for side in (real, simulated)
    ]
    assert classifier_test(*repeated, permutations=49) == once
    # A column that is always .1 says nothing, though its mean is not quite .1.
    constant = [[np.pad(rows, ((0, 0), (0, 1)), constant_values=0.1) for rows in side] for side in repeated]
    assert classifier_test(*constant, permutations=49) == once


# Several tests


@pytest.mark.parametrize(
    ("given_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.013], [0.013]),
        ([0.5, 0.9, 0.4], [1, 1, 1]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_holm_of_worked_examples(given_values: list[float], adjusted: list[float]) -> None:
    np.testing.assert_allclose(holm(given_values), adjusted, atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_is_no_less_than_given_keeps_the_order_and_no_more_than_bonferroni(p_values: list[float]) -> None:
    raw, adjusted = np.array(p_values), holm(p_values)
    assert (raw <= adjusted).all() and (adjusted <= np.minimum(1, raw * len(raw))).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert adjusted.min() == min(1, raw.min() * len(raw))


def test_holm_rejects_a_true_hypothesis_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(0)
    false_findings = sum(holm([*rng.random(4), 1e-6])[:4].min() <= 0.05 for _ in range(2000))
    assert 0.03 < false_findings / 2000 < 0.065


# Bad input

FEW = np.zeros((6, 1, 2))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: permutation_test([], [1, 2], wasserstein_statistic), "2 or more .* got 0 real: give more$"),
        (lambda: permutation_test([1, 2], [3], wasserstein_statistic), "2 or more .* got 1 simulated: give more$"),
        (lambda: permutation_test([1, 2], [3, 4], wasserstein_statistic, 0), "got 0: ask for 1 or more"),
        (
            lambda: permutation_test([1, 2], [3, math.nan], wasserstein_statistic),
            "dialogue 3 .* NaN or infinite: leave",
        ),
        (lambda: permutation_test([[1], []], [3, 4], wasserstein_statistic), "dialogue 1 .* no values: leave it out"),
        (lambda: permutation_test([[[1]], [2]], [3, 4], kolmogorov_smirnov_statistic), r"dialogue 0 .* shape \(1, 1\)"),
        (lambda: permutation_test([1, 2], [3, 4], plain_statistic(lambda *_: math.nan)), "not finite for some labels"),
        (lambda: permutation_test([1, 2], [3, 4], plain_statistic(lambda *_: math.inf)), "not finite for some labels"),
        (lambda: split_floor([1, 2, 3, 4], plain_statistic(lambda *_: math.inf)), "not finite for some labels"),
        (lambda: permutation_test([[1, 2]] * 2, [[3, 4]] * 2, mmd_statistic()), r"\(1, d\) for one row .* \(k, 1\)"),
        (
            lambda: permutation_test(FEW, [np.zeros((1, 3))] * 2, mmd_statistic()),
            "dialogue 6 .* 3 coordinates and .* 2",
        ),
        (lambda: permutation_test(FEW + math.inf, FEW, mmd_statistic()), "dialogue 0 .* NaN or infinite"),
        (lambda: permutation_test([["a"], []], [["a"]] * 2, ngram_statistic(1)), "dialogue 1 .* no acts: leave it out"),
        (lambda: permutation_test(["ask", "tell"], [["a"]] * 2, ngram_statistic()), r"give \['ask'\]"),
        (lambda: permutation_test([["a"]] * 2, [["a"]] * 2, ngram_statistic(2, -1)), "give 0 or more, got -1"),
        (lambda: mmd_statistic(width=-1), "above 0, got -1"),
        (lambda: split_floor([1, 2, 3], wasserstein_statistic), "there are 3 in all: give four or more"),
        (lambda: split_floor([1, 2, 3, 4], wasserstein_statistic, 0), "got 0: ask for 1 or more"),
        (lambda: classifier_test(FEW[:4], FEW), "5 or more .* got 4 real: give more or ask for fewer folds"),
        (lambda: classifier_test(FEW, FEW[:0]), "got 0 simulated"),
        (lambda: classifier_test(FEW, FEW, folds=1), "got 1 folds: ask for 2 or more"),
        (lambda: classifier_test(FEW, FEW, permutations=0), "got 0: ask for 1 or more"),
        (lambda: classifier_test(FEW, FEW, l2=0), "give l2 above 0, got 0"),
        (lambda: classifier_test(FEW[:, 0], FEW[:, 0]), r"shape \(2,\): give \(k, d\)"),
        (lambda: classifier_test(FEW[..., :0], FEW[..., :0]), "0 coordinates .* one or more"),
        (lambda: holm([]), r"got \(0,\): give one or more"),
        (lambda: holm([0.5, 1.5]), r"from 0 to 1, got \[0.5, 1.5\]"),
        (lambda: holm([math.nan]), "from 0 to 1"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(call: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()
