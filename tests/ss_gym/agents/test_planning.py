"""Plans: what they are, and how long they are kept."""

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.agents import AgentConfig, Plan, PlanningConfig, Step
from ss_gym.agents.planning import MOST_CHARS, MOST_STEPS, PlanStore, read_planning, with_plan, without_plan
from tests.ss_gym.agents.planned_talk import Clock, states


def test_a_plan_advances_step_by_step_to_its_end():
    plan = Plan.of("all is well", ["first", "second"])
    assert (plan.current, plan.status) == (1, "active")
    assert (plan.advance().current, states(plan.advance())) == (2, "done pending")
    ended = plan.advance().advance()
    assert (ended.current, ended.status, ended.advance()) == (None, "done", ended)
    assert states(plan) == "pending pending"


def test_steps_end_in_any_order_and_in_three_ways():
    plan = Plan.of("", ["a", "b", "c"])
    assert states(plan.complete(3).skip(1).fail()) == "skipped failed done"
    assert plan.complete(3).skip(1).fail().status == "failed"
    assert plan.skip().skip().skip().status == "done"
    assert Plan().status == "active"
    for number in (0, 4, True, "1"):
        with pytest.raises(ValueError, match=f"steps 1 to 3, and none of the number {number!r}"):
            plan.complete(number)


def test_a_new_plan_keeps_what_has_ended():
    plan = Plan.of("old", ["a", "b", "c"]).advance().fail()
    again = plan.replan(["d"], "new")
    assert (again.goal, [step.text for step in again.steps], states(again)) == (
        "new",
        ["a", "b", "d"],
        "done failed pending",
    )
    assert plan.replan(["d"]).goal == "old"


def test_of_too_many_steps_the_oldest_that_ended_go_and_no_wish_is_lost():
    plan = Plan.of("", ["a", "b", "c"]).complete(2)
    assert [step.text for step in plan.add(["d"], 3).steps] == ["a", "c", "d"]
    assert [step.text for step in plan.add(["d", "e"], 3).steps] == ["a", "c", "d; e"]


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["pending", "done", "failed", "skipped"]), min_size=1, max_size=6),
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), max_size=4),
    st.integers(1, 8),
)
def test_added_steps_are_in_the_plan_and_what_is_pending_stays(before, added, most):
    plan = Plan("", tuple(Step(f"s{place}", status) for place, status in enumerate(before)))
    try:
        steps = [Step(text) for text in added]
    except ValueError:  # nothing but tags
        return
    after = plan.add(added, most)
    assert len(after.steps) <= max(most, 0)
    words = "; ".join(step.text for step in after.steps)
    if len(words) < MOST_CHARS - 2:
        for step in [*(step for step in plan.steps if step.status == "pending"), *steps]:
            assert step.text in words


def test_the_text_of_a_plan_shows_goal_number_and_state():
    plan = Plan.of("all is well", ["a", "b", "c", "d"]).complete(1).skip(2)
    assert plan.text().splitlines() == [
        "<plan>",
        "Goal: all is well",
        "1. done: a",
        "2. skipped: b",
        "3. now: c",
        "4. open: d",
        "</plan>",
    ]
    assert Plan("a goal alone").text() == ""
    assert plan.as_info()["steps"][2] == {"text": "c", "status": "pending"}


@settings(max_examples=50)
@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_a_plan_is_taken_off_again_whatever_it_says_and_stands_below(text, steps):
    plan = Plan.of("</plan>", [f"a {step}" for step in steps]).text()
    assert plan.count("<plan>") == plan.count("</plan>") == 1
    assert without_plan(with_plan(text, plan)) == text
    assert with_plan(text, "") == text


def test_what_can_be_no_plan_is_refused():
    assert len(Step("x" * 999).text) == MOST_CHARS
    assert Step("two\n lines").text == "two lines"
    with pytest.raises(ValueError, match="a step of a plan needs a text"):
        Step(" \n")
    with pytest.raises(ValueError, match="no status 'don'; did you mean 'done'"):
        Step("a", "don")
    with pytest.raises(ValueError, match=f"at most {MOST_STEPS} steps, got {MOST_STEPS + 1}"):
        Plan.of("", ["a"] * (MOST_STEPS + 1))


@pytest.mark.parametrize(
    ("planning", "error"),
    [
        ({"max_step": 4}, "planning_config has no setting 'max_step'; did you mean 'max_steps'?"),
        ({"max_steps": 0}, "max_steps must be a whole number from 1 to 32, got 0"),
        ({"max_steps": True}, "max_steps must be a whole number from 1 to 32, got True"),
        ({"max_plans": 1.5}, "max_plans must be a whole number of at least 1, got 1.5"),
        ({"planner": "modle"}, "planner must be 'heuristic' or 'model', got 'modle'; did you mean 'model'?"),
        ({"show": 3}, "show must be 'changes' or 'turns' or 'steps', got 3"),
        ({"time_to_live": 0}, "time_to_live must be a number of seconds above 0, got 0"),
        ({"time_to_live": math.nan}, "time_to_live must be a number of seconds above 0, got nan"),
        (["max_steps"], "planning_config is a mapping of settings such as"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused_when_the_agent_is_described(planning, error):
    with pytest.raises(ValueError, match=error.replace("?", r"\?")):
        AgentConfig(model_name="stub://demo", planning_config=planning)


def test_settings_are_read_from_a_mapping():
    assert read_planning({"max_steps": 4, "time_to_live": math.inf}) == PlanningConfig(4, time_to_live=math.inf)


def test_of_too_many_plans_the_one_that_was_not_used_for_longest_goes():
    store, plan = PlanStore(2, math.inf), Plan.of("", ["a"])
    for key in ("one", "two"):
        store.put(key, plan)
    assert store.get("one") is plan
    store.put("three", plan)
    assert [store.get(key) for key in ("one", "two", "three")] == [plan, None, plan] and len(store) == 2


def test_a_plan_that_is_not_used_is_forgotten_after_its_time():
    clock = Clock()
    store, plan = PlanStore(9, 10.0, clock), Plan.of("", ["a"])
    store.put("idle", plan)
    store.put("used", plan)
    clock.now = 6.0
    assert store.get("used") is plan
    clock.now = 10.0
    assert (store.get("idle"), store.get("used"), len(store)) == (None, plan, 1)
    clock.now = 20.0
    assert store.get("used") is None and len(store) == 0


def test_many_threads_may_use_a_store():
    store, plan, wrong = PlanStore(8, math.inf), Plan.of("", ["a"]), []

    def use(number):
        for place in range(300):
            store.put(f"{(number + place) % 20}", plan)
            if store.get(f"{place % 20}") not in (plan, None) or len(store) > 8:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(store) == 8
