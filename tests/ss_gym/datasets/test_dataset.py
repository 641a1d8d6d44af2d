"""A dataset gives its conversations by number, in order, shuffled, in parts; and in several processes."""

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig
from ss_gym.datasets.conversation import pair_of
from ss_gym.datasets.messages import logged
from tests.ss_gym.datasets.logs import chat, episode, lines, real_log, said


@pytest.fixture
def dataset(tmp_path: Path) -> ConversationDataset:
    """Twelve conversations of four customers, half of them good."""
    records = [
        chat("Hi!", f"Number {number}", id=f"c{number}", success=number % 2 == 0, customer_id=f"customer {number % 4}")
        for number in range(12)
    ]
    return ConversationDataset.from_jsonl(lines(tmp_path / "log.jsonl", records))


def ids(dataset: Any) -> list[int]:
    return [int(conversation.id[1:]) for conversation in dataset]


def test_numbers_slices_and_masks_choose_conversations(dataset: ConversationDataset) -> None:
    assert (
        len(dataset) == 12
        and ids(dataset) == list(range(12))
        and repr(dataset) == "ConversationDataset(12 of 12 conversations)"
    )
    assert dataset[-1].id == "c11" and ids(dataset[2:5]) == [2, 3, 4] and ids(dataset[::-4]) == [11, 7, 3]
    assert ids(dataset.select([3, 3, 0])) == [3, 3, 0] and ids(dataset.select(dataset.successes == 1)) == [
        0,
        2,
        4,
        6,
        8,
        10,
    ]
    assert ids(dataset[2:].select(np.array([True] + [False] * 9))) == [2] and len(dataset.select([])) == 0
    assert ids(dataset.filter(lambda one: one.customer == "customer 1")) == [1, 5, 9]
    with pytest.raises(IndexError):
        dataset.select([12])
    assert list(dataset[:2].returns) == [1.0, 0.0] and list(dataset[:3].quality) == [1.0, 0.0, 1.0]


