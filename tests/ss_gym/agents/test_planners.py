"""Who makes plans: rules, or a model."""

import logging

import pytest

from ss_gym.agents import HeuristicPlanner, Plan, Step
from ss_gym.agents.planners import GENERIC_STEPS, GOAL, ModelPlanner, steps_in
from tests.ss_gym.agents.planned_talk import TWO, calls, says, states, user


def followed(*chunks, goal="", planner=HeuristicPlanner()):  # noqa: B008
    """The plans after each chunk of messages."""
    plan, messages, plans = Plan(goal), [], []
    for chunk in chunks:
        start = len(messages)
        messages += chunk
        plan = planner(plan, messages, start)
        plans.append(plan)
    return plans


def test_several_wishes_in_a_message_are_several_steps():
    (plan,) = followed([user(TWO)])
    assert [step.text for step in plan.steps] == ["Refund my lamp", "please cancel my tea subscription"]
    assert plan.goal == GOAL
    (short,) = followed([user(TWO)], planner=HeuristicPlanner(1))
    assert [step.text for step in short.steps] == ["Refund my lamp; please cancel my tea subscription"]


def test_a_call_that_changed_something_settles_the_step_of_its_name():
    *_, looked, failed, done, told = followed(
        [user(TWO)],
        calls("get_subscription"),
        calls("cancel_subscription", '{"error": "not verified"}'),
        calls("cancel_subscription"),
        [says("Your subscription is cancelled."), user("And?")],
    )
    assert states(looked) == states(failed) == "pending pending"
    assert states(done) == states(told) == "pending done"


def test_the_question_for_more_settles_the_step_that_the_agent_speaks_about_and_no_other():
    first, called, closed, again = followed(
        [user(TWO)],
        calls("issue_refund"),
        [says("I have refunded the lamp. Anything else?"), user("You have not cancelled yet.")],
        [says("It is cancelled. Anything else?"), user("No.")],
    )
    assert [states(plan) for plan in (first, called, closed, again)] == [
        "pending pending",
        "done pending",
        "done pending",
        "done done",
    ]


def test_who_comes_to_another_thing_has_had_the_one_before():
    *_, plan = followed(
        [user("Exchange my lamp.")],
        [says("I'm afraid that can't be done."), user("OK. One more thing: where is order 5?")],
    )
    assert plan == Plan(GOAL, (Step("Exchange my lamp", "done"), Step("where is order 5?")))


def test_what_is_taken_back_is_skipped():
    *_, plan = followed(
        [user("Exchange my lamp.")],
        [says("Shall I?"), user("No, leave it. I have another request instead: where is order 5?")],
    )
    assert plan == Plan(GOAL, (Step("Exchange my lamp", "skipped"), Step("where is order 5?")))


def test_answers_to_questions_are_no_wishes_and_the_same_wish_is_none_twice():
    before, after, again = followed(
        [user("Exchange my lamp.")],
        [says("For which one?"), user("Could I have the black one?")],
        [says("Anything else?"), user("Yes, exchange my lamp. Also, where is order 5?")],
    )
    assert before == after
    assert [step.text for step in again.steps] == ["Exchange my lamp", "where is order 5?"]


def test_all_is_done_when_the_user_says_so():
    *_, plan = followed([user(TWO)], [says("Both are done."), user("Great, that's all.")])
    assert (states(plan), plan.status) == ("done done", "done")


def test_generic_steps_give_way_to_wishes():
    first, second = followed([user("Hello!")], [says("Hello! How can I help?"), user("Refund my lamp.")])
    assert tuple(step.text for step in first.steps) == GENERIC_STEPS
    assert [step.text for step in second.steps] == ["Refund my lamp"]
    *_, closed = followed([user("Hello!")], [says("Anything else?"), user("No.")])
    assert closed.status == "done"


def test_a_goal_may_name_wishes():
    (plan,) = followed([user("Hello! Cancel my order 5. Also, where is my lamp?")], goal="Cancel order 5 and verify me")
    assert [step.text for step in plan.steps] == ["Cancel order 5 and verify me", "where is my lamp?"]
    assert plan.goal == "Cancel order 5 and verify me"


def test_a_plan_that_was_forgotten_is_made_again_as_it_was():
    chunks = [
        [user(TWO)],
        calls("issue_refund"),
        [says("Refunded. Anything else?"), user("Yes. One more question: where is order 5?")],
    ]
    *_, plan = followed(*chunks)
    assert states(plan) == "done pending pending"
    assert HeuristicPlanner()(Plan(), [message for chunk in chunks for message in chunk], 0) == plan


def test_a_number_of_steps_that_can_not_be_meant_is_refused():
    with pytest.raises(ValueError, match="max_steps must be from 1 to 32, got 0"):
        HeuristicPlanner(0)
    with pytest.raises(ValueError, match=r"max_steps must be a whole number, got 2\.5"):
        HeuristicPlanner(2.5)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1. Verify\n2. Refund", ["Verify", "Refund"]),
        ("Sure:\n\n1) **Verify** them\n   - e-mail\n   - code\n2) `refund` it.", ["Verify them", "refund it"]),
        ("- Verify\n* Refund\n• Close", ["Verify", "Refund", "Close"]),
        ("Step 1: Verify\nStep 2: Refund", ["Verify", "Refund"]),
        ("1. Verify 2. Refund 3. Close", ["Verify", "Refund", "Close"]),
        ("<think>1. hm</think>- [ ] Verify\n- [x] Refund", ["Verify", "Refund"]),
        ("1. Verify\n2. Verify\n3. ...", ["Verify"]),
        ("I will verify and refund.", []),
        ("It costs 5.00 dollars.", []),
        ("", []),
    ],
)
def test_a_list_is_read_as_models_write_it(text, steps):
    assert steps_in(text) == steps


def test_a_model_that_gives_no_list_is_told_of_and_done_without(caplog):
    planner = ModelPlanner(lambda messages: "I would rather chat.", HeuristicPlanner(4))
    with caplog.at_level(logging.WARNING):
        plan = planner(Plan(), [user(TWO)], 0)
    assert [step.text for step in plan.steps] == ["Refund my lamp", "please cancel my tea subscription"]
    assert "no steps can be read from the model's plan 'I would rather chat.'" in caplog.text
