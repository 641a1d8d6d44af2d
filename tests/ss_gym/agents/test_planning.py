"""Plans: what they are, how long they are kept, who makes them, and what the model reads of them."""

import asyncio
import logging
import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.agents import AgentConfig, HeuristicPlanner, MultiTurnAgent, Plan, PlanningConfig, Step, ToolAgent
from ss_gym.agents.conversation import Conversation
from ss_gym.agents.plan_keeper import PlanKeeper
from ss_gym.agents.planners import GENERIC_STEPS, GOAL, ModelPlanner, steps_in
from ss_gym.agents.planning import MOST_CHARS, MOST_STEPS, PlanStore, read_planning, with_plan, without_plan
from ss_gym.types import Completion

TWO = "Hi! Refund my lamp and please cancel my tea subscription."


def user(text):
    return {"role": "user", "content": text}


def says(text):
    return {"role": "assistant", "content": text}


def calls(name, result='{"id": "R1"}'):
    """A call and what came back."""
    call = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}}
    own = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [own, {"role": "tool", "tool_call_id": "call_0", "content": result}]


def states(plan):
    return " ".join(step.status for step in plan.steps)


# --- plans ------------------------------------------------------------------------------------------


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


# --- settings ---------------------------------------------------------------------------------------


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


# --- how long plans are kept ------------------------------------------------------------------------


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self):
        return self.now


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


# --- the heuristic planner --------------------------------------------------------------------------


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


# --- plans of a model -------------------------------------------------------------------------------


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


# --- agents -----------------------------------------------------------------------------------------


class Scripted:
    """A backend that says what a script has, and keeps what it was asked and which conversation that was."""

    def __init__(self, *script):
        self.script, self.asked, self.sampled = list(script), [], []

    def generate(self, conversations, sampling):
        (conversation,) = conversations
        self.asked.append([dict(message) for message in conversation])
        self.sampled.append((conversation, sampling))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [Completion(answer, token_ids=(1, 2))]


def agent_with(*script, kind=MultiTurnAgent, tools=(), planning=None, **settings):
    backend = Scripted(*script)
    config = AgentConfig("scripted://", enable_planning=True, planning_config=planning or {}, **settings)
    return (kind(config, tools, backend) if kind is ToolAgent else kind(config, backend)), backend


def talk(agent, *turns, key="c"):
    """The history after each of the user's turns, a text or a text with a context, was answered."""
    history = []

    async def whole():
        for turn in turns:
            text, context = turn if isinstance(turn, tuple) else (turn, {})
            history.append(user(text))
            history.append(says(await agent.generate_response(history, {"conversation_id": key, **context})))

    asyncio.run(whole())
    return history


def test_the_model_reads_the_plan_below_what_the_user_said_and_nobody_else_does():
    agent, backend = agent_with("Yes.", "Done. Anything else?", "Bye.", system_prompt="Be kind.")
    history = talk(agent, TWO, "Well?", "That's all.")
    first, second, third = backend.asked
    assert [message["role"] for message in first] == ["system", "user"] and first[0]["content"] == "Be kind."
    assert first[1]["content"] == with_plan(
        TWO, Plan.of(GOAL, ["Refund my lamp", "please cancel my tea subscription"]).text()
    )
    assert second[:2] == first  # what was read stays as it was read
    assert "<plan>" not in second[-1]["content"]  # nothing has changed
    assert third[-1]["content"].startswith("That's all.\n\n<plan>") and "2. done" in third[-1]["content"]
    assert "<plan>" not in str(history)
    assert len({id(conversation) for conversation, _ in backend.sampled}) == 1
    assert agent.plan("c").status == "done" and agent.plan("other") is None


@pytest.mark.parametrize(
    ("planning", "trims", "shown"),
    [({}, False, [True, False]), ({"show": "turns"}, False, [True, True]), ({}, True, [True, True])],
)
def test_the_plan_is_shown_when_it_changes_or_at_every_turn(planning, trims, shown):
    agent, backend = agent_with("Yes.", "Yes.", planning=planning, trim_history=trims)
    backend.max_context, backend.room = 1000, lambda conversation: 500
    talk(agent, TWO, "Well?")
    assert ["<plan>" in asked[-1]["content"] for asked in backend.asked] == shown


def test_a_goal_is_that_of_the_plan_that_is_made():
    agent, _ = agent_with("Yes.", "Yes.")
    talk(agent, (TWO, {"goal": "a happy customer"}), ("Well?", {"goal": "something else"}))
    assert agent.plan("c").goal == "a happy customer"


