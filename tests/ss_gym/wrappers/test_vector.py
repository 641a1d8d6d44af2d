"""Around a batch each wrapper does to every row what it does to an environment."""

import copy
import json
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from ss_gym import wrappers
from ss_gym.vector import TextVectorEnv
from ss_gym.wrappers import read_trajectories, vector
from ss_gym.wrappers.batches import row_info
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, MENU, REFUND, characters, replies, to_bytes
from tests.ss_trainers.toy_env import SayTheLetter

TEXTS = ("Your e-mail, please?", LOOK_UP, CLOSE, "One moment.", "<tool_call>{", "")
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "transcript": ("TranscriptObservation", {"max_chars": 900}),
    "chat": ("ChatObservation", {}),
    "tokens": ("TokenObservation", {"tokenizer": to_bytes, "max_length": 300}),
    "features": ("FeatureObservation", {"features": [replies]}),
    "embedding": ("EmbeddingObservation", {}),
    "embedding of observations": ("EmbeddingObservation", {"source": "observation"}),
    "menu": ("MenuAction", {"menu": MENU}),
    "plan": ("PlanContext", {"max_steps": 2}),
    "plan beside everything": ("PlanContext", {"show": "steps", "goal": "a happy customer"}),
    "shaping": ("PotentialShaping", {"potential": characters, "gamma": 0.9}),
    "turn penalty": ("TurnPenalty", {"penalty": 0.25, "free_turns": 1}),
}
PAIRS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    name: (partial(getattr(wrappers, kind), **settings), partial(getattr(vector, kind), **settings))
    for name, (kind, settings) in SETTINGS.items()
}
NUM_ENVS = 3


def build() -> gym.Env[str, str]:
    return gym.make(REFUND, max_turns=3, max_steps=5)


def actions(step: int, space: gym.Space[Any]) -> Any:
    """Rows differ, so that episodes end at different steps."""
    places = [(step + 2 * row + step * row) % len(TEXTS) for row in range(NUM_ENVS)]
    if isinstance(space, gym.spaces.MultiDiscrete):
        return np.array([place % 3 for place in places])
    return tuple(TEXTS[place] for place in places)


