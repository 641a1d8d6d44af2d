import pickle
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.vector import TextVectorEnv, batch_infos, make_vector

SEED = 11
OUTER = ["hello", "goodbye", "", '<tool_call>{"name": "look_up", "arguments": {"ticket": 5}}</tool_call>',
         '<tool_call>{"name": "close_desk"}</tool_call>', "<tool_call>{"]  # fmt: skip


def actions(step: int, num_envs: int) -> tuple[str, ...]:
    """Rows differ, so that episodes end at different steps."""
    return tuple(OUTER[(3 * step + 5 * row * row + step // 3) % len(OUTER)] for row in range(num_envs))


def same(left, right):
    """Equal in value, type and dtype, arrays and dictionaries included."""
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and left.shape == right.shape and all(
            same(a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True)
        )  # fmt: skip
    if isinstance(left, tuple):
        return isinstance(right, tuple) and len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@pytest.fixture
def build(cloakroom):
    return [partial(cloakroom, max_turns=3, max_steps=4)] * 4


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize(
    "reference", [SyncVectorEnv, partial(AsyncVectorEnv, shared_memory=False)], ids=["sync", "async"]
)
def test_it_agrees_step_for_step_with_gymnasium(build, mode, reference):
    ours, theirs = TextVectorEnv(build, autoreset_mode=mode), reference(build, autoreset_mode=mode)
    try:
        assert same(ours.reset(seed=SEED), theirs.reset(seed=SEED))
        for step in range(25):
            batch = actions(step, 4)
            assert same(ours.step(batch), theirs.step(batch)), step
    finally:
        theirs.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_reset_in_the_middle_agrees_with_gymnasium(build, mode):
    # Not compared with AsyncVectorEnv, which in Gymnasium 1.4 resets a row that had ended once more.
    ours, theirs = TextVectorEnv(build, autoreset_mode=mode), SyncVectorEnv(build, autoreset_mode=mode)
    ours.reset(seed=SEED), theirs.reset(seed=SEED)
    batch = ("goodbye", "hello", "goodbye", "hello")
    ours.step(batch), theirs.step(batch)
    options = {"ticket": 321}
    assert same(ours.reset(options=options), theirs.reset(options=options))
    mask = np.array([True, False, True, False])
    options = {"ticket": 123, "reset_mask": mask}
    assert same(ours.reset(seed=3, options=dict(options)), theirs.reset(seed=3, options=dict(options)))
    assert same(ours.step(("hello",) * 4), theirs.step(("hello",) * 4))


@pytest.mark.parametrize(
    "reference", [SyncVectorEnv, partial(AsyncVectorEnv, shared_memory=False)], ids=["sync", "async"]
)
def test_without_autoreset_it_agrees_when_every_ended_row_is_reset(build, reference):
    mode = AutoresetMode.DISABLED
    ours, theirs = TextVectorEnv(build, autoreset_mode=mode), reference(build, autoreset_mode=mode)
    try:
        assert same(ours.reset(seed=SEED), theirs.reset(seed=SEED))
        for step in range(25):
            batch = actions(step, 4)
            result = ours.step(batch)
            assert same(result, theirs.step(batch)), step
            mask = result[2] | result[3]
            if mask.any():
                assert same(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()}))
    finally:
        theirs.close()


def test_it_agrees_with_single_environments_on_the_same_seeds(build, cloakroom_id):
    ours = TextVectorEnv(build, autoreset_mode="Disabled")
    observations, infos = ours.reset(seed=SEED)
    singles = [gymnasium.make(cloakroom_id, max_turns=3, max_steps=4) for _ in range(4)]
    for row, single in enumerate(singles):
        observation, info = single.reset(seed=SEED + row)
        assert (observations[row], infos["messages"][row]) == (observation, info["messages"])
    batch = ("hello",) * 4
    observations, rewards, _, _, infos = ours.step(batch)
    for row, single in enumerate(singles):
        observation, reward, _, _, info = single.step("hello")
        assert (observations[row], rewards[row], infos["messages"][row]) == (observation, reward, info["messages"])


def test_ended_rows_wait_for_their_mask_without_autoreset(build):
    envs = TextVectorEnv(build, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=SEED)
    last, rewards, terminated, _, _ = envs.step(("goodbye", "hello", "hello", "hello"))
    assert terminated.tolist() == [True, False, False, False]
    observations, rewards, terminated, _, infos = envs.step((None, "hello", "goodbye", "hello"))
    assert observations[0] == last[0]
    assert rewards.tolist() == [0.0, -1.0, -1.0, -1.0]
    assert terminated.tolist() == [True, False, True, False]
    assert infos["_messages"].tolist() == [False, True, True, True]
    options = {"reset_mask": np.array([True, False, False, False])}
    observations, infos = envs.reset(seed=[7, None, None, None], options=options)
    assert infos["_messages"].tolist() == [True, False, False, False]
    assert list(options) == ["reset_mask"]  # the caller's dictionary is left alone
    _, _, terminated, _, infos = envs.step(("hello",) * 4)
    assert infos["_messages"].tolist() == [True, True, False, True]


def test_rows_may_share_a_seed(build):
    observations, _ = TextVectorEnv(build).reset(seed=[3, 3, 4, 4])
    assert observations[0] == observations[1]
    assert observations[2] == observations[3]


def test_make_vec_builds_it_with_every_keyword(cloakroom_id):
    module = gymnasium.spec(cloakroom_id).entry_point.split(":")[0]
    envs = gymnasium.make_vec(
        cloakroom_id,
        num_envs=3,
        environment=f"{module}:CloakroomEnvironment",
        autoreset_mode=AutoresetMode.SAME_STEP,
        max_turns=2,
    )
    assert isinstance(envs, TextVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.get_attr("max_turns") == (2, 2, 2)
    assert envs.spec.id == cloakroom_id


def test_a_limit_of_make_vec_cuts_episodes_as_gymnasium_make_does(cloakroom_id):
    module = gymnasium.spec(cloakroom_id).entry_point.split(":")[0]
    envs = make_vector(2, environment=f"{module}:CloakroomEnvironment", max_episode_steps=2)
    envs.reset(seed=SEED)
    assert not envs.step(("hello", "hello"))[3].any()
    assert envs.step(("hello", "hello"))[3].all()


def test_async_with_shared_memory_is_refused_at_construction(build):
    with pytest.raises(ValueError, match="shared_memory=False") as caught:
        AsyncVectorEnv(build)
    assert "Text observations do not fit" in str(caught.value.__cause__)


def test_spaces_are_those_that_gymnasium_would_batch(build):
    envs = TextVectorEnv(build)
    assert envs.observation_space == batch_space(envs.single_observation_space, 4)
    assert envs.action_space == batch_space(envs.single_action_space, 4)
    sample = envs.action_space.sample()
    assert len(set(sample)) == 4
    assert envs.reset(seed=SEED)[0] in envs.observation_space


def test_a_pickled_batch_goes_on_like_the_original(build):
    envs = TextVectorEnv(build)
    envs.reset(seed=SEED)
    envs.step(actions(0, 4))
    twin = pickle.loads(pickle.dumps(envs))
    for step in range(1, 8):
        assert same(twin.step(actions(step, 4)), envs.step(actions(step, 4)))


def test_attributes_and_methods_of_each_environment_are_reached(build):
    envs = TextVectorEnv(build)
    envs.reset(seed=SEED)
    envs.set_attr("max_turns", [1, 2, 3, 4])
    assert envs.get_attr("max_turns") == (1, 2, 3, 4)
    envs.set_attr("max_turns", 5)
    assert envs.get_attr("max_turns") == (5, 5, 5, 5)
    assert [len(messages) for messages in envs.get_attr("messages")] == [1, 1, 1, 1]
    assert envs.get_attr("np_random_seed") == (11, 12, 13, 14)
    assert envs.render() == (None,) * 4
    envs.close()
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        envs.reset()


@pytest.mark.parametrize("batch", ["abcd", ("hello",) * 3, ()])
def test_there_must_be_one_action_an_environment(build, batch):
    envs = TextVectorEnv(build)
    envs.reset(seed=SEED)
    with pytest.raises(ValueError, match="4 actions"):
        envs.step(batch)


def test_an_action_that_is_no_text_is_refused_before_any_row_has_moved(build):
    envs, twins = TextVectorEnv(build), TextVectorEnv(build)
    envs.reset(seed=SEED)
    twins.reset(seed=SEED)
    with pytest.raises(TypeError, match="action 3 is not a str but int"):
        envs.step(["hello", "goodbye", "hello", 5])
    assert same(envs.step(["hello"] * 4), twins.step(["hello"] * 4))


def test_the_action_of_a_row_that_has_ended_may_be_anything(build):
    envs = TextVectorEnv(build, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=SEED)
    envs.step(["goodbye", "hello", "hello", "hello"])
    _, _, terminated, _, _ = envs.step([None, "hello", "hello", "hello"])
    assert terminated.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        ([True] * 4, TypeError),
        (np.ones(4), TypeError),
        (np.ones(3, np.bool_), ValueError),
        (np.zeros(4, np.bool_), ValueError),
    ],
)
def test_a_wrong_mask_is_refused(build, mask, error):
    with pytest.raises(error, match="reset_mask"):
        TextVectorEnv(build).reset(options={"reset_mask": mask})