def test_another_goal_makes_the_steps_anew_and_keeps_what_has_ended():
    agent, _ = agent_with("Yes.", "Yes.", "Yes.")
    goal = {"plan_goal": "Renew the contract"}
    talk(agent, TWO, ("Well?", {"plan_update": {"action": "advance"}, **goal}), ("Well?", goal))
    plan = agent.plan("c")
    assert plan.goal == "Renew the contract"
    assert plan.steps == (
        Step("Refund my lamp", "done"),
        Step("Renew the contract"),
        Step("please cancel my tea subscription"),
    )


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"action": "advance"}, "done pending"),
        ({"action": "complete", "step": 2}, "pending done"),
        ({"action": "skip"}, "skipped pending"),
        ({"action": "fail", "step": 2}, "pending failed"),
        ({"action": "add", "steps": ["say goodbye"]}, "pending pending pending"),
        ({"action": "replan", "steps": ["say goodbye"]}, "pending"),
        ({"action": "replan"}, "pending pending"),
    ],
)
def test_the_caller_changes_the_plan(update, expected):
    agent, _ = agent_with("Yes.", "Yes.")
    talk(agent, TWO, ("Well?", {"plan_update": update}))
    assert states(agent.plan("c")) == expected


def test_what_the_caller_says_of_a_step_that_has_ended_meanwhile_is_no_news():
    agent, _ = agent_with("The lamp is refunded. Anything else?", "Yes.")
    talk(agent, TWO, ("Well?", {"plan_update": {"action": "advance"}}))
    assert states(agent.plan("c")) == "done pending"


@pytest.mark.parametrize(
    ("context", "error"),
    [
        ({"plan_update": {"action": "advanced"}}, "plan_update has no action 'advanced'; did you mean 'advance'?"),
        ({"plan_update": "advance"}, "plan_update is a mapping such as {'action': 'advance'}, got 'advance'"),
        ({"plan_update": {"action": "skip", "stp": 1}}, "the action 'skip' does not take 'stp'; did you mean 'step'?"),
        (
            {"plan_update": {"action": "advance", "step": 1}},
            "the action 'advance' does not take 'step'; it takes nothing",
        ),
        ({"plan_update": {"action": "complete", "step": 7}}, "steps 1 to 2, and none of the number 7"),
        ({"plan_update": {"action": "add"}}, "the action 'add' needs 'steps', a list of texts"),
        ({"plan_update": {"action": "add", "steps": "hello"}}, "steps must be a list of texts, got 'hello'"),
        ({"plan_goal": " "}, "the context's 'plan_goal' must be a text that says what is to be reached"),
        ({"goal": 7}, "the context's 'goal' must be a text that says what is to be reached, got 7"),
        ({"goal": "x", "conversation_id": None}, "the context has 'goal', but no 'conversation_id'"),
    ],
)
def test_words_about_a_plan_that_can_not_be_meant_are_refused_and_change_nothing(context, error):
    agent, backend = agent_with("Yes.")
    with pytest.raises(ValueError) as raised:
        talk(agent, (TWO, context))
    assert error in str(raised.value)
    assert backend.asked == [] and agent.plan("c") is None


def test_an_agent_that_does_not_plan_says_so_and_leaves_other_contexts_alone():
    agent = MultiTurnAgent(AgentConfig("stub://demo"))
    agent.load()
    with pytest.raises(ValueError, match=r"the context has 'plan_goal', but the agent does not plan: make it with"):
        talk(agent, (TWO, {"plan_goal": "x"}))
    talk(agent, (TWO, {"goal": "of something else"}))
    assert agent.plan("c") is None


def test_without_an_id_there_is_no_plan():
    agent, backend = agent_with("Yes.")
    asyncio.run(agent.generate_response([user(TWO)], {}))
    assert backend.asked == [[user(TWO)]]


def test_a_plan_outlasts_what_the_caller_remembers():
    agent, backend = agent_with("Yes.", "Yes.")
    talk(agent, TWO)
    talk(agent, ("Well?", {"plan_update": {"action": "advance"}}))  # without what was said before
    assert [message["content"].partition("\n")[0] for message in backend.asked[-1]] == ["Well?"]
    assert "1. done: Refund my lamp\n2. now: please cancel" in backend.asked[-1][0]["content"]


