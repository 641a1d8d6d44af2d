from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.users.automaton import Automaton, Node

# A pattern as a list of alternatives, each a list of (word or pattern, whether it is optional).
Pattern = list[list[tuple["str | Pattern", bool]]]


def of(part: st.SearchStrategy[str | Pattern]) -> st.SearchStrategy[Pattern]:
    way = st.lists(st.tuples(part, st.booleans()), min_size=1, max_size=3)
    return st.lists(way, min_size=1, max_size=3)


words = st.sampled_from("abcd")
# Few enough within each other that all phrases can be spelled out.
patterns = st.recursive(of(words), lambda inner: of(st.one_of(words, inner)), max_leaves=4)


def written(pattern: Pattern) -> str:
    """The pattern as a lexicon has it."""
    return "|".join(
        " ".join((part if isinstance(part, str) else f"({written(part)})") + "?" * optional for part, optional in way)
        for way in pattern
    )


def spelled_out(pattern: Pattern) -> set[tuple[str, ...]]:
    """Every phrase of a pattern, one by one."""
    found = set()
    for way in pattern:
        parts = [
            ({(part,)} if isinstance(part, str) else spelled_out(part)) | ({()} if optional else set())
            for part, optional in way
        ]
        found |= {sum(choice, ()) for choice in product(*parts)}
    return found


def graph(*given_patterns: str) -> Node:
    automaton = Automaton()
    for pattern in given_patterns:
        automaton.add(pattern, lambda word: (word,))
    return automaton.graph(lambda phrase, numbers: (phrase, tuple(numbers)))


def walked(node: Node, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Sequence[int]]]:
    """Every phrase of a graph, with the patterns that it is of."""
    if "" in node:
        yield before, node[""][1]
    for token, after in node.items():
        if token:
            yield from walked(after, (*before, token))


@given(st.lists(patterns, min_size=1, max_size=3))
def test_a_graph_has_the_phrases_of_its_patterns_and_knows_whose_they_are(given_patterns: list[Pattern]) -> None:
    expected: dict[tuple[str, ...], tuple[int, ...]] = {}
    for number, pattern in enumerate(given_patterns):
        for phrase in spelled_out(pattern):
            expected[phrase] = (*expected.get(phrase, ()), number)
    found = list(walked(graph(*map(written, given_patterns))))
    assert dict(found) == expected
    assert len(found) == len(expected)


def test_a_pattern_of_more_phrases_than_could_be_written_out_is_a_small_graph() -> None:
    node = graph(" ".join(["(a|b)?"] * 60) + " c")
    nodes = {}
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) not in nodes:
            nodes[id(node)] = node
            waiting += [after for token, after in node.items() if token]
    assert len(nodes) < 70


def test_a_word_may_be_several_tokens_of_a_text() -> None:
    automaton = Automaton()
    automaton.add("we can't", lambda word: ("can", "not") if word == "can't" else (word,))
    assert dict(walked(automaton.graph(lambda phrase, numbers: (phrase, numbers)))) == {("we", "can", "not"): [0]}


def test_a_node_is_told_a_phrase_that_leads_there() -> None:
    assert graph("give (it|them) back")["give"]["them"]["back"][""][0] == "give it back"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        *[(pattern, "unbalanced brackets") for pattern in ("a) b", "a)", "is (that|this", "((a|b) c", "a (b", ")")],
        ("? a", "question mark must follow"),
        ("a (|?) b", "question mark must follow"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph(pattern)
