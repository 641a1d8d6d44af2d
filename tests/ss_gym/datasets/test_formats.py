"""Logs in each form are told from the others and read; real ones as they were published."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.formats import FORMATS, conversation_in, format_of
from ss_gym.datasets.records import Place, RecordError
from ss_gym.wrappers.trajectories import encode_line
from tests.ss_gym.datasets.logs import call, chat, episode, real_log, said

HERE = Place("log", 1)
SHAREGPT = {
    "id": "s1",
    "system": "Be brief.",
    "conversations": [
        {"from": "human", "value": "Where is order 17?"},
        {"from": "function_call", "value": '{"name": "get_order", "arguments": {"order_id": "17"}}', "reward": 0.25},
        {"from": "observation", "value": '{"found": true}'},
        {"from": "gpt", "value": "On its way."},
    ],
}
TAU = {
    "task_id": 3,
    "trial": 1,
    "reward": 1.0,
    "info": {"task": {"user_id": "mia_li_3668", "instruction": "You are Mia."}, "reward_info": {"r_actions": 1.0}},
    "traj": [
        {"role": "system", "content": "# Policy"},
        *said("Hi!", "Your id?"),
        {"role": "user", "content": "mia_li_3668 ###STOP###"},
    ],
}
TAU2 = {
    "id": "run-1",
    "task_id": "5",
    "trial": 0,
    "seed": 300,
    "termination_reason": "user_stop",
    "reward_info": {"reward": 1.0, "db_check": None},
    "messages": [
        {"role": "assistant", "content": "Hi! How can I help?", "tool_calls": None, "cost": 0.0},
        {"role": "user", "content": "No signal.", "tool_calls": None},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "name": "look", "arguments": {"x": 1}, "requestor": "assistant"}],
        },
        {"role": "tool", "id": "a", "content": "ok", "requestor": "assistant", "error": False},
        {"role": "assistant", "content": "Restart it."},
        {
            "role": "user",
            "content": None,
            "tool_calls": [{"id": "b", "name": "restart", "arguments": {}, "requestor": "user"}],
        },
        {"role": "tool", "id": "b", "content": "done", "requestor": "user"},
        {"role": "user", "content": "Works. ###STOP###"},
    ],
}
SGD = {
    "dialogue_id": "1_00000",
    "services": ["Restaurants_1"],
    "turns": [
        {"speaker": "USER", "utterance": "Hungry.", "frames": [{"actions": [{"act": "INFORM_INTENT"}]}]},
        {
            "speaker": "SYSTEM",
            "utterance": "71 Saint Peter.",
            "frames": [
                {
                    "actions": [{"act": "OFFER"}],
                    "service_call": {"method": "FindRestaurants", "parameters": {"city": "San Jose"}},
                    "service_results": [{"name": "71 Saint Peter"}],
                }
            ],
        },
    ],
}
NATIVE = json.loads(encode_line(episode()))
ALL = {"stateset": NATIVE, "openai": chat(), "sharegpt": SHAREGPT, "tau_bench": TAU, "tau2_bench": TAU2, "sgd": SGD}


def read(values: Any, header: Any = None, name: str = "") -> Any:
    return conversation_in(FORMATS[name] if name else format_of(values), values, HERE, header or {})


@pytest.mark.parametrize("name", ALL)
def test_each_format_is_told_from_the_others(name: str) -> None:
    assert format_of(ALL[name]).name == name
    assert read(ALL[name]) == read(ALL[name], name=name)


def test_a_record_of_a_chat_tells_what_its_fields_say() -> None:
    record = chat(
        id="c1",
        reward=0.5,
        success=False,
        task_id="t1",
        customer_id=7,
        score=0.8,
        truncated=True,
        tools=[{"type": "function"}],
        metadata={"channel": "e-mail"},
    )
    conversation = read(record)
    assert (conversation.id, conversation.scenario, conversation.customer) == ("c1", "t1", "7")
    assert (conversation.rewards, conversation.success, conversation.score) == ((0.5,), False, 0.8)
    assert (conversation.episode.terminated, conversation.episode.truncated) == (False, True)
    assert conversation.episode.tools == ({"type": "function"},) and conversation.metadata == {"channel": "e-mail"}
    assert read(said("Hi!", "Yes?")).messages == tuple(said("Hi!", "Yes?"))
    assert read(chat(success=1)).success is True


def test_sharegpt_is_read_with_its_calls() -> None:
    conversation = read(SHAREGPT)
    assert [message["role"] for message in conversation.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert conversation.messages[2]["tool_calls"] == [call("get_order", '{"order_id":"17"}', "call_3_0")]
    assert conversation.messages[3]["tool_call_id"] == "call_3_0"
    assert conversation.rewards == (0.25, 0.0) and conversation.turns == 1


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"value": "Hi!"}, "message 1 has no 'from'"),
        ({"from": "martian", "value": "Hi!"}, "message 1 is from 'martian'; known are system, human"),
        ({"from": "function_call", "value": "{"}, "the function_call of message 1 is no JSON"),
        ({"from": "human"}, "message 1 of the user has neither a content"),
    ],
)
def test_what_is_wrong_with_a_message_of_sharegpt_is_named(message: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        read({"conversations": [message]}, name="sharegpt")


def test_a_run_of_tau_bench_is_read() -> None:
    conversation = read(TAU)
    assert conversation.id == "tau_bench/mia_li_3668/3/trial-1"
    assert (conversation.scenario, conversation.customer) == ("tau_bench/mia_li_3668/3", "tau_bench/mia_li_3668")
    assert (conversation.success, conversation.rewards) == (True, (1.0,))
    assert conversation.episode.terminated and conversation.episode.audit == {"r_actions": 1.0}
    cut = read({**TAU, "reward": 0.0, "traj": TAU["traj"][:-1]})
    assert (cut.success, cut.episode.terminated, cut.episode.truncated) == (False, False, True)


def test_a_simulation_of_tau2_bench_is_read_as_the_agent_saw_it() -> None:
    head = {"info": {"environment_info": {"domain_name": "telecom", "policy": "# Policy"}}}
    conversation = read(TAU2, head)
    roles = [message["role"] for message in conversation.messages]
    assert roles == ["system", "assistant", "user", "assistant", "tool", "assistant", "user"]
    assert conversation.actions == ('<tool_call>{"name": "look", "arguments": {"x":1}}</tool_call>', "Restart it.")
    assert (conversation.scenario, conversation.success, conversation.rewards) == (
        "tau2_bench/telecom/5",
        True,
        (0.0, 1.0),
    )
    assert conversation.episode.system_prompt == "# Policy" and conversation.episode.seed == 300
    limited = read({**TAU2, "termination_reason": "max_steps", "reward_info": {"reward": 0.0}}, head)
    assert (limited.success, limited.episode.truncated) == (False, True)
    failed = read({**TAU2, "termination_reason": "infrastructure_error", "reward_info": {"reward": 0.0}}, head)
    assert (failed.success, failed.rewarded) == (None, False)
    both = {"role": "tool", "tool_messages": [{**TAU2["messages"][3]}, {**TAU2["messages"][6]}]}
    several = read({**TAU2, "messages": [*TAU2["messages"][:3], both]}, head)
    assert [message["content"] for message in several.messages[-1:]] == ["ok"]
    with pytest.raises(RecordError, match="simulations of voice are not read"):
        read({**TAU2, "messages": None})


def test_a_file_of_tau2_bench_gives_its_policy_to_each_simulation(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    head = {"info": {"environment_info": {"domain_name": "telecom", "policy": "# Policy"}}, "tasks": [{"id": "5"}]}
    path.write_text(json.dumps({**head, "simulations": [TAU2, {**TAU2, "id": "run-2", "trial": 1}]}, indent=2))
    dataset = ConversationDataset.from_json(path)
    assert [one.id for one in dataset] == ["run-1", "run-2"]
    assert {one.episode.system_prompt for one in dataset} == {"# Policy"} and dataset[1].line > dataset[0].line


def test_a_dialogue_of_sgd_is_read_with_the_calls_of_its_services() -> None:
    conversation = read(SGD)
    assert [message["role"] for message in conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert (
        conversation.actions[0]
        == '<tool_call>{"name": "FindRestaurants", "arguments": {"city":"San Jose"}}</tool_call>'
    )
    assert conversation.messages[2]["content"] == '[{"name":"71 Saint Peter"}]'
    assert conversation.metadata == {"services": ["Restaurants_1"], "acts": [["INFORM_INTENT"], ["OFFER"]]}
    assert not conversation.rewarded and conversation.id == "1_00000"


_OTHER_KEYS = "role content from value tool_calls function name arguments logprobs utterance speaker frames requestor"
_KEYS = st.sampled_from(sorted({key for record in ALL.values() for key in record} | set(_OTHER_KEYS.split())))
_SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=3)
_JSON = st.recursive(
    _SCALARS | st.sampled_from(["user", "assistant", "tool"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=12,
)
_FIELDS = st.sampled_from(["messages", "conversations", "traj", "turns", "info", "reward_info", "tokens"])


@pytest.mark.parametrize("name", FORMATS)
@given(values=_JSON, field=_FIELDS, base=st.booleans())
def test_nothing_else_than_a_named_error_comes_of_any_record(name: str, values: Any, field: str, base: bool) -> None:
    record = {**ALL[name], field: values} if base else values
    for form in (name, "openai"):
        try:
            conversation = read(record, name=form)
        except RecordError:
            continue
        assert conversation.actions and len(conversation.rewards) == len(conversation.actions)


def test_real_runs_of_tau_bench_are_read() -> None:
    dataset = ConversationDataset.from_json(real_log("tau_bench_gpt4o_airline.json.gz"))
    statistics = dataset.statistics()
    assert (statistics.conversations, statistics.scenarios, statistics.customers) == (200, 50, 34)
    assert (statistics.successes, statistics.judged, statistics.terminated, statistics.truncated) == (84, 200, 195, 5)
    assert statistics.returns is not None and statistics.returns.mean == pytest.approx(0.42)
    assert sum(use.calls for use in statistics.tools.values()) == 1164 and statistics.steps is not None
    assert statistics.steps.mean * 200 == 1290 + 1164 and not statistics.skips
    attempts = {scenario: 0 for scenario in {one.scenario for one in dataset}}
    for conversation in dataset:
        attempts[conversation.scenario] += 1
    assert set(attempts.values()) == {4}


def test_real_transcripts_of_tau_bench_are_read_without_the_calls_that_they_do_not_tell() -> None:
    path = real_log("tau_bench_retail_few_shot.jsonl.gz")
    dataset = ConversationDataset.from_jsonl(path)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["messages_display"] for line in file]
    assert len(dataset) == len(texts) == 69
    for conversation, text in zip(dataset, texts, strict=True):
        roles = [message["role"] for message in conversation.messages]
        hidden = text.count("\nassistant: None\n")
        assert (
            hidden > 0
            and len(roles) == sum(text.count(f"\n{role}: ") for role in ("user", "assistant", "tool")) + 1 - hidden
        )
        assert "None" not in conversation.actions and not conversation.rewarded


def test_real_dialogues_of_sgd_are_read() -> None:
    dataset = ConversationDataset.from_jsonl(real_log("sgd_dialogues.jsonl.gz"))
    assert len(dataset) == 3712 and int(dataset.turns.sum()) == 53_698 // 2
    first = dataset[0]
    assert first.id == "train/1_00000" and len(first.metadata["acts"]) == len(first.messages)
    assert dataset.statistics().rewarded == 0
