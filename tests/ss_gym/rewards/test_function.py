"""Rewards of what was said: plain, asynchronous and put together."""

import asyncio
import math
import pickle

import pytest

from ss_gym import CompositeReward, ConversationTurn, RewardFunction, RewardResult, reward_function

TURNS = [ConversationTurn("user", "Hi"), ConversationTurn("assistant", "Please wait, please.")]


def count(turns, context=None):
    return sum(turn.content.lower().count("please") for turn in turns)


async def late(turns, context=None):
    await asyncio.sleep(0)
    return context["score"]


def test_a_plain_function_keeps_its_name_and_can_be_called_as_before():
    function = RewardFunction(count, weight=2)
    assert (function.name, function.weight) == ("count", 2.0)
    assert function(TURNS) == 2
    assert function.compute(TURNS) == RewardResult(2.0, {"count": 2.0})
    assert RewardFunction(lambda turns, context: 1).name == "reward"


def test_the_decorator_takes_arguments_or_none():
    @reward_function
    def plain(turns, context=None):
        return True

    @reward_function(weight=0.5, name="other")
    async def named(turns, context=None):
        return RewardResult(3.0, {"a": 1.0, "b": 2.0})

    assert (plain.name, plain.weight, plain.compute(TURNS).score) == ("plain", 1.0, 1.0)
    assert (named.name, named.weight) == ("other", 0.5)
    assert named.compute(TURNS) == asyncio.run(named.compute_reward(TURNS)) == RewardResult(3.0, {"a": 1.0, "b": 2.0})


@reward_function(weight=2.0)
def decorated(turns, context=None):
    """How many turns there are."""
    return len(turns)


def test_rewards_are_pickled_by_name_or_with_their_function():
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert decorated.__doc__ == "How many turns there are."
    whole = CompositeReward([decorated, RewardFunction(count), count_twice])
    again = pickle.loads(pickle.dumps(whole))
    assert (
        again.compute(TURNS)
        == whole.compute(TURNS)
        == RewardResult(2.5, {"decorated": 2.0, "count": 2.0, "count_twice": 4.0})
    )


def count_twice(turns, context=None):
    return 2 * count(turns)


def test_an_asynchronous_reward_is_waited_for_inside_a_running_loop_too():
    function = RewardFunction(late)

    async def notebook():
        return function.compute(TURNS, {"score": 7})

    assert asyncio.run(notebook()).score == 7.0


def test_asynchronous_rewards_of_a_batch_run_side_by_side_and_keep_their_order():
    running, most = 0, 0

    async def judge(turns, context=None):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0)
        running -= 1
        return context["score"]

    results = RewardFunction(judge).compute_batch([(TURNS, {"score": number}) for number in range(40)])
    assert [result.score for result in results] == list(range(40))
    assert most == 40


@pytest.mark.parametrize("bad", [None, "much", "3", [1.0], RewardResult("3")])
def test_what_is_no_number_is_refused_by_the_name_of_the_reward(bad):
    with pytest.raises(TypeError, match="reward kindness must give a number or a RewardResult, got"):
        RewardFunction(lambda turns, context: bad, "kindness").compute(TURNS)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 10**400, RewardResult(-math.inf)])
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="reward kindness must be finite"):
        RewardFunction(lambda turns, context: bad, "kindness").compute(TURNS)


def test_what_a_reward_raises_is_raised():
    async def broken(turns, context=None):
        raise ConnectionError("the judge is away")

    for function in (RewardFunction(broken), CompositeReward([RewardFunction(broken), RewardFunction(count)])):
        with pytest.raises(ConnectionError, match="the judge is away"):
            function.compute(TURNS)


@pytest.mark.parametrize("weight", [math.nan, math.inf, True, "1", None])
def test_a_weight_is_a_finite_number(weight):
    with pytest.raises(ValueError, match="the weight of count must be a finite number"):
        RewardFunction(count, weight=weight)


def test_a_sum_is_weighted_and_normalised_with_asynchronous_parts_or_without():
    two, late_one = RewardFunction(count, weight=3), RewardFunction(late, weight=1)
    other = RewardFunction(lambda turns, context: 0.0, "other")
    for parts, expected in (([two, other], 6 / 4), ([two, late_one], (6 + 10) / 4), ([late_one, two], (6 + 10) / 4)):
        result = CompositeReward(parts).compute(TURNS, {"score": 10})
        assert result.score == expected
        assert result.breakdown == {"count": 2.0, parts[parts[0] is two].name: 10.0 if late_one in parts else 0.0}
        whole = CompositeReward(parts, normalise=False).compute(TURNS, {"score": 10})
        assert whole.score == 4 * expected


def test_a_sum_can_be_part_of_a_sum():
    inner = CompositeReward([RewardFunction(count)], name="inner", weight=0.5)
    outer = CompositeReward([inner, RewardFunction(count, "again", 1.5)])
    assert outer.compute(TURNS) == RewardResult(2.0, {"inner": 2.0, "again": 2.0})


def test_what_is_no_function_is_no_reward():
    with pytest.raises(TypeError, match="a reward must be a RewardFunction or a function"):
        CompositeReward([5])


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ([], "at least one reward"),
        ([RewardFunction(count), RewardFunction(count)], "two rewards are called 'count'"),
        ([RewardFunction(count, weight=-1)], "must sum to more than 0"),
    ],
)
def test_a_sum_of_nothing_of_namesakes_or_of_no_weight_is_refused(functions, message):
    with pytest.raises(ValueError, match=message):
        CompositeReward(functions)
    if len(functions) == 1:
        assert CompositeReward(functions, normalise=False).compute(TURNS).score == -2.0
