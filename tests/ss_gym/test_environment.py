import copy
import json
import pickle
import warnings
from dataclasses import replace
from types import MappingProxyType

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.environment import Opening, Response, TextEnvironment


def call(name, **arguments):
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


HAND_OUT = call("hand_out", ticket=123)
CLOSE = call("close_desk")


@pytest.fixture
def env(cloakroom):
    env = cloakroom(max_turns=3, max_steps=5)
    env.reset(seed=1, options={"ticket": 123})
    return env


def test_gymnasium_finds_nothing_to_warn_of(cloakroom_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(cloakroom_id).unwrapped)


def test_reset_gives_the_first_message_and_what_stays_for_the_episode(cloakroom):
    env = cloakroom()
    observation, info = env.reset(seed=1, options={"ticket": 123})
    assert observation == "Good evening, ticket 123 please."
    assert info == {
        "messages": [{"role": "user", "content": observation}],
        "system_prompt": "You run a cloakroom.",
        "tools": env.tools,
        "scenario_id": "coat/123",
    }
    assert env.system_prompt == "You run a cloakroom."
    assert [tool["function"]["name"] for tool in env.tools] == ["look_up", "hand_out", "close_desk"]


def test_a_step_gives_the_action_as_understood_and_then_what_came_back(env):
    text = call("look_up", ticket=123) + call("look_up", ticket=4)
    observation, reward, terminated, truncated, info = env.step(text)
    assert observation == '{"ticket":123,"colour":"green"}\n{"ticket":4,"colour":"blue"}'
    assert (reward, terminated, truncated) == (0.0, False, False)
    action, first, second = info["messages"]
    assert [c["id"] for c in action["tool_calls"]] == ["call_0", "call_1"]
    assert (first["role"], first["tool_call_id"], second["tool_call_id"]) == ("tool", "call_0", "call_1")
    assert (info["turn"], info["step"]) == (0, 1)
    assert env.step(HAND_OUT)[4]["messages"][0]["tool_calls"][0]["id"] == "call_2"


def test_the_reward_is_the_sum_of_its_terms_and_the_last_step_has_the_verdict(env):
    env.step("Your coat!")
    env.step(call("look_up"))
    env.step(HAND_OUT)
    observation, reward, terminated, truncated, info = env.step(CLOSE)
    assert (observation, reward, terminated, truncated) == ('{"closed":true}', 1.0, True, False)
    assert info["reward_terms"] == {"success": 1.0}
    assert info["episode_terms"] == {"talk": -1.0, "tool_error": -0.25, "success": 1.0}
    assert info["success"] is True
    assert info["audit"] == {"handed_out": 1}
    assert info["scenario_id"] == "coat/123"
    assert all(type(value) is float for value in info["episode_terms"].values())


def test_tool_steps_are_not_turns_but_have_their_own_limit(env):
    for _ in range(4):
        assert env.step(call("look_up", ticket=1))[2:4] == (False, False)
    _, _, terminated, truncated, info = env.step(call("look_up", ticket=1))
    assert (terminated, truncated, info["turn"], info["step"]) == (False, True, 0, 5)
    assert info["success"] is False


def test_turns_have_a_limit(env):
    assert [env.step("hello")[3] for _ in range(3)] == [False, False, True]


def test_an_ending_on_the_last_turn_is_no_truncation(env):
    for word in ("a", "b"):
        env.step(word)
    assert env.step("goodbye")[2:4] == (True, False)


@pytest.mark.parametrize(
    "action",
    ["<tool_call>{</tool_call>", call("hand_uot", ticket=123), call("hand_out"), call("hand_out", ticket="123"),
     call("hand_out", ticket=123, tip=1), call("hand_out", ticket=5), "x" * 20_001, "🙂" * 100_000],
)  # fmt: skip
def test_a_bad_action_is_answered_with_an_error_and_changes_nothing(env, action):
    observation, reward, terminated, truncated, info = env.step(action)
    assert json.loads(observation).keys() == {"error"}
    assert (reward, terminated, truncated) == (-0.25, False, False)
    assert info["messages"][1]["tool_call_id"] == info["messages"][0]["tool_calls"][0]["id"]
    env.step(HAND_OUT)
    assert env.step(CLOSE)[4]["success"] is True


@settings(max_examples=50)
@given(actions=st.lists(st.text() | st.sampled_from([HAND_OUT, "<tool_call>{", "", "\x00", "مرحبا"]), max_size=8))
def test_any_text_is_answered_with_an_observation_of_the_space(cloakroom, actions):
    env = cloakroom(max_turns=100, max_steps=100)
    env.reset(seed=1)
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        assert observation in env.observation_space
        assert reward == sum(info["reward_terms"].values())
        json.dumps(info["messages"], ensure_ascii=False).encode()
        if terminated:
            break


@pytest.mark.parametrize("action", [None, 3, b"hello", ["hello"]])
def test_an_action_that_is_no_text_is_a_type_error(env, action):
    with pytest.raises(TypeError, match="an action is a str"):
        env.step(action)


