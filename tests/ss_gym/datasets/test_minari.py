"""Conversations go to Minari and come back."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import ss_gym  # noqa: F401  (registers the environments)
from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.wrappers import RecordTrajectories

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
        # What Minari has no place for: the system message, scenario ids, terms of rewards and the audit.
        assert one.messages == other.messages[1:]
        assert (one.actions, one.rewards, one.success) == (other.actions, other.rewards, other.success)
        assert (one.episode.seed, one.episode.options) == (other.episode.seed, other.episode.options)
        assert (one.episode.terminated, one.episode.truncated) == (True, False)
        assert one.episode.env_id == "StateSet/Refund-v0"
    assert again[1].source == "Minari dataset stateset/refund/test-v0" and again[1].line == 2
    few = ConversationDataset.from_minari(
        minari.load_dataset("stateset/refund/test-v0"), ConversationDatasetConfig(max_turns=9)
    )
    assert len(few) == 2 and few.to_jsonl(tmp_path / "again.jsonl").exists()


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
