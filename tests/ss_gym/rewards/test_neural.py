"""A learned reward is found by a string, asked in batches, and loaded where it is used."""

import copy
import math
import pickle
import sys
from importlib.metadata import EntryPoint

import pytest

from ss_gym import ConversationTurn, MissingReward, NeuralReward
from ss_gym.rewards import neural

TURNS = [ConversationTurn("user", "Hi"), ConversationTurn("assistant", "Hello")]
SIZES: list[int] = []


def lengths(conversations):
    SIZES.append(len(conversations))
    return [float(len(turns)) for turns, _ in conversations]


class Shift:
    """Adds what it was made with."""

    def __init__(self, location="0"):
        self.shift = float(location)

    def __call__(self, conversations):
        return [len(turns) + self.shift for turns, _ in conversations]


@pytest.fixture
def module(monkeypatch):
    """This module under a name that can be imported."""
    monkeypatch.setitem(sys.modules, "learned_reward_of_a_test", sys.modules[__name__])
    return "learned_reward_of_a_test"


def test_any_function_of_a_batch_is_a_learned_reward():
    SIZES.clear()
    reward = NeuralReward(lengths, weight=0.5, batch_size=2)
    assert (reward.name, reward.weight, reward.compute(TURNS).score) == ("neural", 0.5, 2.0)
    results = reward.compute_batch([(TURNS, None), (TURNS[:1], None), ([], None)])
    assert [result.score for result in results] == [2.0, 1.0, 0.0]
    assert SIZES == [1, 2, 1]
    assert reward.compute_batch([]) == []


def test_it_is_loaded_by_a_string_when_it_is_asked(module):
    reward = NeuralReward("not_there_at_all:scorer")
    with pytest.raises(ImportError, match="not_there_at_all"):
        reward.compute(TURNS)
    assert NeuralReward(f"{module}:lengths").compute(TURNS).score == 2.0
    assert NeuralReward(f"{module}:Shift").compute(TURNS).score == 2.0
    with pytest.raises(ImportError, match="has no 'nothing'"):
        NeuralReward(f"{module}:nothing").compute(TURNS)
    with pytest.raises(ValueError, match="is no function of conversations, but list"):
        NeuralReward(f"{module}:SIZES").compute(TURNS)


def test_entry_points_get_a_location(module, monkeypatch):
    entry = EntryPoint("shift", f"{module}:Shift", neural.ENTRY_POINT_GROUP)
    monkeypatch.setattr(neural, "entry_points", lambda group: [entry] if group == "ss_gym.reward_models" else [])
    assert NeuralReward("shift://40").compute(TURNS).score == 42.0
    with pytest.raises(ValueError, match="no learned reward 'shft' for 'shft://40'; did you mean 'shift'"):
        NeuralReward("shft://40").compute(TURNS)


def test_a_named_model_is_not_part_of_a_pickle(module):
    reward = NeuralReward(f"{module}:Shift", name="learned")
    assert reward.compute(TURNS).score == 2.0
    for twin in (copy.deepcopy(reward), pickle.loads(pickle.dumps(reward))):
        assert twin._loaded is None and twin.name == "learned" and twin.compute(TURNS) == reward.compute(TURNS)


def test_logits_are_squashed_without_overflow():
    scores = iter([0.0, math.log(3), -math.log(3), 1e4, -1e4])
    reward = NeuralReward(lambda batch: [next(scores) for _ in batch], squash=True)
    results = reward.compute_batch([(TURNS, None)] * 5)
    assert [result.score for result in results] == pytest.approx([0.5, 0.75, 0.25, 1.0, 0.0])
    assert results[1].breakdown["neural.raw"] == math.log(3)


def test_no_score_is_missing_and_a_wrong_one_is_refused():
    nothing = NeuralReward(lambda batch: [math.nan for _ in batch])
    with pytest.raises(MissingReward, match="no score for the conversation"):
        nothing.compute(TURNS)
    (result,) = nothing.compute_batch([(TURNS, None)])
    assert math.isnan(result.score) and "neural" in result.missing
    with pytest.raises(ValueError, match="must be finite"):
        NeuralReward(lambda batch: [math.inf for _ in batch]).compute(TURNS)
    with pytest.raises(ValueError, match="2 conversations got 1 scores"):
        NeuralReward(lambda batch: [1.0]).compute_batch([(TURNS, None)] * 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "scorer"}, "'package.module:name' or 'NAME://LOCATION'"),
        ({"model": lengths, "batch_size": 0}, "batch"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuralReward(**arguments)
