"""Whom an agent meets in training."""

import json

import numpy as np
import pytest

from ss_gym.sim2real import (
    AutomaticRandomizationConfig,
    AutomaticRandomizer,
    Curriculum,
    DomainRandomizationConfig,
    DomainRandomizer,
    RandomizedPopulation,
    SimToRealConfig,
    SimToRealTransfer,
    TransferPopulation,
)


def real(generator):
    return {"user_params": {"noise": 0.2}, "user_seed": int(generator.integers(1000))}


def transferred(**settings):
    transfer = SimToRealTransfer(SimToRealConfig(total_steps=10, **settings))
    return TransferPopulation(transfer, DomainRandomizer(), real)


def again(population, fresh):
    """A fresh one that has taken up the population's state, by way of JSON."""
    fresh.load_state_dict(json.loads(json.dumps(population.state_dict())))
    return fresh


def test_draws_follow_from_the_generator_alone() -> None:
    population = RandomizedPopulation(DomainRandomizer())
    drawn = [population.draw(step, 5, np.random.default_rng(3)) for step in (0, 7)]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 5
    assert drawn[0] != population.draw(0, 5, np.random.default_rng(4))


@pytest.mark.parametrize(("step", "expected"), [(0, 0), (5, 8), (10, 16), (99, 16)])
def test_the_share_of_real_customers_follows_the_schedule(step, expected) -> None:
    population = transferred()
    drawn = population.draw(step, 16, np.random.default_rng(0))
    assert sum("user_seed" in options for options in drawn) == expected
    assert population.learn(step, [])["population/sim_ratio"] == 1 - expected / 16


def test_the_share_waits_while_evaluations_get_worse_and_in_a_copy_as_well() -> None:
    population = transferred(smoothing=1.0)
    population.evaluated(2, 0.9, 400)
    population.evaluated(4, 0.4, 400)
    copy = again(population, transferred(smoothing=1.0))
    for each in (population, copy):
        assert each.learn(8, [])["population/sim_ratio"] == pytest.approx(0.6)
        each.evaluated(8, 0.9, 400)
        assert each.learn(9, [])["population/sim_ratio"] == pytest.approx(0.5)


def test_ranges_of_an_automatic_randomizer_follow_the_successes_of_training() -> None:
    def made():
        config = AutomaticRandomizationConfig(probe_probability=1.0, outcomes=2, step=0.1)
        return RandomizedPopulation(AutomaticRandomizer(config))

    population, generator = made(), np.random.default_rng(0)
    widths = []
    for step in range(12):
        drawn = population.draw(step, 20, generator)
        widths.append(population.learn(step, [(options, True) for options in drawn for _ in range(2)]))
    values = [figure["population/width"] for figure in widths]
    assert values == sorted(values) and values[-1] > values[0] + 0.2
    copy = again(population, made())
    same = [each.draw(0, 3, np.random.default_rng(1)) for each in (population, copy)]
    assert same[0] == same[1]


def test_a_curriculum_gets_harder_with_evaluations_and_not_with_training() -> None:
    curriculum = Curriculum(DomainRandomizationConfig(1.0, 1.0, 1.0), widen_at=0.7, step=0.5)
    population = RandomizedPopulation(curriculum)
    assert population.learn(0, [({}, True)] * 50) == {"population/level": 0.0}
    population.evaluated(1, 0.8, 100)
    assert population.learn(1, []) == {"population/level": 0.5}
    population.evaluated(2, 0.5, 100)
    fresh = RandomizedPopulation(Curriculum(DomainRandomizationConfig(1.0, 1.0, 1.0), widen_at=0.7, step=0.5))
    assert again(population, fresh).learn(2, []) == {"population/level": 0.5}


def test_any_function_of_a_generator_makes_a_population_without_state() -> None:
    population = RandomizedPopulation(real)
    assert population.state_dict() == {} and population.learn(0, []) == {}
    population.load_state_dict({})
    population.evaluated(0, 0.5, 10)
    assert all(options["user_params"] == {"noise": 0.2} for options in population.draw(0, 2, np.random.default_rng(0)))


def test_a_side_that_learns_goes_on_learning_within_a_transfer() -> None:
    def made():
        automatic = AutomaticRandomizer(AutomaticRandomizationConfig(probe_probability=1.0, outcomes=1, step=0.1))
        return TransferPopulation(SimToRealTransfer(SimToRealConfig(total_steps=10)), automatic, real)

    population = made()
    widths = []
    for step in range(6):
        drawn = population.draw(0, 20, np.random.default_rng(step))
        widths.append(population.learn(0, [(options, True) for options in drawn])["population/width"])
    assert widths[-1] > widths[0] + 0.1
    copy = again(population, made())
    assert copy.learn(0, []) == population.learn(0, [])
