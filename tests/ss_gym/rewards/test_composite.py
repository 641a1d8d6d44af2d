"""Sums of rewards when parts are missing, raise, or are asked about each turn."""

import asyncio
import copy
import gc
import math
import pickle
import threading
import warnings

import pytest

from ss_gym import CompositeReward, ConversationTurn, MissingReward, RewardFunction, RewardResult
from ss_gym.asynchronous import Slots, in_thread
from ss_gym.rewards import TurnwiseReward

TURNS = [ConversationTurn("user", "Hi"), ConversationTurn("assistant", "Hello")]


def one(turns, context=None):
    return 1.0


def quarter(turns, context=None):
    return 0.25


def away(turns, context=None):
    raise MissingReward("the judge is away")


async def late_away(turns, context=None):
    await asyncio.sleep(0)
    raise MissingReward("the judge is away")


def parts(*functions, weights=(1.0, 2.0, 4.0)):
    return [RewardFunction(function, weight=weight) for function, weight in zip(functions, weights, strict=False)]


@pytest.mark.parametrize("missing", [away, late_away])
def test_a_missing_part_is_left_out_with_its_weight(missing):
    whole = CompositeReward(parts(one, quarter, missing))
    # (1 · 1 + 2 · ¼) / (1 + 2), not divided by 7 and no 0 for the third.
    expected = RewardResult(0.5, {"one": 1.0, "quarter": 0.25}, {missing.__name__: "the judge is away"})
    assert whole.compute(TURNS) == expected
    assert whole.compute_batch([(TURNS, None), (TURNS, None)]) == [expected, expected]


@pytest.mark.parametrize("missing", [away, late_away])
def test_without_any_part_or_without_one_of_a_plain_sum_there_is_no_reward(missing):
    for whole in (CompositeReward([missing]), CompositeReward(parts(one, missing), normalise=False)):
        with pytest.raises(MissingReward, match=f"{missing.__name__}: the judge is away"):
            whole.compute(TURNS)
        (result,) = whole.compute_batch([(TURNS, None)])
        assert math.isnan(result.score) and result.missing == {missing.__name__: "the judge is away"}


def test_a_sum_in_a_sum_tells_where_something_is_missing():
    inner = CompositeReward(parts(one, away), name="inner")
    result = CompositeReward([inner, RewardFunction(quarter)]).compute(TURNS)
    assert result == RewardResult(0.625, {"inner": 1.0, "quarter": 0.25}, {"inner.away": "the judge is away"})


def test_a_batch_goes_on_without_what_is_missing():
    def judge(turns, context=None):
        if context is None:
            raise MissingReward("no context")
        return context["score"]

    results = RewardFunction(judge).compute_batch([(TURNS, {"score": 1}), (TURNS, None), (TURNS, {"score": 3})])
    assert [result.score for result in results[::2]] == [1.0, 3.0]
    assert math.isnan(results[1].score) and results[1].missing == {"judge": "no context"}
    with pytest.raises(MissingReward, match="no context"):
        RewardFunction(judge).compute(TURNS)


def test_a_batch_has_no_more_under_way_than_allowed():
    running, most = 0, 0

    async def judge(turns, context=None):
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.001)
        running -= 1
        return context["score"]

    conversations = [(TURNS, {"score": number}) for number in range(20)]
    for reward in (RewardFunction(judge), CompositeReward([judge])):
        most = 0
        results = reward.compute_batch(conversations, concurrency=3)
        assert [result.score for result in results] == list(range(20))
        assert most == 3
    RewardFunction(judge).compute_batch([(TURNS, {"score": 0})] * 100)
    assert most == 64
    with pytest.raises(ValueError, match="at least 1 must be allowed at once"):
        RewardFunction(judge).compute_batch(conversations, concurrency=0)


def test_a_part_that_raises_leaves_nothing_unawaited_or_running():
    begun, ended = [], []

    async def late(turns, context=None):
        begun.append(1)
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(1)
        return 1.0

    async def late_broken(turns, context=None):
        await asyncio.sleep(0.001)
        raise ConnectionError("the line is dead")

    def broken(turns, context=None):
        raise ConnectionError("the line is dead")

    for functions in ((late, broken), (broken, late), (late, late_broken)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "coroutine was never awaited"
            for compute in (
                lambda whole: whole.compute(TURNS),
                lambda whole: whole.compute_batch([(TURNS, None)] * 2),
            ):
                with pytest.raises(ConnectionError, match="the line is dead"):
                    compute(CompositeReward(parts(*functions)))
            gc.collect()
    assert len(begun) == len(ended) > 0


def replies(turns, context=None):
    return float(sum(turn.role == "assistant" for turn in turns))


async def late_replies(turns, context=None):
    return replies(turns)


TALK = [
    ConversationTurn("user", "Hi"),
    ConversationTurn("assistant", "One"),
    ConversationTurn("user", "And?"),
    ConversationTurn("assistant", "", ({"id": "a"},)),
    ConversationTurn("tool", "{}", tool_call_id="a"),
    ConversationTurn("assistant", "Two"),
]


@pytest.mark.parametrize("function", [replies, late_replies])
def test_each_turn_is_asked_with_the_conversation_up_to_it(function):
    whole = CompositeReward([function, one], per="turn")
    # After the replies 1 and 3 (the second is a tool call and said to nobody): (1 + 3) / 2.
    expected = RewardResult(1.5, {function.__name__: 2.0, "one": 1.0})
    assert whole.compute(TALK) == expected
    assert whole.compute_batch([(TALK, None), (TURNS, None)])[0] == expected
    assert CompositeReward([function, one]).compute(TALK).score == 2.0
    assert [result.score for result in RewardFunction(function).compute_turns(TALK)] == [1.0, 3.0]
    again = pickle.loads(pickle.dumps(whole))
    assert again.compute(TALK) == copy.deepcopy(whole).compute(TALK) == expected


def test_a_turn_that_is_missing_does_not_count():
    def first_only(turns, context=None):
        if len(turns) > 2:
            raise MissingReward("too long")
        return 0.75

    result = TurnwiseReward(first_only).compute(TALK)
    assert (result.score, result.missing) == (0.75, {"first_only": "too long"})
    with pytest.raises(MissingReward, match="the judge is away"):
        TurnwiseReward(away).compute(TALK)
    assert TurnwiseReward(one).compute([]).score == 1.0


def test_only_two_ways_of_asking_are_known():
    with pytest.raises(ValueError, match="per must be 'conversation' or 'turn', got 'step'"):
        CompositeReward([one], per="step")


def test_slots_are_free_again_in_each_loop_and_copy():
    slots = pickle.loads(pickle.dumps(copy.deepcopy(Slots(1))))

    async def hold():
        await slots.here.acquire()
        return slots.here.locked()

    assert asyncio.run(hold()) and asyncio.run(hold())


def test_a_thread_gives_what_it_gives_raises_what_it_raises_and_is_left_after_its_time():
    release = threading.Event()

    async def calls():
        assert await in_thread(lambda: 5, 1.0) == 5
        with pytest.raises(KeyError):
            await in_thread(lambda: {}["a"])
        with pytest.raises(TimeoutError):
            await in_thread(release.wait, 0.01)

    asyncio.run(calls())
    release.set()