def test_seeds_must_be_one_or_one_each(build):
    with pytest.raises(ValueError, match="one seed or 4"):
        TextVectorEnv(build).reset(seed=[1, 2])
    with pytest.raises(TypeError, match="a seed is an int"):
        TextVectorEnv(build).reset(seed="1234")


@pytest.mark.parametrize(
    "seeds", [np.array([5, 6, 7, 8]), np.array([5, 6, 7, 8], np.uint8), tuple(np.arange(5, 9)), np.int64(5)]
)
def test_seeds_may_be_numpys(build, seeds):
    assert same(TextVectorEnv(build).reset(seed=seeds), TextVectorEnv(build).reset(seed=[5, 6, 7, 8]))


@pytest.mark.parametrize("seeds", [[5, 6, "7", 8], [5, 6, 7.0, 8], np.ones((4, 1), np.int64), np.ones(4)])
def test_a_seed_of_a_wrong_type_is_refused_before_any_row_is_reset(build, seeds):
    envs, twins = TextVectorEnv(build), TextVectorEnv(build)
    envs.reset(seed=SEED)
    twins.reset(seed=SEED)
    with pytest.raises(TypeError, match="every seed is an int or None"):
        envs.reset(seed=seeds)
    assert same(envs.step(["hello"] * 4), twins.step(["hello"] * 4))


