"""What an agent's free text means: acts with typed values, sentence by sentence.

Three steps: the text becomes tokens with typed values (``tokens``), one walk with the phrases of
the lexicon sets the features of each segment (``handlers``), and here the features become acts;
those of different sentences are then put together, since a proposal is often a statement and a
question after it, and a refusal a sentence and its reason.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from ss_gym.scenario_files import has_file, read_yaml
from ss_gym.spelling import nearest
from ss_gym.users.acts import Act
from ss_gym.users.clauses import Handler, Parser, Segment
from ss_gym.users.handlers import HANDLERS
from ss_gym.users.interpretation import Interpretation
from ss_gym.users.lexicon import Entry, Lexicon, load_lexicon
from ss_gym.users.tokens import TokenStream
from ss_gym.users.values import Inventory

_FILE = "lexicon.yaml"

# What a phrase does: the features it always sets, its handler and the two arguments of that.
_Action = tuple[int, Handler | None, int, int]
_Node = tuple[_Action | None, dict[str, "_Node"] | None]

_PUNCTUATION = {
    ".": "stop", "?": "asks", "\n": "line", "\n-": "item", ",": "comma", "(": "comma", ")": "comma", "-": "comma",
    ";": "hard", ":": "colon",
}  # fmt: skip


class Understanding:
    """Reads what an agent says. Immutable: one object serves every environment of a process."""

    __slots__ = ("_root", "_vocabulary", "_words")

    def __init__(self, lexicon: Lexicon) -> None:
        self._vocabulary = lexicon.vocabulary
        self._words = lexicon.words
        self._root = _Compiler().children(lexicon.root)
        for mark, handler in _PUNCTUATION.items():
            self._root[mark] = ((0, HANDLERS[handler], 0, 0), None)

    def read(self, text: str, inventory: Inventory) -> tuple[Act, ...]:
        """The acts of one message, in order.

        Args:
            text: what the agent says to the customer.
            inventory: this episode's values, which tell whose each value is.
        """
        stream = TokenStream(text, inventory, self._words)
        segments = self._segments(stream)
        return Interpretation(segments, stream.values, self._vocabulary).acts()

    def _segments(self, stream: TokenStream) -> list[Segment]:
        count = len(stream.tokens)
        tokens = [*stream.tokens, ""]  # no phrase goes on with "", so none runs over the end
        parser = Parser(tokens)
        root = self._root
        end = 0  # where the last phrase ended
        for position, token in enumerate(tokens):
            if position < end:
                continue
            node = root.get(token)
            if node is None:
                continue
            entry, children = node
            end = ahead = position + 1
            while children is not None:
                node = children.get(tokens[ahead])
                if node is None:
                    break
                longer, children = node
                ahead += 1
                if longer is not None:
                    entry = longer
                    end = ahead
            if entry is None:
                continue
            always, handler, bits, negated = entry
            if always:
                parser.clause |= always
            if handler is not None:
                parser.position = position
                parser.following = end
                handler(parser, bits, negated)
        if parser.segment.start < count:  # no mark at the end
            parser.position = parser.following = count
            parser.end_segment(question=False, new_sentence=True)
        if stream.marks:
            _mark(parser.segments, stream.marks)
        return parser.segments


def _mark(segments: list[Segment], marks: list[tuple[int, int]]) -> None:
    """Gives each segment the features of the adverbs that were left out of it."""
    index = 0
    for position, bits in marks:
        while index < len(segments) and segments[index].end < position:
            index += 1
        if index == len(segments):
            return
        if segments[index].start <= position:
            segments[index].bits |= bits


class _Compiler:
    """Makes a lexicon's graph small and ready to read: handlers instead of their names, and equal parts of it once.

    A phrase with many choices ends in the same words whichever were chosen, so that most parts have equals.
    """

    def __init__(self) -> None:
        self._compiled: dict[int, _Node] = {}
        self._nodes: dict[tuple[_Action | None, int], _Node] = {}
        self._children: dict[tuple[tuple[str, int], ...], dict[str, _Node]] = {}

    def children(self, node: dict[str, Any]) -> dict[str, _Node]:
        """What follows a node of the lexicon."""
        return {token: self._node(child) for token, child in node.items() if token}

    def _node(self, node: dict[str, Any]) -> _Node:
        # The lexicon keeps its nodes, so that their ids tell.
        if id(node) not in self._compiled:
            self._compiled[id(node)] = self._shared(node)
        return self._compiled[id(node)]

    def _shared(self, node: dict[str, Any]) -> _Node:
        entry: Entry | None = node.get("")
        if entry and entry.handler and entry.handler not in HANDLERS:
            raise ValueError(f"there is no handler {entry.handler}; {nearest(entry.handler, HANDLERS)}")
        action = (entry.always, HANDLERS.get(entry.handler), entry.bits, entry.negated) if entry else None
        below = self.children(node)
        if not below:
            return self._nodes.setdefault((action, 0), (action, None))
        # Parts that were equal are the same object by now, and are kept likewise.
        same = self._children.setdefault(tuple(sorted([(token, id(child)) for token, child in below.items()])), below)
        return self._nodes.setdefault((action, id(same)), (action, same))


@cache
def load_understanding(family: str = "refund") -> Understanding:
    """The understanding of English in a family's conversations, built once per process.

    Args:
        family: whose ``lexicon.yaml`` is read besides the common one, where it has such a file.

    Raises:
        ValueError: if that file is broken; names the file.
    """
    text = files("ss_gym.users").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    more = read_yaml(family, _FILE) if has_file(family, _FILE) else None
    try:
        return Understanding(load_lexicon(text, more))
    except ValueError as error:
        raise ValueError(f"{family}/{_FILE}: {error}") from error
