"""Distances have the values that one works out by hand, and the properties that make them distances."""

import math
from collections.abc import Callable
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ss_gym.sim2real.distances import (
    BEGIN,
    END,
    cliffs_delta,
    count_ngrams,
    gaussian_kernel,
    hedges_g,
    jensen_shannon,
    kolmogorov_smirnov,
    median_width,
    ngram_divergence,
    squared_mmd,
    wasserstein,
)

numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
samples = st.lists(numbers, min_size=1, max_size=12)
several = st.lists(numbers, min_size=2, max_size=12)
whole = st.lists(st.integers(-6, 6), min_size=1, max_size=12)
tables = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1).filter(
    lambda table: any(table.values())
)
dialogues = st.lists(st.lists(st.sampled_from(["ask", "tell", "thank"]), max_size=5), min_size=1, max_size=5)


def shares(table: dict[str, int]) -> dict[str, float]:
    return {kind: count / sum(table.values()) for kind, count in table.items() if count}


# Wasserstein-1 and Kolmogorov-Smirnov


@pytest.mark.parametrize(
    ("first", "second", "moved", "largest"),
    [
        ([3, 4, 5], [4, 6, 8], 2, 2 / 3),
        ([0], [1, 3], 2, 1),  # each of the two has half the weight: (1 + 3) / 2
        ([0, 1], [0, 1, 2], 1 / 6 + 1 / 3, 1 / 3),  # F - G is 1/2 - 1/3 from 0 to 1, and 1 - 2/3 from 1 to 2
        ([5, 1, 1], [1, 5, 1], 0, 0),
        ([1, 1, 1, 1], [1, 1, 9], 8 / 3, 1 / 3),
    ],
)
def test_the_shares_of_values_up_to_each_point_are_compared(
    first: list[float], second: list[float], moved: float, largest: float
) -> None:
    assert wasserstein(first, second) == pytest.approx(moved, abs=1e-12)
    assert kolmogorov_smirnov(first, second) == pytest.approx(largest, abs=1e-12)


@given(samples, samples)
def test_wasserstein_is_the_mean_move_of_sorted_values(first: list[float], second: list[float]) -> None:
    # Every value as often as makes the samples equally large.
    pairs = zip(np.repeat(sorted(first), len(second)), np.repeat(sorted(second), len(first)), strict=True)
    by_hand = sum(abs(x - y) for x, y in pairs) / (len(first) * len(second))
    assert wasserstein(first, second) == pytest.approx(by_hand, abs=1e-9)


@given(whole, whole)
def test_kolmogorov_smirnov_is_the_largest_difference_of_shares(first: list[int], second: list[int]) -> None:
    differences = [
        abs(sum(x <= at for x in first) / len(first) - sum(y <= at for y in second) / len(second))
        for at in range(-6, 7)
    ]
    assert kolmogorov_smirnov(first, second) == pytest.approx(max(differences), abs=1e-12)


@given(samples, numbers)
def test_wasserstein_of_a_shift_is_its_length(sample: list[float], shift: float) -> None:
    assert wasserstein(sample, np.add(sample, shift)) == pytest.approx(abs(shift), abs=1e-9)


@given(whole, whole)
@pytest.mark.parametrize("change", [lambda x: x**3, np.exp, lambda x: 2 * x - 7, np.arctan])
def test_kolmogorov_smirnov_does_not_depend_on_units(
    change: Callable[[np.ndarray], np.ndarray], first: list[int], second: list[int]
) -> None:
    changed = [change(np.asarray(sample, dtype=float)) for sample in (first, second)]
    assert kolmogorov_smirnov(*changed) == kolmogorov_smirnov(first, second)


@given(samples, samples, samples)
def test_wasserstein_is_a_metric(first: list[float], second: list[float], third: list[float]) -> None:
    assert wasserstein(first, first) == 0
    assert wasserstein(first, second) == pytest.approx(wasserstein(second, first), abs=1e-9)
    assert wasserstein(first, third) <= wasserstein(first, second) + wasserstein(second, third) + 1e-9


@given(samples, samples)
def test_kolmogorov_smirnov_is_symmetric_and_at_most_1(first: list[float], second: list[float]) -> None:
    assert kolmogorov_smirnov(first, first) == 0
    assert 0 <= kolmogorov_smirnov(first, second) == kolmogorov_smirnov(second, first) <= 1
    assert kolmogorov_smirnov(first, np.add(max(first) - min(second) + 1, second)) == 1


