"""Rows of the datasets library, and other rows, are conversations, too."""

from pathlib import Path
from typing import Any

import pytest

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from tests.ss_gym.datasets.logs import call, chat, lines, said

ROWS = [
    chat("Hi!", "Yes?", id="c0", reward=1.0),
    {
        "messages": [*said("Hi!"), {"role": "assistant", "content": None, "tool_calls": [call("f")]}],
        "id": "c1",
        "reward": 0.5,
    },
]


def ids(dataset: Any) -> list[str]:
    return [conversation.id for conversation in dataset]


class Counting(list[Any]):
    """Counts how often its items are read."""

    read = 0

    def __getitem__(self, number: Any) -> Any:
        self.read += 1
        return super().__getitem__(number)


def test_rows_are_read_when_they_are_needed() -> None:
    rows = Counting(ROWS)
    dataset = ConversationDataset.from_huggingface(rows)
    assert ids(dataset) == ["c0", "c1"] and rows.read == 4  # once for the index, once for this
    assert dataset[1].episode == ConversationDataset.from_huggingface(iter(ROWS))[1].episode
    assert (dataset[1].source, dataset[1].line) == ("rows", 2)


def test_a_broken_row_is_named() -> None:
    with pytest.raises(ValueError, match="rows, row 3: the conversation has no messages"):
        ConversationDataset.from_huggingface([*ROWS, {"messages": []}])
    dataset = ConversationDataset.from_huggingface(
        [{"messages": []}, *ROWS], ConversationDatasetConfig(on_error="skip")
    )
    assert ids(dataset) == ["c0", "c1"] and dataset.statistics().skips["empty conversation"].times == 1


def test_datasets_of_the_library_are_read_by_their_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed (the extra hub)")
    table = datasets.Dataset.from_list(ROWS)
    dataset = ConversationDataset.from_huggingface(table)
    assert ids(dataset) == ["c0", "c1"] and dataset[1].actions == (
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>',
    )
    assert dataset.shuffled(1)[0].rewards in ((1.0,), (0.5,))
    both = datasets.DatasetDict(train=table, test=table.select([1]))
    assert ids(ConversationDataset.from_huggingface(both, split="test")) == ["c1"]
    with pytest.raises(ValueError, match="there is no split 'dev': there are 'train', 'test'"):
        ConversationDataset.from_huggingface(both, split="dev")
    path = lines(tmp_path / "log.jsonl", ROWS)
    loaded = ConversationDataset.from_huggingface("json", data_files=str(path), cache_dir=str(tmp_path / "cache"))
    assert ids(loaded) == ["c0", "c1"] and loaded[0].source == "dataset json"


def test_an_id_needs_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("ss_gym.datasets.hub.import_module", absent)
    with pytest.raises(ImportError, match=r"pip install 'stateset-gym\[hub\]'"):
        ConversationDataset.from_huggingface("somebody/conversations")


def test_what_gives_no_rows_is_refused() -> None:
    with pytest.raises(TypeError, match="rows are a dataset or an iterable of mappings, got int 3"):
        ConversationDataset.from_huggingface(3)
    with pytest.raises(ValueError, match="revision are options of load_dataset"):
        ConversationDataset.from_huggingface(ROWS, revision="main")