@pytest.mark.parametrize("options", ["dev", 5, [("ticket", 123)], {1: 2}, ""])
def test_options_that_are_no_mapping_of_names_are_refused(build, options):
    with pytest.raises(TypeError, match="reset options must be"):
        TextVectorEnv(build).reset(options=options)


def test_environments_must_exist_and_share_text_spaces(cloakroom):
    with pytest.raises(ValueError, match="at least one"):
        TextVectorEnv([])
    with pytest.raises(ValueError, match="same spaces"):
        TextVectorEnv([cloakroom, partial(cloakroom, max_action_chars=7)])
    with pytest.raises(ValueError, match="SyncVectorEnv"):
        TextVectorEnv([partial(gymnasium.make, "CartPole-v1")])


KINDS = {
    "flag": st.booleans(),
    "count": st.integers(-9, 9),
    "amount": st.floats(-9, 9),
    "name": st.text(max_size=3),
    "list": st.lists(st.integers(), max_size=3),
    "tuple": st.tuples(st.integers()),
    "none": st.none(),
    "array": st.integers(0, 9).map(lambda n: np.array([n, n + 1])),
    "np_count": st.integers(0, 9).map(np.int32),
    "final_obs": st.text(max_size=3),
}
INFOS = st.fixed_dictionaries({}, optional={**KINDS, "nested": st.fixed_dictionaries({}, optional=KINDS)})


@given(st.lists(st.tuples(st.integers(0, 4), INFOS), max_size=7))
def test_infos_are_put_together_as_gymnasium_does(pairs):
    expected = {}
    for row, info in pairs:
        envs = VectorEnv()
        envs.num_envs = 5
        expected = envs._add_info(expected, info, row)
    assert same(batch_infos(pairs, 5), expected)
