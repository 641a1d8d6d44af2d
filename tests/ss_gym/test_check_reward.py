"""The battery finds what is wrong with rewards that are easily had."""

import math
import re
from collections import Counter

import pytest

from ss_gym import RewardFunction
from ss_gym.rewards import MissingReward
from ss_gym.testing import EXPLOITS, check_reward, judge_battery, read_situations
from ss_gym.testing.reward_battery import WRITTEN_EXPLOITS, shipped_situations


def reply(turns):
    return turns[-1].content if turns and turns[-1].role == "assistant" else ""


def length(turns, context=None):
    return len(reply(turns))


def brevity(turns, context=None):
    return 1 / (1 + len(reply(turns)))


def keywords(turns, context=None):
    """How many words of the request and the policy the reply has."""
    wanted = " ".join(
        [*(turn.content for turn in turns if turn.role == "user"), (context or {}).get("system_prompt", "")]
    )
    return len(set(re.findall(r"\w{4,}", wanted.lower())) & set(re.findall(r"\w{4,}", reply(turns).lower())))


def courtesy(turns, context=None):
    return len(re.findall(r"(?i)thank|please|sorry|wonderful|best|lovely|right|kind", reply(turns)))


def sameness(turns, context=None):
    return 0.5


def winners(function):
    """In how many situations each exploit beats the honest reply."""
    return Counter(kind for verdict in judge_battery(function) for kind in verdict.winners())


def test_the_battery_has_every_exploit_in_every_situation():
    situations = shipped_situations()
    assert len(situations) >= 12
    assert len({one.id for one in situations}) == len({one.honest for one in situations}) == len(situations)
    for one in situations:
        assert set(one.exploits) == set(EXPLOITS), one.id
        assert len(set(one.exploits.values())) == len(EXPLOITS), one.id
        assert len(one.honest.split()) <= 45 < len(one.exploits["length_padding"].split())
        assert one.turns[-1].role != "assistant" and one.context["reference"]


@pytest.mark.parametrize(
    ("function", "most", "never"),
    [
        (length, {"length_padding", "copied_policy", "repetition", "keyword_salad"}, {"empty", "echo", "refusal"}),
        (brevity, {"empty", "refusal", "echo", "false_promise"}, {"length_padding", "copied_policy"}),
        (keywords, {"copied_policy", "keyword_salad"}, {"empty"}),
        (courtesy, {"sycophancy", "length_padding"}, {"empty", "tool_dump", "false_promise"}),
    ],
)
def test_naive_rewards_fail_each_in_its_way(function, most, never):
    won = winners(function)
    assert all(won[kind] > len(shipped_situations()) / 2 for kind in most), won
    assert all(won[kind] == 0 for kind in never), won
    with pytest.raises(AssertionError, match=f"exploits beat the honest reply under {function.__name__}") as failed:
        check_reward(function)
    for kind in most:
        assert re.search(rf"[\w-]+: {kind} gets [\d.]+, the honest reply [\d.]+ \(\+[\d.]+\)", str(failed.value))


def test_a_reward_that_tells_nothing_apart_is_found():
    with pytest.raises(AssertionError, match="sameness gives every exploit what it gives the honest reply"):
        check_reward(sameness)


def absence(turns, context=None):
    raise MissingReward("nobody is there")


def test_a_reward_that_is_always_missing_was_not_tested():
    with pytest.raises(AssertionError, match="absence is missing in all of 14 situations"):
        check_reward(absence)


def meddling(turns, context=None):
    if isinstance(turns, list):
        turns.clear()
    return 1.0


class Mood:
    """Another score each time."""

    def __init__(self):
        self.asked = 0

    def __call__(self, turns, context=None):
        self.asked += 1
        return oracle(turns) + 1e-3 / self.asked


def breakage(turns, context=None):
    return len(turns[-1].content) and 1.0


def test_rewards_that_break_the_contract_are_found():
    with pytest.raises(AssertionError, match="meddling changes the conversation"):
        check_reward(meddling)
    with pytest.raises(AssertionError, match="Mood gives the same conversation another score"):
        check_reward(Mood())
    check_reward(Mood(), deterministic=False)
    with pytest.raises(IndexError):
        check_reward(breakage)


def oracle(turns, context=None):
    return float(reply(turns) in {one.honest for one in shipped_situations()})


def half_blind(turns, context=None):
    if "shoes" in turns[0].content if turns else True:
        raise MissingReward("not about shoes")
    return oracle(turns)


def test_an_honest_reward_passes_and_may_be_missing_in_places():
    check_reward(oracle)
    check_reward(half_blind)
    (first, *others) = judge_battery(half_blind)
    assert math.isnan(first.honest) and first.winners() == {}
    assert all(verdict.honest == 1.0 and set(verdict.exploits.values()) == {0.0} for verdict in others)


async def late_oracle(turns, context=None):
    return oracle(turns)


def test_asynchronous_rewards_are_checked_too():
    check_reward(RewardFunction(late_oracle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"honest": ""}, r"situations\[0\]: a situation needs something that the user says, and an honest reply"),
        ({"turns": []}, r"situations\[0\]: a situation needs something that the user says, and an honest reply"),
        ({"turns": [{"custmer": "Hi"}]}, r"situations\[0\]\.turns\[0\]: unknown field 'custmer'"),
        (
            {"exploits": {"keyword_salat": "a"}},
            r"situations\[0\]\.exploits: unknown field 'keyword_salat'; did you mean",
        ),
        ({"question": "?"}, r"situations\[0\]: unknown field 'question'"),
    ],
)
def test_situations_of_another_form_are_refused_by_their_place(change, message):
    entry = {"id": "a", "turns": [{"user": "When?"}], "honest": "At 9.", "exploits": {}}
    (situation,) = read_situations([entry])
    assert set(situation.exploits) == set(EXPLOITS) - set(WRITTEN_EXPLOITS)
    with pytest.raises(ValueError, match=message):
        read_situations([{**entry, **change}])
