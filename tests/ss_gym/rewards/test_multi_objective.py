"""Several objectives as one number, and the results that none is better than; numbers worked out by hand."""

import pickle

import pytest

from ss_gym.rewards import MissingReward, MultiObjectiveReward, RewardFunction, RewardResult, pareto_front


def of(name):
    return RewardFunction(lambda turns, context: context[name], name)


def objectives(*weights):
    return [RewardFunction(of(name), name, weight) for name, weight in zip("abc", weights, strict=False)]


def score(scalarise, weights, *scores, levels=10):
    reward = MultiObjectiveReward(objectives(*weights), scalarise, levels)
    result = reward.compute([], dict(zip("abc", scores, strict=False)))
    assert result.breakdown == dict(zip("abc", scores, strict=False))
    return result.score


def test_the_weighted_sum_is_normalised():
    assert score("weighted", (3.0, 1.0), 1.0, 0.2) == pytest.approx((3 + 0.2) / 4)


def test_chebyshev_looks_at_the_worst_weighted_distance():
    # w = ¾, ¼; distances ¾ · 0 and ¼ · .8 = .2, over ¾: .2667; (1 − .2667 + .01 · .8) / 1.01.
    assert score("chebyshev", (3.0, 1.0), 1.0, 0.2) == pytest.approx((1 - 0.8 / 3 + 0.008) / 1.01)
    assert score("chebyshev", (1.0, 1.0), 1.0, 1.0) == 1.0
    assert score("chebyshev", (1.0, 1.0), 0.0, 0.0) == 0.0


def test_chebyshev_prefers_the_balanced_result_that_no_weighted_sum_chooses():
    ends, middle = ((1.0, 0.0), (0.0, 1.0)), (0.4, 0.4)  # below the line between the ends
    assert all(score("chebyshev", (1.0, 1.0), *middle) > score("chebyshev", (1.0, 1.0), *end) for end in ends)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        weights = (share, 1 - share)
        assert max(score("weighted", weights, *end) for end in ends) > score("weighted", weights, *middle)


def test_of_two_results_with_the_same_worst_objective_the_better_one_counts_more():
    assert score("chebyshev", (1.0, 1.0), 0.5, 0.9) > score("chebyshev", (1.0, 1.0), 0.5, 0.5)


def test_lexicographic_lets_the_first_decide():
    # Digits 2 and 10 in base 11: (2 · 11 + 10) / (11² − 1).
    assert score("lexicographic", (1.0, 9.0), 0.2, 1.0) == pytest.approx(32 / 120)
    assert score("lexicographic", (1.0, 9.0), 0.3, 0.0) > score("lexicographic", (1.0, 9.0), 0.2, 1.0)
    assert score("lexicographic", (1.0, 9.0), 0.21, 0.5) == score("lexicographic", (1.0, 9.0), 0.29, 0.5)
    assert score("lexicographic", (1.0, 1.0), 1.0, 1.0) == 1.0
    # 0.3 is not a binary fraction: 10 · 0.3 must be 3.
    assert score("lexicographic", (1.0,), 0.3) == pytest.approx(0.3)


def absent(turns, context=None):
    raise MissingReward("no reference")


@pytest.mark.parametrize("scalarise", ["weighted", "chebyshev", "lexicographic"])
def test_a_missing_objective_is_left_out(scalarise):
    whole = MultiObjectiveReward([*objectives(1.0, 1.0), absent], scalarise)
    result = whole.compute([], {"a": 0.4, "b": 0.8})
    assert result.score == score(scalarise, (1.0, 1.0), 0.4, 0.8)
    assert result.missing == {"absent": "no reference"}


def half(turns, context=None):
    return 0.5


def test_it_is_copied_whole():
    reward = MultiObjectiveReward([half], "chebyshev", levels=5)
    again = pickle.loads(pickle.dumps(reward))
    assert (again.scalarise, again.levels, again.compute([])) == ("chebyshev", 5, reward.compute([]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scalarise": "sum"}, "scalarise must be one of weighted, chebyshev, lexicographic, got 'sum'"),
        ({"levels": 1}, "levels must be from 2 to 1000"),
        ({"functions": objectives(2.0, -1.0)}, "must not be negative"),
        ({"functions": []}, "at least one reward"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiObjectiveReward(**{"functions": objectives(1.0, 1.0), **arguments})


def test_objectives_are_in_the_unit_interval():
    with pytest.raises(ValueError, match="the objective a must be from 0 to 1, got 3"):
        MultiObjectiveReward(objectives(1.0)).compute([], {"a": 3.0})


def results(*points):
    return [RewardResult(sum(point), dict(zip("abc", point, strict=False))) for point in points]


def test_the_front_holds_what_no_other_is_better_than():
    front = pareto_front(results((0.2, 0.9), (0.5, 0.5), (0.4, 0.5), (0.9, 0.1), (0.5, 0.5), (0.1, 0.1)))
    assert front.objectives == ("a", "b")
    assert front.places == (0, 1, 3, 4)
    assert front.points == ((0.2, 0.9), (0.5, 0.5), (0.9, 0.1), (0.5, 0.5))
    assert front.dominated == 2
    # Stairs from the right: .9 · .1 + .5 · (.5 − .1) + .2 · (.9 − .5).
    assert front.hypervolume == pytest.approx(0.09 + 0.2 + 0.08)


def test_the_hypervolume_is_measured_from_the_reference_point():
    points = results((0.9, 0.1), (0.5, 0.5))
    # Above (.2, .2) only the second reaches: .3 · .3.
    assert pareto_front(points, reference=0.2).hypervolume == pytest.approx(0.09)
    assert pareto_front(points, reference=1.0).hypervolume == 0.0


def test_other_numbers_of_objectives_have_a_front_too():
    front = pareto_front(results((0.1, 0.2, 0.3), (0.1, 0.2, 0.4), (0.3, 0.1, 0.1)))
    assert (front.places, front.hypervolume) == ((1, 2), None)
    assert pareto_front(results((0.1, 0.9), (0.3, 0.1)), ["a"]).places == (1,)
    assert pareto_front([{"x": 1.0}]).points == ((1.0,),)


@pytest.mark.parametrize("bad", [[], [{}], [{"a": 1.0}, {"b": 1.0}], [{"a": float("nan")}]])
def test_a_front_needs_every_objective(bad):
    with pytest.raises(ValueError, match=r"at least one result|has no 'a'"):
        pareto_front(bad)
