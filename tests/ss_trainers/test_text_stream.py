"""The pieces of a reply make up its text, whatever the tokens are and wherever it stops."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ss_trainers.backends.models import load_model
from ss_trainers.chat import ChatFormat
from ss_trainers.text_stream import TextStream


@pytest.fixture(scope="module")
def chat():
    return ChatFormat(load_model("tiny").tokenizer)


def streamed(chat, ids, stop=(), sizes=(1,)):
    stream, pieces, place = TextStream(chat.decoded, stop), [], 0
    while place < len(ids):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream.push(ids[place : place + size]))
        place += size
    return [*pieces, stream.end()]


PIECES = [*"ab cdE.\n😀é日 \u0301", "<tool_call>", "END", "EN"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(
    text=TEXTS,
    stop=st.lists(st.sampled_from(["END", "ND", "\n\n", "😀", "b c", " "]), max_size=2),
    sizes=st.lists(st.integers(1, 4), min_size=1),
)
@example(text=" a EN", stop=["END"], sizes=[1])
@example(text="aEND", stop=["END"], sizes=[1])
@example(text="a😀", stop=[], sizes=[1])
def test_the_pieces_are_the_text(chat, text, stop, sizes):
    ids = chat.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    pieces = streamed(chat, ids, stop, sizes)
    assert "".join(pieces) == chat.text(ids, stop)
    assert not any("\ufffd" in piece for piece in pieces)


@given(ids=st.lists(st.integers(0, 400), max_size=40))
def test_ids_that_no_text_has_are_streamed_as_they_are_told(chat, ids):
    ids = [token for token in ids if token not in chat.stop_ids]
    assert "".join(streamed(chat, ids)) == chat.text(ids)


def test_what_is_certain_is_told_at_once(chat):
    ids = chat.tokenizer.encode("Hello there, how are you?", add_special_tokens=False)
    pieces = streamed(chat, ids)
    # But for the space, which could be the last.
    assert sum(bool(piece) for piece in pieces) >= len(ids) - 5 and pieces[0].startswith("H")
