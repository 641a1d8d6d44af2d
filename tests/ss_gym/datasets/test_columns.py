"""What is kept of a conversation is small, and can't be changed."""

from dataclasses import fields

import pytest

from ss_gym.datasets.columns import LOGPROBS, REWARDED, SUCCESS, TOKENS, GrowingColumns, Span
from ss_gym.datasets.fingerprints import key_of, plain_words
from ss_gym.datasets.messages import logged
from ss_gym.datasets.native import conversation_of
from ss_gym.datasets.records import Place
from tests.ss_gym.datasets.logs import columns_of, episode, said


def test_a_conversation_takes_about_a_hundred_bytes() -> None:
    columns = columns_of(conversation_of(episode(number), Place("log", number)) for number in range(50))
    held = [getattr(columns, one.name) for one in fields(columns) if one.name != "tools"]
    assert sum(column.nbytes for column in held) / 50 < 120
    assert all(len(column) == 50 for column in held) and columns.span(7) == Span(0, 7, 0, 8)
    with pytest.raises(ValueError, match="read-only"):
        columns.total[0] = 1.0


def test_a_log_may_have_more_files_than_two_bytes_can_count() -> None:
    growing = GrowingColumns()
    files = (0, 65_535, 65_536, 100_000)
    for file in files:
        growing.append(Span(file, 7, 5, 1), logged(said("Hi!", "Yes?")))
    columns = growing.done()
    assert columns.file.tolist() == list(files) and columns.span(2) == Span(65_536, 7, 5, 1)


def test_facts_are_those_of_the_conversation() -> None:
    recorded = conversation_of(episode(3), Place("log", 1))
    columns = columns_of([recorded, logged(said("Hi there!", "Yes?"), score=0.5)])
    assert columns.total.tolist() == [0.98, 0.0] and columns.score.tolist()[1] == 0.5
    assert columns.steps.tolist() == [2, 1] and columns.turns.tolist() == [1, 1] and columns.tokens.tolist() == [5, 0]
    assert columns.scenario.tolist() == [key_of("refund/train/0003"), 0]
    assert columns.pair.tolist() == [key_of("refund/train/pair-0001"), 0] and columns.customer.tolist() == [0, 0]
    assert columns.tools == ("get_order",) and columns.calls.tolist() == [1, 0]
    for flag, held in (
        (SUCCESS, [True, False]),
        (REWARDED, [True, False]),
        (TOKENS, [True, False]),
        (LOGPROBS, [True, False]),
    ):
        assert columns.holds(flag).tolist() == held


def test_texts_are_equal_but_for_capitals_punctuation_blanks_and_forms_of_characters() -> None:
    assert plain_words(["Straße, №\uff11", "don’t"]) == ["strasse", "no1", "don", "t"]
    assert plain_words(["  Hello\n\nTHERE – you!"]) == ["hello", "there", "you"] and plain_words(["", "?!"]) == []


def test_without_a_conversation_there_are_no_entries() -> None:
    assert len(columns_of([])) == 0
