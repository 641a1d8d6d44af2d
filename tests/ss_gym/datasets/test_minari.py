"""Conversations go to Minari and come back."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import ss_gym  # noqa: F401  (registers the environments)
from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.messages import logged
from ss_gym.datasets.native import conversation_of
from ss_gym.datasets.records import Place
from ss_gym.wrappers import RecordTrajectories, to_minari
from tests.ss_gym.datasets.logs import episode, said

LOOK = '<tool_call>{"name":"find_customer","arguments":{"email":"nobody@example.org"}}</tool_call>'
CLOSE = '<tool_call>{"name":"end_conversation","arguments":{}}</tool_call>'


@pytest.fixture
def minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return pytest.importorskip("minari", reason="Minari is not installed (the extra offline)")


def test_recorded_conversations_come_back_from_minari(minari: Any, tmp_path: Path) -> None:
    env = RecordTrajectories(gym.make("StateSet/Refund-v0"), tmp_path / "log.jsonl")
    for seed in range(2):
        env.reset(seed=seed, options={"user_seed": 5})
        for action in ("Your e-mail, please? 😀", LOOK + LOOK, "One moment.", CLOSE):
            env.step(action)
    env.close()
    dataset = ConversationDataset.from_jsonl(tmp_path / "log.jsonl")
    dataset.to_minari("stateset/refund/test-v0", algorithm_name="by hand")
    again = ConversationDataset.from_minari("stateset/refund/test-v0")
    assert len(again) == 2
    for one, other in zip(again, dataset, strict=True):
        # What Minari has no place for: the system message, terms of rewards and the audit.
        assert one.messages == other.messages[1:] and one.scenario == other.scenario
        assert (one.actions, one.rewards, one.success) == (other.actions, other.rewards, other.success)
        assert (one.episode.seed, one.episode.options) == (other.episode.seed, other.episode.options)
        assert (one.episode.terminated, one.episode.truncated) == (True, False)
        assert one.episode.env_id == "StateSet/Refund-v0"
    assert again[1].source == "Minari dataset stateset/refund/test-v0" and again[1].line == 2
    few = ConversationDataset.from_minari(
        minari.load_dataset("stateset/refund/test-v0"), ConversationDatasetConfig(max_turns=9)
    )
    assert len(few) == 2 and few.to_jsonl(tmp_path / "again.jsonl").exists()


def test_what_a_log_does_not_tell_is_not_told_after_minari_either(minari: Any, tmp_path: Path) -> None:
    talk = said("Hi!", "Yes?", "Help!", "Done.")
    settings: tuple[dict[str, Any], ...] = (
        {},
        {"success": True},
        {"success": False, "score": 0.5, "id": "c2"},
        {"rewards": [0.25, 0.5]},
        {"rewards": [0.0, 0.0]},
    )
    log = [logged(talk, **told) for told in settings]
    dataset = ConversationDataset.from_trajectories(log)
    dataset.to_minari("stateset/refund/untold-v0", "StateSet/Refund-v0")
    again = ConversationDataset.from_minari("stateset/refund/untold-v0")
    assert [one.success for one in again] == [None, True, False, None, None]
    assert [one.rewarded for one in again] == [False, True, True, True, True]
    assert [one.rewards for one in again] == [one.rewards for one in log]
    assert (again[2].id, again[2].score, again[1].score) == ("c2", 0.5, None)
    assert again.statistics().rewarded == 4 and again.statistics().judged == 2
    written = ConversationDataset.from_jsonl(again.to_jsonl(tmp_path / "again.jsonl"))
    assert [(one.success, one.rewarded) for one in written] == [(one.success, one.rewarded) for one in log]


def test_what_belongs_together_does_after_minari_too(minari: Any) -> None:
    recorded = [
        # Two attempts a scenario: it was asked for, or drawn by two seeds; the next scenario is its twin.
        conversation_of(episode(number, seed=seed, options=options, tokens=None), Place("log", number + 1))
        for number in range(30)
        for seed, options in ((100 + number, {"scenario_id": f"refund/train/{number:04d}"}), (200 + number, {}))
    ]
    talks = [logged(said("Hi!", f"Yes {number}?"), customer=f"customer {number % 9}") for number in range(27)]
    dataset = ConversationDataset.from_trajectories([*recorded, *talks])
    dataset.to_minari("stateset/refund/ties-v0", "StateSet/Refund-v0")
    again = ConversationDataset.from_minari("stateset/refund/ties-v0")
    assert len(set(dataset.groups().tolist())) == 15 + 9
    assert again.groups().tolist() == dataset.groups().tolist()
    assert [(one.scenario, one.customer) for one in again] == [(one.scenario, one.customer) for one in dataset]
    assert [one.episode.scenario_id for one in again] == [one.episode.scenario_id for one in dataset]


def test_the_scenarios_of_recorded_episodes_are_kept_without_a_log(minari: Any) -> None:
    attempts = [episode(number, seed=seed, options={}, tokens=None) for number in (0, 1) for seed in (5, 6)]
    to_minari(attempts, "stateset/refund/episodes-v0")
    again = ConversationDataset.from_minari("stateset/refund/episodes-v0")
    assert [one.scenario for one in again] == [one.scenario_id for one in attempts]
    assert len(set(again.groups(["scenario"]).tolist())) == 1  # the two scenarios are twins


def test_datasets_that_were_made_before_more_was_kept_are_read(minari: Any) -> None:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    asked = {"scenario_id": "refund/train/0004", "user_seed": 5}
    buffers = [
        EpisodeBuffer(
            id=number,
            seed=number,
            options=options,
            observations=["Hi!", f"Bye {number}!"],
            actions=["Yes?"],
            rewards=[0.5],
            terminations=[True],
            truncations=[False],
            infos={"success": [False, number == 1]},
        )
        for number, options in enumerate([asked, {**asked, "user_seed": 6}, {"split": "dev", "level": 3}, None])
    ]
    minari.create_dataset_from_buffers("stateset/refund/old-v0", buffers, env="StateSet/Refund-v0")
    dataset = ConversationDataset.from_minari("stateset/refund/old-v0")
    assert [one.scenario for one in dataset] == [
        "refund/train/0004",
        "refund/train/0004",
        'StateSet/Refund-v0 seed 2 {"level": 3, "split": "dev"}',
        "StateSet/Refund-v0 seed 3",
    ]
    assert [(one.success, one.rewarded, one.rewards) for one in dataset][:2] == [
        (False, True, (0.5,)),
        (True, True, (0.5,)),
    ]
    assert dataset[0].id == "Minari dataset stateset/refund/old-v0, episode 1"
    groups = dataset.groups(["scenario"]).tolist()
    assert groups[0] == groups[1] and len(set(groups)) == 3


def test_a_dataset_of_numbers_is_no_log_of_conversations(minari: Any) -> None:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    episode = EpisodeBuffer(
        id=0,
        observations=np.zeros((3, 4), np.float32),
        actions=np.zeros(2, np.int64),
        rewards=[0.0, 1.0],
        terminations=[False, True],
        truncations=[False, False],
        infos={},
    )
    minari.create_dataset_from_buffers("cart/numbers-v0", [episode], env="CartPole-v1")
    with pytest.raises(ValueError, match="the observations of the Minari dataset cart/numbers-v0 are no text"):
        ConversationDataset.from_minari("cart/numbers-v0")


def test_without_minari_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("ss_gym.wrappers.minari.import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'stateset-gym\[offline\]'"):
        ConversationDataset.from_minari("a/b-v0")
