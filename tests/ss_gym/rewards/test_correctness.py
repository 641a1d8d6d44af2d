"""Facts told, compared with a reference; a task done."""

import pytest

from ss_gym import ConversationTurn
from ss_gym.rewards import CorrectnessReward, MissingReward, TaskCompletionReward

ASKED = ConversationTurn("user", "Can I return the lamp? I have had it for 45 days.")
POLICY = "Returns are possible within 30 days. Furniture may be returned within 60 days. Final sale is final."


def score(text, reference, **context):
    turns = [ASKED, ConversationTurn("assistant", text)]
    return CorrectnessReward().compute(turns, {"reference": reference, **context}).score


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("You had 30 days.", "30 days", 1.0),
        ("You had thirty days.", "30 days", 1.0),
        ("You had 300 days.", "30 days", 0.0),  # whole values
        ("You had 31 days.", "30 days", 0.0),
        ("You had 30 days, or 31 days.", "30 days", 0.0),  # another value, from nowhere
        ("You had 30 days, and 45 have passed: 45 days.", "30 days", 1.0),  # the user's own
        ("It costs $30.", "30 days", 0.0),  # another kind
        ("No, 30 days.", ["30 days", "$5"], 0.5),
        ("A lamp can't be returned.", "cannot be returned", 1.0),
        ("A lamp can be returned.", "cannot be returned", 0.0),  # the opposite
        ("It can be returned, which is not unusual.", "can be returned", 1.0),  # negated elsewhere
        ("If it could be returned, we would do it.", "can be returned", 0.0),  # only under a condition
        ("", "30 days", 0.0),
        ("", "cannot be returned", 0.0),
    ],
)
def test_facts_of_the_reference_must_be_told(text, reference, expected):
    assert score(text, reference) == pytest.approx(expected)


def test_an_alternative_of_the_instructions_counts_less_beside_the_right_one():
    # One alternative in the sentence: 1 / (1 + 1/2).
    assert score("Within 30 days or 60 days.", "30 days", system_prompt=POLICY) == pytest.approx(2 / 3)
    assert score("Within 30 days. For furniture it is 60 days.", "30 days", system_prompt=POLICY) == pytest.approx(1.0)


def test_other_words_count_up_to_the_half():
    # Of "water damage" one of two stems is told, which is enough; of four stems one is half of that.
    assert score("There is water in it.", "water damage") == pytest.approx(1.0)
    assert score("There is water in it.", "water damage inside cover") == pytest.approx(0.5)


@pytest.mark.parametrize("context", [None, {}, {"reference": ""}, {"reference": []}, {"task": {"goal": "x"}}])
def test_without_a_reference_it_is_missing_and_no_zero(context):
    with pytest.raises(MissingReward, match="no reference"):
        CorrectnessReward().compute([ASKED, ConversationTurn("assistant", "30 days.")], context)


@pytest.mark.parametrize("context", [{"answer": 30}, {"task": {"answer": "30"}}, {"scenario": {"reference": ["30"]}}])
def test_a_reference_may_stand_in_the_task(context):
    assert CorrectnessReward().compute([ASKED, ConversationTurn("assistant", "It is 30.")], context).score == 1.0


def test_a_task_is_done_where_the_environment_says_so():
    turns = [ASKED, ConversationTurn("assistant", "")]
    done = TaskCompletionReward()
    assert done.compute(turns, {"success": True}).score == 1.0
    assert done.compute([ASKED, ConversationTurn("assistant", "You had 30 days.")], {"success": False}).score == 0.0
    # With a reference: what is told, times ½ + ½ · quality of the last reply.
    assert done.compute([ASKED, ConversationTurn("assistant", "You had 31 days.")], {"answer": "30 days"}).score == 0.0
    good = [ASKED, ConversationTurn("assistant", "No, you had 30 days for the lamp.")]
    assert done.compute(good, {"answer": "30 days", "system_prompt": POLICY}).score == pytest.approx(1.0)


def test_without_any_knowledge_the_users_last_words_tell():
    done = TaskCompletionReward()
    turns = [ASKED, ConversationTurn("assistant", "No, returns are possible within 30 days.")]
    happy = done.compute([*turns, ConversationTurn("user", "Thank you.")], {"system_prompt": POLICY}).score
    unhappy = done.compute([*turns, ConversationTurn("user", "And why?")], {"system_prompt": POLICY}).score
    assert happy > 0.6 and unhappy == pytest.approx(happy / 2)


def test_the_facts_of_several_references_do_not_contradict_each_other():
    assert score("It is $59 to carry it and $30 to take it.", ["$59", "$30"]) == pytest.approx(1.0)
    assert score("It is $59 to carry it and $31 to take it.", ["$59", "$30"]) == 0.0
