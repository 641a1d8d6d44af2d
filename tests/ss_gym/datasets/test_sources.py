"""Files are read where they lie: lines, documents, compressed ones; what is broken in them is named."""

import gc
import gzip
import json
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig, read_conversations, sources
from tests.ss_gym.datasets.logs import chat, lines, said

SKIP = ConversationDatasetConfig(on_error="skip")
GOOD = [chat("Hi!", f"Number {number}, é", id=f"c{number}") for number in range(5)]


def ids(dataset: Any) -> list[str]:
    return [conversation.id for conversation in dataset]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lines(tmp_path / "log.jsonl", GOOD)


def test_a_conversation_is_read_from_its_place_in_the_file(path: Path) -> None:
    dataset = ConversationDataset.from_jsonl(path)
    assert ids(dataset) == ["c0", "c1", "c2", "c3", "c4"]
    assert (dataset[3].actions, dataset[3].source, dataset[3].line) == (("Number 3, é",), str(path), 4)
    assert dataset[-1].id == "c4"
    with pytest.raises(IndexError):
        dataset[5]


def test_blank_lines_and_a_missing_last_break_are_no_errors(path: Path) -> None:
    path.write_bytes(b"\n" + path.read_bytes().replace(b"\n", b"\r\n\r\n").rstrip())
    dataset = ConversationDataset.from_jsonl(path)
    assert ids(dataset) == ["c0", "c1", "c2", "c3", "c4"] and dataset[4].line == 10


@pytest.mark.parametrize(
    ("line", "reason", "says"),
    [
        (b'{"messages": [', "invalid JSON", "line 3: the line is no JSON"),
        (b"\xff\xfe", "not UTF-8", "line 3: the line is not in UTF-8"),
        (b'{"seed": ' + b"9" * 9_000 + b"}", "invalid JSON", "line 3: the line is no JSON"),
        (b"[" * 100_000, "invalid JSON", "line 3: the line is no JSON"),
        (b"3", "no object", "line 3: a conversation is an object, got 3"),
        (b'{"text": "Hi!"}', "no messages", "line 3: a record needs 'messages', a list of messages, and has 'text'"),
        (b'{"messages": []}', "empty conversation", "line 3: the conversation has no messages"),
        (b'{"messages": [{"content": "Hi!"}]}', "missing role", "line 3: message 1 has no role"),
        (b'{"messages": [{"role": "bot", "content": ""}]}', "unknown role", "line 3: message 1 has the role 'bot'"),
        (
            json.dumps(chat(reward=float("nan"))).encode(),
            "reward not finite",
            "line 3: a reward must be a finite number",
        ),
        (json.dumps(chat(success="yes")).encode(), "success neither true nor false", "line 3: 'success' must be true"),
        (json.dumps(chat(score="high")).encode(), "score not finite", "line 3: 'score' must be a finite number"),
        (json.dumps(chat(tools="[")).encode(), "broken tools", "line 3: 'tools' is a text that is no JSON"),
        (
            json.dumps({"messages": [{**said("Hi!")[0], "reward": 1}, *said("Hi!", "Yes?")]}).encode(),
            "reward on no action",
            "line 3: message 1 of the user has a reward, 1, and is no action of the agent: move it",
        ),
        (
            json.dumps(chat(reward=1, rewards=[0.5])).encode(),
            "rewards that contradict each other",
            "line 3: 'reward' is 1, and 'rewards' add up to 0.5: leave out what is not meant",
        ),
    ],
)
def test_a_broken_line_is_named_or_skipped_and_counted(path: Path, line: bytes, reason: str, says: str) -> None:
    good = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*good[:2], line, *good[2:]]) + b"\n")
    with pytest.raises(ValueError, match=rf"log.jsonl, {says}.*on_error='skip' leaves out what is broken"):
        ConversationDataset.from_jsonl(path)
    dataset = ConversationDataset.from_jsonl(path, SKIP)
    assert ids(dataset) == ["c0", "c1", "c2", "c3", "c4"]
    skips = dataset.statistics().skips
    assert list(skips) == [reason] and skips[reason].times == 1 and "log.jsonl, line 3" in skips[reason].first


def test_a_line_that_was_cut_short_is_told_from_one_that_is_broken(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="line 5: the last line was cut short"):
        ConversationDataset.from_jsonl(path)
    dataset = ConversationDataset.from_jsonl(path, SKIP)
    assert len(dataset) == 4 and list(dataset.statistics().skips) == ["cut short"]