# Maximum mean discrepancy


def test_mmd_of_the_worked_example() -> None:
    assert squared_mmd([0, 1], [0, 3], width=1.5) == pytest.approx(0.294, abs=5e-4)
    assert squared_mmd([0, 1], [0, 3], width=1.5, unbiased=True) == pytest.approx(-0.238, abs=5e-4)
    assert squared_mmd([0, 1], [0, 1], width=1.5) == 0
    assert squared_mmd([0, 1], [0, 1], width=1.5, unbiased=True) == pytest.approx(-0.199, abs=5e-4)


@pytest.mark.parametrize("unbiased", [False, True])
def test_mmd_is_the_sum_over_all_pairs(unbiased: bool) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(7, 2)), rng.normal(1, 2, size=(4, 2))

    def mean(left: np.ndarray, right: np.ndarray, distinct: bool) -> float:
        pairs = [
            pair for pair in product(enumerate(left), enumerate(right)) if not distinct or pair[0][0] != pair[1][0]
        ]
        return sum(math.exp(-sum((x - y) ** 2) / (2 * 1.3**2)) for (_, x), (_, y) in pairs) / len(pairs)

    by_hand = mean(first, first, unbiased) + mean(second, second, unbiased) - 2 * mean(first, second, False)
    assert squared_mmd(first, second, 1.3, unbiased) == pytest.approx(by_hand, abs=1e-12)


@given(samples, samples)
def test_the_biased_mmd_is_0_for_equal_sets_and_never_below(first: list[float], second: list[float]) -> None:
    assert squared_mmd(first, first) == 0
    assert 0 <= squared_mmd(first, second) == pytest.approx(squared_mmd(second, first), abs=1e-12)
    assert 0 <= squared_mmd(first, sorted(first)) == pytest.approx(0, abs=1e-12)


def test_a_large_kernel_is_summed_in_parts() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=1700), rng.normal(0.1, 1, size=1300)
    means = [
        gaussian_kernel(x[:, None], y[:, None], 0.7).mean()
        for x, y in ((first, first), (second, second), (first, second))
    ]
    assert squared_mmd(first, second, 0.7) == pytest.approx(means[0] + means[1] - 2 * means[2], abs=1e-12)
    assert squared_mmd(first, first, 0.7) == 0


def test_the_width_is_the_median_distance_in_the_pool() -> None:
    assert median_width([0, 1, 0, 3]) == pytest.approx(math.sqrt(2.5))  # squares 0, 1, 1, 4, 9, 9
    assert median_width([[0, 0], [3, 4]]) == 5
    assert median_width([2] * 6 + [7, 9]) == 5  # of most pairs it is 0; of the others 2, 5 six times and 7 six times
    assert median_width([2, 2]) == median_width([2]) == 1
    assert squared_mmd([0, 1], [0, 3]) == squared_mmd([0, 1], [0, 3], width=math.sqrt(2.5))


@given(samples, st.randoms(use_true_random=False))
def test_the_width_does_not_depend_on_the_order(sample: list[float], random: Random) -> None:
    shuffled = list(sample)
    random.shuffle(shuffled)
    assert median_width(shuffled) == median_width(sample)


def test_the_width_of_many_points_is_close_to_that_of_all_pairs() -> None:
    rng = np.random.default_rng(1)
    for points in (rng.exponential(size=(1500, 1)), rng.normal(size=(1500, 3)) * [1, 5, 2]):
        squared = ((points[:, None] - points) ** 2).sum(-1)[np.triu_indices(len(points), 1)]
        assert median_width(points) == pytest.approx(math.sqrt(np.median(squared)), rel=0.03)
        assert median_width(rng.permutation(points)) == median_width(points)


# Jensen-Shannon divergence


def test_jensen_shannon_of_worked_tables() -> None:
    assert jensen_shannon({"a": 5, "b": 5}, {"a": 1, "c": 1}) == pytest.approx(0.3466, abs=5e-5)
    assert jensen_shannon({"a": 2}, {"b": 7}) == math.log(2)
    assert jensen_shannon({"a": 1, "b": 2, "c": 0}, {"b": 6, "a": 3}) == 0
    # With one more of each kind: (2, 1, 1) / 4 and (1, 2, 1) / 4. The middles are 3/8, 3/8, 1/4.
    by_hand = 2 * (0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3)) / 2
    assert jensen_shannon({"a": 1, "c": 0}, {"b": 1}, smoothing=1) == pytest.approx(by_hand)


