"""The numbers of a dataset are those that one counts by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.datasets import ConversationDataset, ConversationDatasetConfig, statistics
from ss_gym.datasets.statistics import Histogram, Spread
from tests.ss_gym.datasets.logs import call, chat, episode, lines, said

LOOKED = [*said("Hi!"), {"role": "assistant", "tool_calls": [call("f"), call("g")]}, {"role": "tool", "content": "1"}]


@pytest.fixture
def dataset(tmp_path: Path) -> ConversationDataset:
    records = [
        chat("Hi there!", "Yes?", reward=1, success=True, customer_id="ann", task_id="t1", score=0.9),
        chat("hi there", "yes", reward=0, success=False, customer_id="ann", task_id="t2", truncated=True),
        {"messages": [*LOOKED, {"role": "assistant", "tool_calls": [call("f")]}, *said("", "Done.")[1:]]},
        {"messages": [{**message, "logprob": -1.0} for message in said("Hello, anyone?", "Yes.")], "customer_id": "bo"},
        chat("Hi there!", "Yes?", reward=1, success=True, customer_id="ann", task_id="t1", score=0.9),
        chat("a", "b", "c", "d", "e", "f"),
    ]
    path = lines(tmp_path / "log.jsonl", [*records, {"messages": []}, {"messages": []}, 3])
    return ConversationDataset.from_jsonl(path, ConversationDatasetConfig(on_error="skip", max_turns=2))


def test_everything_is_counted(dataset: ConversationDataset) -> None:
    found = dataset.statistics()
    assert (found.conversations, found.of, found.formats) == (5, 6, {"openai": 1})
    assert (found.customers, found.scenarios, found.groups) == (2, 2, 3)
    assert found.turns == Spread(1, 1, 1, 1, 1, 1)
    assert found.steps == Spread(1.4, 1, 1, 1, 1, 3)
    assert found.words is not None and found.words.mean == (3 + 3 + 2 + 3 + 3) / 5
    assert (found.judged, found.successes, found.success_rate) == (3, 2, 2 / 3)
    assert (found.terminated, found.truncated, found.rewarded, found.scored) == (4, 1, 3, 2)
    assert found.returns == Spread(pytest.approx(2 / 3), 0, 0.5, 1, 1, 1)
    assert (found.with_tokens, found.with_logprobs, found.tokens) == (0, 1, 0)
    assert (found.exact_copies, found.same_texts) == (1, 2)
    assert found.tools == {"f": (2, 1), "g": (1, 1)} and list(found.tools) == ["f", "g"]
    assert {reason: skips.times for reason, skips in found.skips.items()} == {"empty conversation": 2, "no object": 1}
    assert found.skips["empty conversation"].first.endswith("log.jsonl, line 7: the conversation has no messages")
    assert found.left_out == {"more than 2 turns": 1}
    assert found.notes == ("Estimates made of 5 conversations are rough.",)


def test_the_numbers_of_a_part_are_those_of_its_conversations(dataset: ConversationDataset) -> None:
    found = dataset.select([0, 2]).statistics()
    assert (found.conversations, found.judged, found.customers, found.exact_copies) == (2, 1, 1, 0)
    assert found.tools == {"f": (2, 1), "g": (1, 1)}
    assert dataset.select([0]).statistics().tools == {}
    with pytest.raises(IndexError):
        dataset.select([9])
    nothing = dataset.select([]).statistics()
    assert (nothing.conversations, nothing.turns, nothing.returns, nothing.success_rate) == (0, None, None, None)
    assert str(nothing)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_calls_are_counted_in_parts_of_any_size(
    dataset: ConversationDataset, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(statistics, "_AT_ONCE", at_once)
    assert dataset.statistics().tools == {"f": (2, 1), "g": (1, 1)}


def test_they_are_told_a_line_each(dataset: ConversationDataset) -> None:
    text = str(dataset.statistics())
    assert "success                             66.7% of 3\n" in text
    assert "skipped: empty conversation         2\n" in text
    assert "left out: more than 2 turns         1\n" in text
    assert text.endswith("Estimates made of 5 conversations are rough.")


def test_sampled_tokens_are_counted() -> None:
    found = ConversationDataset.from_trajectories([episode(0), episode(1, tokens=None)]).statistics()
    assert (found.with_tokens, found.with_logprobs, found.tokens) == (1, 1, 5)


def test_what_makes_learning_hard_is_noted() -> None:
    notes = (
        ConversationDataset.from_trajectories([episode(0, scenario_id="", seed=None, tokens=None)]).statistics().notes
    )
    assert [note.split(":")[0] for note in notes] == [
        "Estimates made of 1 conversations are rough.",
        "All returns are the same",
        "Every conversation succeeded.",
        "Neither customers nor tasks are told",
        "No log-probabilities are told",
    ]


@given(st.lists(st.integers(-50, 500), min_size=1, max_size=40), st.booleans(), st.integers(1, 12))
def test_a_histogram_has_every_value_in_one_bin(values: list[int], whole: bool, most: int) -> None:
    held = np.array(values, np.float64 if not whole else np.int64)
    histogram = Histogram.of(held, held > 10, whole, most)
    assert (
        histogram is not None
        and len(histogram.counts) <= max(most, 1)
        and len(histogram.edges) == len(histogram.counts) + 1
    )
    assert sum(histogram.counts) == len(values) and sum(histogram.successes) == int((held > 10).sum())
    assert histogram.edges[0] <= min(values) and max(values) <= histogram.edges[-1]
    if whole:  # the bins are as wide as whole numbers are, so none has more room than another
        assert len({round(high - low, 6) for low, high in zip(histogram.edges, histogram.edges[1:], strict=False)}) == 1
        assert (histogram.edges[1] - histogram.edges[0]) % 1 == 0