def test_an_answer_that_fails_leaves_the_plan_as_it_was():
    agent, backend = agent_with("Yes.", RuntimeError("down"), "Yes.")
    history = talk(agent, TWO)
    turn = [*history, user("Well?")], {"conversation_id": "c", "plan_update": {"action": "advance"}}
    with pytest.raises(RuntimeError, match="down"):
        asyncio.run(agent.generate_response(*turn))
    assert states(agent.plan("c")) == "pending pending"
    asyncio.run(agent.generate_response(*turn))
    assert states(agent.plan("c")) == "done pending"
    assert backend.asked[-1] == backend.asked[-2] and backend.asked[-1][-1]["content"].count("<plan>") == 1


def test_a_streamed_answer_follows_the_plan_too():
    agent = MultiTurnAgent(AgentConfig("stub://demo", stub_responses=("One two.",), enable_planning=True))
    agent.load()

    async def pieces():
        return [piece async for piece in agent.stream_response([user(TWO)], {"conversation_id": "c"})]

    assert asyncio.run(pieces()) == ["One", " two."] and len(agent.plan("c").steps) == 2
    assert agent._remembered["c"].shown[0] == user(TWO)


def refund() -> str:
    """Pay back."""
    return "done"


def test_an_agent_with_tools_sees_its_calls_settle_steps():
    call = '<tool_call>{"name": "refund", "arguments": {}}</tool_call>'
    agent, backend = agent_with(call, "Refunded. Anything else?", "Which one?", kind=ToolAgent, tools=[refund])
    talk(agent, TWO, "And the subscription?")
    assert "<plan>" in backend.asked[1][0]["content"]
    assert "1. done: Refund my lamp\n2. now: please cancel" in backend.asked[2][-1]["content"]
    assert states(agent.plan("c")) == "done pending"


def test_steps_are_shown_beside_the_results_of_tools_where_that_is_wanted():
    keeper = PlanKeeper(PlanningConfig(show="steps"), lambda messages: "")
    conversation = Conversation([user(TWO), *calls("issue_refund")])
    keeper.told("c", conversation, {})
    assert conversation[-1]["content"].startswith('{"id": "R1"}\n\n<plan>')
    silent = Conversation([user(TWO), *calls("issue_refund")])
    PlanKeeper(PlanningConfig(), lambda messages: "").told("c", silent, {})
    assert silent[-1]["content"] == '{"id": "R1"}'


def test_a_message_in_parts_gets_another_part():
    keeper, parts = PlanKeeper(PlanningConfig(), lambda messages: ""), [{"type": "text", "text": TWO}]
    conversation = Conversation([{"role": "user", "content": parts}])
    plan = keeper.told("c", conversation, {})
    assert len(plan.steps) == 2
    assert conversation[0]["content"] == [*parts, {"type": "text", "text": plan.text()}]
    assert conversation.shown[0]["content"] is parts


def test_a_conversation_that_goes_on_after_its_plan_was_forgotten_gets_one_again():
    clock = Clock()
    keeper = PlanKeeper(PlanningConfig(time_to_live=10), lambda messages: "", clock=clock)
    conversation = Conversation([user(TWO)])
    keeper.keep("c", keeper.told("c", conversation, {"goal": "a happy customer"}))
    clock.now = 60.0
    conversation.extend([says("The lamp is refunded. Anything else?"), user("And the tea?")])
    plan = keeper.told("c", conversation, {})
    assert (plan.goal, states(plan)) == (GOAL, "done pending")


def test_the_model_plans_with_its_own_sampling_and_is_asked_once():
    agent, backend = agent_with(
        "1. Verify\n2. Refund\n3. Cancel", "Hello.", "Yes.", planning={"planner": "model", "max_steps": 2}
    )
    talk(agent, TWO, "Well?")
    asked, sampling = backend.asked[0], backend.sampled[0][1]
    assert [message["role"] for message in asked] == ["user"] and TWO in asked[0]["content"]
    assert "at most 2" in asked[0]["content"] and sampling.max_new_tokens == 192
    assert [step.text for step in agent.plan("c").steps] == ["Verify", "Refund"]
    assert len(backend.asked) == 3


def test_a_system_prompt_put_in_later_shifts_what_was_added_to_messages():
    conversation = Conversation([user(TWO)])
    conversation.amend("a plan")
    conversation.insert_system_prompt("Be kind.")
    assert conversation[1]["content"] == f"{TWO}\n\na plan" and conversation.shown[1] == user(TWO)
