"""What a judge says of attempts: grades, comparisons in both orders, and what is missing."""

import json
import math
from dataclasses import replace

import pytest

from ss_gym.agents import AgentConfig
from ss_gym.rewards import MissingReward, RewardFunction
from ss_gym.rewards.judge import JudgeReward
from ss_gym.rewards.pairwise import PairwiseJudge
from ss_gym.types import Completion, ConversationTurn, MultiTurnTrajectory
from ss_trainers.feedback import (
    ComparedByGrade,
    ComparedByModel,
    Grades,
    Pairs,
    agreement,
    compared_pairs,
    rewarded,
)
from ss_trainers.judges import load_judge


def attempt(text, group=0, reward=0.0, success=None):
    turns = (ConversationTurn("user", "Open?"), ConversationTurn("assistant", text, reward=reward))
    return MultiTurnTrajectory(turns, group_id=group, success=success)


def length(turns, context=None):
    words = len(turns[-1].content)
    if not words:
        raise MissingReward("nothing was said")
    return float(words)


LONGEST = RewardFunction(length)


def makes():
    return LONGEST


# Of two attempts at scenario 0 the longer one, and so on; the last has nobody to be compared with.
ATTEMPTS = [attempt("aaa"), attempt("a"), attempt("aa"), attempt("b", 1), attempt("b", 1), attempt("", 2)]


class Recorded:
    """A backend that always prefers what is shown at one place, or the text with more letters."""

    def __init__(self, place=None):
        self.place, self.asked = place, []

    def generate(self, conversations, sampling):
        self.asked += [conversation[-1]["content"] for conversation in conversations]
        return [Completion(self.place or self._longer(text)) for text in self.asked[-len(conversations) :]]

    @staticmethod
    def _longer(text):
        first, second = (json.loads(line)["content"] for line in text.splitlines() if '"assistant"' in line)
        return "A" if len(first) > len(second) else "B"


def test_pairs_are_neighbours_on_a_ring() -> None:
    everything = compared_pairs([0] * 5 + [1] * 2, comparisons=9)
    assert len(everything) == 10 + 1 and len(set(everything)) == 11
    ring = compared_pairs([0] * 6, comparisons=1)
    assert sorted(place for pair in ring for place in pair) == sorted([*range(6), *range(6)])
    # Members of a group need not stand side by side.
    assert compared_pairs([3, 4, 3], 1) == [(0, 2)]


def test_the_score_is_the_share_of_comparisons_won() -> None:
    feedback = Pairs(ComparedByGrade(LONGEST), comparisons=3)(ATTEMPTS)
    assert feedback.scores[:5] == (1.0, 0.0, 0.5, 0.5, 0.5) and math.isnan(feedback.scores[5])
    assert feedback.metrics == {
        "feedback/comparisons": 4.0,
        "feedback/missing_comparisons": 0.0,
        "feedback/ties": 0.25,
    }


def test_attempts_without_a_grade_are_left_out_of_the_comparisons() -> None:
    feedback = Pairs(ComparedByGrade(LONGEST), 3)([attempt("aa"), attempt(""), attempt("a")])
    assert feedback.scores[0] == 1.0 and feedback.scores[2] == 0.0 and math.isnan(feedback.scores[1])
    assert feedback.metrics["feedback/missing_comparisons"] == pytest.approx(2 / 3)
    assert feedback.reason == "nothing was said"


def test_a_model_is_asked_in_both_orders() -> None:
    backend = Recorded()
    feedback = Pairs(ComparedByModel(PairwiseJudge(backend)), 3)(ATTEMPTS[:3])
    assert feedback.scores == (1.0, 0.0, 0.5) and len(backend.asked) == 6
    assert feedback.metrics["feedback/flip_rate"] == 0.0
    biased = Pairs(ComparedByModel(PairwiseJudge(Recorded("A"))), 3)(ATTEMPTS[:3])
    # A liking for a place tells nothing.
    assert biased.scores == (0.5, 0.5, 0.5) and biased.metrics["feedback/flip_rate"] == 1.0


def test_the_judge_sees_what_the_agent_was_told() -> None:
    backend = Recorded()
    told = [replace(one, system_prompt="Refuse refunds.") for one in ATTEMPTS[:2]]
    Pairs(ComparedByModel(PairwiseJudge(backend)), 3)(told)
    assert all("In both, the assistant was told" in text and "Refuse refunds." in text for text in backend.asked)


def test_attempts_at_different_scenarios_are_not_compared() -> None:
    two = [replace(attempt("a"), scenario_id="s/1"), replace(attempt("b"), scenario_id="s/2"), attempt("c")]
    again = [replace(one, turns=ATTEMPTS[0].turns) for one in two]
    verdicts = Pairs(ComparedByGrade(LONGEST), 3).compared([*two, *again])
    assert [(one, other) for one, other, _ in verdicts] == [(0, 3), (1, 4), (2, 5)]


