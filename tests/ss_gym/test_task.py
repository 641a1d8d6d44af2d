"""Tasks of one's own: done when the criterion says so, and by no less."""

import json
import pickle
import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from ss_gym import ConversationTurn, TaskEnvironment, ToolError, Toolkit, tool, toolkit_of
from ss_gym.task import gives_answer, says_answer

TASKS = [
    {"id": "sum", "goal": "What is 17 + 25?", "context": "Be exact.", "answer": 42},
    {"id": "why", "goal": "Sky?", "answer": "blue", "user_responses": ["Really?", "Sure?"], "wrong": ["red"]},
]


def call(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def add(first: int, second: int) -> int:
    """Add two numbers.

    Args:
        first: one of them.
        second: the other.
    """
    return first + second


async def print_nothing():
    """Print nothing."""


def look(task):
    """Look."""
    return "nothing"


class Light(Toolkit):
    """A light that can be switched, once."""

    def __init__(self, broken: bool = False) -> None:
        self.on = False
        self.broken = broken

    @tool("write")
    def switch(self) -> dict[str, bool]:
        """Switch the light on."""
        if self.broken:
            raise ToolError("the bulb is broken")
        self.on = True
        return {"on": True}

    @tool("end")
    def leave(self) -> dict[str, bool]:
        """Leave the room."""
        return {"left": True}


def light_is_on(turns, context):
    return context["toolkit"].on


def test_a_task_is_done_by_its_answer_and_the_user_insists_until_then():
    env = TaskEnvironment(tasks=TASKS, success_criteria="says_answer")
    observation, info = env.reset(seed=1, options={"scenario_id": "why"})
    assert (observation, info["scenario_id"], info["tools"]) == ("Sky?", "why", [])
    assert [env.step(word)[0] for word in ("green", "red or blue", "grey")] == [
        "Really?",
        "Sure?",
        "That is not it yet.",
    ]
    *step, info = env.step("Well: BLUE.")
    assert step == ["", 1.0, True, False]
    assert info["success"] is True and info["reward_terms"] == {"success": 1.0}


def test_a_task_that_is_cut_is_not_done():
    env = TaskEnvironment(TASKS, max_turns=2)
    env.reset(options={"scenario_id": "sum"})
    env.step("41")
    *_, reward, terminated, truncated, info = env.step("43")
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, True, False)
    env.reset(options={"scenario_id": "sum"})
    env.step("41")
    assert env.step("42")[1:4] == (1.0, True, False)  # the last reply counts


@pytest.mark.parametrize(
    ("said", "answer", "held"),
    [
        ("It is 4.", "4", True),
        ("(4)", 4, True),
        ("42", "4", False),
        ("4.5", "4", False),
        ("1,4", "4", False),
        ("x4", "4", False),
        ("-4", "4", False),
        ("3/4", "4", False),
        (".5", "5", False),
        ("$2.65, please", "2.65", True),
        ("12.65", "2.65", False),
        ("On Saturday", "saturday", True),
        ("C++!", "C++", True),
        ("", "4", False),
    ],
)
def test_an_answer_stands_by_itself(said, answer, held):
    assert says_answer([ConversationTurn("assistant", said)], {"answer": answer}) is held


def test_only_the_agents_last_words_count():
    turns = [
        ConversationTurn("user", "42?"),
        ConversationTurn("assistant", "42"),
        ConversationTurn("assistant", "No, 41"),
    ]
    assert not says_answer(turns, {"answer": 42})
    assert gives_answer([ConversationTurn("assistant", " Blue\n")], {"answer": "blue"})
    assert not gives_answer([ConversationTurn("assistant", "blue, I think")], {"answer": "blue"})


@given(st.text(max_size=30), st.text(min_size=1, max_size=5))
def test_any_text_and_answer_can_be_compared(said, answer):
    assert says_answer([ConversationTurn("assistant", said)], {"answer": answer}) in (True, False)


def test_functions_are_tools_and_what_they_give_is_no_answer():
    env = TaskEnvironment(TASKS, tools=[add])
    _, info = env.reset(options={"scenario_id": "sum"})
    assert [schema["function"]["name"] for schema in info["tools"]] == ["add"]
    assert env.step(call("add", first=17, second=25))[:4] == ("42", 0.0, False, False)
    assert "must be an integer" in env.step(call("add", first="x", second=25))[0]
    assert env.step("42")[1:4] == (1.0, True, False)


def test_a_toolkit_is_made_anew_for_each_episode_and_seen_by_the_criterion():
    tasks = [{"id": "light", "goal": "Light, please!"}]
    env = TaskEnvironment(tasks, light_is_on, Light)
    for act, done in ((call("switch"), True), ("It is on.", False)):
        env.reset(seed=0)
        env.step(act)
        assert env.step("There you are.")[1:3] == (float(done), done)


def test_a_tool_of_the_kind_end_ends_the_episode_done_or_not():
    env = TaskEnvironment([{"id": "light", "goal": "Light!"}], light_is_on, Light)
    env.reset(seed=0)
    *_, reward, terminated, _, info = env.step(call("leave") + call("switch"))
    assert (reward, terminated, info["success"]) == (0.0, True, False)
    env.reset(seed=0)
    *_, reward, terminated, _, info = env.step(call("switch") + call("leave"))
    assert (reward, terminated, info["success"]) == (1.0, True, True)


