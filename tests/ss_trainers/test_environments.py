"""A checkpoint names the wrappers of its environment, and nothing else that could be run."""

import importlib
import json
import operator
import sys
from dataclasses import dataclass, replace

import gymnasium as gym
import pytest
from gymnasium.envs.registration import WrapperSpec

from ss_gym.agents.checkpoint import CheckpointError
from ss_gym.wrappers import WeightedReward
from ss_trainers import Episode, GRPOTrainer, TrainingConfig
from ss_trainers.checkpoint import read_state
from ss_trainers.environments import naming, wrappers_in
from tests.ss_trainers.another_process import AnotherProcess
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter, register

ENV = register()
SMALL = TrainingConfig(iterations=4, groups_per_iteration=2, group_size=4, max_new_tokens=4)
NAMELESS = {"env": None, "env_kwargs": {}, "env_wrappers": []}


class ForeignWrapper(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """A wrapper that records its arguments, of a package that a checkpoint can't name."""

    def __init__(self, env):
        gym.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)


@dataclass
class Size:
    """An argument that JSON does not know."""

    letters: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def statistics(**kwargs):
    return gym.wrappers.RecordEpisodeStatistics(gym.make(ENV), **kwargs).spec.additional_wrappers[0]


def test_the_wrappers_of_a_spec_come_back_on_resume(folder, tmp_path):
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(ENV, raise_on=[7]), stats_key="recorded")
    GRPOTrainer(env.spec, folder, training=SMALL).save(tmp_path)
    played = GRPOTrainer.resume(tmp_path).evaluate([Episode(7), Episode(8)])
    assert len(played.dropped) == 1 and [t.info["recorded"]["l"] > 0 for t in played.trajectories] == [True]


def test_wrappers_given_beside_an_id_stand_around_those_of_the_spec(folder, tmp_path):
    inner, outer = statistics(stats_key="inner"), statistics(stats_key="outer")
    spec = replace(gym.spec(ENV), additional_wrappers=(inner,))
    trainer = GRPOTrainer(spec, folder, training=SMALL, env_wrappers=[outer])
    [trajectory] = trainer.evaluate([Episode(1)]).trajectories
    assert {"inner", "outer"} <= set(trajectory.info)
    trainer.save(tmp_path)
    named = [wrapper["kwargs"]["stats_key"] for wrapper in read_state(tmp_path).settings["env_wrappers"]]
    assert named == ["inner", "outer"]
    # An id that is given on resume keeps the run's wrappers; a spec brings its own.
    [trajectory] = GRPOTrainer.resume(tmp_path, env=ENV).evaluate([Episode(1)]).trajectories
    assert {"inner", "outer"} <= set(trajectory.info)
    [trajectory] = GRPOTrainer.resume(tmp_path, env=gym.spec(ENV)).evaluate([Episode(1)]).trajectories
    assert not {"inner", "outer"} & set(trajectory.info)


def test_a_function_wraps_its_environment_itself(folder):
    with pytest.raises(ValueError, match="a function can wrap its environment itself"):
        GRPOTrainer(SayTheLetter, folder, training=SMALL, env_wrappers=[statistics()])


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda env: gym.wrappers.TransformReward(env, operator.neg), id="a function as argument"),
        pytest.param(ForeignWrapper, id="another package"),
        pytest.param(lambda env: WeightedReward(env, {1: 2.0}), id="a key that JSON turns into text"),
    ],
)
def test_a_wrapper_that_a_checkpoint_cannot_name_leaves_the_environment_nameless(folder, tmp_path, wrap):
    spec = wrap(gym.make(ENV)).spec
    GRPOTrainer(spec, folder, training=SMALL).save(tmp_path)
    settings = read_state(tmp_path).settings
    assert {name: settings[name] for name in NAMELESS} == NAMELESS
    with pytest.raises(CheckpointError, match="does not name its environment: give a spec or a function"):
        GRPOTrainer.resume(tmp_path)
    assert GRPOTrainer.resume(tmp_path, env=spec).iteration == 0


def test_an_id_does_not_bring_back_the_wrappers_of_a_nameless_run(folder, tmp_path):
    trainer = GRPOTrainer(ForeignWrapper(gym.make(ENV)).spec, folder, training=SMALL, env_kwargs={"raise_on": [7]})
    trainer.save(tmp_path)
    with pytest.raises(CheckpointError, match="does not name the keywords and wrappers of its environment"):
        GRPOTrainer.resume(tmp_path, env=ENV)


def test_wrappers_that_an_id_is_registered_with_come_back_once(folder, tmp_path):
    gym.register("Toy/Registered-v0", SayTheLetter, additional_wrappers=(statistics(stats_key="registered"),))
    try:
        spec = gym.wrappers.RecordEpisodeStatistics(gym.make("Toy/Registered-v0"), stats_key="more").spec
        GRPOTrainer(spec, folder, training=SMALL).save(tmp_path)
        [named] = read_state(tmp_path).settings["env_wrappers"]
        assert named["kwargs"]["stats_key"] == "more"
        [trajectory] = GRPOTrainer.resume(tmp_path).evaluate([Episode(1)]).trajectories
        assert {"registered", "more"} <= set(trajectory.info)
        other = replace(spec, additional_wrappers=spec.additional_wrappers[1:])
        assert naming(other, {}, ()) == NAMELESS
    finally:
        del gym.registry["Toy/Registered-v0"]


