"""Recorded episodes come back from Minari as they were; and Minari collects from our environments."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from ss_gym.wrappers import FeatureObservation, MenuAction, RecordTrajectories, read_trajectories, to_minari
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, MENU, REFUND, replies

SAID = ("Your e-mail, please? 😀", LOOK_UP, "One moment.", CLOSE)


@pytest.fixture
def minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return pytest.importorskip("minari", reason="Minari is not installed (the extra offline)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "episodes.jsonl"


def play(env: gym.Env[Any, Any], seed: int, said: tuple[Any, ...] = SAID) -> list[Any]:
    """The observations."""
    return [env.reset(seed=seed, options={"user_seed": seed})[0], *(env.step(action)[0] for action in said)]


def test_recorded_episodes_come_back_from_minari(minari: Any, path: Path) -> None:
    env = RecordTrajectories(gym.make(REFUND, max_steps=4), path, keep_partial=True)
    observations = [play(env, 1), play(env, 2, ("Hello!",) * 4), play(env, 3, ("Hello!",))]
    env.close()
    to_minari(path, "stateset/refund/test-v0", algorithm_name="by hand")
    dataset = minari.load_dataset("stateset/refund/test-v0")
    kept = list(read_trajectories(path))
    assert dataset.total_episodes == 3 and dataset.env_spec.id == REFUND
    for episode, expected, one in zip(dataset, observations, kept, strict=True):
        assert list(episode.observations) == expected
        assert tuple(episode.actions) == one.actions
        assert tuple(episode.rewards.tolist()) == one.rewards
        before = [False] * (len(one.actions) - 1)
        assert episode.terminations.tolist() == [*before, one.terminated]
        assert episode.truncations.tolist() == [*before, not one.terminated]  # what was left unfinished is cut
        told = {name: held.tolist() for name, held in episode.infos.items()}
        assert told == ({} if one.success is None else {"success": [False, *before, False]})
    assert [one.success for one in kept] == [False, False, None]  # nobody knows yet how the third would have ended
    described = dataset.storage.get_episode_metadata(range(3))
    assert [one["scenario_id"] for one in described] == [one.scenario_id for one in kept]
    assert [(one.terminated, one.truncated) for one in kept] == [(True, False), (False, True), (False, False)]
    assert play(dataset.recover_environment(), 1)[0] == observations[0][0]


def test_minari_collects_from_an_environment_itself(minari: Any) -> None:
    pytest.importorskip("jax", reason="minari.DataCollector needs minari[create]")
    env = minari.DataCollector(gym.make(REFUND))
    expected = play(env, 1)
    env.create_dataset("stateset/refund/collected-v0")
    (episode,) = minari.load_dataset("stateset/refund/collected-v0")
    assert list(episode.observations) == expected and tuple(episode.actions) == SAID


def test_minari_collects_numbers(minari: Any) -> None:
    pytest.importorskip("jax", reason="minari.DataCollector needs minari[create]")
    env = minari.DataCollector(FeatureObservation(MenuAction(gym.make(REFUND), MENU), [replies]))
    expected = play(env, 1, (0, 1, 2))
    env.create_dataset("stateset/refund/numbers-v0")
    (episode,) = minari.load_dataset("stateset/refund/numbers-v0")
    assert episode.observations.tolist() == [one.tolist() for one in expected]
    assert episode.actions.tolist() == [0, 1, 2]


def test_what_is_no_dataset_is_told(minari: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="there is no episode"):
        to_minari([], "stateset/refund/none-v0")
    env = RecordTrajectories(MenuAction(gym.make(REFUND), MENU), path)
    play(env, 1, (0, 2))
    with pytest.raises(TypeError, match="episode 0 has an action of type int: only text can be kept"):
        to_minari(path, "stateset/refund/menu-v0")
    (one,) = read_trajectories(path)
    with pytest.raises(ValueError, match=r"the episodes are of \[''\]: pass env="):
        to_minari([replace(one, env_id="")], "stateset/refund/menu-v0")


def test_without_minari_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, package: str | None = None) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("ss_gym.wrappers.minari.import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'stateset-gym\[offline\]'"):
        to_minari([], "a/b-v0")
