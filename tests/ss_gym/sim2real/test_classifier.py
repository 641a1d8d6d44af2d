"""The classifier has the best coefficients that there are, and scores dialogues that it has not seen."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ss_gym.sim2real.classifier import area_under_curve, fit_logistic, held_out_scores


def test_the_coefficients_are_where_the_loss_is_flat() -> None:
    rng = np.random.default_rng(0)
    inputs, labels, weights = rng.normal(size=(30, 3)), rng.random((4, 30)) < 0.4, rng.uniform(0.5, 2, (4, 30))
    labels[3] = inputs[:, 0] > 0  # these can be told apart without a mistake
    found = fit_logistic(inputs, labels, weights, l2=0.1)
    for row, weight, label in zip(found, weights, labels, strict=True):
        odds = row[0] + inputs @ row[1:]
        errors = weight * (1 / (1 + np.exp(-odds)) - label)
        np.testing.assert_allclose([errors.sum(), *(errors @ inputs + 0.1 * row[1:])], 0, atol=1e-5)
    np.testing.assert_allclose(fit_logistic(inputs, labels[2:3], weights[2:3], l2=0.1), found[2:3], atol=1e-6)
    # Two points at -1 and 1: the slope c solves 2 / (1 + e^c) = l2 c, and is 1 at l2 = 2 / (1 + e).
    two = fit_logistic(np.array([[-1.0], [1.0]]), np.array([[False, True]]), np.ones((1, 2)), 2 / (1 + math.e))
    np.testing.assert_allclose(two, [[0, 1]], atol=1e-7)


@pytest.mark.parametrize("l2", [1e-8, 1e-3, 1e4])
def test_coefficients_are_found_where_features_are_extreme(l2: float) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.standard_cauchy((40, 2))
    labels = np.array([inputs[:, 0] > 0, rng.random(40) < 0.5])
    weights = np.ones((2, 40))
    for row, label in zip(fit_logistic(inputs, labels, weights, l2), labels, strict=True):
        with np.errstate(over="ignore"):
            errors = 1 / (1 + np.exp(-(row[0] + inputs @ row[1:]))) - label
        np.testing.assert_allclose([errors.sum(), *(errors @ inputs + l2 * row[1:])], 0, atol=1e-5)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=12))
def test_the_area_counts_pairs_of_real_and_simulated(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([score for score, _ in pairs], dtype=float), np.array([label for _, label in pairs])
    assume(labels.any() and not labels.all())
    by_hand = np.heaviside(np.subtract.outer(scores[labels], scores[~labels]), 0.5).mean()
    both = area_under_curve(np.array([scores, -scores]), np.array([labels, labels]))
    np.testing.assert_allclose(both, [by_hand, 1 - by_hand], atol=1e-12)


def test_held_out_dialogues_are_scored_by_what_the_others_say() -> None:
    # One feature, two values: 3 of the 4 real dialogues that are fitted to are at 1, and 1 of the 4 simulated ones.
    values = np.array([1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1], dtype=float)
    labels = (np.arange(11) < 4)[None]
    owners = np.array([*range(9), 9, 9])  # held out: one dialogue at 1, and one of two rows, at 0 and at 1
    held_out = np.arange(10) >= 8
    scores = held_out_scores(values[:, None], owners, labels[:, :10], held_out, l2=1e-9)
    np.testing.assert_allclose(scores, [[math.log(3), 0]], atol=1e-6)
    # What is held out is not looked at: neither its labels nor the scale of its features.
    labels = labels[:, :10] | (np.arange(10) == 9)
    changed = held_out_scores(values[:, None], owners, labels, held_out, l2=1e-9)
    np.testing.assert_array_equal(changed, scores)
    values[8] = 2
    np.testing.assert_allclose(
        held_out_scores(values[:, None], owners, labels, held_out, 1e-9)[0], [3 * math.log(3), 0], atol=1e-6
    )


def test_a_feature_that_never_varied_says_nothing_where_it_does() -> None:
    rng = np.random.default_rng(0)
    owners, labels, held_out = (
        np.repeat(np.arange(20), rng.integers(1, 4, 20)),
        np.arange(20)[None] % 2 == 0,
        np.arange(20) > 15,
    )
    values = rng.normal(size=len(owners))
    constant = np.where(held_out[owners], 0.2, 0.1)  # whose mean over dialogues is .1 but for rounding
    expected = held_out_scores(values[:, None], owners, labels, held_out, 1.0)
    scores = held_out_scores(np.column_stack([values, constant]), owners, labels, held_out, 1.0)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("labels", [np.ones((1, 4), bool), np.array([[True, True, False, False], [False] * 4])])
def test_labels_that_are_all_alike_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"labels are all alike, .* give some of either"):
        fit_logistic(np.zeros((4, 1)), labels, np.ones(labels.shape))


@pytest.mark.parametrize("l2", [0, -1.0, math.nan, math.inf])
def test_a_penalty_is_needed(l2: float) -> None:
    with pytest.raises(ValueError, match="give l2 above 0, got"):
        fit_logistic(np.zeros((2, 1)), np.array([[True, False]]), np.ones((1, 2)), l2)
