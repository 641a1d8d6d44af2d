import copy
import pickle
import warnings

import gymnasium
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import batch_space, create_empty_array, create_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.spaces import Utterance


@given(st.text(max_size=50))
def test_any_text_up_to_the_length_is_a_member(text):
    assert (text in Utterance(20)) == (len(text) <= 20)


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], ("a",)])
def test_only_text_is_a_member(value):
    assert value not in Utterance(20)


def test_samples_are_members_follow_the_seed_and_vary():
    space = Utterance(40, seed=3)
    samples = [space.sample() for _ in range(50)]
    assert all(sample in space and sample for sample in samples)
    assert len(set(samples)) > 40
    assert [Utterance(40, seed=3).sample() for _ in range(2)] == [samples[0]] * 2
    space.seed(3)
    assert space.sample() == samples[0]


def test_there_is_nothing_to_mask():
    with pytest.raises(ValueError, match="no character set"):
        Utterance(5).sample(mask=(3, None))
    with pytest.raises(ValueError, match="no character set"):
        Utterance(5).sample(probability=(3, None))


def test_equality_copies_and_pickles_go_by_length():
    space = Utterance(20, seed=1)
    assert space == Utterance(20) == copy.deepcopy(space) == pickle.loads(pickle.dumps(space))
    assert space != Utterance(21)
    assert space != gymnasium.spaces.Text(20)
    assert gymnasium.spaces.Text(20) != space
    assert repr(space) == "Utterance(20)"
    assert pickle.loads(pickle.dumps(space)).sample() == space.sample()


def test_a_pickle_is_small():
    assert len(pickle.dumps(Utterance(1_000_000))) < 500


def test_it_is_batched_like_other_custom_spaces():
    batched = batch_space(Utterance(20), 3)
    assert ("a", "", "é") in batched
    assert create_empty_array(Utterance(20), 3) == ("", "", "")


def test_it_has_no_numeric_form():
    assert not Utterance(20).is_np_flattenable


def test_shared_memory_is_refused_with_advice():
    with pytest.raises(CustomSpaceError, match="shared_memory=False"):
        create_shared_memory(Utterance(20), 2)


def test_the_length_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        Utterance(0)


def test_gymnasium_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = Utterance(20)
        assert space.from_jsonable(space.to_jsonable([space.sample()]))[0] in space