def test_a_document_that_is_read_as_lines_gets_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(GOOD, indent=1))
    with pytest.raises(ValueError, match=r"line 1: the line is no JSON .* is read by from_json"):
        ConversationDataset.from_jsonl(path)
    assert ids(ConversationDataset.from_json(path)) == ["c0", "c1", "c2", "c3", "c4"]
    path.write_text(json.dumps(GOOD))
    monkeypatch.setattr(sources, "LONGEST", 100)
    with pytest.raises(ValueError, match=r"line 1: the line is longer than .* is this one document, for from_json\?"):
        ConversationDataset.from_jsonl(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_too_long_is_counted_and_what_follows_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, end: bytes
) -> None:
    monkeypatch.setattr(sources, "LONGEST", 500)
    monkeypatch.setattr(sources, "_BUFFER", 64)
    good = path.read_bytes().splitlines()
    long = b'{"messages": "' + b"x" * 1_000 + b'"}'
    # 500 bytes with the break are not too long; 501 are, and have their break where the reading stopped.
    just, over = (json.dumps(GOOD[0]).encode().ljust(size) for size in (499, 500))
    text = b"\n".join([good[1], long, just, over, *good[2:], long]) + end
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(ValueError, match=r"log.jsonl, line 2: the line is longer than 0 MB; on_error='skip'"):
        ConversationDataset.from_jsonl(path)
    dataset = ConversationDataset.from_jsonl(path, SKIP)
    assert ids(dataset) == ["c1", "c0", "c2", "c3", "c4"] and [one.line for one in dataset] == [1, 3, 5, 6, 7]
    skips = dataset.statistics().skips
    assert list(skips) == ["line too long"] and skips["line too long"].times == 3
    assert list(read_conversations(path, on_error="skip")) == list(dataset)


def test_a_line_that_is_too_long_is_not_held_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LONGEST", 1_000)
    good = path.read_bytes()
    path.write_bytes(good + b"x" * 30 * 2**20 + b"\n" + good)
    tracemalloc.start()
    try:
        dataset = ConversationDataset.from_jsonl(path, SKIP)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset) == 10 and dataset[9].line == 11 and most < 8 * 2**20


def test_conversations_under_two_names_of_a_document_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"tasks": [{"id": 1}], "data": GOOD[:2], "runs": GOOD[2:]}, indent=1))
    with pytest.raises(
        ValueError,
        match=r"log.json, line \d+: the document holds conversations under 'runs' besides the list under 'data', which",
    ):
        ConversationDataset.from_json(path)
    dataset = ConversationDataset.from_json(path, SKIP)
    assert ids(dataset) == ["c0", "c1"] and dataset.statistics().skips["conversations under two names"].times == 1
    path.write_text(json.dumps({"tasks": [{"id": 1}], "data": GOOD, "runs": [], "costs": [{"id": "c0"}]}))
    assert ids(ConversationDataset.from_json(path)) == ["c0", "c1", "c2", "c3", "c4"]


def test_a_document_that_was_cut_short_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(GOOD, indent=1)[:-60])
    with pytest.raises(ValueError, match=r"log.json, line \d+: the value here is broken, or was cut short"):
        ConversationDataset.from_json(path)
    dataset = ConversationDataset.from_json(path, SKIP)
    assert ids(dataset) == ["c0", "c1", "c2", "c3"] and dataset.statistics().skips["invalid JSON"].times == 1


def test_several_files_are_one_log_and_each_has_its_own_format(path: Path, tmp_path: Path) -> None:
    shared = [{"conversations": [{"from": "human", "value": "Hi!"}, {"from": "gpt", "value": "Yes?"}], "id": "s0"}]
    other = lines(tmp_path / "other.jsonl", shared)
    dataset = ConversationDataset.from_jsonl([path, str(other)])
    assert ids(dataset) == ["c0", "c1", "c2", "c3", "c4", "s0"] and dataset[5].source == str(other)
    assert dataset.statistics().formats == {"openai": 1, "sharegpt": 1}
    assert ids(dataset.select([5, 0, 5])) == ["s0", "c0", "s0"]


def test_more_files_than_may_be_open_at_once_are_read(tmp_path: Path) -> None:
    paths = [lines(tmp_path / f"{number}.jsonl", [chat(id=f"c{number}")]) for number in range(150)]
    dataset = ConversationDataset.from_jsonl(paths)
    assert ids(dataset.shuffled()) == [dataset[int(row)].id for row in dataset.shuffled()._rows]
    assert sorted(ids(dataset.shuffled())) == sorted(f"c{number}" for number in range(150))


