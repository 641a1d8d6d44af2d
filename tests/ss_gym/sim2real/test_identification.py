"""Parameters from observations: posteriors that hold the truth as often as they say, and the best point."""

import numpy as np
import pytest

from ss_gym.sim2real.identification import Posterior, abc_posterior, cross_entropy

LOW, HIGH = np.array([0.0, -1.0]), np.array([1.0, 3.0])


def simulated(parameters, generator, size=20):
    """Means of noisy numbers whose expectations are curved in the parameters, and one that tells nothing."""
    first, second = parameters[:, 0], parameters[:, 1]
    expected = np.stack([first + 0.2 * second, np.exp(first) - second, np.zeros(len(parameters))], axis=1)
    return expected + generator.normal(size=expected.shape) / np.sqrt(size)


def prior(count, generator):
    return LOW + (HIGH - LOW) * generator.random((count, 2))


def posterior(observed, generator, **settings):
    drawn = prior(4000, generator)
    return abc_posterior(drawn, simulated(drawn, generator), observed, LOW, HIGH, **settings)


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator, held = np.random.default_rng(0), []
    drawn = prior(4000, generator)
    statistics = simulated(drawn, generator)
    truths = prior(200, generator)
    for truth, observed in zip(truths, simulated(truths, generator), strict=True):
        low, high = abc_posterior(drawn, statistics, observed, LOW, HIGH, accepted=0.05).interval(0.9)
        held.append((low <= truth) & (truth <= high))
    shares = np.mean(held, axis=0)
    # Four standard deviations of 200 draws.
    assert (abs(shares - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 200)).all()


def test_adjustment_is_nearer_to_the_truth_than_rejection():
    generator, errors = np.random.default_rng(1), {True: [], False: []}
    drawn = prior(4000, generator)
    statistics, truths = simulated(drawn, generator, 400), prior(60, generator)
    for truth, observed in zip(truths, simulated(truths, generator, 400), strict=True):
        for adjust, found in errors.items():
            mean = abc_posterior(drawn, statistics, observed, LOW, HIGH, 0.1, adjust).mean
            found.append(abs(mean - truth) / (HIGH - LOW))
    assert np.mean(errors[True]) < 0.8 * np.mean(errors[False])


def test_rejection_keeps_what_is_nearest():
    parameters = np.array([[0.1, 0.0], [0.5, 1.0], [0.9, 2.0], [0.3, -1.0]])
    statistics = np.array([[0.0], [1.0], [2.0], [3.0]])
    found = abc_posterior(parameters, statistics, np.array([1.2]), LOW, HIGH, accepted=0.5, adjust=False)
    assert found.draws.tolist() == [[0.5, 1.0], [0.9, 2.0]]
    # The median absolute deviation of 0 to 3 is 1.
    assert found.distances == pytest.approx([0.2, 0.8])
    assert found.weights[0] > found.weights[1] > 0 and found.weights.sum() == pytest.approx(1)


def test_draws_stay_within_the_bounds_however_far_they_are_moved():
    generator = np.random.default_rng(2)
    found = posterior(np.array([30.0, -30.0, 0.0]), generator)
    assert (found.draws >= LOW).all() and (found.draws <= HIGH).all() and np.isfinite(found.draws).all()


def test_statistics_that_say_the_same_twice_or_nothing_do_no_harm():
    generator = np.random.default_rng(3)
    drawn = prior(2000, generator)
    statistics = simulated(drawn, generator)
    truth = np.array([[0.4, 1.0]])
    observed = simulated(truth, generator, 10_000)[0]
    once = abc_posterior(drawn, statistics, observed, LOW, HIGH)
    # The simulator never shows the last two otherwise; the deviation of 2,000 times .1 is not quite 0.
    doubled = np.column_stack([statistics, statistics[:, :1], np.full(2000, 7.0), np.full(2000, 0.1)])
    twice = abc_posterior(drawn, doubled, np.append(observed, [observed[0], 7.0, 0.2]), LOW, HIGH)
    assert once.mean == pytest.approx(truth[0], abs=0.15) and twice.mean == pytest.approx(once.mean, abs=0.1)


