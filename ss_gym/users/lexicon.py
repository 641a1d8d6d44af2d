"""The dictionary of what agents say: phrases in ``lexicon.yaml``, compiled to a trie over tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, NamedTuple

import yaml

from ss_gym.users.concepts import BITS
from ss_gym.users.tokens import PLAIN_MARKS, VALUE_WORDS

_PIECES = re.compile(r"[()|?]|[^\s()|?]+").findall

_CONTRACTED = {
    "'ve": "have", "'ll": "will", "'re": "are", "'d": "would", "'m": "am",
}  # fmt: skip
_PRONOUNS = "i you we they he she it that this there who what where here how".split()
_NEGATED = "is are was were do does did has have had can could will would should must might need".split()
_IRREGULAR = {
    "can't": "can not", "cannot": "can not", "cant": "can not", "won't": "will not", "wont": "will not",
    "shan't": "shall not", "ain't": "is not", "dont": "do not", "doesnt": "does not", "didnt": "did not",
    "isnt": "is not", "wasnt": "was not", "hasnt": "has not", "havent": "have not", "couldnt": "could not",
    "wouldnt": "would not", "ive": "i have", "im": "i am", "youre": "you are", "weve": "we have", "youve": "you have",
    "lets": "let us", "unable": "not able", "y'all": "you", "gonna": "going to", "wanna": "want to",
    "thats": "that is", "whats": "what is", "theres": "there is", "id": "id",
}  # fmt: skip


class Entry(NamedTuple):
    """What a phrase does: its handler in the grammar, and the feature bits it sets.

    ``always`` is set in any case, ``bits`` if the phrase is not negated, ``negated`` if it is.
    """

    handler: str
    bits: int
    negated: int
    always: int


class Lexicon:
    """Phrases as a trie, and the words that are rewritten or left out before matching.

    Attributes:
        words: a token's feature bits if it is left out, the tokens that replace it if it is a
            contraction or a mark, the token itself if a value may start there.
        root: the trie: token -> node; a node holds its children by token and its entry under "".
    """

    __slots__ = ("root", "words")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.words: dict[str, int | str | tuple[str, ...]] = {word: word for word in VALUE_WORDS}
        self.words.update(PLAIN_MARKS)
        for flag, adverbs in data["adverbs"].items():
            for word in adverbs.split():
                self.words[word] = 0 if flag == "-" else BITS[flag]
        for word in _contractions():
            self.words[word[0]] = word[1]
        self.root: dict[str, Any] = {}
        macros: dict[str, str] = {}
        for name, pattern in data["macros"].items():
            macros[name] = _substitute(pattern, macros)
        for heading, pattern in data["phrases"].items():
            handler, bits, negated = _heading(heading)
            for phrase in expand(_substitute(pattern, macros)):
                self._add(phrase, handler, bits, negated)

    def _normalised(self, phrase: tuple[str, ...]) -> Iterator[str]:
        for token in phrase:
            word = self.words.get(token, token)
            if isinstance(word, int):
                raise ValueError(f"the phrase {' '.join(phrase)!r} has {token!r}, which is left out of texts")
            if isinstance(word, tuple):
                yield from word
            else:
                yield word

    def _add(self, phrase: tuple[str, ...], handler: str, bits: int, negated: int) -> None:
        node = self.root
        for token in self._normalised(phrase):
            node = node.setdefault(token, {})
        if node is self.root:
            raise ValueError(f"an empty phrase under {handler!r}")
        old: Entry = node.get("", Entry("", 0, 0, 0))
        if handler == "always":
            node[""] = old._replace(always=old.always | bits)
        elif old.handler and old[:3] != (handler, bits, negated):
            raise ValueError(f"the phrase {' '.join(phrase)!r} is under {handler!r} and under {old.handler!r}")
        else:
            node[""] = Entry(handler, bits, negated, old.always)


def _contractions() -> Iterator[tuple[str, tuple[str, ...]]]:
    for pronoun in _PRONOUNS:
        for ending, word in _CONTRACTED.items():
            yield pronoun + ending, (pronoun, word)
    yield "'s", ("is",)
    for verb in _NEGATED:
        yield verb + "n't", (verb, "not")
    for word, words in _IRREGULAR.items():
        yield word, tuple(words.split())


def _heading(heading: str) -> tuple[str, int, int]:
    """Splits "flag G_FINAL / ABLE" into the handler and its bits, plain and negated."""
    plain, _, negated = heading.partition("/")
    handler, *names = plain.split()
    return handler, _bits(names), _bits(negated.split())


def _bits(names: list[str]) -> int:
    return reduce(or_, (BITS[name] for name in names if name != "-"), 0)


def _substitute(pattern: str, macros: Mapping[str, str]) -> str:
    return re.sub(r"[A-Z][A-Z_]+", lambda match: f"({macros[match.group()]})", pattern)


def expand(pattern: str) -> Iterator[tuple[str, ...]]:
    """Every phrase that a pattern stands for.

    >>> list(expand("is (that|this) ok?"))
    [('is', 'that', 'ok'), ('is', 'that'), ('is', 'this', 'ok'), ('is', 'this')]
    """
    choices, rest = _choices(_PIECES(pattern))
    if rest:
        raise ValueError(f"unbalanced ')' in the phrase pattern {pattern!r}")
    yield from choices


def _choices(pieces: list[str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Reads alternatives up to a closing bracket; gives their phrases and the pieces left."""
    phrases: list[tuple[str, ...]] = []
    sequence: list[list[tuple[str, ...]]] = []
    while True:
        piece = pieces[0] if pieces else ")"
        pieces = pieces[1:]
        if piece in "|)":
            phrases += [sum(parts, ()) for parts in product(*sequence)]
            if piece == ")":
                return phrases, pieces
            sequence = []
        elif piece == "(":
            inner, pieces = _choices(pieces)
            sequence.append(inner)
        elif piece == "?":
            sequence[-1] = [*sequence[-1], ()]
        else:
            sequence.append([(piece,)])


def load_lexicon(text: str) -> Lexicon:
    """The lexicon written in ``text`` (YAML)."""
    return Lexicon(yaml.safe_load(text))
