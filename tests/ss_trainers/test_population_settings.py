"""Populations by their settings alone."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ss_gym import MultiTurnAgent
from ss_gym.agents import AgentConfig
from ss_gym.sim2real import Calibration, ConversationSimulator, Posterior, RandomizedPopulation, TransferPopulation
from ss_gym.users.parameters import PARAMETERS
from ss_trainers import GRPOTrainer, TrainingConfig, make_population, train
from ss_trainers.populations import lasting_settings
from tests.ss_trainers.continual.letters import register
from tests.ss_trainers.tiny_model import save_tiny

ENV = register()
SMALL = TrainingConfig(iterations=4, groups_per_iteration=2, group_size=2, max_new_tokens=4, learning_rate=2e-2)
OVER = {
    "kind": "transfer",
    "total_steps": 4,
    "simulated": {"kind": "options", "options": {"task": "a"}},
    "real": {"kind": "options", "options": {"task": "b"}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def mine(letter="c"):
    """A population of one's own."""
    return RandomizedPopulation(lambda generator: {"task": letter})


def half_a_population():
    return SimpleNamespace(draw=len, learn=len)


NOTED = []


def noted():
    """A population whose making is noticed."""
    NOTED.append(1)
    return mine()


def save_fit(file, distance):
    """A calibration to the greatest values that there are."""
    names = tuple(PARAMETERS)
    high = np.array([[PARAMETERS[name].high for name in names]])
    fitted = ConversationSimulator()
    fitted.calibration = Calibration(names, Posterior(high, np.ones(1), np.zeros(1)), high[0], distance, 1.0)
    fitted.save(file)


def kind_of(settings):
    return settings["kind"]


def of_population(metrics):
    return {name: value for name, value in metrics.items() if name.startswith("population/")}


def drawn(settings, step=0, count=4):
    return make_population(settings).draw(step, count, np.random.default_rng(0))


def weights(trainer):
    return torch.cat([each.detach().flatten() for each in trainer.agent().backend.loaded.model.parameters()])


def test_each_kind_is_what_its_settings_say() -> None:
    wide = {"persona_variation": 1.0, "style_variation": 1.0}
    narrow = {"persona_variation": 0.0, "style_variation": 0.0}
    assert make_population({"kind": "uniform", **wide}).learn(0, []) == {"population/width": 1.0}
    assert make_population({"kind": "curriculum", **wide}).learn(0, []) == {"population/level": 0.0}
    assert make_population({"kind": "uniform", **narrow}).learn(0, [])["population/width"] < 0.3
    patient = drawn({"kind": "uniform", "ranges": {"patience": [2, 2]}})
    assert {options["user_params"]["patience"] for options in patient} == {2}
    automatic = drawn({"kind": "automatic", "tools": True})
    assert all(options["tool_params"].keys() == {"tool_failure", "tool_latency"} for options in automatic)
    curriculum = make_population({"kind": "curriculum", **wide, "widen_at": 0.2, "step": 0.5})
    curriculum.evaluated(1, 0.3, 100)
    assert curriculum.learn(1, []) == {"population/level": 0.5}
    assert [options["task"] for options in drawn(OVER, 2)].count("b") == 2
    assert drawn({"kind": f"{__name__}:mine", "letter": "x"})[0] == {"task": "x"}


