"""Ids are cut into the same tokens wherever they stand, and text survives."""

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from ss_baselines.tiny.tokenizer import add_thinking, train_tokenizer, word_pieces
from tests.growth import grows_with_length
from tests.ss_trainers.tiny_model import make_tokenizer

TEXTS = [
    'the table lamp of order 12345, ada.khan@mail.example, AB4 1XY. {"title":"table lamp","price":"12.50"}',
    '<tool_call>{"name":"get_order","arguments":{"order_id":"12345"}}</tool_call>',
    "Please tell me your e-mail and postal code.",
] * 50


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, 420)


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text, add_special_tokens=False)]


@pytest.mark.parametrize("value", ["ada.khan42@mail.example", "AB4 1XY", "12345-1", "12345-P2", "C4765", "12.50"])
@pytest.mark.parametrize("before, after", [("", ""), ('{"a":"', '"}'), ("my ", "."), ("(", ", and"), ("$", "?")])
def test_values_are_single_characters_wherever_they_stand(
    tokenizer: PreTrainedTokenizerFast, value: str, before: str, after: str
) -> None:
    cut = pieces(tokenizer, before + value + after)
    start = cut.index(value[0], len(pieces(tokenizer, before)) - 1 if before else 0)
    assert cut[start : start + len(value)] == list(value)


def test_titles_end_alike_in_sentences_and_in_json(tokenizer: PreTrainedTokenizerFast) -> None:
    in_json = pieces(tokenizer, '[{"title":"table lamp","price":"12.50"}]')
    in_list = pieces(tokenizer, '{"items":["table lamp","table lamp"]}')
    spoken = pieces(tokenizer, "the table lamp and")
    assert " lamp" in spoken
    assert in_json.count(" lamp") == 1
    assert in_list.count(" lamp") == 2


def test_the_frame_of_a_tool_call_is_few_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(pieces(tokenizer, TEXTS[1])) <= 5 + 3


def test_the_pieces_of_words_are_the_tokens_of_small_letters(tokenizer: PreTrainedTokenizerFast) -> None:
    found = word_pieces(tokenizer)
    assert {"table", "lamp", "ease"} & set(found) and list(found) == sorted(set(found))
    words = {tokenizer.decode([token]).strip() for token in range(len(tokenizer))}  # type: ignore[union-attr]
    assert set(found) == {
        word for word in words if len(word) > 1 and word.isascii() and word.isalpha() and word.islower()
    }


def test_the_tags_of_a_thought_are_one_token_each_and_are_added_once(tokenizer: PreTrainedTokenizerFast) -> None:
    other, known = make_tokenizer(), len(make_tokenizer())
    for _ in range(2):
        add_thinking(other)
        assert len(other) == known + 2
    cut = pieces(tokenizer, "<think>lamp</think>")
    assert (cut[0], cut[-1]) == ("<think>", "</think>")


@pytest.mark.parametrize("unit", ["x", "7", "a@", "AB", '":"', '","a', " a'b-", "!", " "])
def test_long_texts_take_time_with_their_length_and_not_with_its_square(
    tokenizer: PreTrainedTokenizerFast, unit: str
) -> None:
    assert grows_with_length(lambda text: tokenizer.encode(text, add_special_tokens=False), unit)


def test_the_tokenizer_that_is_shipped_cuts_texts_as_one_that_is_trained_now(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    shipped = json.loads(files("ss_trainers").joinpath("assets/tiny/tokenizer.json").read_text(encoding="utf-8"))
    assert shipped["pre_tokenizer"] == json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]


@given(text=st.text(max_size=200))
def test_decoding_gives_back_any_text(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
