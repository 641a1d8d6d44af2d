"""Episodes are kept as they were played, survive a crash, and are read back with errors that name the line."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.wrappers import (
    DomainRandomization,
    MenuAction,
    RecordedTokens,
    RecordedTrajectory,
    RecordTrajectories,
    TurnPenalty,
    read_trajectories,
)
from ss_gym.wrappers.trajectories import encode_line
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, MENU, REFUND
from tests.ss_trainers.toy_env import register

SAID = ("Your e-mail, please? 😀", LOOK_UP, "<tool_call>{", CLOSE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "episodes.jsonl"


def play(env: gym.Env[Any, Any], said: tuple[Any, ...] = SAID, **keywords: Any) -> tuple[list[Any], list[Any]]:
    """What reset and the steps gave."""
    return list(env.reset(**keywords)), [env.step(action) for action in said]


def test_an_episode_is_kept_as_it_was_played(path: Path) -> None:
    env = RecordTrajectories(TurnPenalty(gym.make(REFUND), 0.5), path)
    (_, opening), steps = play(env, seed=3, options={"user_seed": 5})
    (kept,) = read_trajectories(path)
    last = steps[-1][4]
    assert kept == RecordedTrajectory(
        env_id=REFUND,
        scenario_id=opening["scenario_id"],
        seed=3,
        options={"user_seed": 5},
        messages=(
            {"role": "system", "content": opening["system_prompt"]},
            *opening["messages"],
            *(message for step in steps for message in step[4]["messages"]),
        ),
        actions=SAID,
        rewards=tuple(step[1] for step in steps),
        reward_terms=tuple(step[4]["reward_terms"] for step in steps),
        terminated=True,
        truncated=False,
        success=False,
        audit=json.loads(json.dumps(last["audit"])),
    )
    assert kept.audit and "turn_penalty" in kept.reward_terms[0]
    assert kept.total_reward == pytest.approx(sum(last["episode_terms"].values()))


def test_the_record_plays_the_same_episode_again(path: Path) -> None:
    play(RecordTrajectories(gym.make(REFUND), path), seed=3, options={"user_seed": 5})
    (kept,) = read_trajectories(path)
    env = gym.make(kept.env_id)
    env.reset(options={"scenario_id": kept.scenario_id, **kept.options})
    assert [env.step(action)[1] for action in kept.actions] == list(kept.rewards)


def test_records_are_trajectories_for_trainers(path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND), path, keep_tools=True)
    (_, opening), _ = play(env, seed=3)
    (kept,) = read_trajectories(path)
    assert list(kept.tools) == opening["tools"]
    trajectory = kept.trajectory()
    assert trajectory.system_prompt == opening["system_prompt"]
    assert [turn.reward for turn in trajectory.turns if turn.role == "assistant"] == list(kept.rewards)
    assert trajectory.total_reward == kept.total_reward == pytest.approx(sum(trajectory.reward_terms.values()))
    assert (trajectory.scenario_id, trajectory.success) == (opening["scenario_id"], False)
    assert trajectory.turns[0].content == opening["messages"][0]["content"]


def test_a_greeting_of_the_agents_is_none_of_its_actions() -> None:
    said = [{"role": role, "content": text} for role, text in (("assistant", "Welcome!"), ("user", "Hi!"))]
    answer = {"role": "assistant", "content": "Yes?"}
    kept = RecordedTrajectory("", "", None, {}, (*said, answer), ("Yes?",), (1.0,), ({},), True, False)
    assert [turn.reward for turn in kept.trajectory().turns] == [0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="there are 1 actions and 0 messages of the agent"):
        RecordedTrajectory("", "", None, {}, (), ("Yes?",), (1.0,), ({},), True, False).trajectory()


def test_episodes_are_appended_one_a_line(path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND), path)
    for seed in range(3):
        play(env, seed=seed)
    env.close()
    first = path.read_bytes()
    assert first.count(b"\n") == 3
    again = RecordTrajectories(gym.make(REFUND, max_turns=1), path)
    play(again, ("Hello!",), seed=3)
    assert path.read_bytes().startswith(first)
    kept = list(read_trajectories(path))
    assert [one.seed for one in kept] == [0, 1, 2, 3]
    assert (kept[3].terminated, kept[3].truncated) == (False, True)


def test_unfinished_episodes_are_kept_only_where_asked(path: Path, tmp_path: Path) -> None:
    for keep_partial, expected in ((False, [2]), (True, [1, 2, 4])):
        file = tmp_path / f"{keep_partial}.jsonl"
        env = RecordTrajectories(gym.make(REFUND), file, keep_partial=keep_partial)
        play(env, SAID[:2], seed=1)
        play(env, seed=2)
        play(env, (), seed=3)  # nothing was done
        play(env, SAID[:1], seed=4)
        env.close()
        kept = list(read_trajectories(file))
        assert [one.seed for one in kept] == expected
        assert [one.terminated or one.truncated for one in kept] == [one.seed == 2 for one in kept]


def test_odd_values_are_written_in_json_or_refused(path: Path) -> None:
    env = RecordTrajectories(DomainRandomization(gym.make(REFUND), lambda rng: {}), path)
    play(env, ("\ud800 half a pair", CLOSE), seed=3, options={"user_seed": np.int64(5)})
    (kept,) = read_trajectories(path)
    assert kept.actions[0] == "\ud800 half a pair" and kept.seed == 3 and kept.options == {"user_seed": 5}

    class Odd(gym.Wrapper[Any, Any, Any, Any]):
        reward: Any = 0.0
        audit: Any = None

        def step(self, action: Any) -> Any:
            observation, _, terminated, truncated, info = self.env.step(action)
            return observation, self.reward, terminated, truncated, {**info, "audit": {"what": self.audit}}

    odd = Odd(gym.make(REFUND))
    env = RecordTrajectories(odd, path)
    odd.reward = float("nan")
    with pytest.raises(ValueError, match="can't be recorded: a reward or another number is not finite"):
        play(env, (CLOSE,), seed=1)
    odd.reward, odd.audit = 0.0, object()
    with pytest.raises(TypeError, match=r"can't be recorded: object .* has no JSON form"):
        play(env, (CLOSE,), seed=1)
    odd.audit = {"set": {2, 1}, "array": np.arange(2)}
    play(env, (CLOSE,), seed=1)
    assert [one.audit for one in read_trajectories(path)][1:] == [{"what": {"set": [1, 2], "array": [0, 1]}}]


def test_what_one_does_with_an_info_does_not_change_the_record(path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND), path)
    _, info = env.reset(seed=3, options=(options := {"user_seed": 5}))
    options["user_seed"] = 6
    info["messages"][0]["content"] = "?"
    *_, info = env.step(LOOK_UP)
    info["messages"][0]["tool_calls"][0]["function"]["name"] = "?"
    info["reward_terms"]["?"] = 1.0
    env.step(CLOSE)
    play(RecordTrajectories(gym.make(REFUND), path), (LOOK_UP, CLOSE), seed=3, options={"user_seed": 5})
    first, second = read_trajectories(path)
    assert first == second


def test_numbers_are_kept_under_a_menu(path: Path) -> None:
    env = RecordTrajectories(MenuAction(gym.make(REFUND), MENU), path)
    play(env, (np.int64(0), 1, 2), seed=1)
    (kept,) = read_trajectories(path)
    assert kept.actions == (0, 1, 2)
    assert [kept.messages[place]["content"] for place in kept.own_places] == [MENU[0], "", ""]


def test_environments_of_others_are_recorded(path: Path) -> None:
    env = RecordTrajectories(gym.make(register(), disable_env_checker=True), path)
    play(env, ("aa", "bb"), seed=1)
    (kept,) = read_trajectories(path)
    assert [message["role"] for message in kept.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert (kept.env_id, kept.scenario_id, kept.success) == ("Toy/SayTheLetter-v0", "", kept.rewards[1] > 0.5)


def test_an_episode_whose_state_was_set_is_not_written(path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND), path)
    env.reset(seed=1)
    env.step(SAID[0])
    env.set_state(env.get_state())
    env.step(CLOSE)
    assert list(read_trajectories(path)) == []


def test_copies_share_the_file(path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND), path)
    env.reset(seed=1)
    for one in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env), env):
        one.step(CLOSE)
    first, second, third = read_trajectories(path)
    assert first == second == third


def recorded(path: Path, seeds: tuple[int, ...] = (1, 2, 3)) -> bytes:
    env = RecordTrajectories(gym.make(REFUND), path)
    for seed in seeds:
        play(env, (CLOSE,), seed=seed)
    env.close()
    return path.read_bytes()


@pytest.mark.parametrize("left", [1, 30, 500, -2])
def test_what_a_crash_left_of_a_line_is_taken_off(path: Path, left: int) -> None:
    whole = recorded(path)
    *before, last = whole.splitlines(keepends=True)
    cut = last[:left]
    path.write_bytes(b"".join(before) + cut)
    with pytest.raises(ValueError, match=r"episodes.jsonl, line 3: the last line was cut short; recording into"):
        list(read_trajectories(path))
    assert [one.seed for one in read_trajectories(path, skip_cut=True)] == [1, 2]
    with pytest.warns(RuntimeWarning, match=rf"the last line was cut short.*removed its {len(cut)} bytes") as caught:
        env = RecordTrajectories(gym.make(REFUND), path)
    assert caught[0].filename == __file__
    play(env, (CLOSE,), seed=4)
    assert [one.seed for one in read_trajectories(path)] == [1, 2, 4]
    assert path.read_bytes().startswith(b"".join(before))


def test_a_whole_line_without_its_break_is_kept(path: Path) -> None:
    whole = recorded(path)
    path.write_bytes(whole[:-1])
    with pytest.warns(RuntimeWarning, match="only the line break was missing"):
        RecordTrajectories(gym.make(REFUND), path)
    assert path.read_bytes() == whole


def test_a_crash_in_the_first_line_leaves_an_empty_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(recorded(path, (1,))[:100])
    with pytest.warns(RuntimeWarning, match="removed its 100 bytes"):
        RecordTrajectories(gym.make(REFUND), path)
    assert path.read_bytes() == b""


def test_a_long_line_that_was_cut_is_found(path: Path) -> None:
    whole = recorded(path)
    start = whole.rstrip().rfind(b"\n") + 1
    path.write_bytes(whole[:start] + whole[start:].rstrip() + b"x" * 300_000)
    with pytest.warns(RuntimeWarning, match=r"removed its 3\d{5} bytes"):
        RecordTrajectories(gym.make(REFUND), path)
    assert path.read_bytes() == whole[:start]


@pytest.mark.parametrize("content", [b"notes to keep", b'{"format":"other"}\n', b"\n"])
def test_a_file_of_somebody_else_is_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds something else than recorded episodes: record into another file"):
        RecordTrajectories(gym.make(REFUND), path)
    assert path.read_bytes() == content


def test_a_disk_that_is_full_is_told_and_the_file_mended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = RecordTrajectories(gym.make(REFUND), path)
    play(env, (CLOSE,), seed=1)

    class Full(FileIO):
        def write(self, line: Any) -> int:
            return super().write(line[: len(line) // 2])

    env._file.close()
    with monkeypatch.context() as patch:
        patch.setattr("ss_gym.wrappers.trajectories.FileIO", Full)
        with pytest.raises(OSError, match="an episode was not written in full; is the disk full"):
            play(env, (CLOSE,), seed=2)
    with pytest.warns(RuntimeWarning, match="the last line was cut short"):
        play(env, (CLOSE,), seed=3)
    assert [one.seed for one in read_trajectories(path)] == [1, 3]


def broken(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def changed(line: bytes) -> bytes:
        values = json.loads(line)
        given = change(values)
        return json.dumps(values if given is None else given).encode() + b"\n"

    return changed


def tokens(**changes: Any) -> dict[str, Any]:
    """What an episode of one step has of tokens, with changes."""
    return {"prompt_ids": [1], "message_ids": [[2], [3, 0], []], "logprobs": [[-0.5, -0.25]], **changes}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda line: b"{\n", "this is no JSON"),
        (lambda line: b"\n", "this is no JSON"),
        (lambda line: b"\xff\n", "this is no JSON"),
        (broken(lambda values: [1]), "its format is none, expected 'stateset-trajectory/1'"),
        (broken(lambda values: values.update(format="x/2")), "its format is 'x/2'"),
        (broken(lambda values: values.pop("audit") and None), "'audit' is missing"),
        (broken(lambda values: values.update(terminated=1)), "'terminated' must be true or false, got 1"),
        (broken(lambda values: values.update(seed=True)), "'seed' must be an integer or null, got True"),
        (broken(lambda values: values.update(rewards=["1"])), "'rewards' must be a list of numbers"),
        (broken(lambda values: values.update(rewards=[True])), "'rewards' must be a list of numbers"),
        (broken(lambda values: values.update(rewards=[])), "one action, reward and reward terms a step"),
        (broken(lambda values: values.update(messages=[{"role": "user"}])), "a message has a role and a content"),
        (
            broken(lambda values: values.update(messages=[{"role": "assistant", "content": "", "tool_calls": 7}])),
            "tool_calls of a message must be a list, got 7",
        ),
        (broken(lambda values: values.update(tokens=[])), "'tokens' must have prompt_ids"),
        (broken(lambda values: values.update(tokens=tokens(prompt_ids=[True]))), "'tokens' must have prompt_ids"),
        (broken(lambda values: values.update(tokens=tokens(message_ids=[["1"]]))), "'tokens' must have message_ids"),
        (broken(lambda values: values.update(tokens=tokens(logprobs=[[None]]))), "'tokens' must have logprobs"),
        (broken(lambda values: values.update(tokens=tokens(logprobs=[]))), "log-probabilities for each of"),
        (broken(lambda values: values.update(tokens=tokens(message_ids=[[1]]))), "token ids, or an empty list"),
    ],
)
def test_a_line_that_is_no_episode_is_named(path: Path, change: Callable[[bytes], bytes], says: str) -> None:
    first, second, third = recorded(path).splitlines(keepends=True)
    path.write_bytes(first + change(second) + third)
    kept = read_trajectories(path)
    assert next(kept).seed == 1
    with pytest.raises(ValueError, match=rf"episodes.jsonl, line 2: .*{says}"):
        next(kept)


def test_the_ids_that_an_agent_sampled_are_kept_with_the_episode(path: Path) -> None:
    said = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"})
    own, answer = {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Bye!"}
    ids = RecordedTokens((1, 2), ((3,), (4, 0), ()), ((-0.5, -0.1 - 0.2),))
    kept = RecordedTrajectory("", "", None, {}, (*said, own, answer), ("Yes?",), (1.0,), ({},), True, False, tokens=ids)
    path.parent.mkdir()
    path.write_bytes(encode_line(kept))
    assert list(read_trajectories(path)) == [kept]
    played = kept.trajectory()
    assert played.prompt_ids == (1, 2)
    assert [turn.token_ids for turn in played.turns] == [(3,), (4, 0), ()]
    assert [turn.logprobs for turn in played.turns] == [None, (-0.5, -0.1 - 0.2), None]
    assert b"tokens" not in encode_line(replace(kept, tokens=None))


def test_formats_and_files_that_are_none_are_told(path: Path) -> None:
    with pytest.raises(ValueError, match=r"ss_gym\.wrappers\.minari\.to_minari makes a Minari dataset"):
        RecordTrajectories(gym.make(REFUND), path, format="minari")
    with pytest.raises(ValueError, match="format must be 'jsonl', got 'csv'"):
        RecordTrajectories(gym.make(REFUND), path, format="csv")
    with pytest.raises(FileNotFoundError):
        list(read_trajectories(path))
