"""A document is read value by value, as if it had been read whole, whatever the size of the blocks."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.datasets.documents import Piece, pieces_of
from ss_gym.datasets.records import RecordError

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def pieces(text: str | bytes, block: int = 7, longest: int = 10**6) -> tuple[list[Piece], dict[str, Any]]:
    header: dict[str, Any] = {}
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return list(pieces_of(BytesIO(raw), header, longest, block)), header


@settings(max_examples=60)
@given(st.lists(_JSON.filter(lambda value: not isinstance(value, dict)), max_size=5), st.integers(1, 40), st.booleans())
def test_the_items_of_a_list_are_where_they_are_said_to_be(values: list[Any], block: int, spread: bool) -> None:
    text = json.dumps(values, indent=2 if spread else None, ensure_ascii=False)
    raw = text.encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return  # half of a surrogate pair has no UTF-8
    found, _ = pieces(raw, block)
    assert [piece.value for piece in found] == values
    for piece in found:
        assert json.loads(raw[piece.offset : piece.offset + piece.length]) == piece.value
        assert piece.line == 1 + raw[: piece.offset].count(b"\n")


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_a_list_may_stand_in_an_object_whose_head_is_kept(block: int) -> None:
    document = {"info": {"policy": "Be brief."}, "tasks": [1, 2], "simulations": [{"id": 1}, {"id": 2}], "more": [3]}
    found, header = pieces(json.dumps(document, indent=1), block)
    assert [piece.value for piece in found] == document["simulations"]
    assert [piece.line for piece in found] == [10, 13]
    assert header == {"info": {"policy": "Be brief."}}


@pytest.mark.parametrize(
    "document",
    [
        {"messages": [{"role": "user", "content": "é"}], "id": 1},
        {"conversations": [{"from": "human", "value": "Hi!"}, {"from": "gpt", "value": "Yes?"}], "id": 2},
        [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}],
        {},
    ],
)
def test_a_document_may_be_one_conversation(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)
    (piece,), _ = pieces(f"\n{text}\n")
    raw = f"\n{text}\n".encode()
    assert piece.value == document and json.loads(raw[piece.offset : piece.offset + piece.length]) == document


TALK = {"messages": [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}]}
SHARED = {"conversations": [{"from": "human", "value": "Hi!"}, {"from": "gpt", "value": "Yes?"}]}


@pytest.mark.parametrize("block", [3, 1000])
@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"tasks": [{"id": 1}], "data": [TALK], "runs": [TALK, TALK]}, ["runs"]),
        ({"data": [TALK], "records": [SHARED], "tasks": [1], "runs": [TALK]}, ["records", "runs"]),
        ({"data": [TALK], "runs": [{"id": 1}, TALK]}, ["runs"]),
        ({"data": [TALK], "train": [{"traj": [], "reward": 1.0}]}, ["train"]),
        ({"train": [TALK], "data": [TALK]}, ["train"]),
        ({"data": [TALK], "runs": [TALK["messages"]]}, ["runs"]),
        ({"data": [TALK], **TALK}, ["messages"]),
        ({**TALK, "data": [TALK]}, ["messages"]),
    ],
)
def test_conversations_under_two_names_are_an_error_and_those_of_the_first_are_read(
    document: Any, named: list[str], block: int
) -> None:
    found, _ = pieces(json.dumps(document), block)
    errors = [str(piece.value) for piece in found if isinstance(piece.value, RecordError)]
    assert [piece.value for piece in found if not isinstance(piece.value, RecordError)] == document["data"]
    assert len(errors) == len(named)
    for error, name in zip(errors, named, strict=True):
        assert f"holds conversations under '{name}' besides the list under 'data', which alone is read" in error


@pytest.mark.parametrize(
    "others",
    [
        {"tasks": [{"id": 1, "user_scenario": {"messages": []}}]},
        {"runs": []},
        {"marks": [{"id": 1, "conversations": [17, 18]}, 3, None, "Hi!", []]},
        {"info": {"runs": [TALK]}},
    ],
)
def test_lists_of_other_things_may_stand_beside_the_conversations(others: Any) -> None:
    for document in ({"simulations": [TALK], **others}, {**others, "simulations": [TALK]}):
        assert [piece.value for piece in pieces(json.dumps(document))[0]] == [TALK]
    # What stands under a name of such lists is none of them by its name alone.
    assert [piece.value for piece in pieces(json.dumps({"runs": [TALK], "records": [{"id": 1}]}))[0]] == [TALK]


def test_a_list_without_conversations_does_not_hide_those_that_follow() -> None:
    assert [piece.value for piece in pieces(json.dumps({"data": [], "runs": [TALK]}))[0]] == [TALK]
    assert [piece.value for piece in pieces(json.dumps({"runs": [], **TALK}))[0]] == [{"runs": [], **TALK}]
    assert pieces(json.dumps({"tasks": [{"id": 1}], "runs": []}))[0] == []


def test_a_list_that_is_passed_over_is_not_held_in_memory() -> None:
    text = json.dumps({"runs": [TALK], "tasks": [{"id": number} for number in range(1_000)]})
    assert [piece.value for piece in pieces(text, block=64, longest=500)[0]] == [TALK]


def test_a_mark_before_the_first_character_is_passed_over() -> None:
    assert [piece.value for piece in pieces("\ufeff[1, 2]")[0]] == [1, 2]


@pytest.mark.parametrize(
    ("text", "before", "line", "reason", "says"),
    [
        ("", 0, 1, "invalid JSON", r"a document with conversations begins with \[ or {"),
        ("3", 0, 1, "invalid JSON", r"begins with \[ or {"),
        ("[1,\n2", 2, 2, "cut short", "the file ends where ',' should stand"),
        ("[1,\n", 1, 2, "cut short", "the file ends where a value should stand"),
        ('[1,\n{"a": ', 1, 2, "invalid JSON", "the value here is broken, or was cut short"),
        ("[1,\n\nNone]", 1, 3, "invalid JSON", "the value here is broken, or was cut short"),
        ("[1,\n" + "9" * 9_000 + "]", 1, 2, "invalid JSON", "the value here is broken"),
        ("[1 2]", 1, 1, "invalid JSON", "',' should stand where '2]' does"),
        ('{"a" 1}', 0, 1, "invalid JSON", "':' should stand where '1}' does"),
        ("{1: 2}", 0, 1, "invalid JSON", "the name of a field should stand where 1 does"),
        ('{"a": 1}\n{"a": 2}', 1, 2, "invalid JSON", "is this a file with one value a line, for from_jsonl?"),
        ("[1]\n\n]", 1, 3, "invalid JSON", "something follows the document"),
        (b'[1, "\xff"]', 0, 1, "not UTF-8", "the file is not in UTF-8"),
    ],
)
def test_what_is_broken_ends_the_document_and_is_named(
    text: str | bytes, before: int, line: int, reason: str, says: str
) -> None:
    found, _ = pieces(text, 100)
    *values, last = found
    assert len(values) == before and last.line == line
    with pytest.raises(RecordError, match=says) as caught:
        raise last.value
    assert caught.value.reason == reason


def test_no_more_is_read_than_the_longest_value_may_have() -> None:
    raw = BytesIO(b'[1, "' + b"x" * 10**6)
    found = list(pieces_of(raw, {}, longest=1000, block=100))
    assert found[0].value == 1 and "longer than" in str(found[1].value)
    assert raw.tell() < 10_000