def same(left: Any, right: Any) -> bool:
    """Equal in value; numbers up to rounding."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, np.ndarray):
        if left.dtype == object:
            return same(left.tolist(), right.tolist())
        return left.dtype == right.dtype and left.shape == right.shape and bool(np.allclose(left, right))
    return bool(left == right) or (isinstance(left, float) and left == pytest.approx(right))


BATCHES: dict[str, Callable[..., VectorEnv[Any, Any, Any]]] = {"text": TextVectorEnv, "sync": SyncVectorEnv}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", PAIRS)
def test_it_does_to_each_row_what_the_wrapper_does_to_an_environment(
    name: str, batch: str, mode: AutoresetMode
) -> None:
    single, batched = PAIRS[name]
    ours = batched(BATCHES[batch]([build] * NUM_ENVS, autoreset_mode=mode))
    theirs: Any = SyncVectorEnv([lambda: single(build())] * NUM_ENVS, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    assert same(ours.reset(seed=11), theirs.reset(seed=11))
    ended = 0
    for step in range(25):
        mine, others = ours.step(actions(step, ours.action_space)), theirs.step(actions(step, theirs.action_space))
        assert same(mine, others), step
        ended += int((mine[2] | mine[3]).sum())
    assert ended > NUM_ENVS


@pytest.mark.parametrize("name", PAIRS)
def test_episodes_that_have_ended_wait_where_nothing_resets_them(name: str) -> None:
    single, batched = PAIRS[name]
    envs = batched(gym.make_vec(REFUND, num_envs=NUM_ENVS, max_turns=3, max_steps=5,
                                autoreset_mode="Disabled"))  # fmt: skip
    alone = [single(build()) for _ in range(NUM_ENVS)]
    expected = [list(env.reset(seed=11 + row)) for row, env in enumerate(alone)]
    observations, infos = envs.reset(seed=11)
    waiting = [False] * NUM_ENVS
    resets = 0
    for step in range(30):
        for row in range(NUM_ENVS):
            assert same(observations[row], expected[row][0])
            info = row_info(infos, row)
            assert same(info, expected[row][-1]) or (info == {} and waiting[row])
        done = np.array(waiting)
        if step % 6 == 5 and done.any():
            resets += 1
            seeds = [step + row for row in range(NUM_ENVS)]
            observations, infos = envs.reset(seed=seeds, options={"reset_mask": done, "split": "dev"})
            for row in np.flatnonzero(done):
                expected[row] = list(alone[row].reset(seed=seeds[row], options={"split": "dev"}))
            waiting = [False] * NUM_ENVS
            continue
        taken = actions(step, envs.action_space)
        observations, rewards, terminated, truncated, infos = envs.step(taken)
        for row in range(NUM_ENVS):
            if not waiting[row]:
                expected[row] = list(alone[row].step(taken[row]))
                assert rewards[row] == pytest.approx(expected[row][1])
                assert [terminated[row], truncated[row]] == expected[row][2:4]
                waiting[row] = bool(terminated[row] or truncated[row])
    assert resets > 1


def test_wrappers_of_batches_can_be_put_around_each_other() -> None:
    def wrapped(kind: Any, env: Any) -> Any:
        env = kind.MenuAction(kind.TurnPenalty(kind.PotentialShaping(env, characters), 0.5), MENU)
        return kind.FeatureObservation(env, [replies])

    ours = wrapped(vector, gym.make_vec(REFUND, num_envs=NUM_ENVS, max_turns=3, max_steps=5))
    theirs = SyncVectorEnv([lambda: wrapped(wrappers, build())] * NUM_ENVS)
    assert same(ours.reset(seed=2), theirs.reset(seed=2))
    for step in range(15):
        assert same(ours.step(actions(step, ours.action_space)), theirs.step(actions(step, theirs.action_space)))


def test_an_encoder_is_asked_once_for_all_rows() -> None:
    asked = []

    def encoder(texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return np.ones((len(texts), 4))

    envs = vector.EmbeddingObservation(gym.make_vec(REFUND, num_envs=5), encoder, 4)
    envs.reset(seed=1)
    envs.step(["Hello!"] * 5)
    assert asked == [5, 5]


def test_observations_once_given_are_not_changed() -> None:
    envs = vector.FeatureObservation(gym.make_vec(REFUND, num_envs=2), [replies])
    first, _ = envs.reset(seed=1)
    kept = first.copy()
    second, *_ = envs.step(["Hello!"] * 2)
    assert (first == kept).all() and not np.shares_memory(first, second)


def test_a_batch_goes_on_in_a_copy() -> None:
    for name, (_, batched) in PAIRS.items():
        envs = batched(gym.make_vec(REFUND, num_envs=NUM_ENVS))
        envs.reset(seed=1)
        envs.step(actions(0, envs.action_space))
        other = pickle.loads(pickle.dumps(envs))
        assert same(other.step(actions(1, envs.action_space)), envs.step(actions(1, envs.action_space))), name


@pytest.mark.parametrize("name", PAIRS)
def test_the_first_reset_may_pick_some_rows(name: str) -> None:
    envs = PAIRS[name][1](gym.make_vec(REFUND, num_envs=NUM_ENVS, autoreset_mode="Disabled"))
    with pytest.raises(TypeError, match="must be a boolean numpy array"):
        envs.reset(seed=1, options={"reset_mask": [True, False, False]})
    picked, infos = envs.reset(seed=1, options={"reset_mask": np.array([False, True, False])})
    whole, _ = envs.reset(seed=1)
    assert picked in envs.observation_space and infos["_messages"].tolist() == [False, True, False]
    assert (same(picked[1], whole[1]) and not same(picked[0], whole[0])) or name == "features"


def test_batches_of_others_tell_their_messages_too() -> None:
    envs = vector.TranscriptObservation(SyncVectorEnv([SayTheLetter] * 2))
    observations, infos = envs.reset(seed=[1, 2])
    assert [messages[0]["role"] for messages in infos["messages"]] == ["user", "user"]
    observations, *_, infos = envs.step(("aa", "bb"))
    assert [transcript.splitlines()[1] for transcript in observations] == ["Agent: aa", "Agent: bb"]
    assert [messages[0]["content"] for messages in infos["messages"]] == ["aa", "bb"]


def test_an_asynchronous_batch_is_wrapped_too() -> None:
    asynchronous = AsyncVectorEnv([build] * 2, shared_memory=False)
    try:
        envs = vector.TranscriptObservation(asynchronous)
        expected = vector.TranscriptObservation(SyncVectorEnv([build] * 2))
        assert same(envs.reset(seed=1), expected.reset(seed=1))
        assert same(envs.step(("Hello!", CLOSE)), expected.step(("Hello!", CLOSE)))
        with pytest.raises(TypeError, match="AsyncVectorEnv keeps no environments here"):
            vector.PotentialShaping(asynchronous, characters)
    finally:
        asynchronous.close()


class Stairs(SayTheLetter):
    """Has a progress: a third for each step, from a third on."""

    def progress(self) -> float:
        return (1 + self._step) / 3


@pytest.mark.parametrize("batch", BATCHES)
def test_progress_shapes_a_batch_by_default(batch: str) -> None:
    def make() -> Any:
        env = Stairs()
        env.observation_space = env.action_space = gym.make(REFUND).observation_space
        return env

    plain, envs = SyncVectorEnv([make] * 2), vector.PotentialShaping(BATCHES[batch]([make] * 2), gamma=0.5)
    plain.reset(seed=1)
    envs.reset(seed=1)
    # Φ = 1/6, 2/6 and then 0: F = 1/2 · 2/6 − 1/6 = 0, 0 − 2/6, then a reset, and again.
    for expected in (0, -1 / 3, 0, 0, -1 / 3):
        shaped, before = envs.step(("a", "b")), plain.step(("a", "b"))
        assert shaped[1] - before[1] == pytest.approx([expected] * 2)


def test_a_batch_without_progress_is_told() -> None:
    with pytest.raises(TypeError, match=r"SayTheLetter has no progress\(\)"):
        vector.PotentialShaping(SyncVectorEnv([SayTheLetter] * 2))


def test_a_term_is_not_added_twice() -> None:
    envs = vector.TurnPenalty(vector.TurnPenalty(gym.make_vec(REFUND, num_envs=2)))
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="a reward term 'turn_penalty' already"):
        envs.step(("Hello!", "Hello!"))


def test_actions_that_are_no_choices_are_told() -> None:
    envs = vector.MenuAction(gym.make_vec(REFUND, num_envs=2), MENU)
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="step takes 2 numbers, one an environment"):
        envs.step([0])
    with pytest.raises(TypeError, match="an action is the number of a choice"):
        envs.step(["a", "b"])
    assert envs.action_space == batch_space(gym.spaces.Discrete(3), 2)
    envs.step(envs.action_space.sample())


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_batch_is_recorded_as_its_environments_are(mode: AutoresetMode, tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    envs = vector.RecordTrajectories(
        gym.make_vec(REFUND, num_envs=NUM_ENVS, max_turns=3, max_steps=5, autoreset_mode=mode),
        path,
        keep_partial=True,
        keep_tools=True,
    )
    # The same by the wrapper of one environment; one file for each row.
    names = [tmp_path / f"{row}.jsonl" for row in range(NUM_ENVS)]
    rows = [
        partial(lambda name: wrappers.RecordTrajectories(build(), name, "jsonl", True, True), name) for name in names
    ]
    theirs = TextVectorEnv(rows, autoreset_mode=mode)
    for batch in (envs, theirs):
        batch.reset(seed=5, options={"split": "dev"})
        for step in range(17):
            batch.step(actions(step, batch.action_space))
        batch.close()
    expected = [one for name in names for one in read_trajectories(name)]
    kept = list(read_trajectories(path))
    order = [(one.scenario_id, one.actions) for one in expected]
    assert sorted(order) == sorted((one.scenario_id, one.actions) for one in kept)
    by_what = {(one.scenario_id, one.actions): one for one in kept}
    for one in expected:
        same_one = by_what[one.scenario_id, one.actions]
        assert {name: getattr(same_one, name) for name in one.__slots__ if name not in ("env_id", "audit")} == {
            name: getattr(one, name) for name in one.__slots__ if name not in ("env_id", "audit")
        }
        assert same_one.env_id == REFUND
        assert json.loads(json.dumps(same_one.audit)) == one.audit
    # keep_partial writes those in the middle of which the batch was closed.
    assert any(not one.terminated and not one.truncated for one in kept) is (mode is not AutoresetMode.DISABLED)


def test_a_batch_that_is_refused_leaves_nothing_to_close(tmp_path: Path) -> None:
    envs = gym.make_vec(REFUND, num_envs=2)
    with pytest.raises(ValueError, match="format must be 'jsonl'"):
        vector.RecordTrajectories(envs, tmp_path / "a.jsonl", format="csv")
    assert copy.copy(envs).reset(seed=1)[0]
