"""Phrase patterns as a graph over tokens that a reader can walk.

A pattern of choices stands for up to hundreds of thousands of phrases. They are never written out: the patterns become
one nondeterministic automaton, and that a deterministic one by the subset construction (Rabin and Scott, 1959).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

# A state as readers see it: the states after it by token, and under "" what ends in it.
Node = dict[str, Any]

_PIECES = re.compile(r"[()|?]|[^\s()|?]+").findall


class Automaton:
    """Accepts the phrases of patterns, and tells which patterns a phrase is of.

    A pattern is words in a row; ``(that|this one)`` is a choice, and a question mark after a word or a choice makes
    it optional.
    """

    def __init__(self) -> None:
        # By state: where each token leads, and where nothing leads as well.
        self._steps: list[dict[str, list[int]]] = []
        self._free: list[list[int]] = []
        self._ends: dict[int, int] = {}
        self._start = self._state()

    def add(self, pattern: str, tokens: Callable[[str], Sequence[str]]) -> None:
        """Adds a pattern; the first is number 0.

        Args:
            pattern: the phrases.
            tokens: what a word of it is in a text.

        Raises:
            ValueError: if the pattern's brackets or question marks are misplaced, or ``tokens`` raises it.
        """
        pieces = deque([*_PIECES(pattern), ")"])
        try:
            end = self._alternatives(pieces, self._start, tokens)
        except IndexError:
            pieces.append("")  # a bracket that was opened took the end for its own
        if pieces:
            raise ValueError(f"unbalanced brackets in the phrase pattern {pattern!r:.100}")
        self._ends[end] = len(self._ends)

    def graph(self, entry: Callable[[str, Sequence[int]], object]) -> Node:
        """The node where every phrase begins; equal ends of different phrases are often the same node.

        Args:
            entry: gives what a node holds under ``""``, from the phrase that leads there and the numbers of the
                patterns that it is of, in order.
        """
        begin = self._reached([self._start])
        root: Node = {}
        nodes = {begin: root}
        waiting: deque[tuple[frozenset[int], str]] = deque([(begin, "")])
        while waiting:
            states, phrase = waiting.popleft()
            node = nodes[states]
            if patterns := sorted([self._ends[state] for state in states if state in self._ends]):
                node[""] = entry(phrase, patterns)
            for token, after in self._after(states).items():
                if after not in nodes:
                    nodes[after] = {}
                    waiting.append((after, f"{phrase} {token}".lstrip()))
                node[token] = nodes[after]
        return root

    def _after(self, states: Iterable[int]) -> dict[str, frozenset[int]]:
        """Where each token leads from any of the states."""
        leads: dict[str, list[int]] = {}
        for state in states:
            for token, after in self._steps[state].items():
                leads.setdefault(token, []).extend(after)
        return {token: self._reached(after) for token, after in leads.items()}

    def _reached(self, states: list[int]) -> frozenset[int]:
        """The states, and those to which nothing leads; only such as have a token or an end."""
        seen = set(states)
        waiting = list(seen)
        while waiting:
            for state in self._free[waiting.pop()]:
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return frozenset([state for state in seen if self._steps[state] or state in self._ends])

    def _state(self) -> int:
        self._steps.append({})
        self._free.append([])
        return len(self._steps) - 1

    def _alternatives(self, pieces: deque[str], start: int, tokens: Callable[[str], Sequence[str]]) -> int:
        """Reads alternatives up to a closing bracket; gives the state after any of them."""
        end = self._state()
        before, at = -1, start  # around the piece that was read last
        while True:
            piece = pieces.popleft()
            if piece in "|)":
                self._free[at].append(end)
                if piece == ")":
                    return end
                before, at = -1, start
            elif piece == "?":
                if before < 0:
                    raise ValueError("a question mark must follow a word or a choice")
                self._free[before].append(at)
            elif piece == "(":
                before, at = at, self._alternatives(pieces, at, tokens)
            else:
                before = at
                for token in tokens(piece):
                    after = self._state()
                    self._steps[at].setdefault(token, []).append(after)
                    at = after
