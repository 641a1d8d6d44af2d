import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.actions import parse_action
from ss_gym.serving.visible_text import VisibleText

CALL = '<tool_call>{"name": "get_order", "arguments": {"order_id": "17"}}</tool_call>'
WITH_TAGS = '<tool_call>{"name": "note", "arguments": {"text": "<think>"}}</tool_call>'
PARTS = ["<think>", "<think>b</think>", CALL, WITH_TAGS, "<tool_call>", "<", "<th", "</", "a", "two words", " ", "\n"]
PARTS += ["\x00", "\u2003", "é", ">"]


def told(text, cut=1, **settings):
    visible = VisibleText(**settings)
    pieces = [visible.push(text[start : start + cut]) for start in range(0, len(text), cut)]
    return [*pieces, visible.end()]


def test_words_are_told_as_soon_as_they_are_certain():
    assert told("Hi, Ann! <3") == ["H", "i", ",", "", " A", "n", "n", "!", "", "", " <3", ""]


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_thoughts_and_calls_are_never_told(cut):
    text = f"<think>She wants {CALL}</think> One moment. {CALL} and then"
    assert "".join(told(text, cut)) == "One moment."
    assert "".join(told(text, cut, calls=False)) == f"One moment. {CALL} and then"


@given(st.lists(st.sampled_from(PARTS), max_size=12), st.randoms())
def test_the_pieces_add_up_to_what_is_said_or_stands_before_the_calls(parts, rng):
    text = "".join(parts)
    action = parse_action(text)
    pieces = "".join(told(text, rng.randint(1, 7)))
    if action.tool_calls:
        assert action.aside.startswith(pieces)
    else:
        assert pieces == action.say


@given(st.lists(st.sampled_from([part for part in [*PARTS, "</think>"] if "tool_call" not in part]), max_size=12))
def test_what_is_told_as_a_whole_leaves_out_thoughts_that_a_template_opened(parts):
    text = "".join(parts)
    visible = VisibleText(calls=False)
    assert visible.push(text) + visible.end() == parse_action(text).say


def test_a_long_text_takes_no_time_to_speak_of():
    text = "word " * 20_000 + random.Random(0).choice("<>") * 2
    assert "".join(told(text, 5)) == text.strip()