@given(tables, tables)
def test_jensen_shannon_is_symmetric_and_at_most_ln_2_and_0_iff_equal(
    first: dict[str, int], second: dict[str, int]
) -> None:
    divergence = jensen_shannon(first, second)
    assert jensen_shannon(second, first) == pytest.approx(divergence, abs=1e-15)
    assert 0 <= divergence <= math.log(2)
    assert (divergence == 0) == (shares(first) == shares(second))


@given(tables, tables)
def test_jensen_shannon_is_what_entropy_the_mixture_adds(first: dict[str, int], second: dict[str, int]) -> None:
    def entropy(parts: dict[str, float]) -> float:
        return -sum(part * math.log(part) for part in parts.values())

    p, q = shares(first), shares(second)
    mixed = {kind: (p.get(kind, 0) + q.get(kind, 0)) / 2 for kind in {*p, *q}}
    assert jensen_shannon(first, second) == pytest.approx(entropy(mixed) - (entropy(p) + entropy(q)) / 2, abs=1e-12)


def test_ngrams_are_counted_within_a_dialogue_and_from_its_begin_to_its_end() -> None:
    assert count_ngrams(["a", "b", "a", "b"]) == {(BEGIN, "a"): 1, ("a", "b"): 2, ("b", "a"): 1, ("b", END): 1}
    assert count_ngrams(["a", "b", "a"], n=1) == {("a",): 2, ("b",): 1}
    assert count_ngrams(["a"], n=3) == {(BEGIN, BEGIN, "a"): 1, (BEGIN, "a", END): 1, ("a", END, END): 1}
    assert count_ngrams([]) == {(BEGIN, END): 1}
    assert count_ngrams([], n=1) == {}


@given(st.lists(st.sampled_from("abc"), max_size=8), st.integers(1, 4))
def test_each_act_is_in_as_many_runs_as_a_run_is_long(acts: list[str], n: int) -> None:
    runs = count_ngrams(acts, n)
    assert runs.total() == len(acts) + n - 1
    for act in set(acts):
        assert sum(run.count(act) * times for run, times in runs.items()) == n * acts.count(act)


def test_the_divergence_of_dialogues_is_that_of_their_counts() -> None:
    real, simulated = [["ask", "thank"], ["ask"]], [["ask", "leave"]]
    first = {"begin ask": 2, "ask thank": 1, "thank end": 1, "ask end": 1}
    second = {"begin ask": 1, "ask leave": 1, "leave end": 1}
    assert ngram_divergence(real, simulated) == pytest.approx(jensen_shannon(first, second))
    assert ngram_divergence(real, simulated, 1) == pytest.approx(
        jensen_shannon({"ask": 2, "thank": 1}, {"ask": 1, "leave": 1})
    )


@given(dialogues, dialogues, st.integers(2, 3))
def test_the_order_of_dialogues_does_not_matter(real: list[list[str]], simulated: list[list[str]], n: int) -> None:
    divergence = ngram_divergence(real, simulated, n)
    assert ngram_divergence(real[::-1], simulated[::-1], n) == pytest.approx(divergence, abs=1e-12)
    assert ngram_divergence(real, real + real, n) == 0


def test_the_order_of_acts_is_seen_by_pairs_and_not_by_single_acts() -> None:
    real, simulated = [["ask", "tell", "thank"]], [["thank", "ask", "tell"]]
    assert ngram_divergence(real, simulated, 1) == 0
    assert ngram_divergence(real, simulated, 2) == pytest.approx(0.75 * math.log(2))  # ask-tell alone is shared


# Effect sizes


@given(whole, whole)
def test_cliffs_delta_counts_pairs(first: list[int], second: list[int]) -> None:
    by_hand = np.sign(np.subtract.outer(first, second)).mean()
    assert cliffs_delta(first, second) == pytest.approx(by_hand, abs=1e-12)


@given(samples, samples)
def test_cliffs_delta_is_antisymmetric_and_from_minus_1_to_1(first: list[float], second: list[float]) -> None:
    assert -1 <= cliffs_delta(first, second) == -cliffs_delta(second, first) <= 1
    assert cliffs_delta(first, first) == 0
    assert cliffs_delta(first, np.add(max(first) - min(second) + 1, second)) == -1


