"""Words for an agent's moves: a small grammar, and a walk through its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

# A move is said by one choice from each part in turn; {slots} are filled in afterwards.
Grammar = Mapping[str, Sequence[Sequence[str]]]

# A prime larger than any part: multiplying by it permutes the sentences of a move.
_STRIDE = 2_654_435_761


class Phrasing:
    """Says moves in words, each time in others, until all the sentences of a move have been said.

    Args:
        grammar: the parts of each move.
        start: which sentence of every move comes first.
    """

    __slots__ = ("_grammar", "_numbers", "_start")

    def __init__(self, grammar: Grammar, start: int = 0) -> None:
        self._grammar = grammar
        self._start = start
        self._numbers: dict[str, int] = {}

    def __call__(self, move: str, **slots: str) -> str:
        """One way to make a move, with a capital at its beginning.

        Raises:
            KeyError: if the grammar lacks the move or a slot is not given.
        """
        parts = self._grammar[move]
        number = self._numbers.get(move, self._start)
        self._numbers[move] = number + 1
        number *= _STRIDE
        chosen = []
        for part in parts:
            number, place = divmod(number, len(part))
            chosen.append(part[place])
        text = "".join(chosen)
        text = text[0].upper() + text[1:]
        return text.format(**slots) if slots else text


def count_sentences(grammar: Grammar, move: str) -> int:
    """How many sentences a move has."""
    return prod(len(part) for part in grammar[move])