@pytest.mark.parametrize("keywords", [{"size": Size(3)}, {"sizes": {3: "three"}}, {"size": float("nan")}])
def test_keywords_that_json_would_change_leave_the_environment_nameless(keywords):
    assert naming(ENV, keywords, ()) == NAMELESS


def test_tuples_among_the_keywords_may_come_back_as_lists():
    settings = json.loads(json.dumps(naming(ENV, {"raise_on": (7, 8)}, ())))
    assert settings == {"env": ENV, "env_kwargs": {"raise_on": [7, 8]}, "env_wrappers": []}


@pytest.mark.parametrize(
    "entry_point",
    [
        "os:system",
        "pathlib:Path",
        "gymnasium:make",
        "gymnasium.wrappers:os",
        "gymnasium.wrappers:RecordVideo",
        "ss_gym.wrappers:RecordTrajectories",
        "ss_gym.wrappers.recording:RecordTrajectories",
    ],
)
def test_nothing_but_wrappers_is_made_from_a_checkpoint(entry_point):
    entry = {"name": "wrapper", "entry_point": entry_point, "kwargs": {}}
    with pytest.raises(ValueError, match=r"is no wrapper of gymnasium\.wrappers or ss_gym\.wrappers"):
        wrappers_in({"env_wrappers": [entry]})


def test_a_module_that_a_checkpoint_names_is_not_even_imported(folder, tmp_path, monkeypatch):
    (tmp_path / "side_effect.py").write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("side_effect", "ss_gym.wrappers_of_others"):
        entry = {"name": "wrapper", "entry_point": f"{module}:Wrapper", "kwargs": {}}
        with pytest.raises(ValueError, match="is no wrapper of"):
            wrappers_in({"env_wrappers": [entry]})
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    trainer._env_settings = {**trainer._env_settings, "env": "side_effect:Toy/Unknown-v0"}
    trainer.save(tmp_path / "run")
    with pytest.raises(CheckpointError, match="Toy/Unknown-v0' is not known here: import side_effect first"):
        GRPOTrainer.resume(tmp_path / "run")
    assert "side_effect" not in sys.modules


def test_a_wrapper_that_can_not_be_imported_here_says_why():
    entry = {"name": "wrapper", "entry_point": "gymnasium.wrappers.of_tomorrow:Wrapper", "kwargs": {}}
    with pytest.raises(ValueError, match=r"can't be imported: No module named 'gymnasium\.wrappers\.of_tomorrow'"):
        wrappers_in({"env_wrappers": [entry]})


@pytest.mark.parametrize("entries", [None, 5, {"name": "wrapper"}])
def test_wrappers_that_are_no_list_are_refused(entries):
    with pytest.raises(ValueError, match="env_wrappers must be a list"):
        wrappers_in({"env_wrappers": entries})


@pytest.mark.parametrize(
    "entry",
    [
        "gymnasium.wrappers:RecordEpisodeStatistics",
        {"name": "wrapper", "entry_point": "gymnasium.wrappers:RecordEpisodeStatistics"},
        {"name": "w", "entry_point": "gymnasium.wrappers:RecordEpisodeStatistics", "kwargs": {}, "more": 1},
        {"name": "w", "entry_point": 3, "kwargs": {}},
        {"name": "w", "entry_point": "gymnasium.wrappers:RecordEpisodeStatistics", "kwargs": None},
    ],
)
def test_a_malformed_wrapper_in_a_checkpoint_is_refused(folder, tmp_path, entry):
    trainer = GRPOTrainer(ENV, folder, training=SMALL)
    trainer._env_settings = {**trainer._env_settings, "env_wrappers": [entry]}
    trainer.save(tmp_path)
    with pytest.raises(CheckpointError, match="can't be resumed: "):
        GRPOTrainer.resume(tmp_path)


ELSEWHERE = """
import gymnasium
gymnasium.register("Elsewhere/SayTheLetter-v0", entry_point="tests.ss_trainers.toy_env:SayTheLetter")
"""


def train_elsewhere(model, out):
    wrapper = WrapperSpec("own", "gymnasium.wrappers:RecordEpisodeStatistics", {"stats_key": "own"})
    GRPOTrainer(
        "letters_elsewhere:Elsewhere/SayTheLetter-v0",
        model,
        training=TrainingConfig(iterations=1, groups_per_iteration=1, group_size=2, max_new_tokens=4),
        env_kwargs={"max_episode_steps": 1},
        env_wrappers=[wrapper],
    ).save(out)


def test_a_run_in_an_id_with_its_module_goes_on_in_another_process(folder, tmp_path, monkeypatch):
    (tmp_path / "letters_elsewhere.py").write_text(ELSEWHERE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    code, errors = AnotherProcess(tmp_path / "errors", train_elsewhere, folder, str(tmp_path / "run")).ended()
    assert code == 0, errors
    with pytest.raises(CheckpointError, match="import letters_elsewhere first"):
        GRPOTrainer.resume(tmp_path / "run")
    assert read_state(tmp_path / "run").settings["env"] == "letters_elsewhere:Elsewhere/SayTheLetter-v0"
    importlib.import_module("letters_elsewhere")
    [trajectory] = GRPOTrainer.resume(tmp_path / "run").evaluate([Episode(1)]).trajectories
    assert trajectory.info["own"]["l"] == 1
