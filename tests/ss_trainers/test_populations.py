"""Populations of customers in the online loop."""

from dataclasses import replace

import pytest
import torch

from ss_gym.agents.checkpoint import CheckpointError
from ss_gym.sim2real import RandomizedPopulation, SimToRealConfig, SimToRealTransfer, TransferPopulation
from ss_trainers import GRPOTrainer, TrainingConfig
from tests.ss_trainers.continual.letters import Letters, register
from tests.ss_trainers.tiny_model import save_tiny

ENV = register()
SMALL = TrainingConfig(
    iterations=4,
    groups_per_iteration=4,
    group_size=4,
    max_new_tokens=4,
    learning_rate=2e-2,
    eval_episodes=8,
    eval_every=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def weights(trainer):
    return torch.cat([each.detach().flatten() for each in trainer.agent().backend.loaded.model.parameters()])


def test_each_group_meets_its_customer_and_the_population_is_told_how_it_went(folder) -> None:
    population, lines = Letters(), []
    trainer = GRPOTrainer(ENV, folder, training=SMALL, population=population)
    trainer.train([lambda _, metrics: lines.append(dict(metrics))])
    assert [line["population/told"] for line in lines] == [16] * 4
    assert population.evaluations == [(number, 8) for number in (1, 2, 3, 4)]
    for number, ((step, outcomes), drawn) in enumerate(zip(population.outcomes, population.drawn, strict=True)):
        assert step == number
        # Attempts of a group share their customer; evaluations meet nobody of the population.
        assert [options for options, _ in outcomes] == [options for options in drawn for _ in range(4)]
        assert all(isinstance(success, bool) for _, success in outcomes)


def test_options_of_the_settings_come_before_those_of_the_population(folder) -> None:
    training = replace(SMALL, iterations=1, train_options={"task": "c"})
    population = Letters()
    trainer = GRPOTrainer(ENV, folder, training=training, population=population)
    asked = GRPOTrainer(ENV, folder, training=training)
    trainer.step()
    asked.step()
    assert torch.equal(weights(trainer), weights(asked))
    assert {options["task"] for options, _ in population.outcomes[0][1]} == {"c"}


def real(generator):
    return {"task": "b"}


def simulated(generator):
    return {"task": "a"}


def transferring():
    return TransferPopulation(SimToRealTransfer(SimToRealConfig(total_steps=4)), simulated, real)


def test_a_run_that_goes_over_to_real_customers_is_resumed_exactly(folder, tmp_path) -> None:
    lines = []
    whole = GRPOTrainer(ENV, folder, training=SMALL, population=transferring())
    whole.train([lambda _, metrics: lines.append(metrics["population/sim_ratio"])])
    assert lines == [1.0, 0.75, 0.5, 0.25]
    first = GRPOTrainer(ENV, folder, training=SMALL, population=transferring())
    first.train([lambda trainer, _: trainer.iteration == 2])
    first.save(tmp_path / "checkpoint")
    second = GRPOTrainer.resume(tmp_path / "checkpoint", population=transferring())
    second.train()
    assert torch.equal(weights(whole), weights(second))
    with pytest.raises(CheckpointError, match="give it as population"):
        GRPOTrainer.resume(tmp_path / "checkpoint")
    with pytest.raises(CheckpointError, match="of a TransferPopulation, and this is a RandomizedPopulation"):
        GRPOTrainer.resume(tmp_path / "checkpoint", population=RandomizedPopulation(simulated))


def test_rollouts_that_run_ahead_meet_no_population(folder) -> None:
    with pytest.raises(ValueError, match="set rollout_lag to 0"):
        GRPOTrainer(ENV, folder, training=replace(SMALL, rollout_lag=1), population=Letters())
