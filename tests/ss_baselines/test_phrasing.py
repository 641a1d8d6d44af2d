"""Words for moves."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_baselines.agents.phrasing import Phrasing, count_sentences
from ss_baselines.agents.refund_grammar import REFUND_GRAMMAR
from ss_baselines.agents.terse_grammar import TERSE_GRAMMAR

SMALL = {"greet": (("Hi", "Hello", "Hey"), (", ", "! "), ("{name}.", "dear {name}."))}


def test_a_sentence_takes_one_choice_from_each_part() -> None:
    assert Phrasing({"greet": (("Hi",), (" ",), ("{name}.",))})("greet", name="Ada") == "Hi Ada."


@given(st.integers(0, 10**12))
def test_no_sentence_comes_twice_before_all_have_been_said(start: int) -> None:
    words = Phrasing(SMALL, start)
    assert count_sentences(SMALL, "greet") == 12
    assert len({words("greet", name="Ada") for _ in range(12)}) == 12


def test_moves_are_walked_through_independently() -> None:
    grammar = {"a": (("1", "2"),), "b": (("x", "y"),)}
    words = Phrasing(grammar)
    assert {words("a"), words("b"), words("a"), words("b")} == {"1", "2", "X", "Y"}


@pytest.mark.parametrize("grammar", [REFUND_GRAMMAR, TERSE_GRAMMAR], ids=["reference", "terse"])
def test_grammars_have_the_same_moves_and_known_slots(grammar: dict[str, tuple[tuple[str, ...], ...]]) -> None:
    assert set(grammar) == set(REFUND_GRAMMAR)
    slots = {
        field
        for parts in grammar.values()
        for part in parts
        for choice in part
        for _, field, _, _ in string.Formatter().parse(choice)
        if field
    }
    known = {"amount", "method", "split", "percent", "fee", "days", "option", "options", "titles", "window", "date"}
    assert slots <= known
