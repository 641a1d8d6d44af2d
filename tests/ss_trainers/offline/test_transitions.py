"""Logs of numeric environments: what comes in, what is refused and why, and what is written."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ss_trainers.offline.transitions import Spaces, TransitionError, Transitions, concatenate
from tests.ss_trainers.offline.logs import columns, log

FIELDS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
ONWARD = np.array([0, 1])
BOX = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))


def assert_equal(one, other):
    for name in (*FIELDS, "action_low", "action_high", "action_count"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_log_is_what_it_was_given_as():
    given_as = columns(discrete=False)
    made = Transitions.from_arrays(**given_as, action_space=gym.spaces.Box(-1, 1, (2,)))
    for name in FIELDS:
        assert np.array_equal(getattr(made, name), given_as[name])
    assert made.spaces == Spaces(3, 2, False) and len(made) == 20
    assert made.action_low.tolist() == [-1, -1] and made.action_high.tolist() == [1, 1] and made.action_count is None


def test_without_a_space_actions_are_those_of_the_log():
    assert log().spaces == Spaces(3, 3, True)
    bounded = log(discrete=False)
    assert bounded.action_low.tolist() == bounded.actions.min(0).tolist()
    assert bounded.action_high.tolist() == bounded.actions.max(0).tolist()
    wider = Transitions.from_arrays(**columns(), action_space=gym.spaces.Discrete(7))
    assert wider.spaces == Spaces(3, 7, True)


def test_plain_lists_images_and_single_columns_become_arrays():
    images = np.arange(16).reshape(4, 2, 2)
    ends, marks = [[0], [1], [0], [0]], [[0.0], [0.0], [0.0], [1.0]]
    made = Transitions.from_arrays(images, [[0], [1], [1], [0]], [[1], [2], [3], [4]], ends, marks)
    assert made.observations.tolist()[1] == [4, 5, 6, 7] and made.observations.dtype == np.float32
    assert (made.actions.tolist(), made.actions.dtype, made.rewards.tolist()) == ([0, 1, 1], np.int64, [1, 2, 3])
    space = gym.spaces.Box(-2, 2, (1,))
    integers = Transitions.from_arrays(images, [-1, 2, 0, 1], [1] * 4, [0, 0, 0, 1], [0] * 4, action_space=space)
    assert integers.actions.tolist() == [[-1], [2], [0], [1]] and integers.actions.dtype == np.float32


def test_a_step_whose_next_observation_is_not_known_is_left_out():
    # Three steps until a timeout, two until the end of the task, one until a timeout, and one that is all there is.
    made = Transitions.from_arrays(
        [[0], [1], [2], [10], [11], [20], [30]],
        [0, 1, 0, 1, 0, 1, 0],
        [1, 2, 3, 4, 5, 6, 7],
        terminals=[0, 0, 0, 0, 1, 0, 0],
        timeouts=[0, 0, 1, 0, 0, 1, 0],
    )
    assert made.observations[:, 0].tolist() == [0, 1, 10, 11]
    assert made.next_observations[:3, 0].tolist() == [1, 2, 11]
    assert made.rewards.tolist() == [1, 2, 4, 5]
    assert made.terminals.tolist() == [False, False, False, True]
    assert made.timeouts.tolist() == [False, True, False, False]
    assert made.starts.tolist() == [True, False, True, False]
    assert made.returns.tolist() == [3, 9]


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=8), st.booleans())
def test_episodes_come_out_as_they_went_in(episodes, known):
    kept = [length if known or ends else length - 1 for length, ends in episodes]
    assume(sum(kept) > 1)
    # Of each step, the number of its episode and its own in it.
    seen = np.array([(number, step) for number, (length, _) in enumerate(episodes) for step in range(length)])
    last, terminal = np.append(seen[1:, 1] == 0, True), np.repeat(*np.array([(e, n) for n, e in episodes]).T) == 1
    made = Transitions.from_arrays(
        seen,
        np.linspace(-1, 1, len(seen)),
        seen @ [100, 1],
        last & terminal,
        last & ~terminal,
        next_observations=seen + ONWARD if known else None,
    )
    wanted = [[[number, step] for step in range(length)] for number, length in enumerate(kept) if length]
    found = np.split(made.observations, np.flatnonzero(made.starts)[1:])
    assert [episode.tolist() for episode in found] == wanted
    assert made.returns.tolist() == [sum(100 * number + step for number, step in episode) for episode in wanted]
    going = ~made.terminals
    assert np.array_equal(made.next_observations[going], made.observations[going] + ONWARD)
    closing, ends = np.append(made.starts[1:], True), [end for (_, end), n in zip(episodes, kept, strict=True) if n]
    assert made.terminals[closing].tolist() == ends and made.timeouts[closing].tolist() == [not end for end in ends]
    assert not (made.terminals | made.timeouts)[~closing].any()


def test_a_log_that_stops_in_the_middle_of_an_episode_stops_with_a_timeout():
    given_as = columns(7)
    made = Transitions.from_arrays(**given_as)
    assert made.timeouts.tolist() == [False] * 6 + [True] and not given_as["timeouts"].any()


def test_a_single_trajectory_is_a_log():
    made = Transitions.from_arrays(np.eye(4), [0, 1, 1, 0], [1.0] * 4, [0, 0, 0, 1], [0] * 4)
    assert len(made) == 4 and made.starts.tolist() == [True, False, False, False] and made.returns.tolist() == [4.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [1.0] * 19}, r"different lengths: \{'observations': 20, .*'rewards': 19"),
        ({"timeouts": [0]}, r"different lengths: .*'timeouts': 1}"),
        ({"actions": [0, 1] * 9}, r"different lengths: .*'actions': 18"),
        ({"next_observations": np.zeros((20, 4))}, r"before and after a step, not \(20, 3\) and \(20, 4\)"),
        ({"observations": [[1, 2], [3]]}, "observations are no array of numbers: .*inhomogeneous"),
        ({"observations": [{"seen": 1}] * 20}, "observations are no array of numbers: .*not 'dict'"),
        ({"observations": ["Hello"] * 20}, "observations are no array of numbers: .*'Hello'"),
        ({"observations": 3.0}, "observations must have a row for each step, and are 3.0"),
        ({"observations": np.zeros((20, 0)), "next_observations": np.zeros((20, 0))}, r"not \(20, 0\) and \(20, 0\)"),
        ({"rewards": np.zeros((20, 2))}, r"rewards must be one for each step, .* shape \(20, 2\)"),
        ({"terminals": ["False"] * 20}, "terminals must be true or false, or 1 or 0"),
        ({"terminals": [0.5] * 20}, "terminals must be true or false, or 1 or 0"),
        (
            {"actions": np.array([0, 1.5] * 10, object)},
            r"actions must be numbers of one kind, not object: array\(\[0\]",
        ),
        ({"actions": [None, 1] * 10}, "actions must be numbers of one kind, not object"),
        ({"actions": np.zeros((20, 2), int)}, r"actions that are integers must be one for each step, .*\(20, 2\)"),
        ({"actions": [0, -1] * 10}, "action -1 of step 1 is not from 0 to 0"),
        ({"actions": [2] * 20}, "all 20 steps have the same action 2: there is nothing to choose"),
        (
            {"actions": [[0.5, 1.0], [0.5, 2.0]] * 10},
            "component 0 of the actions can't be scaled: it is from 0.5 to 0.5",
        ),
        ({"actions": [0, 1] * 9 + [2, 3], "action_space": gym.spaces.Discrete(3)}, "action 3 of step 19 .* 0 to 2"),
        ({"actions": [0.0, 1.0] * 10, "action_space": gym.spaces.Discrete(2)}, r"must be integers \(N,\), not float32"),
        ({"action_space": gym.spaces.Discrete(3, start=1)}, "must be counted from 0, and those of Discrete"),
        ({"action_space": gym.spaces.MultiBinary(3)}, "neither counted nor bounded"),
        ({"action_space": gym.spaces.Box(-np.inf, 1, (1,))}, "have no bounds to scale them by"),
        ({"action_space": gym.spaces.Box(-3e38, 3e38, (1,))}, "component 0 of the actions can't be scaled"),
        ({"action_space": gym.spaces.Box(-1, 1, (2,))}, r"action_high must be float32 \(1,\), .* not float32 \(2,\)"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused_with_the_reason(changes, message):
    with pytest.raises(TransitionError, match=message):
        Transitions.from_arrays(**{**columns(), **changes})


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "next_observations"])
def test_a_number_that_is_not_finite_is_named_with_its_step(name, number):
    given_as = columns(discrete=False)
    given_as[name][[4, 7]] = number
    with pytest.raises(TransitionError, match=f"{name} of step 4 are not finite, nor are those of 1 other steps"):
        Transitions.from_arrays(**given_as, action_space=gym.spaces.Box(-1, 1, (2,)))


def test_no_steps_and_no_known_next_observations_are_told_apart():
    with pytest.raises(TransitionError, match="the log has no steps"):
        Transitions.from_arrays([], [], [], [], [])
    with pytest.raises(TransitionError, match="no step has a next observation"):
        Transitions.from_arrays([[1], [2]], [0, 1], [1, 1], [0, 0], [1, 1])


def test_an_action_out_of_its_bounds_is_named_but_for_rounding():
    given_as = columns(discrete=False) | {"actions": np.full((20, 2), [-2, 5], np.float32), "action_space": BOX}
    given_as["actions"][3] = [2.00003, 10]
    batch = Transitions.from_arrays(**given_as).tensors()
    assert batch.actions[[0, 3]].tolist() == [[-1, 0], [1, 1]]
    given_as["actions"][3] = [2.001, 10]
    with pytest.raises(
        TransitionError, match=r"action \[ 2.001 10\. *\] of step 3 is outside its bounds, \[-2\. +0\.\] to"
    ):
        Transitions.from_arrays(**given_as)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observations": np.zeros((20, 3))},
            r"observations must be float32 \(N, D\), not float64 \(20, 3\): .*from_arrays",
        ),
        ({"rewards": np.zeros((20, 1), np.float32)}, r"rewards must be float32 \(N,\), not float32 \(20, 1\)"),
        ({"actions": np.zeros(20, np.int32)}, r"must be integers \(N,\), not int32"),
        ({"timeouts": np.zeros(20, bool)}, "the last step must be terminal or a timeout"),
        ({"action_count": None}, "give action_count, or action_low and action_high"),
        ({"action_low": np.zeros(1), "action_high": np.ones(1)}, "give action_count, or action_low and action_high"),
    ],
)
def test_arrays_of_another_kind_are_refused(changes, message):
    whole = {name: getattr(log(), name) for name in (*FIELDS, "action_count")}
    with pytest.raises(TransitionError, match=message):
        Transitions(**{**whole, **changes})


def test_steps_are_taken_by_their_places():
    batch = log().tensors()
    some = batch.at(torch.tensor([3, 3, 1])).to("cpu")
    assert some.rewards.tolist() == [3, 3, 1] and len(some) == 3
    for name in FIELDS[:5]:
        assert torch.equal(getattr(some, name), getattr(batch, name)[[3, 3, 1]])


@pytest.mark.parametrize("size", [1, 3, 6, 20, 50])
def test_batches_are_the_steps_in_an_order(size):
    # More of them than are gathered at once, where they are small.
    batch, order = log(20, discrete=False).tensors(), torch.arange(60) * 7 % 20
    batches = list(batch.batches(order, size))
    assert [len(each) for each in batches] == [size] * (60 // size) + [60 % size] * (60 % size > 0)
    for name in FIELDS[:5]:
        assert torch.equal(torch.cat([getattr(each, name) for each in batches]), getattr(batch, name)[order])


@pytest.mark.parametrize("discrete", [True, False])
def test_a_log_comes_back_from_its_file(discrete, tmp_path):
    file, made = tmp_path / "folder" / "log", log(discrete=discrete)
    log(5).save(file)
    made.save(file)
    assert_equal(Transitions.from_npz(file), made)
    assert [path.name for path in file.parent.iterdir()] == ["log"]


def test_a_log_that_could_not_be_written_leaves_the_earlier_one(tmp_path):
    made, file = log(), tmp_path / "log.npz"
    made.save(file)
    object.__setattr__(made, "rewards", np.array([Unwritable()] * 20, object))
    with pytest.raises(OSError, match="no space left"):
        made.save(file)
    assert Transitions.from_npz(file).rewards.tolist() == list(range(20)) and len([*tmp_path.iterdir()]) == 1


class Unwritable:
    def __reduce__(self):
        raise OSError("no space left")


def test_files_that_are_no_logs_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Transitions.from_npz(tmp_path / "nowhere.npz")
    file = tmp_path / "log.npz"
    log(200).save(file)
    content = file.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    others = [b"", b"a line of text", b"PK" + bytes(50), (tmp_path / "array.npy").read_bytes()]
    damaged = [content[: len(content) * part // 8] for part in range(1, 8)]
    # A byte of each part of the archive: headers, compressed columns, checksums.
    damaged += [content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :] for place in range(40, 400, 40)]
    for each in (*others, *damaged):
        file.write_bytes(each)
        with pytest.raises(TransitionError, match=r"log\.npz' (is damaged, or no log that|has no )"):
            Transitions.from_npz(file)


def test_a_missing_column_is_named(tmp_path):
    whole = {name: getattr(log(), name) for name in (*FIELDS, "action_count")}
    np.savez(tmp_path / "log.npz", **{name: column for name, column in whole.items() if "time" not in name})
    with pytest.raises(TransitionError, match=r"log\.npz' has no timeouts"):
        Transitions.from_npz(tmp_path / "log.npz")


def test_logs_of_the_same_environment_are_joined():
    one, other = log(12), log(7, seed=1)
    joined = concatenate([one, other])
    assert len(joined) == 19 and joined.action_count == 3
    assert joined.returns.tolist() == [*one.returns, *other.returns]
    assert np.array_equal(joined.next_observations[12:], other.next_observations)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([], "no log to join"),
        ([log(), log(size=4)], "different environments can't be joined"),
        ([log(), log(discrete=False)], "different environments can't be joined"),
        ([log(discrete=False), log(discrete=False, seed=1)], "different action_low can't be joined"),
    ],
)
def test_logs_that_do_not_belong_together_are_refused(logs, message):
    with pytest.raises(TransitionError, match=message):
        concatenate(logs)


@pytest.fixture
def minari(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return pytest.importorskip("minari", reason="Minari is not installed (the extra offline)")


def buffer(number, observations, actions, rewards, terminations, truncations):
    from minari.data_collector.episode_buffer import EpisodeBuffer

    ends = {"terminations": terminations, "truncations": truncations}
    return EpisodeBuffer(number, observations=observations, actions=actions, rewards=rewards, **ends, infos={})


def test_a_minari_dataset_of_cartpole_is_a_log(minari):
    env, steps, buffers = gym.make("CartPole-v1", max_episode_steps=12), [], []
    for number in range(3):
        seen, played = [env.reset(seed=number)[0]], []
        while not played or not (played[-1][4] or played[-1][5]):
            # Pushed but one way, the pole falls; pushed to and fro it stands for longer than there is time.
            action = 0 if number == 0 else len(played) % 2
            after, reward, terminated, truncated, _ = env.step(action)
            played.append((seen[-1], action, reward, after, terminated, truncated))
            seen.append(after)
        _, actions, rewards, _, terminations, truncations = zip(*played, strict=True)
        buffers.append(buffer(number, np.array(seen), np.array(actions), [*rewards], [*terminations], [*truncations]))
        steps += played
    minari.create_dataset_from_buffers("cart/test-v0", buffers, env=env)
    for dataset in ("cart/test-v0", minari.load_dataset("cart/test-v0")):
        made = Transitions.from_minari(dataset)
        for name, column in zip(FIELDS, zip(*steps, strict=True), strict=True):
            assert np.array_equal(getattr(made, name), np.array(column)), name
        assert made.action_count == 2 and made.terminals.sum() == 1 and made.timeouts.sum() == 2


def test_episodes_of_minari_that_have_no_end_do_not_run_into_each_other(minari):
    def buffers(observations):
        return [buffer(n, observations, np.array([0, 1]), [0.0, 1.0], [False] * 2, [False] * 2) for n in range(2)]

    minari.create_dataset_from_buffers("cart/open-v0", buffers(np.zeros((3, 4), np.float32)), env="CartPole-v1")
    assert Transitions.from_minari("cart/open-v0").timeouts.tolist() == [False, True, False, True]
    spaces = {"observation_space": gym.spaces.Text(9), "action_space": gym.spaces.Discrete(2)}
    minari.create_dataset_from_buffers("cart/text-v0", buffers(["a", "b", "c"]), **spaces)
    with pytest.raises(
        TransitionError, match=r"observations of this Minari dataset .* ConversationDataset\.from_minari"
    ):
        Transitions.from_minari("cart/text-v0")


def test_without_minari_it_is_said_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("ss_gym.wrappers.minari.import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'stateset-gym\[offline\]'"):
        Transitions.from_minari("a/b-v0")