def test_fitted_customers_are_read_from_their_file(tmp_path, monkeypatch) -> None:
    save_fit(tmp_path / "customers.npz", 0.1)
    monkeypatch.chdir(tmp_path)
    settings = {"kind": "calibrated", "calibration": "customers.npz"}
    assert drawn(settings)[0]["user_params"]["noise"] == PARAMETERS["noise"].high
    assert 0 < drawn({**settings, "realism_level": 0.5})[0]["user_params"]["noise"] < PARAMETERS["noise"].high
    # From another folder, too.
    lasting = lasting_settings({**OVER, "real": settings})
    monkeypatch.chdir("/")
    assert isinstance(make_population(lasting), TransferPopulation)
    with pytest.raises(FileNotFoundError, match=r"customers\.npz"):
        make_population(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "population.kind: there is no None; one of uniform, automatic, curriculum, calibrated, options, transfer"),
        ({"kind": "adr"}, "population.kind: there is no 'adr'"),
        ({"kind": "uniform", "persona": 1}, "population: unknown setting 'persona' of DomainRandomizationConfig"),
        ({"kind": "uniform", "style_variation": 2}, "style_variation must be from 0 to 1"),
        ({"kind": "uniform", "ranges": {"nois": [0, 1]}}, "'noise'"),
        ({"kind": "curriculum", "step": 0}, "step above 0"),
        ({"kind": "calibrated"}, "population: calibration: Field required"),
        ({"kind": "transfer", "simulated": {"kind": "uniform"}}, "real is missing"),
        ({**OVER, "real": {"kind": "optoins"}}, "population.real.kind: there is no 'optoins'; did you mean"),
        ({**OVER, "real": 7}, "population.real must be settings by name, got 7"),
        ({"kind": f"{__name__}:mine", "leter": "x"}, "mine does not take what is given.*leter"),
        ({"kind": f"{__name__}:half_a_population"}, "makes a SimpleNamespace, and no population"),
        ({"kind": ["uniform"]}, r"population.kind: there is no \['uniform'\]"),
        (
            {"kind": "calibrated", "calibration": "x", "realism_level": 3},
            "population.realism_level must be from 0 to 1",
        ),
        ({"kind": "curriculum", "widenat": 0.5}, "did you mean 'widen_at'"),
    ],
)
def test_wrong_settings_are_named(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        make_population(settings)


@pytest.mark.parametrize(
    "settings", [OVER, {"kind": "automatic", "outcomes": 1}, {"kind": "curriculum", "widen_at": 0.0}], ids=kind_of
)
def test_a_run_goes_on_with_the_population_that_its_settings_describe(folder, tmp_path, settings) -> None:
    training = replace(SMALL, eval_every=1, eval_episodes=2)
    told = []
    whole = GRPOTrainer(ENV, folder, training=training, population=settings)
    whole.train([lambda _, metrics: told.append(of_population(metrics))])
    first = GRPOTrainer(ENV, folder, training=training, population=settings)
    first.train([lambda trainer, _: trainer.iteration == 2])
    first.save(tmp_path / "checkpoint")
    again = []
    second = GRPOTrainer.resume(tmp_path / "checkpoint")
    second.train([lambda _, metrics: again.append(of_population(metrics))])
    assert again == told[2:] and all(told)
    assert torch.equal(weights(whole), weights(second))
    assert (tmp_path / "checkpoint" / "population.json").exists()


def test_settings_that_are_given_again_must_be_those_of_the_run(folder, tmp_path) -> None:
    narrow = {"kind": "uniform", "ranges": {"patience": (2, 2)}}
    GRPOTrainer(ENV, folder, training=SMALL, population=narrow).save(tmp_path / "settings")
    GRPOTrainer.resume(tmp_path / "settings", population=narrow)  # tuples are lists in a file
    with pytest.raises(ValueError, match="the population differs from that of the run"):
        GRPOTrainer.resume(tmp_path / "settings", population={"kind": "uniform"})
    GRPOTrainer(ENV, folder, training=SMALL, population=mine()).save(tmp_path / "object")
    with pytest.raises(ValueError, match="has no settings of a population: give the population itself"):
        GRPOTrainer.resume(tmp_path / "object", population=narrow)
    with pytest.raises(ValueError, match="settings of a population are texts, numbers, lists and mappings"):
        GRPOTrainer(ENV, folder, training=SMALL, population={**OVER, "total_steps": np.int64(4)})


def test_a_checkpoint_does_not_choose_what_is_run(folder, tmp_path) -> None:
    for settings in ({"kind": f"{__name__}:noted"}, {**OVER, "real": {"kind": f"{__name__}:noted"}}):
        GRPOTrainer(ENV, folder, training=SMALL, population=settings).save(tmp_path / "checkpoint")
        NOTED.clear()
        with pytest.raises(ValueError, match=r"is made by .*:noted: give its settings again"):
            GRPOTrainer.resume(tmp_path / "checkpoint")
        assert not NOTED
        GRPOTrainer.resume(tmp_path / "checkpoint", population=settings)
        assert NOTED


def test_a_calibration_may_be_moved_and_not_changed(folder, tmp_path) -> None:
    save_fit(tmp_path / "customers.npz", 0.1)
    settings = {"kind": "calibrated", "calibration": str(tmp_path / "customers.npz")}
    GRPOTrainer(ENV, folder, training=SMALL, population=settings).save(tmp_path / "checkpoint")
    GRPOTrainer.resume(tmp_path / "checkpoint")
    (tmp_path / "customers.npz").rename(tmp_path / "moved.npz")
    moved = {**settings, "calibration": tmp_path / "moved.npz"}
    with pytest.raises(FileNotFoundError, match=r"customers\.npz"):
        GRPOTrainer.resume(tmp_path / "checkpoint")
    GRPOTrainer.resume(tmp_path / "checkpoint", population=moved)
    save_fit(tmp_path / "customers.npz", 0.2)
    with pytest.raises(ValueError, match="does not hold the calibration that the run began with"):
        GRPOTrainer.resume(tmp_path / "checkpoint")


def test_train_takes_the_settings_of_a_population(folder, tmp_path) -> None:
    agent = MultiTurnAgent(AgentConfig(folder, max_new_tokens=4))
    sizes = {"groups_per_iteration": 2, "group_size": 2}
    asyncio.run(train(agent, ENV, num_episodes=8, save_path=tmp_path, config_overrides=sizes, population=OVER))
    again = {"save_path": tmp_path, "resume_from_checkpoint": tmp_path, "num_episodes": 12}
    with pytest.raises(ValueError, match="the population differs from that of the run"):
        asyncio.run(train(agent, ENV, population={**OVER, "total_steps": 9}, **again))
    asyncio.run(train(agent, ENV, population=OVER, **again))
    told = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(told) == 3 and all("population/sim_ratio" in line for line in told)
