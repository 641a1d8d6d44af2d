"""Conversations from one's own list: the user's lines come in order, whatever the agent says."""

import json
import pickle
import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from ss_gym import CompositeReward, ConversationEnvironment, MissingReward, reward_function

SCENARIOS = [
    {"id": "refund", "topic": "refunds", "context": "Be kind.", "user_responses": ["Money back!", "Why?", "Bye"]},
    {"id": "hello", "user_responses": ["Hello?"]},
]


@reward_function(weight=3)
async def length(turns, context=None):
    return sum(len(turn.content) for turn in turns if turn.role == "assistant") + (context["topic"] == "refunds")


def test_the_lines_come_in_order_and_the_reward_with_the_end():
    env = ConversationEnvironment(scenarios=SCENARIOS, max_turns=6, reward_fn=length)
    observation, info = env.reset(seed=3, options={"scenario_id": "refund"})
    assert (observation, info["scenario_id"], info["tools"]) == ("Money back!", "refund", [])
    assert env.system_prompt.split("\n\n")[:2] == ["You are talking with a user about refunds.", "Be kind."]
    assert env.step("No")[:4] == ("Why?", 0.0, False, False)
    assert env.step("<think>hm</think>So")[:4] == ("Bye", 0.0, False, False)
    *step, info = env.step("Bye")
    # "No", "So", "Bye" are 7 letters, and the context is the scenario.
    assert step == ["", 8.0, True, False]
    assert info["reward_terms"] == {"length": 8.0} and info["audit"] == {"breakdown": {"length": 8.0}}
    assert "success" not in info
    assert [message["content"] for message in env.messages] == ["Money back!", "No", "Why?", "So", "Bye", "Bye"]


def test_a_conversation_is_cut_at_max_turns_and_rewarded_as_it_stands():
    env = ConversationEnvironment(SCENARIOS, max_turns=2, reward_fn=length)
    env.reset(options={"scenario_id": "refund"})
    env.step("abc")
    observation, reward, terminated, truncated, _ = env.step("de")
    assert (observation, reward, terminated, truncated) == ("Bye", 6.0, False, True)


def test_the_seed_chooses_among_all_and_a_name_one():
    env = ConversationEnvironment(SCENARIOS)
    assert {env.reset(seed=seed)[1]["scenario_id"] for seed in range(20)} == {"refund", "hello"}
    assert env.reset(seed=5)[1] == env.reset(seed=5)[1]
    with pytest.raises(ValueError, match="unknown scenario 'refnd'; did you mean 'refund'"):
        env.reset(options={"scenario_id": "refnd"})


def test_tools_are_refused_in_words_and_take_no_turn():
    env = ConversationEnvironment(SCENARIOS, max_turns=1)
    env.reset(options={"scenario_id": "refund"})
    call = '<tool_call>{"name": "get_order", "arguments": {}}</tool_call>'
    observation, reward, terminated, truncated, info = env.step(call * 2)
    assert [message["role"] for message in info["messages"]] == ["assistant", "tool", "tool"]
    assert "answer in words" in observation and (reward, terminated, truncated) == (0.0, False, False)
    assert env.step("All right")[2:4] == (False, True)


def test_an_action_that_is_too_long_is_told_so():
    env = ConversationEnvironment(SCENARIOS, max_action_chars=10)
    env.reset(seed=0)
    assert "has 11 characters, the limit is 10" in env.step("x" * 11)[0]


@pytest.mark.parametrize("ending", ["json", "jsonl", "yaml"])
def test_scenarios_come_from_files(tmp_path, ending):
    file = tmp_path / f"mine.{ending}"
    lines = "\n\n".join(map(json.dumps, SCENARIOS)) if ending == "jsonl" else json.dumps(SCENARIOS, indent=1)
    file.write_text(lines, encoding="utf-8")
    env = gym.make("StateSet/Conversation-v0", scenarios=str(file))
    assert env.reset(options={"scenario_id": "hello"})[0] == "Hello?"