def test_a_step_without_a_running_episode_needs_a_reset(cloakroom):
    env = cloakroom()
    with pytest.raises(ResetNeeded):
        env.step("hello")
    env.reset(seed=1)
    env.step("goodbye")
    with pytest.raises(ResetNeeded):
        env.step("hello")
    env.reset()
    env.step("hello")


def test_a_closed_environment_is_not_reset(env):
    env.close()
    env.close()
    with pytest.raises(ResetNeeded):
        env.step("hello")
    with pytest.raises(ClosedEnvironmentError):
        env.reset()


def test_an_unknown_option_is_refused_with_the_nearest_and_the_episode_goes_on(env):
    with pytest.raises(ValueError, match="unknown reset option 'tickets'; did you mean 'ticket'"):
        env.reset(options={"tickets": 1})
    with pytest.raises(ValueError, match="it knows evening, ticket"):
        env.reset(options={"zzz": 1})
    env.step("hello")


@pytest.mark.parametrize("options", ["dev", 5, 0, "", [], ("ticket",), {1: 2}, {None: "dev"}])
def test_options_that_are_no_mapping_of_names_are_refused_with_advice_and_the_episode_goes_on(env, options):
    with pytest.raises(
        TypeError, match=r"must be a mapping such as \{'split': 'dev'\}|names of reset options must be str"
    ):
        env.reset(options=options)
    env.step("hello")


def test_options_may_be_any_mapping_and_the_environment_keeps_its_own(env):
    options = {"ticket": 123}
    observation, _ = env.reset(options=MappingProxyType(options))
    options["ticket"] = 124
    assert env.get_state().options == {"ticket": 123}
    assert "123" in observation


def test_after_a_reset_that_fails_no_episode_is_running(env):
    with pytest.raises(ValueError, match="no ticket 5"):
        env.reset(options={"ticket": 5})
    with pytest.raises(ResetNeeded):
        env.step("hello")
    assert copy.deepcopy(env).messages == []


def test_the_same_seed_and_actions_give_the_same_bytes(cloakroom):
    def run(env):
        return [env.reset(seed=5), env.step("hi"), env.step(CLOSE), env.reset(), env.step("hi")]

    assert run(cloakroom()) == run(cloakroom())


def test_resets_without_a_seed_go_on_with_the_stream(cloakroom):
    env = cloakroom()
    tickets = [env.reset(seed=5)[0], *[env.reset()[0] for _ in range(5)]]
    assert len(set(tickets)) > 3


def test_what_a_user_does_to_an_info_does_not_reach_the_history(env):
    _, info = env.reset(seed=1, options={"ticket": 123})
    info["messages"][0]["content"] = "changed"
    info["tools"].clear()
    info = env.step(HAND_OUT)[4]
    info["messages"][0]["tool_calls"].clear()
    info["messages"][1]["content"] = "changed"
    env.messages.clear()
    assert [message["content"] for message in env.messages] == [
        "Good evening, ticket 123 please.",
        "",
        '{"handed_out":123}',
    ]
    assert len(env.messages[1]["tool_calls"]) == 1
    assert len(env.tools) == 3


def test_the_tools_of_an_info_can_be_changed_in_a_copy_only(cloakroom):
    _, info = cloakroom().reset(seed=1)
    before = json.dumps(info["tools"])
    function = info["tools"][0]["function"]
    for change in (
        lambda: function.update(name="changed"),
        lambda: function.__setitem__("name", "changed"),
        lambda: function["parameters"]["properties"].clear(),
        lambda: function["parameters"]["required"].append("colour"),
        lambda: function["parameters"]["required"].__delitem__(0),
        lambda: function.pop("name"),
    ):
        with pytest.raises(TypeError, match=r"copy\.deepcopy"):
            change()
    own = copy.deepcopy(info["tools"])
    own[0]["function"]["name"] = "changed"
    own[0]["function"]["parameters"]["required"].append("colour")
    assert json.dumps(cloakroom().reset(seed=1)[1]["tools"]) == before


def test_tools_are_plain_dictionaries_and_lists_once_pickled(env):
    tools = pickle.loads(pickle.dumps(env.tools))
    assert tools == env.tools
    assert type(tools[0]["function"]["parameters"]) is dict
    assert type(tools[0]["function"]["parameters"]["required"]) is list


def copies():
    return [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda env: pickle.loads(pickle.dumps(env)), id="pickle"),
    ]


@pytest.mark.parametrize("duplicate", copies())
@pytest.mark.parametrize("actions", [[], ["hello"], ["hello", HAND_OUT, "x" * 30_000]])
def test_a_copy_goes_on_like_the_original(cloakroom, duplicate, actions):
    env = cloakroom(max_turns=7)
    env.reset(seed=9, options={"ticket": 123})
    for action in actions:
        env.step(action)
    twin = duplicate(env)
    assert twin is not env
    assert twin.max_turns == 7
    assert twin.messages == env.messages
    assert twin.step("well") == env.step("well")
    assert twin.step(CLOSE) == env.step(CLOSE)
    assert twin.reset() == env.reset()
    assert twin.np_random_seed == env.np_random_seed == 9


