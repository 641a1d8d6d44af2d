"""Every offline algorithm by its name, its settings and its trainer, and what the loop relies on in each."""

from dataclasses import fields, replace

import pytest
import torch

import ss_trainers
from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers import BCConfig, BCQConfig, BCQTrainer, IQLConfig, OfflineTrainer, OfflineTraining
from ss_trainers.offline.registry import OFFLINE_ALGORITHMS, make_config, name_of
from ss_trainers.offline.settings import OfflineConfig
from tests.ss_trainers.offline.logs import assert_same, contents, log

TRAINING = OfflineTraining(batch_size=8)
# Those that learn from numbers; ILQL is about words.
NUMERIC = [name for name in OFFLINE_ALGORITHMS if name != "ilql"]
# Actions that can be counted, or not, as far as algorithms can do with them.
CASES = [(name, discrete) for name in NUMERIC for discrete in (True, False) if (name, discrete) != ("bear", True)]


def trained(name, discrete, updates=None, **settings):
    config = make_config(name, {"hidden_dim": 4, "num_epochs": 2, **settings})
    return OfflineTrainer(config, replace(TRAINING, max_updates=updates)).train(log(discrete=discrete))


@pytest.mark.parametrize("name", OFFLINE_ALGORITHMS)
def test_an_algorithm_is_found_by_its_name_and_by_its_settings(name):
    config = make_config(name, {"learning_rate": 0.5})
    assert config.learning_rate == 0.5 and isinstance(config, OfflineConfig) and name_of(config) == name
    assert len(fields(config)) <= 12


def test_names_and_settings_that_there_are_not_are_told():
    with pytest.raises(ValueError, match="no offline algorithm 'beer'; did you mean 'bear'"):
        make_config("beer", {})
    with pytest.raises(ValueError, match="unknown setting 'hiden_dim' of IQLConfig; did you mean 'hidden_dim'"):
        make_config("iql", {"hiden_dim": 3})
    with pytest.raises(
        TypeError, match="OfflineConfig is not the config of an offline algorithm: bc, bcq, bear, cql, "
    ):
        name_of(OfflineConfig())


@pytest.mark.parametrize(("name", "discrete"), CASES)
def test_every_algorithm_goes_on_exactly_where_it_was(name, discrete, tmp_path):
    whole, first = trained(name, discrete), trained(name, discrete, updates=2)
    first.save(tmp_path)
    second = OfflineTrainer.resume(tmp_path, training={"max_updates": None}).train(log(discrete=discrete))
    assert second.updates == whole.updates == 6
    assert_same(contents(second), contents(whole))


@pytest.mark.parametrize(("name", "discrete"), CASES)
def test_every_policy_acts_the_same_from_its_checkpoint_and_leaves_the_training_alone(name, discrete, tmp_path):
    trainer, made = trained(name, discrete), log(discrete=discrete)
    before = contents(trainer)
    trainer.save(tmp_path)
    policies = (trainer.policy(), OfflineTrainer.resume(tmp_path).policy())
    chosen = [policy.begin(20).act(made.observations) for policy in policies]
    assert chosen[0].tolist() == chosen[1].tolist()
    assert chosen[0].shape == made.actions.shape and chosen[0].dtype == made.actions.dtype
    if discrete:
        assert set(chosen[0]) <= {0, 1, 2}
    else:
        assert ((made.action_low <= chosen[0]) & (chosen[0] <= made.action_high)).all()
    assert_same(contents(trainer), before)


@pytest.mark.parametrize(("name", "discrete"), CASES)
def test_every_algorithm_learns_with_what_it_saves_and_nothing_global(name, discrete):
    state = torch.get_rng_state()
    trainer = trained(name, discrete, updates=1)
    learner, (tensors, _) = trainer._learner, contents(trainer)
    examples = learner.examples(*trainer._begin(log(discrete=discrete))[1:], log(discrete=discrete))
    metrics = learner.update(next(examples.batches(torch.arange(20), 8)), 1)
    assert metrics and all(value.ndim == 0 and not value.requires_grad for value in metrics.values())
    assert all(value.isfinite() for value in metrics.values())
    assert torch.equal(torch.get_rng_state(), state)
    parameters = {
        id(one) for each in learner.optimizers.values() for group in each.param_groups for one in group["params"]
    }
    assert parameters == {id(one) for one in learner.modules.parameters() if one.requires_grad}
    after, _ = contents(trainer)
    moved = [name for name, tensor in tensors.items() if not torch.equal(tensor, after[name])]
    assert any(name.startswith("module.") for name in moved)


@pytest.mark.parametrize("name", NUMERIC)
def test_every_algorithm_has_a_trainer_of_its_name(name, tmp_path):
    trainers = [getattr(ss_trainers, each) for each in ss_trainers.__all__ if each.endswith("Trainer")]
    chosen = {
        each.algorithm_name: each for each in trainers if getattr(each, "algorithm_name", "") in OFFLINE_ALGORITHMS
    }
    config = getattr(ss_trainers, chosen[name].__name__.replace("Trainer", "Config"))
    assert chosen[name]().config == config()
    trainer = chosen[name](config(hidden_dim=4, num_epochs=1), TRAINING).train(log(discrete=False))
    assert type(trainer) is chosen[name] and trainer.updates == 3
    trainer.save(tmp_path)
    resumed = chosen[name].resume(tmp_path)
    assert type(resumed) is chosen[name] and resumed.config == trainer.config
    other = chosen["iql" if name == "bc" else "bc"]
    with pytest.raises(CheckpointError, match=f"was made by {name}, not by {other.algorithm_name}"):
        other.resume(tmp_path)
    assert chosen[name](resume_from=tmp_path).config == trainer.config
    with pytest.raises(CheckpointError, match=f"was made by {name}, not by {other.algorithm_name}"):
        other(resume_from=tmp_path)
    assert type(OfflineTrainer.resume(tmp_path)) is OfflineTrainer


def test_a_trainer_takes_the_settings_of_its_algorithm_alone():
    assert BCQTrainer(BCQConfig(hidden_dim=256, latent_dim=64, num_epochs=100)).config.latent_dim == 64
    with pytest.raises(TypeError, match="BCQTrainer takes a BCQConfig, not a IQLConfig"):
        BCQTrainer(IQLConfig())
    with pytest.raises(TypeError, match="BCQTrainer takes a BCQConfig, not a BCConfig"):
        BCQTrainer(BCConfig())
