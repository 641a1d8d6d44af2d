"""The critic of success: its fit by hand, and that what it is judged on it has never seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_baselines.statistics import auc
from ss_trainers.off_policy.success import SuccessError, SuccessSettings, fitted, held_out_scores, tuned


def log_of(groups: int, attempts: int, signal: float, noise: int = 40, seed: int = 0):
    """Conversations of which one feature says how likely success is, and others say nothing."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(groups * attempts, 1 + noise))
    outcomes = generator.random(len(features)) < 1 / (1 + np.exp(-signal * features[:, 0]))
    return features, outcomes, np.repeat(np.arange(groups), attempts).tolist()


def test_the_fit_is_that_of_a_case_worked_by_hand():
    # By symmetry b = 0, and the slope in w is λw - σ(-w): with λ = σ(-1) = 0.26894 it is 0 at w = 1.
    critic = fitted([[1.0], [1.0], [-1.0], [-1.0]], [1, 1, 0, 0], 1 / (1 + math.e))
    assert critic.weights.tolist() == pytest.approx([1.0], abs=1e-6) and critic.bias == pytest.approx(0, abs=1e-6)
    assert critic.log_odds([[3.0]]).tolist() == pytest.approx([3.0], abs=1e-5)
    assert critic.probabilities([[0.0], [1.0]]).tolist() == pytest.approx([0.5, 0.73106], abs=1e-5)


def test_features_that_say_nothing_leave_the_share_of_successes():
    critic = fitted(np.ones((4, 3)), [1, 0, 0, 0], 0.1)
    assert critic.weights.tolist() == [0, 0, 0] and critic.bias == pytest.approx(-math.log(3))


@given(st.integers(0, 1_000), st.sampled_from([2, 30]), st.floats(1e-3, 1e2))
def test_no_weight_can_be_changed_to_fit_better(seed, size, penalty):
    generator = np.random.default_rng(seed)
    features, outcomes = generator.normal(size=(12, size)) * 3 + 5, np.arange(12) % 3 == 0
    critic = fitted(features, outcomes, penalty)
    misses = critic.probabilities(features) - outcomes
    assert misses.mean() == pytest.approx(0, abs=1e-5)
    slope = features.T @ misses / 12 + penalty * critic.weights
    assert slope.tolist() == pytest.approx([0.0] * size, abs=1e-4)


def test_outcomes_that_features_tell_apart_leave_the_fit_finite():
    critic = fitted([[1e6], [1.0], [-1.0], [-1e6]], [1, 1, 0, 0], 1e-6)
    assert np.isfinite(critic.weights).all() and (critic.probabilities([[1.0], [-1.0]]).round(3) == [1, 0]).all()


def test_a_signal_is_found_among_noise_and_noise_is_held_down():
    features, outcomes, groups = log_of(60, 4, signal=3)
    score = auc(held_out_scores(features, outcomes, groups).tolist(), outcomes.tolist(), groups)
    ideal = auc(features[:, 0].tolist(), outcomes.tolist(), groups)
    assert 0.8 < score.value <= ideal.value
    nothing = tuned(*log_of(60, 4, signal=0))
    assert nothing.penalty == 1.0 and np.abs(nothing.weights).max() < 0.1
    assert tuned(features, outcomes, groups).penalty < 1.0


def test_what_tells_tasks_apart_alone_foretells_nothing_of_other_tasks():
    # Each task has a feature of its own, and always the same end: a critic that had seen it would know everything.
    groups = np.repeat(np.arange(40), 4)
    features, outcomes = np.eye(40)[groups], groups % 2 == 0
    seen = tuned(features, outcomes, range(160))
    assert auc(seen.log_odds(features).tolist(), outcomes.tolist(), groups.tolist()).value == 1
    foretold = held_out_scores(features, outcomes, groups.tolist())
    assert 0.45 < auc(foretold.round(6).tolist(), outcomes.tolist(), groups.tolist()).value < 0.55


@pytest.mark.parametrize("features", [np.ones((33, 2)), np.ones((33, 0))])
def test_features_that_say_nothing_have_no_score_at_all(features):
    scores = held_out_scores(features, np.arange(33) % 3 == 0, range(33))
    assert scores.tolist() == pytest.approx([0.0] * 33, abs=1e-9)


def test_what_is_foretold_repeats_and_depends_neither_on_names_nor_on_the_order_of_features():
    features, outcomes, groups = log_of(20, 3, signal=2, noise=5)
    foretold = held_out_scores(features, outcomes, groups)
    assert held_out_scores(features, outcomes, [f"task {group:03d}" for group in groups]).tolist() == foretold.tolist()
    assert held_out_scores(features[:, ::-1], outcomes, groups) == pytest.approx(foretold, abs=1e-4)
    other = held_out_scores(features, outcomes, groups, SuccessSettings(seed=1))
    assert not np.allclose(other, foretold, atol=1e-3)


@pytest.mark.parametrize(
    ("features", "outcomes", "groups", "message"),
    [
        (np.ones((4, 2)), [1, 1, 1, 1], "abcd", "no failure to learn from"),
        (np.ones((4, 2)), [0, 0, 0, 0], "abcd", "no success to learn from"),
        (np.ones((0, 2)), [], "", "no conversation to learn from"),
        (np.ones((4, 2)), [0, 1, 0.5, 1], "abcd", "neither success"),
        (np.ones((4, 2)), [0, 1, math.nan, 1], "abcd", "neither success"),
        (np.full((4, 2), math.inf), [0, 1, 0, 1], "abcd", "not finite"),
        (np.ones((4, 2)), [0, 1, 0], "abcd", r"\(4, 2\), \(3,\) and \(4,\)"),
        (np.ones(4), [0, 1, 0, 1], "abcd", "a row of features"),
        (np.ones((4, 2)), [0, 1, 0, 1], "aabb", "2 groups .* too few for 10 parts"),
        (np.ones((24, 2)), [1, 1, *[0] * 22], [0, 0, *range(1, 23)], "no success is left to learn from"),
    ],
)
def test_logs_that_nothing_can_be_held_out_from_are_refused(features, outcomes, groups, message):
    with pytest.raises(SuccessError, match=message):
        held_out_scores(features, outcomes, list(groups))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"penalties": ()}, "penalties"), ({"penalties": (0.1, 0.0)}, "penalties"), ({"inner_folds": 1}, "inner_folds")],
)
def test_settings_that_no_fit_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SuccessSettings(**settings)


def test_a_fit_without_a_penalty_is_refused():
    with pytest.raises(ValueError, match="penalty of a critic must be a positive number, not 0"):
        fitted([[1.0], [2.0]], [0, 1], 0)
