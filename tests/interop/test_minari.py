"""Episodes in Minari's datasets, and environments that datasets make again."""

import gymnasium as gym
import numpy as np
import pytest

from ss_gym.datasets import ConversationDataset
from ss_gym.datasets.messages import logged
from ss_gym.wrappers import RecordTrajectories, to_minari
from tests.interop.episodes import EXCHANGE_MENU, REFUND, REFUND_MENU, RETAIL, native, native_choices

minari = pytest.importorskip("minari", reason="Minari is installed by: make test-interop")

from minari.data_collector.episode_buffer import EpisodeBuffer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.* is set to None:UserWarning")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id, data_format, tmp_path) -> None:
    if data_format == "arrow":
        pytest.importorskip("pyarrow", reason="Minari's arrow needs pyarrow")
    expected = [native(env_id, seed) for seed in range(8)]
    env = RecordTrajectories(gym.make(env_id), tmp_path / "log.jsonl")
    for seed, ours in enumerate(expected):
        env.reset(seed=seed)
        for action in ours.actions:
            env.step(action)
    env.close()
    to_minari(tmp_path / "log.jsonl", "stateset/interop/test-v0", data_format=data_format)
    dataset = minari.load_dataset("stateset/interop/test-v0")
    again = dataset.recover_environment()
    for seed, (episode, ours) in enumerate(zip(dataset, expected, strict=True)):
        assert list(episode.observations) == [ours.opening, *(step[0] for step in ours.steps)]
        assert list(episode.actions) == ours.actions
        assert episode.rewards.tolist() == [step[1] for step in ours.steps]
        assert episode.terminations.tolist() == [step[2] for step in ours.steps]
        assert episode.truncations.tolist() == [step[3] for step in ours.steps]
        assert bool(episode.infos["success"][-1]) == ours.success
        assert again.reset(seed=seed)[0] == ours.opening
        assert [again.step(action)[:4] for action in ours.actions] == ours.steps
    for sample, ours in zip(ConversationDataset.from_minari("stateset/interop/test-v0"), expected, strict=True):
        assert list(sample.actions) == ours.actions and sample.success == ours.success


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_what_a_log_does_not_tell_and_what_ties_it_come_back_from_each_storage(data_format) -> None:
    if data_format == "arrow":
        pytest.importorskip("pyarrow", reason="Minari's arrow needs pyarrow")
    said = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}]
    told = ({"customer": "ann"}, {"success": True, "scenario": "refund/train/0004"}, {"rewards": 0.5})
    log = [logged(said, **fields) for fields in told]
    dataset = ConversationDataset.from_trajectories(log)
    dataset.to_minari("stateset/interop/told-v0", REFUND, data_format=data_format)
    again = ConversationDataset.from_minari("stateset/interop/told-v0")
    assert [(one.success, one.rewarded, one.rewards) for one in again] == [
        (None, False, (0.0,)),
        (True, True, (1.0,)),
        (None, True, (0.5,)),
    ]
    assert [(one.customer, one.scenario) for one in again] == [("ann", ""), ("", "refund/train/0004"), ("", "")]
    assert len(list(minari.load_dataset("stateset/interop/told-v0").sample_episodes(3))) == 3


@pytest.mark.parametrize("env_id", [REFUND_MENU, EXCHANGE_MENU])
def test_an_episode_with_a_menu_is_the_same(env_id) -> None:
    expected = [native_choices(env_id, seed) for seed in range(8)]
    buffers = [
        EpisodeBuffer(
            id=seed,
            seed=seed,
            observations=list(ours.observations),
            actions=[np.int64(action) for action in ours.actions],
            rewards=[step[0] for step in ours.steps],
            terminations=[step[1] for step in ours.steps],
            truncations=[step[2] for step in ours.steps],
            infos={"action_mask": list(ours.masks)},
        )
        for seed, ours in enumerate(expected)
    ]
    minari.create_dataset_from_buffers("stateset/interop/menu-v0", buffers, env=gym.make(env_id))
    dataset = minari.load_dataset("stateset/interop/menu-v0")
    again = dataset.recover_environment()
    for seed, (episode, ours) in enumerate(zip(dataset, expected, strict=True)):
        assert episode.observations.tobytes() == np.stack(ours.observations).tobytes()
        assert episode.infos["action_mask"].tolist() == [mask.tolist() for mask in ours.masks]
        assert episode.actions.tolist() == ours.actions
        assert episode.rewards.tolist() == [step[0] for step in ours.steps]
        seen = [again.reset(seed=seed)[0], *(again.step(action)[0] for action in episode.actions)]
        assert np.stack(seen).tobytes() == episode.observations.tobytes()
