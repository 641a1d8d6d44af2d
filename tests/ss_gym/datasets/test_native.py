"""What this package writes is read without loss, and what is read can be written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ss_gym  # noqa: F401  (registers the environments)
from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.messages import logged
from ss_gym.datasets.native import conversation_of, encoded, episode_of, read_native
from ss_gym.datasets.records import Place, RecordError
from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_gym.wrappers import RecordedTokens, RecordTrajectories, read_trajectories
from ss_gym.wrappers.trajectories import FORMAT, TrajectoryFile
from tests.ss_gym.datasets.logs import call, episode, lines, said

PLACE = Place("log.jsonl", 3)
CLOSE = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'


def test_recorded_episodes_are_read_without_loss(tmp_path: Path) -> None:
    env = RecordTrajectories(gym.make("StateSet/Refund-v0"), tmp_path / "log.jsonl")
    for seed in range(3):
        env.reset(seed=seed, options={"user_seed": 5})
        env.step("Your e-mail, please?")
        env.step(CLOSE)
    env.close()
    dataset = ConversationDataset.from_jsonl(tmp_path / "log.jsonl")
    kept = list(read_trajectories(tmp_path / "log.jsonl"))
    assert [one.episode for one in dataset] == kept and len(kept) == 3
    assert [one.scenario for one in dataset] == [one.scenario_id for one in kept]
    assert list(dataset.returns) == [one.total_reward for one in kept]
    assert dataset.statistics().formats == {"stateset": 1}


def test_token_ids_and_log_probabilities_come_to_the_trainers_as_they_were_recorded(tmp_path: Path) -> None:
    collation = pytest.importorskip("ss_trainers.collate", reason="needs torch (the extra train)")
    file = TrajectoryFile(tmp_path / "log.jsonl")
    for number in (0, 0, 1):
        file.append(episode(number))
    file.close()
    dataset = ConversationDataset.from_jsonl(tmp_path / "log.jsonl")
    assert dataset[0].behavior_logprobs == (pytest.approx(-0.6 - 1e-9), -0.25)
    batch = collation.collate(list(dataset.trajectories()))
    assert batch.prefix.tolist() == [1] and batch.input_ids[0].tolist() == [2, 3, 4, 5, 0, 6, 7, 0]
    assert batch.behavior_logprobs[0].tolist() == pytest.approx([0, 0, -0.5, -0.1, -1e-9, 0, -0.25, 0])
    assert batch.turn_rewards[0].tolist() == [-0.02, 1.0] and batch.successes.tolist() == [True] * 3
    assert batch.group_ids[0] == batch.group_ids[1] != batch.group_ids[2]


def test_what_a_log_tells_besides_is_written_and_read(tmp_path: Path) -> None:
    first = logged(said("Hi!", "Yes?"), id="c1", scenario="s", customer="ann", score=0.5, metadata={"channel": "web"})
    second = replace(logged(said("Hi!", "No.")), action_logprobs=(-1.5,), source="x", line=1)
    dataset = ConversationDataset.from_trajectories([first, second, conversation_of(episode(), PLACE)])
    for name in ("log.jsonl", "folder/log.jsonl.gz"):
        path = dataset.to_jsonl(tmp_path / name)
        again = ConversationDataset.from_jsonl(path)
        for number, (one, other) in enumerate(zip(again, dataset, strict=True), 1):
            assert one == replace(other, id=other.id or f"{path}, line {number}", source=str(path), line=number)
    assert [one.actions for one in read_trajectories(tmp_path / "log.jsonl")] == [one.actions for one in dataset]
    assert (tmp_path / "folder" / "log.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_a_log_grows_line_by_line_with_what_it_tells_besides(tmp_path: Path) -> None:
    file = TrajectoryFile(tmp_path / "log.jsonl")
    told = {"agent": "lenient", "decisions": [[["asks_consent", False]]]}
    for number in (1, 2):
        one = conversation_of(episode(number), PLACE, {"id": f"c{number}"})
        file.append_line(encoded(replace(one, action_logprobs=(-0.5, 0.0), metadata=told)))
    file.close()
    dataset = ConversationDataset.from_jsonl(tmp_path / "log.jsonl")
    assert [(one.id, one.behavior_logprobs, one.metadata) for one in dataset] == [
        ("c1", (-0.5, 0.0), told),
        ("c2", (-0.5, 0.0), told),
    ]
    assert (
        [one.episode for one in dataset] == list(read_trajectories(tmp_path / "log.jsonl")) == [episode(1), episode(2)]
    )


def test_rewards_are_written_as_they_were_logged(tmp_path: Path) -> None:
    dataset = ConversationDataset.from_trajectories(
        [episode(0), episode(1, rewards=(0.0, 4.0))], ConversationDatasetConfig(normalize_rewards="range")
    )
    assert dataset[1].rewards == (0.0, pytest.approx(4 / 3.02))
    again = ConversationDataset.from_jsonl(dataset.to_jsonl(tmp_path / "log.jsonl"))
    assert again[1].rewards == (0.0, 4.0)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = ConversationDataset.from_trajectories([episode(0)]).to_jsonl(tmp_path / "log.jsonl")
    before = path.read_bytes()
    odd = ConversationDataset.from_trajectories([episode(0), episode(1, audit={"what": object()})])
    with pytest.raises(TypeError, match="has no JSON form"):
        odd.to_jsonl(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"messages": ()}, "empty conversation", "the conversation has no messages"),
        ({"actions": (), "rewards": (), "reward_terms": (), "tokens": None}, "no reply", "the agent does nothing"),
        ({"messages": ({"role": "bot", "content": ""},)}, "unknown role", "message 1 has the role 'bot'"),
        ({"rewards": (0.0, float("inf"))}, "reward not finite", "the rewards must be finite numbers"),
        *[
            (
                {"reward_terms": ({}, {"tone": term})},
                "reward not finite",
                f"reward_terms of step 2 .* got {said}.* 'tone'",
            )
            for term, said in ((float("nan"), "nan"), (float("-inf"), "-inf"), (None, "None"), ("1", "'1'"))
        ],
        (
            {"messages": tuple(said("Hi!", "Yes?")), "tokens": None},
            "broken episode",
            "there are 2 actions and 1 messages",
        ),
        (
            {"messages": ({"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]},)},
            "broken tool call",
            "message 1 has a tool call that is not in OpenAI's form",
        ),
        (
            {"messages": ({"role": "assistant", "content": "", "tool_calls": 7},)},
            "broken tool call",
            "tool_calls of message 1 must be a list, got 7",
        ),
        (
            {"messages": ({"role": "assistant", "content": "", "tool_calls": None},)},
            "broken tool call",
            "tool_calls of message 1 must be a list, got None",
        ),
        (
            {"tokens": RecordedTokens((1, 2), ((3,), (4, 5, 0), (6,), (7, 0), ()), ((-0.5, 0.5, 0.0), (-0.25, 0.0)))},
            "log-probability above 0",
            "a log-probability must be at most 0, got 0.5",
        ),
    ],
)
def test_an_episode_that_can_not_be_learned_from_is_named(changes: Any, reason: str, says: str) -> None:
    with pytest.raises(RecordError, match=says) as caught:
        conversation_of(episode(0, **changes), PLACE)
    assert caught.value.reason == reason
    with pytest.raises(ValueError, match=f"trajectories, number 2: .*{says}"):
        ConversationDataset.from_trajectories([episode(0), episode(0, **changes)])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": "other/1"}, "no recorded episode: its format is 'other/1', expected"),
        ({"format": FORMAT}, "'env_id' is missing"),
    ],
)
def test_a_line_that_is_no_episode_is_named(values: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        read_native(values, PLACE, {})


@pytest.mark.parametrize(
    ("besides", "says"),
    [
        ({"action_logprobs": [-1.0]}, "action_logprobs must be a number for each action"),
        ({"action_logprobs": [-1.0, 0.5]}, "a log-probability must be at most 0, got 0.5"),
        ({"score": float("nan")}, "the score must be a finite number"),
    ],
)
def test_what_is_told_besides_is_checked(besides: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        conversation_of(episode(), PLACE, besides)


@pytest.mark.parametrize(
    ("calls", "reason", "says"),
    [
        *[(calls, "broken episode", "must be a list") for calls in (7, "look_up", {"name": "look_up"}, None)],
        *[(calls, "broken tool call", "message 3 has a tool call that is not") for calls in ([7], [{"function": 7}])],
    ],
)
def test_a_line_with_broken_tool_calls_is_named_or_skipped_and_counted(
    calls: Any, reason: str, says: str, tmp_path: Path
) -> None:
    whole = json.loads(encoded(conversation_of(episode(1), PLACE)))
    broken = json.loads(encoded(conversation_of(episode(2), PLACE)))
    broken["messages"][2]["tool_calls"] = calls
    path = lines(tmp_path / "log.jsonl", [whole, broken])
    with pytest.raises(ValueError, match=rf"log\.jsonl, line 2: .*{says}"):
        ConversationDataset.from_jsonl(path)
    kept = ConversationDataset.from_jsonl(path, ConversationDatasetConfig(on_error="skip"))
    assert len(kept) == 1 and kept.statistics().skips[reason].times == 1


@pytest.mark.parametrize("term", [float("nan"), float("inf")])
def test_a_line_with_a_reward_term_that_is_not_finite_is_named_or_skipped_and_counted(
    term: float, tmp_path: Path
) -> None:
    records = [json.loads(encoded(conversation_of(episode(number), PLACE))) for number in (1, 2)]
    records[1]["reward_terms"][0]["tone"] = term
    path = lines(tmp_path / "log.jsonl", records)
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2: reward_terms of step 1 must be finite numbers"):
        ConversationDataset.from_jsonl(path)
    kept = ConversationDataset.from_jsonl(path, ConversationDatasetConfig(on_error="skip"))
    assert kept.statistics().skips["reward not finite"].times == 1
    assert len(ConversationDataset.from_jsonl(kept.to_jsonl(tmp_path / "kept.jsonl"))) == 1


def test_a_reward_term_may_tell_that_something_happened(tmp_path: Path) -> None:
    dataset = ConversationDataset.from_trajectories(
        [episode(1, reward_terms=({}, {"helped": True, "kind": np.bool_(True)}))]
    )
    assert dataset[0].trajectory().reward_terms == {"helped": 1.0, "kind": 1.0}
    assert len(ConversationDataset.from_jsonl(dataset.to_jsonl(tmp_path / "log.jsonl"))) == 1


def test_null_is_no_name_of_a_customer_a_scenario_or_a_conversation(tmp_path: Path) -> None:
    told = {"id": None, "customer": None, "scenario": None, "score": None, "metadata": None, "action_logprobs": None}
    records = [json.loads(encoded(conversation_of(episode(number), PLACE))) for number in (1, 2)]
    dataset = ConversationDataset.from_jsonl(lines(tmp_path / "log.jsonl", [{**one, "log": told} for one in records]))
    assert [one.scenario for one in dataset] == ["refund/train/0001", "refund/train/0002"]
    assert [(one.customer, one.metadata) for one in dataset] == [("", {})] * 2
    assert dataset[1].id == f"{tmp_path / 'log.jsonl'}, line 2"
    assert dataset.statistics().customers == 0 and dataset.statistics().scenarios == 2
    # What is written of a task that is not known stays unknown.
    empty = conversation_of(episode(1), PLACE, {"scenario": "", "id": 7})
    assert (empty.scenario, empty.id) == ("", "7")


def test_episodes_of_environments_without_scenarios_are_known_by_their_seeds() -> None:
    one = conversation_of(episode(scenario_id="", seed=7, options={"user_seed": 1}), PLACE)
    other = conversation_of(episode(scenario_id="", seed=7, options={"user_seed": 2}), PLACE)
    another = conversation_of(episode(scenario_id="", seed=7, options={"split": "dev"}), PLACE)
    assert one.scenario == other.scenario == "StateSet/Refund-v0 seed 7" != another.scenario
    assert conversation_of(episode(scenario_id="", seed=None), PLACE).scenario == ""
    # A scenario that was asked for is the task whatever the seed was.
    asked = {"scenario_id": "mondays/7", "user_seed": 1}
    for seed in (7, 8, None):
        assert conversation_of(episode(scenario_id="", seed=seed, options=asked), PLACE).scenario == "mondays/7"


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_IDS = st.lists(st.integers(0, 9), max_size=3).map(tuple)


@st.composite
def trajectories(draw: Any) -> MultiTurnTrajectory:
    """Trajectories of trainers, with and without tokens."""
    tokens, turns = draw(st.booleans()), []
    for role in ("user", *draw(st.lists(st.sampled_from(["user", "assistant", "tool"]), max_size=4)), "assistant"):
        ids = draw(_IDS) if tokens else None
        own = role == "assistant"
        turns.append(
            ConversationTurn(
                role=role,
                content=draw(_TEXT),
                tool_calls=(call(draw(_TEXT.filter(bool))),) if own and draw(st.booleans()) else (),
                tool_call_id="c1" if role == "tool" else "",
                token_ids=ids,
                logprobs=tuple(-0.5 for _ in ids) if own and ids is not None else None,
                reward=draw(st.floats(-2, 2)) if own else 0.0,
            )
        )
    return MultiTurnTrajectory(
        turns=tuple(turns),
        system_prompt=draw(_TEXT),
        prompt_ids=(1, 2) if tokens else None,
        scenario_id=draw(_TEXT),
        reward_terms={"outcome": 1.0},
        success=draw(st.sampled_from([None, True, False])),
        info={"audit": {}},
    )


@given(trajectories())
def test_a_trajectory_of_a_trainer_comes_back_as_it_was(trajectory: MultiTurnTrajectory) -> None:
    assert episode_of(trajectory).trajectory() == trajectory
    (kept,) = ConversationDataset.from_trajectories([trajectory])
    assert replace(kept.trajectory(), group_id=0) == trajectory
    assert read_native(json.loads(encoded(kept)), Place(kept.source, kept.line), {}) == kept


def test_a_trajectory_with_some_tokens_only_is_refused() -> None:
    turns = (ConversationTurn("user", "Hi!"), ConversationTurn("assistant", "Yes?", token_ids=(1,), logprobs=(-1.0,)))
    with pytest.raises(ValueError, match="a trajectory with prompt ids needs token ids on every turn"):
        ConversationDataset.from_trajectories([MultiTurnTrajectory(turns, prompt_ids=(1,))])
    with pytest.raises(TypeError, match="trajectory 1 is str: give RecordedTrajectory or MultiTurnTrajectory"):
        ConversationDataset.from_trajectories(["x"])  # type: ignore[list-item]


def test_what_an_agent_wrote_is_its_action_once_also_where_its_turns_hold_calls_in_both_forms() -> None:
    call = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
    written = '<think>hm</think><tool_call>{"name":"look","arguments":{"at":"it"}}</tool_call>'
    turns = (
        ConversationTurn("user", "Hi!"),
        ConversationTurn("assistant", written, tool_calls=(call,), reward=0.5),
        ConversationTurn("tool", "{}", tool_call_id="call_0"),
        ConversationTurn("assistant", "", tool_calls=(call,), reward=0.5),
    )
    (made,) = ConversationDataset.from_trajectories([MultiTurnTrajectory(turns)])
    assert made.actions == (written, '<tool_call>{"name": "look", "arguments": {"at":"it"}}</tool_call>')
