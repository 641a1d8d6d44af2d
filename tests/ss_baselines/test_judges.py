"""A judge without a model: what it tells, and how often it is wrong."""

import pytest

from ss_baselines.judges import AuditJudge
from ss_gym.rewards import MissingReward
from ss_gym.types import ConversationTurn


def graded(judge, success, number):
    return judge.compute([ConversationTurn("assistant", f"reply {number}")], {"success": success}).score


def test_it_tells_what_succeeded_but_for_its_mistakes() -> None:
    judge = AuditJudge(wrong=0.2)
    wrong = [graded(judge, number % 2 == 0, number) != (number % 2 == 0) for number in range(2000)]
    assert 0.17 < sum(wrong) / 2000 < 0.23
    assert [graded(AuditJudge(0.2), True, number) for number in range(50)] == [
        graded(judge, True, number) for number in range(50)
    ]
    assert all(graded(AuditJudge(0.0), True, number) == 1.0 for number in range(50))


def test_it_has_nothing_to_say_where_nothing_is_told() -> None:
    with pytest.raises(MissingReward, match="does not tell what succeeded"):
        AuditJudge().compute([ConversationTurn("assistant", "hello")])
    with pytest.raises(ValueError, match="wrong must be from 0 to 1, got 2"):
        AuditJudge(wrong=2)
