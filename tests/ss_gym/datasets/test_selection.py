"""What of a log becomes a dataset: length, duplicates, quality, and the scale of the rewards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.messages import logged
from tests.ss_gym.datasets.logs import call, chat, lines, said


def opened(path: Path, records: list[Any], **settings: Any) -> ConversationDataset:
    return ConversationDataset.from_jsonl(lines(path / "log.jsonl", records), ConversationDatasetConfig(**settings))


def ids(dataset: ConversationDataset) -> list[str]:
    return [conversation.id for conversation in dataset]


def test_length_is_what_the_agent_says_to_the_customer(tmp_path: Path) -> None:
    looked = [*said("Hi!"), {"role": "assistant", "tool_calls": [call("f")]}, {"role": "tool", "content": "1"}]
    records = [
        chat("Hi!", "Yes?", id="one"),
        {"messages": [*looked, *said("", "Found.")[1:]], "id": "one and a call"},
        {"messages": looked, "id": "a call"},
        chat(*["x"] * 6, id="three"),
    ]
    dataset = opened(tmp_path, records, min_turns=1, max_turns=2)
    assert ids(dataset) == ["one", "one and a call"] and list(dataset.turns) == [1, 1] and list(dataset.steps) == [1, 2]
    assert dataset.statistics().left_out == {"fewer than 1 turns": 1, "more than 2 turns": 1}


def test_duplicates_are_copies_or_the_same_words(tmp_path: Path) -> None:
    records = [
        chat("Hi!", "Yes, please?", reward=1, id="first"),
        chat("Hi!", "Yes, please?", reward=1, id="copy"),
        chat("hi", "Yes –  PLEASE", reward=1, id="same words"),
        chat("Hi!", "Yes, please?", reward=0, id="another reward"),
        chat("Hi!", "No.", reward=1, id="other words"),
    ]
    assert len(opened(tmp_path, records)) == 5
    exact = opened(tmp_path, records, duplicates="exact")
    assert ids(exact) == ["first", "same words", "another reward", "other words"]
    assert exact.statistics().left_out == {"exact copy": 1}
    text = opened(tmp_path, records, duplicates="text")
    assert ids(text) == ["first", "other words"] and text.statistics().left_out == {"same text": 3}


def test_conversations_with_the_same_words_and_other_calls_are_not_the_same() -> None:
    def calling(name: str, call_id: str) -> Any:
        calls = {"role": "assistant", "content": "", "tool_calls": [call(name, call_id=call_id)]}
        return logged([*said("Hi!"), calls, {"role": "tool", "content": "ok"}, *said("", "Done.")[1:]], rewards=1)

    given = [calling("refund", "a"), calling("refund", "b"), calling("cancel", "a")]
    settings = ConversationDatasetConfig(duplicates="text")
    assert len(ConversationDataset.from_trajectories(given, settings)) == 2
    copies = ConversationDataset.from_trajectories(given, ConversationDatasetConfig(duplicates="exact"))
    assert len(copies) == 2  # the ids of calls are no part of what was said


def test_quality_is_the_score_of_the_log_else_the_return_in_its_range(tmp_path: Path) -> None:
    records = [
        chat("a", "b", reward=-1, id="worst"),
        chat("a", "b", reward=0.5, id="middle"),
        chat("a", "b", reward=1, id="best"),
        chat("a", "b", reward=1, score=0.1, id="scored"),
        chat("a", "b", id="neither"),
    ]
    dataset = opened(tmp_path, records)
    np.testing.assert_array_equal(dataset.quality, [0.0, 0.75, 1.0, 0.1, np.nan])
    good = opened(tmp_path, records, quality_threshold=0.75)
    assert ids(good) == ["middle", "best"]
    assert good.statistics().left_out == {"quality not known": 1, "quality below the threshold": 2}
    fixed = opened(tmp_path, records, return_range=(0, 2))
    np.testing.assert_array_equal(fixed.quality, [0.0, 0.25, 0.5, 0.1, np.nan])
    assert ids(fixed.select(fixed.quality > 0.2)) == ["middle", "best"]


def test_quality_that_can_not_be_told_is_said(tmp_path: Path) -> None:
    same = [chat("a", "b", reward=1), chat("a", "c", reward=1)]
    with pytest.raises(
        ValueError, match="quality can't be told: there is no score, and all returns are 1; give return"
    ):
        opened(tmp_path, same, quality_threshold=0.7)
    assert len(opened(tmp_path, same, quality_threshold=0.7, return_range=(0, 1))) == 2
    assert len(opened(tmp_path, same[:1], quality_threshold=0.7, return_range=(0, 1))) == 1
    with pytest.raises(ValueError, match="no conversation is left of 1: left out were 1 for quality not known"):
        opened(tmp_path, [chat()], quality_threshold=0.7)
    with pytest.raises(ValueError, match="no conversation is left of 1: left out were 1 for fewer than 2 turns"):
        opened(tmp_path, [chat()], min_turns=2)


def test_rewards_are_divided_and_never_shifted(tmp_path: Path) -> None:
    records = [
        {"messages": said("a", "b", "c", "d"), "rewards": [1, 1]},
        chat("a", "b", reward=-2),
        chat("a", "b", reward=0),
        chat("a", "b"),
    ]
    by_range = opened(tmp_path, records, normalize_rewards="range")
    assert by_range.reward_scale == 0.25 and by_range[0].rewards == (0.25, 0.25)
    assert list(by_range.returns) == [0.5, -0.5, 0.0, 0.0] and by_range[1].trajectory().total_reward == -0.5
    assert by_range.statistics().returns.high == 2.0  # type: ignore[union-attr]
    by_std = opened(tmp_path, records, normalize_rewards="std")
    assert by_std.reward_scale == pytest.approx(1 / np.std([2, -2, 0]))
    fixed = opened(tmp_path, records, normalize_rewards="range", return_range=(0, 10))
    assert fixed.reward_scale == 0.1
    # A threshold takes nothing of the spread away.
    assert opened(tmp_path, records, normalize_rewards="range", quality_threshold=1.0).reward_scale == 0.25


def test_rewards_that_can_not_be_normalised_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rewards can't be normalised: the log tells none"):
        opened(tmp_path, [chat()], normalize_rewards="range")
    with pytest.raises(ValueError, match="rewards can't be normalised: all returns are 3"):
        opened(tmp_path, [chat(reward=3)], normalize_rewards="std")