@pytest.mark.parametrize("layout", ["lines", "document"])
def test_compressed_files_are_unpacked_for_as_long_as_they_are_used(tmp_path: Path, layout: str) -> None:
    text = "\n".join(map(json.dumps, GOOD)) if layout == "lines" else json.dumps(GOOD)
    path, cache = tmp_path / "log.gz", tmp_path / "cache"
    path.write_bytes(gzip.compress(text.encode()))
    cache.mkdir()
    opened = ConversationDataset.from_jsonl if layout == "lines" else ConversationDataset.from_json
    dataset = opened(path, ConversationDatasetConfig(cache_dir=cache))
    assert dataset[4].id == "c4" and ids(dataset) == ["c0", "c1", "c2", "c3", "c4"]
    (unpacked,) = cache.rglob("unpacked")
    assert unpacked.read_bytes() == text.encode()
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy[4] == dataset[4] and len(list(cache.rglob("unpacked"))) == 2
    del dataset
    assert copy[4].id == "c4" and len(list(cache.rglob("unpacked"))) == 1
    del copy
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_child_process_does_not_take_away_what_its_parent_has_unpacked(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    dataset = ConversationDataset.from_jsonl(packed, ConversationDatasetConfig(cache_dir=tmp_path))
    child = os.fork()
    if child == 0:
        del dataset
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0 and len(list(tmp_path.rglob("unpacked"))) == 1
    assert dataset[4].id == "c4"


def test_a_compressed_file_that_was_cut_short_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    text = "\n".join(json.dumps(chat("Hi!", str(number) * 99, id=f"c{number}")) for number in range(2_000))
    packed = gzip.compress(text.encode())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"the last line was cut short|the compressed data are damaged"):
        ConversationDataset.from_jsonl(path)
    dataset = ConversationDataset.from_jsonl(path, SKIP)
    assert 100 < len(dataset) < 2_000 and dataset[99].id == "c99"
    assert dataset.statistics().skips["damaged gzip"].times == 1
    streamed = read_conversations(path, on_error="skip")
    assert ids(streamed) == ids(dataset)
    with pytest.raises(ValueError, match="the compressed data are damaged or were cut short"):
        list(read_conversations(path))


def test_a_stream_gives_what_a_dataset_does(path: Path, tmp_path: Path) -> None:
    assert list(read_conversations(path)) == list(ConversationDataset.from_jsonl(path))
    packed = tmp_path / "log.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert list(read_conversations(str(packed))) == list(ConversationDataset.from_json(packed))
    path.write_text("3\n" + path.read_text())
    with pytest.raises(ValueError, match=r"log.jsonl, line 1: "):
        next(read_conversations(path))
    assert len(list(read_conversations(path, on_error="skip"))) == 5


def test_a_file_that_has_changed_since_is_not_read(path: Path) -> None:
    dataset = ConversationDataset.from_jsonl(path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ValueError, match=r"log.jsonl' has changed since the dataset was opened: open it again"):
        dataset[0]


def test_files_that_are_not_there_are_named(tmp_path: Path, path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*none.jsonl'"):
        ConversationDataset.from_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="is a folder: give the files in it"):
        ConversationDataset.from_jsonl(tmp_path)
    with pytest.raises(ValueError, match="there is no file to read"):
        ConversationDataset.from_jsonl([])
    with pytest.raises(ValueError, match="a file is named twice"):
        ConversationDataset.from_jsonl([path, tmp_path / "." / "log.jsonl"])


def test_a_log_without_a_conversation_is_told(tmp_path: Path) -> None:
    empty = lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(ValueError, match="there is no conversation in the log"):
        ConversationDataset.from_jsonl(empty)
    broken = lines(tmp_path / "broken.jsonl", [{"messages": []}, {"messages": []}])
    with pytest.raises(ValueError, match=r"in the log: empty conversation, 2 times, as in .*broken.jsonl, line 1"):
        ConversationDataset.from_jsonl(broken, SKIP)


def test_an_unknown_format_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'csv': known are stateset, tau_bench"):
        ConversationDataset.from_jsonl(path, format="csv")
    other = lines(tmp_path / "other.jsonl", [{"prompt": "Hi!", "answer": "Yes?"}])
    with pytest.raises(
        ValueError, match="line 1: the format is not known: the record has 'prompt', 'answer'; name one"
    ):
        ConversationDataset.from_jsonl(other)
    with pytest.raises(ValueError, match="line 1: a dialogue of SGD has its messages in 'turns'"):
        ConversationDataset.from_jsonl(path, format="sgd")