@pytest.mark.parametrize(
    ("scenarios", "message"),
    [
        ([], r"scenarios: expected a list of scenarios with at least one"),
        (["hello"], r"scenarios\[0\]: expected a mapping"),
        ([{"id": "a"}], r"scenarios\[0\].user_responses: the user needs at least one text"),
        ([{"id": "a", "user_responses": "Hi"}], r"user_responses: expected a list of texts, got 'Hi'"),
        ([{"id": "a", "user_responses": ["Hi", 3]}], r"scenarios\[0\].user_responses\[1\]: expected text, got 3"),
        ([{"id": "a", "user_response": ["Hi"]}], r"unknown field 'user_response'; did you mean 'user_responses'"),
        ([{"id": "", "user_responses": ["Hi"]}], r"scenarios\[0\].id: every one of the scenarios needs a name"),
        ([{"id": "a", "topic": 3, "user_responses": ["Hi"]}], r"scenarios\[0\].topic: expected text, got 3"),
        ([*SCENARIOS, SCENARIOS[0]], r"scenarios\[2\].id: 'refund' is the id of scenarios\[0\] already"),
    ],
)
def test_scenarios_of_another_form_are_refused_by_name(scenarios, message):
    with pytest.raises(ValueError, match=message):
        ConversationEnvironment(scenarios)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '[{"id": "a",\n}]', r"a\.json, line 2"),
        ("a.jsonl", '{"id": "a", "user_responses": ["Hi"]}\n{"id"', r"a\.jsonl, line 2"),
        ("a.yaml", "- id: a\n  topic: [}", r"a\.yaml, line 2"),
        ("a.yaml", "- id: a", r"a\.yaml\[0\]\.user_responses: the user needs"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ConversationEnvironment(tmp_path / name)


def test_gymnasium_finds_nothing_to_warn_of_and_copies_go_on_alike():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("StateSet/Conversation-v0").unwrapped)
    env = gym.make("StateSet/Conversation-v0", scenarios=SCENARIOS, reward_fn=length)
    env.reset(seed=1, options={"scenario_id": "refund"})
    env.step("No")
    twin = pickle.loads(pickle.dumps(env.unwrapped.get_state()))
    other = gym.make("StateSet/Conversation-v0", scenarios=SCENARIOS, reward_fn=length).unwrapped
    other.set_state(twin)
    assert other.step("Because") == env.step("Because")


def test_a_copy_goes_on_whatever_became_of_the_list_or_file(tmp_path):
    for source in (lists := json.loads(json.dumps(SCENARIOS)), tmp_path / "mine.json"):
        (tmp_path / "mine.json").write_text(json.dumps(SCENARIOS), encoding="utf-8")
        env = ConversationEnvironment(source, reward_fn=length)
        env.reset(seed=1, options={"scenario_id": "refund"})
        env.step("No")
        lists[0]["user_responses"][:] = ["Other"] * 3
        (tmp_path / "mine.json").write_text("[]", encoding="utf-8")
        twin = pickle.loads(pickle.dumps(env))
        assert twin.step("Because") == env.step("Because")
        assert twin.step("So")[1] == env.step("So")[1] > 0


def test_any_mark_of_order_and_line_end_is_read(tmp_path):
    line = json.dumps({"id": "a", "user_responses": ["one\u2028two"]}, ensure_ascii=False)
    (tmp_path / "a.JSONL").write_text("\ufeff" + line + "\r\n", encoding="utf-8")
    assert ConversationEnvironment(tmp_path / "a.JSONL").reset()[0] == "one\u2028two"
    (tmp_path / "b.yaml").write_bytes(b"- id: \xff")
    with pytest.raises(ValueError, match=r"b\.yaml is not UTF-8 .*at byte 6"):
        ConversationEnvironment(tmp_path / "b.yaml")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_batch_plays_to_the_end_and_rewards(mode):
    envs = gym.make_vec(
        "StateSet/Conversation-v0", num_envs=2, scenarios=SCENARIOS[1:], reward_fn=length, autoreset_mode=mode
    )
    envs.reset(seed=0)
    _, rewards, terminated, _, infos = envs.step(["abc", "d"])
    assert rewards.tolist() == [3.0, 1.0] and terminated.all()
    final = infos["final_info"] if mode is AutoresetMode.SAME_STEP else infos
    assert final["reward_terms"]["length"].tolist() == [3.0, 1.0]


def test_a_batch_agrees_with_single_environments():
    envs = gym.make_vec(
        "StateSet/Conversation-v0", num_envs=3, scenarios=SCENARIOS, autoreset_mode=AutoresetMode.DISABLED
    )
    observations, _ = envs.reset(seed=[1, 2, 3])
    singles = [gym.make("StateSet/Conversation-v0", scenarios=SCENARIOS) for _ in range(3)]
    assert observations == tuple(env.reset(seed=seed)[0] for seed, env in enumerate(singles, 1))
    assert envs.step(["a", "b", "c"])[0] == tuple(env.step("x")[0] for env in singles)


def test_a_reward_that_is_missing_is_none_and_is_told():
    def away(turns, context=None):
        raise MissingReward("the judge is away")

    scenario = {"id": "a", "user_responses": ["Hi"]}
    env = ConversationEnvironment([scenario], reward_fn=away)
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step("Hello!")
    assert (reward, terminated, info["reward_terms"]) == (0.0, True, {})
    assert info["audit"]["missing"] == {"away": "the judge is away"}
    env = ConversationEnvironment([scenario], reward_fn=CompositeReward([away, lambda turns, context: 0.5]))
    env.reset(seed=1)
    assert env.step("Hello!")[1] == 0.5