def test_hedges_g_of_worked_examples() -> None:
    # Variances 1 and 4, pooled 2.5; J of 4 degrees of freedom is Γ(2) / (√2 Γ(1.5)) = .79788.
    assert hedges_g([1, 2, 3], [2, 4, 6]) == pytest.approx(-2 / math.sqrt(2.5) * 0.7978846, abs=1e-6)
    # Variances 2 (of two) and 1 (of three), pooled 4/3; J of 3 is Γ(1.5) / (√1.5 Γ(1)) = .72360.
    assert hedges_g([4, 6], [1, 2, 3]) == pytest.approx(3 / math.sqrt(4 / 3) * 0.7236013, abs=1e-6)


@given(several, several, st.floats(0.1, 10), numbers)
def test_hedges_g_is_antisymmetric_and_does_not_depend_on_units(
    first: list[float], second: list[float], scale: float, shift: float
) -> None:
    assume(max(np.std(first), np.std(second)) > 1e-2)
    effect = hedges_g(first, second)
    assert hedges_g(second, first) == pytest.approx(-effect)
    changed = hedges_g(np.multiply(first, scale) + shift, np.multiply(second, scale) + shift)
    assert changed == pytest.approx(effect, rel=1e-6, abs=1e-6)


def test_hedges_g_is_right_on_average_in_small_samples() -> None:
    rng = np.random.default_rng(0)
    found = [hedges_g(rng.normal(0.8, 1, 4), rng.normal(0, 1, 5)) for _ in range(6000)]
    error = np.std(found) / math.sqrt(len(found))
    # J of 7 degrees of freedom is .888: without it the mean would be .9.
    assert abs(np.mean(found) - 0.8) < 3 * error < 0.04


# Bad input

OF_VALUES = [wasserstein, kolmogorov_smirnov, cliffs_delta, hedges_g]


@pytest.mark.parametrize("distance", [*OF_VALUES, squared_mmd])
@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ([], "empty: give at least one"),
        ([1.0, math.nan], "NaN or infinite: leave out"),
        ([math.inf, 1.0], "NaN or infinite"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    distance: Callable[[object, object], float], sample: list[float], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        distance(sample, [1.0, 2.0])
    with pytest.raises(ValueError, match=reason):
        distance([1.0, 2.0], sample)


@pytest.mark.parametrize("distance", OF_VALUES)
def test_samples_of_numbers_have_one_dimension(distance: Callable[[object, object], float]) -> None:
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(1, 2\): give one dimension"):
        distance([[1.0, 2.0]], [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: squared_mmd([[1, 2]], [[1, 2, 3]]), "2 and 3 coordinates: give both the same"),
        (lambda: squared_mmd([[[1]]], [1]), r"got \(1, 1, 1\): give a point a row"),
        (lambda: squared_mmd([1], [1, 2], unbiased=True), "two or more of each"),
        (lambda: squared_mmd([1], [2], width=0), "above 0, got 0: leave it out"),
        (lambda: squared_mmd([1], [2], width=math.nan), "above 0, got nan"),
        (lambda: median_width([]), "empty"),
        (lambda: hedges_g([1], [1, 2]), "two or more of each"),
        (lambda: hedges_g([1, 1], [2, 2]), "use Cliff's delta"),
        (lambda: jensen_shannon({}, {"a": 1}), "first table counts nothing: give one"),
        (lambda: jensen_shannon({"a": 1}, {"a": 0}), "second table counts nothing"),
        (lambda: jensen_shannon({"a": 1}, {"a": -1, "b": 3}), "second table is negative"),
        (lambda: jensen_shannon({"a": math.nan}, {"a": 1}), "first table is negative or not finite"),
        (lambda: jensen_shannon({"a": 1}, {"a": 1}, smoothing=-1), "give 0 or more, got -1"),
        (lambda: count_ngrams(["a"], 0), "one act or more, got n = 0"),
        (lambda: count_ngrams("ask"), r"got the string 'ask': give \['ask'\]"),
        (lambda: count_ngrams(["a", END]), "give no act these names"),
        (lambda: ngram_divergence([], [["a"]]), "first table counts nothing"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(call: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


def test_no_effect_is_0_even_where_all_values_are_alike() -> None:
    assert hedges_g([2, 2], [2, 2, 2]) == 0
    assert cliffs_delta([2], [2]) == 0