def test_an_order_follows_from_seed_and_epoch(dataset: ConversationDataset) -> None:
    first = ids(dataset.shuffled(seed=0))
    assert sorted(first) == list(range(12)) and first == ids(dataset.shuffled(seed=0))
    orders = {tuple(ids(dataset.shuffled(seed, epoch))) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    # The same on every machine.
    assert first == [1, 8, 2, 9, 5, 7, 6, 4, 10, 0, 11, 3]
    # An epoch that was interrupted goes on where it was.
    assert ids(dataset.shuffled(seed=0)[5:]) == first[5:]


def test_all_orders_are_equally_likely() -> None:
    dataset = ConversationDataset.from_trajectories(
        [logged(said("Hi!", str(number)), id=f"c{number}") for number in range(3)]
    )
    drawn = [tuple(ids(dataset.shuffled(seed))) for seed in range(600)]
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 6 and sum((count - 100) ** 2 / 100 for count in counts) < 20.5  # χ², 5 degrees, p = 0.001


def test_parts_of_a_split_share_neither_customers_nor_scenarios_nor_words(dataset: ConversationDataset) -> None:
    parts = dataset.split({"train": 0.5, "test": 0.5}, seed=1)
    train, test = ({one.customer for one in part} for part in parts.values())
    assert train and test and not train & test
    assert sorted(ids(parts["train"]) + ids(parts["test"])) == list(range(12))
    # A part of the dataset is split as the whole is.
    good = dataset.select(dataset.successes == 1).split({"train": 0.5, "test": 0.5}, seed=1)
    assert set(ids(good["train"])) <= set(ids(parts["train"]))


def test_twins_and_attempts_are_not_parted() -> None:
    given = [episode(number, seed=seed) for number in range(60) for seed in range(2)]
    dataset = ConversationDataset.from_trajectories(given)
    assert dataset[0].scenario == "refund/train/0000" and pair_of(dataset[2].scenario) == "refund/train/pair-0000"
    for seed in range(3):
        parts = dataset.split({"train": 0.5, "test": 0.5}, seed=seed)
        train, test = ({pair_of(one.scenario) for one in part} for part in parts.values())
        assert not train & test and len(train | test) == 30 and len(train) > 5 and len(test) > 5


def test_real_runs_are_split_by_task_and_customer() -> None:
    dataset = ConversationDataset.from_json(real_log("tau_bench_gpt4o_airline.json.gz"))
    parts = dataset.split({"train": 0.7, "test": 0.3})
    for name in ("customer", "scenario"):
        train, test = ({getattr(one, name) for one in part} for part in parts.values())
        assert not train & test
    assert sum(map(len, parts.values())) == 200 and len(np.unique(dataset.groups())) == 34
    by_task = dataset.groups(["scenario"])
    assert len(np.unique(by_task)) == 50


def test_a_part_that_would_be_empty_is_told(tmp_path: Path) -> None:
    one = ConversationDataset.from_trajectories([episode(0)])
    with pytest.raises(
        ValueError, match=r"the part '\w+' would be empty: .* the 1 conversations are 1 groups, the largest"
    ):
        one.split({"train": 0.8, "test": 0.2})
    same = [logged(said("Hi!", "Yes?"), customer=str(number)) for number in range(20)]
    dataset = ConversationDataset.from_trajectories(same)
    with pytest.raises(ValueError, match="the 20 conversations are 1 groups, the largest of 20; try other shares"):
        dataset.split({"train": 0.5, "test": 0.5})
    assert len(dataset.split({"train": 0.5, "test": 0.5}, together=["customer"])["test"]) > 0


def test_a_dataset_is_copied_to_other_processes(dataset: ConversationDataset) -> None:
    part = dataset.shuffled(3)[:6]
    copy = pickle.loads(pickle.dumps(part))
    assert list(copy) == list(part) and copy[2] == part[2]
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(ids, (part,)) == ids(part)


def test_a_dataset_is_read_by_several_threads(dataset: ConversationDataset) -> None:
    numbers = [int(number) for number in np.random.default_rng(0).integers(0, 12, 200)]
    with ThreadPoolExecutor(4) as pool:
        assert [int(one.id[1:]) for one in pool.map(dataset.__getitem__, numbers)] == numbers


def test_two_passes_may_be_under_way_at_once(dataset: ConversationDataset) -> None:
    def second() -> Iterator[int]:
        for first in dataset:
            yield sum(int(first.id == other.id) for other in dataset)

    assert list(second()) == [1] * 12


_PEAK = """
import sys
from pathlib import Path
from ss_gym.datasets import ConversationDataset
dataset = ConversationDataset.from_jsonl(sys.argv[1])
parts = dataset.split({"train": 0.8, "test": 0.2})
assert len(dataset) == sum(map(len, parts.values())) == sum(1 for _ in dataset.shuffled())
dataset.statistics()
line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(line.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to tell the memory of a process")
def test_a_file_is_not_held_in_memory(tmp_path: Path) -> None:
    def peak(records: int) -> int:
        path = lines(tmp_path / f"{records}.jsonl", (chat("x" * 20_000, str(number)) for number in range(records)))
        done = subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert peak(4_000) - peak(10) < 20  # MiB, for a file of 80


def test_a_dataset_of_one_or_of_failures_is_a_dataset() -> None:
    one = ConversationDataset.from_trajectories([episode(0, success=False, rewards=(0.0, 0.0))])
    assert len(one.shuffled()) == 1 and one.successes.tolist() == [0.0]
    notes = one.statistics().notes
    assert (
        "No conversation succeeded." in notes
        and "All returns are the same: there is nothing to tell good from bad by." in notes
    )
    assert ConversationDatasetConfig() == one.config


def test_the_code_of_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[3] / "docs" / "pages" / "datasets.md"
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page.name, "exec", dont_inherit=True), names)
    assert names["first"].rewards == (1.0,) and len(names["good"]) == 30
    assert set(names["dataset"].statistics().skips) == {"empty conversation", "cut short"}
    assert (tmp_path / "log" / "report.html").exists() and sum(map(len, names["parts"].values())) == 40