def test_a_function_makes_the_tools_of_a_task_and_a_tool_may_refuse():
    tasks = [{"id": "a", "goal": "Light!", "broken": True}, {"id": "b", "goal": "Light!", "broken": False}]
    env = TaskEnvironment(tasks, light_is_on, lambda task: Light(task["broken"]))
    env.reset(options={"scenario_id": "a"})
    assert env.step(call("switch"))[0] == '{"error":"the bulb is broken"}'
    env.reset(options={"scenario_id": "b"})
    assert env.step(call("switch"))[0] == '{"on":true}'


def test_what_a_criterion_does_to_a_task_ends_with_the_episode():
    def forgetful(turns, context):
        context["seen"].append(turns[-1].content)
        return len(context["seen"]) > 1

    tasks = [{"id": "a", "goal": "?", "seen": []}]
    env = TaskEnvironment(tasks, forgetful)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step("x")[2] for _ in range(2)] == [False, True]
    assert tasks == [{"id": "a", "goal": "?", "seen": []}]


def test_a_criterion_may_be_asynchronous():
    async def judge(turns, context):
        return turns[-1].content == "yes" and context["goal"] == "Sky?"

    env = TaskEnvironment(TASKS, judge)
    env.reset(options={"scenario_id": "why"})
    assert [env.step(said)[2] for said in ("no", "yes")] == [False, True]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"tasks": [{"id": "a"}]}, r"tasks\[0\]\.goal: the user needs something to ask for"),
        ({"tasks": [{"id": "a", "goal": "?"}]}, "the task 'a' has no answer"),
        ({"tasks": [{"id": "a", "goal": "?", "toolkit": 1}]}, "call the field otherwise"),
        ({"tasks": [{"id": "a", "goal": "?", "user_responses": [1]}]}, r"user_responses\[0\]: expected text"),
        ({"tasks": TASKS, "success_criteria": "say_answer"}, "did you mean 'says_answer'"),
    ],
)
def test_tasks_and_criteria_that_make_no_sense_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        TaskEnvironment(**keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"success_criteria": 5}, "success_criteria must be a function"),
        ({"tools": int}, "tools must be a list of functions or a Toolkit, got int"),
        ({"tools": [print_nothing]}, "the tool print_nothing is a coroutine"),
    ],
)
def test_criteria_and_tools_that_are_none_are_refused_at_once(keywords, message):
    with pytest.raises(TypeError, match=message):
        TaskEnvironment(TASKS, **keywords)


def test_a_tool_that_is_passed_without_a_list_is_explained():
    with pytest.raises(TypeError, match=r"look made no Toolkit of a task.*tools=\[look\]"):
        TaskEnvironment(TASKS, tools=look).reset(seed=0)


@pytest.mark.parametrize("answer", [True, None, " ", [4]])
def test_an_answer_is_a_text_or_a_number(answer):
    with pytest.raises(ValueError, match="the task 'a' has no answer that is a text or a number"):
        TaskEnvironment([{"id": "a", "goal": "?", "answer": answer}])
    with pytest.raises(ValueError, match="the task 'a': wrong must be a list of answers, got 'red'"):
        TaskEnvironment([{"id": "a", "goal": "?", "answer": "blue", "wrong": "red"}])


def test_what_is_said_beside_a_tool_call_is_no_answer():
    env = TaskEnvironment([{"id": "a", "goal": "?", "answer": 42}], tools=Light)
    env.reset(seed=0)
    assert env.step("It is 42. " + call("leave"))[1:3] == (0.0, True)


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown task 'sun'; did you mean 'sum'"):
        TaskEnvironment(TASKS).reset(options={"scenario_id": "sun"})


def test_functions_without_description_or_of_one_name_are_no_tools():
    with pytest.raises(TypeError, match="docstring"):
        toolkit_of([lambda: 1])
    with pytest.raises(TypeError, match="two tools are called add"):
        toolkit_of([add, add])
    assert add(2, second=3) == 5  # as it was

    def call():
        """Call somebody."""

    with pytest.raises(TypeError, match="the tool call: neither it nor an argument can have a name that toolkits use"):
        toolkit_of([call])


def test_gymnasium_finds_nothing_to_warn_of_and_copies_go_on_alike():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("StateSet/Task-v0").unwrapped)
    env = gym.make("StateSet/Task-v0", tasks=TASKS, tools=[add])
    env.reset(seed=3)
    env.step(call("add", first=1, second=2))
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step("x")[0] == env.step("x")[0]


def test_a_batch_agrees_with_single_environments():
    envs = gym.make_vec("StateSet/Task-v0", num_envs=2, tasks=TASKS)
    observations, _ = envs.reset(seed=[1, 2])
    singles = [gym.make("StateSet/Task-v0", tasks=TASKS) for _ in range(2)]
    assert observations == tuple(env.reset(seed=seed)[0] for seed, env in enumerate(singles, 1))
    assert envs.step(["42", "blue"])[1].tolist() == [
        env.step(said)[1] for env, said in zip(singles, ["42", "blue"], strict=True)
    ]
