"""The benchmark of datasets measures what it says; how fast it is it does not test."""

from pathlib import Path

from ss_gym.datasets import ConversationDataset
from tests.benchmarks import datasets


def test_a_log_is_written_and_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    rows = datasets.write(tmp_path / "log.jsonl", 400_000, kinds=3)
    log = ConversationDataset.from_jsonl(tmp_path / "log.jsonl")
    found = log.statistics()
    assert found.conversations == found.scenarios == rows and found.same_texts == 0 and found.formats == {"stateset": 1}
    assert len({conversation.rewards[-1] for conversation in log}) == rows
    reading = datasets.read_apart(tmp_path / "log.jsonl")
    assert reading.rows == rows and all(stage.rows == rows and stage.seconds > 0 for stage in reading.stages)
    assert 20 * 2**20 < reading.peak < 2**30
    assert datasets.table(reading, 400_000).row_count == len(reading.stages) == 6