def test_pairs_are_judged_under_the_principles_in_turn() -> None:
    backend = Recorded()
    Pairs(ComparedByModel(PairwiseJudge(backend), ("Be brief.", "Be kind.")), 3)(ATTEMPTS[:3])
    asked = [[name for name in ("Be brief.", "Be kind.") if name in text] for text in backend.asked]
    assert asked == [["Be brief."]] * 2 + [["Be kind."]] * 2 + [["Be brief."]] * 2


def test_grades_are_taken_as_they_are() -> None:
    feedback = Grades(LONGEST)([attempt("aa"), attempt("")])
    assert feedback.scores[0] == 2.0 and math.isnan(feedback.scores[1]) and feedback.reason == "nothing was said"
    judge = JudgeReward(AgentConfig("stub://judge", stub_responses=("4",)))
    assert Grades(judge)([attempt("aa")]).scores == (0.75,)


def test_a_reward_learns_the_outcome_and_the_last_info() -> None:
    seen = []
    Grades(RewardFunction(lambda turns, context: seen.append(dict(context)) or 0.0))(
        [MultiTurnTrajectory(ATTEMPTS[0].turns, "Be fair.", success=True, info={"audit": "fine"}, scenario_id="s/1")]
    )
    assert seen == [
        {"audit": "fine", "system_prompt": "Be fair.", "scenario_id": "s/1", "success": True, "return": 0.0}
    ]


def test_a_score_takes_the_place_of_the_reward() -> None:
    turns = (
        ConversationTurn("assistant", "one", reward=1.0),
        ConversationTurn("user", "and?"),
        ConversationTurn("assistant", "two", reward=2.0),
        ConversationTurn("user", "bye"),
    )
    episode = MultiTurnTrajectory(turns)
    assert [turn.reward for turn in rewarded(episode, 0.7, 0.0).turns] == [0.0, 0.0, 0.7, 0.0]
    assert rewarded(episode, 0.7, 0.5).total_reward == pytest.approx(2.2)
    assert math.isnan(rewarded(episode, math.nan, 0.0).total_reward) and episode.total_reward == 3.0
    # What the environment could not say is left out with the rest, and so is its notion of success.
    broken = replace(episode, turns=(replace(turns[0], reward=math.nan), *turns[1:]), success=True)
    assert rewarded(broken, 0.7, 0.0).total_reward == 0.7 and rewarded(broken, 0.7, 0.0).success is None


def test_agreement_is_over_pairs_whose_returns_differ() -> None:
    attempts = [attempt("a", 0, 1.0), attempt("b", 0, 0.0), attempt("c", 0, 0.0), attempt("d", 1, 5.0)]
    assert agreement(attempts, [0.9, 0.1, 0.9, 0.0]) == 0.75
    assert math.isnan(agreement(attempts[1:3], [0.1, 0.2])) and math.isnan(agreement(attempts, [math.nan] * 4))


def test_a_group_of_one_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match="set group_size to 2 or more"):
        Pairs(ComparedByGrade(LONGEST), 3)([attempt("a", 0), attempt("a", 1)])


def test_judges_are_found_by_their_names() -> None:
    assert isinstance(load_judge("ss_gym.rewards:create_customer_service_reward", "grades", 3, (), {}), Grades)
    assert isinstance(load_judge("stub://judge", "grades", 3, ("Be brief.",), {"samples": 2}), Grades)
    assert isinstance(load_judge("stub://judge", "pairs", 3, (), {"timeout": None, "device": "cpu"}), Pairs)
    # A plain function is a reward; what takes nothing makes one.
    assert load_judge(f"{__name__}:length", "grades")([attempt("aa")]).scores == (2.0,)
    assert load_judge(f"{__name__}:makes", "grades")([attempt("aa")]).scores == (2.0,)
    found = load_judge(f"{__name__}:LONGEST", "pairs", 3, (), {})
    assert found(ATTEMPTS[:3]).scores == (1.0, 0.0, 0.5)


@pytest.mark.parametrize(
    ("name", "principles", "options", "kind", "message"),
    [
        ("ss_gym.rewards:Nothing", (), {}, ImportError, "the judge 'ss_gym.rewards:Nothing' is not there"),
        (f"{__name__}:LONGEST", ("Be brief.",), {}, ValueError, "a constitution is for a language model as judge"),
        (f"{__name__}:LONGEST", (), {"timeout": 3}, ValueError, "has 'timeout', but the reward .* has no options"),
        ("stub://judge", (), {"pateince": 3}, ValueError, "no option 'pateince' of the model 'stub://judge'"),
        ("stub://judge", ("Be brief.",), {"question": "Which?"}, ValueError, "takes the place of the question"),
        ("reward_modle://folder", (), {}, ValueError, "unknown scheme 'reward_modle'"),
        ("reward_model://folder", (), {"timeout": 3}, ValueError, "has device alone"),
        ("math:pi", (), {}, ValueError, "'math:pi' is no judge and makes none: it gave a float"),
    ],
)
def test_judges_that_can_not_be_are_named(name, principles, options, kind, message) -> None:
    with pytest.raises(kind, match=message):
        load_judge(name, "pairs", 3, principles, options)
