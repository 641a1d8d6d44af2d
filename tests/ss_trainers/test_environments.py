"""A checkpoint names the wrappers of its environment, and nothing else that could be run."""

import operator
from dataclasses import replace

import gymnasium as gym
import pytest

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers import Episode, GRPOTrainer, TrainingConfig
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = register()
SMALL = TrainingConfig(iterations=4, groups_per_iteration=2, group_size=4, max_new_tokens=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def test_the_wrappers_of_a_spec_come_back_on_resume(folder, tmp_path):
    env = gym.wrappers.TransformReward(gym.make(ENV), operator.neg)
    GRPOTrainer(env.spec, folder, training=SMALL).save(tmp_path / "function")
    with pytest.raises(CheckpointError, match="does not name its environment"):
        GRPOTrainer.resume(tmp_path / "function")
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(ENV, raise_on=[7]), stats_key="recorded")
    GRPOTrainer(env.spec, folder, training=SMALL).save(tmp_path / "run")
    played = GRPOTrainer.resume(tmp_path / "run").evaluate([Episode(7), Episode(8)])
    assert len(played.dropped) == 1 and [t.info["recorded"]["l"] > 0 for t in played.trajectories] == [True]


@pytest.mark.parametrize("entry_point", ["os:system", "os:nothing", "no_such_module:Wrapper", "pathlib:Path"])
def test_a_checkpoint_can_name_nothing_but_a_wrapper(folder, tmp_path, entry_point):
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(ENV))
    wrapper = replace(env.spec.additional_wrappers[0], entry_point=entry_point)
    spec = replace(gym.spec(ENV), additional_wrappers=(wrapper,))
    GRPOTrainer(spec, folder, training=SMALL).save(tmp_path)
    with pytest.raises(CheckpointError, match="names an environment that can't be made"):
        GRPOTrainer.resume(tmp_path)