@pytest.mark.parametrize("duplicate", copies())
def test_a_copy_of_an_ended_or_fresh_environment_needs_a_reset_too(cloakroom, duplicate):
    env = cloakroom()
    with pytest.raises(ResetNeeded):
        duplicate(env).step("hello")
    env.reset(seed=1)
    env.step("goodbye")
    with pytest.raises(ResetNeeded):
        duplicate(env).step("hello")


@pytest.mark.parametrize("duplicate", copies())
def test_a_copy_of_a_closed_environment_is_closed(env, duplicate):
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        duplicate(env).reset()


def test_a_state_that_cannot_be_replayed_leaves_an_environment_without_an_episode(cloakroom, capsys):
    env = cloakroom(render_mode="human")
    env.reset(seed=1)
    env.step("hello")
    state = env.get_state()
    with pytest.raises(ResetNeeded):
        env.set_state(replace(state, actions=("goodbye", "hello")))
    with pytest.raises(ResetNeeded):
        env.step("hello")
    with pytest.raises(ValueError, match="no ticket 5"):
        env.set_state(replace(state, options={"ticket": 5}))
    assert env.render_mode == "human"
    capsys.readouterr()
    env.reset(seed=1)
    assert "ticket" in capsys.readouterr().out


def test_an_environment_made_by_gymnasium_is_copied_with_its_wrappers(cloakroom_id):
    env = gymnasium.make(cloakroom_id, max_turns=4, max_episode_steps=9)
    env.reset(seed=3)
    env.step("hello")
    twin = pickle.loads(pickle.dumps(env))
    assert twin.spec == env.spec
    assert twin.step("well") == env.step("well")


def test_a_state_can_be_gone_back_to(env):
    env.step("hello")
    state = env.get_state()
    first = env.step("well"), env.reset()
    env.set_state(state)
    assert (env.step("well"), env.reset()) == first


def test_a_copy_prints_nothing_again(cloakroom, capsys):
    env = cloakroom(render_mode="human")
    env.reset(seed=1, options={"ticket": 123})
    env.step("Your coat!")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Customer: Good evening, ticket 123 please.", "Agent: Your coat!"]
    assert env.render() is None
    twin = copy.deepcopy(env)
    assert capsys.readouterr().out == ""
    twin.step("Bye")
    assert capsys.readouterr().out.startswith("Agent: Bye\nCustomer: ")


def test_a_response_without_reward_survives_pickling_and_cannot_be_changed():
    response = Response(({"role": "user", "content": "Good evening"},))
    assert pickle.loads(pickle.dumps(response)) == response
    with pytest.raises(TypeError):
        response.reward_terms["success"] = 1.0
    assert Response().reward_terms == {}


def test_gymnasium_puts_no_checks_around_environments_that_check_themselves():
    assert type(gymnasium.make("StateSet/Refund-v0")) is type(gymnasium.make("StateSet/Refund-v0").unwrapped)


def test_ansi_renders_the_conversation_so_far(cloakroom):
    env = cloakroom(render_mode="ansi")
    with pytest.raises(ResetNeeded, match="before render"):
        env.render()
    env.reset(seed=1, options={"ticket": 123})
    env.step(HAND_OUT)
    assert env.render().splitlines() == [
        "Customer: Good evening, ticket 123 please.",
        'Agent: -> hand_out({"ticket":123})',
        'Tool: {"handed_out":123}',
    ]


@pytest.mark.parametrize(
    "keywords", [{"max_turns": 0}, {"max_steps": -1}, {"max_action_chars": 0}, {"render_mode": "rgb_array"}]
)
def test_wrong_arguments_are_refused(cloakroom, keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        cloakroom(**keywords)


@pytest.mark.parametrize("limit", ["x", None, 2.5, True, [12]])
@pytest.mark.parametrize("name", ["max_turns", "max_steps", "max_action_chars"])
def test_a_limit_that_is_no_integer_is_refused_by_name(cloakroom, name, limit):
    with pytest.raises(TypeError, match=f"{name} must be an int, got "):
        cloakroom(**{name: limit})


def test_a_limit_may_be_an_integer_of_numpy(cloakroom):
    assert type(cloakroom(max_turns=np.int64(3)).max_turns) is int


def test_success_is_left_out_where_there_is_no_notion_of_it():
    class Chat(TextEnvironment):
        def begin(self, seed, options):
            return Opening(())

        def respond(self, action):
            return Response(ended=True)

    env = Chat()
    assert env.reset(seed=1)[0] == ""
    observation, reward, terminated, _, info = env.step("hello")
    assert (observation, reward, terminated) == ("", 0.0, True)
    assert "success" not in info
    assert (info["audit"], info["episode_terms"]) == ({}, {})
