"""Agents that plan: what the model reads of a plan, and who changes it."""

import asyncio

import pytest

from ss_gym.agents import AgentConfig, MultiTurnAgent, Plan, PlanningConfig, Step, ToolAgent
from ss_gym.agents.conversation import Conversation
from ss_gym.agents.plan_keeper import PlanKeeper
from ss_gym.agents.planners import GOAL
from ss_gym.agents.planning import with_plan
from ss_gym.types import Completion
from tests.ss_gym.agents.planned_talk import TWO, Clock, calls, says, states, user


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
        ({"plan_update": {"action": ["advance"]}}, "plan_update has no action ['advance']; did you mean 'advance'?"),
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