def test_quantiles_are_those_of_the_weights():
    draws = np.array([[3.0], [1.0], [2.0]])
    even = Posterior(draws, np.full(3, 1 / 3), np.zeros(3))
    assert even.quantiles(0.5).tolist() == [[2.0]] and even.mean == pytest.approx([2.0])
    heavy = Posterior(draws, np.array([0.98, 0.01, 0.01]), np.zeros(3))
    assert heavy.quantiles(0.5)[0, 0] > 2.9
    drawn = heavy.sample(1000, np.random.default_rng(0))
    assert drawn.shape == (1000, 1) and (drawn == 3.0).mean() > 0.95


def test_the_best_of_a_population_shape_the_next():
    # Of 1, 2, 3, 4 the two greatest have the mean 3.5, the two least 1.5: worked by hand in units of the range.
    class Fixed:
        def standard_normal(self, shape):
            return np.array([[-1.0], [-0.5], [0.5], [1.0]])

    mean, spread = cross_entropy(
        lambda rows: -rows[:, 0], np.array([0.0]), np.array([4.0]), Fixed(), 1, 4, 0.5, smoothing=1.0, least_spread=0.0
    )
    assert mean == pytest.approx([3.5]) and spread == pytest.approx([0.5])
    smoothed, _ = cross_entropy(
        lambda rows: -rows[:, 0], np.array([0.0]), np.array([4.0]), Fixed(), 1, 4, 0.5, smoothing=0.5
    )
    assert smoothed == pytest.approx([2.75])


def test_the_best_point_is_found_through_noise():
    generator, best = np.random.default_rng(4), np.array([0.8, 0.5])

    def objective(rows):
        return np.square((rows - best) / (HIGH - LOW)).sum(1) + 0.01 * generator.normal(size=len(rows))

    mean, spread = cross_entropy(objective, LOW, HIGH, generator, iterations=30, population=100)
    assert (abs(mean - best) < 0.08 * (HIGH - LOW)).all() and (spread >= 0.02 * (HIGH - LOW)).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"statistics": np.zeros((3, 2))}, "a row for each simulation"),
        ({"observed": np.zeros(1)}, r"observed must be \(2,\), one of each statistic, not \(1,\)"),
        ({"low": HIGH}, "the low below the high"),
        ({"low": np.full(2, -np.inf)}, "low must be finite, and 2 numbers are not"),
        ({"statistics": np.full((50, 2), np.nan)}, "statistics must be finite, and 100 numbers are not"),
        ({"parameters": np.full((50, 2), 9.0)}, "parameters must be within low and high"),
        ({"accepted": 0.0}, "accepted must be above 0"),
        ({"accepted": 0.05}, "2 simulations are kept, and a regression on 2 statistics needs 4"),
    ],
)
def test_what_can_not_be_fitted_is_told(changes, told):
    generator = np.random.default_rng(0)
    given = {
        "parameters": prior(50, generator),
        "statistics": generator.normal(size=(50, 2)),
        "observed": np.zeros(2),
        "low": LOW,
        "high": HIGH,
    }
    with pytest.raises(ValueError, match=told):
        abc_posterior(**{**given, **changes})


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"elite": 1.0},
        {"elite": -1},
        {"least_spread": np.nan},
        {"smoothing": 0.0},
        {"least_spread": -1},
    ],
)
def test_settings_of_the_search_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="cross_entropy needs"):
        cross_entropy(lambda rows: rows[:, 0], LOW, HIGH, np.random.default_rng(0), **wrong)


def test_a_search_refuses_bounds_and_objectives_that_are_none():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="the low below the high"):
        cross_entropy(lambda rows: rows[:, 0], HIGH, LOW, generator)
    with pytest.raises(ValueError, match="bounds must be finite"):
        cross_entropy(lambda rows: rows[:, 0], LOW, np.full(2, np.inf), generator)
    with pytest.raises(ValueError, match="50 finite numbers"):
        cross_entropy(lambda rows: np.full(len(rows), np.nan), LOW, HIGH, generator)
