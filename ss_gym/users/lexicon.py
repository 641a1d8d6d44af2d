"""The dictionary of what agents say: phrases in ``lexicon.yaml``, compiled to a trie over tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, NamedTuple

from ss_gym.scenario_files import parse_yaml
from ss_gym.spelling import nearest
from ss_gym.users.tokens import PLAIN_MARKS, VALUE_WORDS
from ss_gym.users.vocabulary import PLAIN, Vocabulary, named

# What a family's file may have.
_PARTS: Mapping[str, type] = {
    "names": dict,
    "wishes": str,
    "without": str,
    "dates": str,
    "macros": dict,
    "phrases": dict,
}
_PIECES = re.compile(r"[()|?]|[^\s()|?]+").findall

_CONTRACTED = {
    "'ve": "have", "'ll": "will", "'re": "are", "'d": "would", "'m": "am",
}  # fmt: skip
_PRONOUNS = "i you we they he she it that this there who what where here how".split()
_NEGATED = "is are was were do does did has have had can could will would should must might need".split()
_MODALS = "could would should might must".split()
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

    Args:
        data: macros, adverbs and phrases of every family.
        more: macros and phrases of one family, which go before those of ``data``, the names that they use
            (see ``ss_gym.users.vocabulary.named``), the ``wishes`` that they are about, the grounds that it is
            ``without``, and whether the ``dates`` that are told lie ``ahead``.

    Attributes:
        vocabulary: what the features mean.
        words: a token's feature bits if it is left out, the tokens that replace it if it is a
            contraction or a mark, the token itself if a value may start there.
        root: the trie: token -> node; a node holds its children by token and its entry under "".
    """

    __slots__ = ("root", "vocabulary", "words")

    def __init__(self, data: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
        self.vocabulary = PLAIN
        if more is not None:
            _check_parts(more)
            wishes = frozenset(more.get("wishes", "refund").split())
            without = frozenset(more.get("without", "").split())
            self.vocabulary = named(more.get("names", {}), wishes, without, more.get("dates") != "ahead")
        self.words: dict[str, int | str | tuple[str, ...]] = {word: word for word in VALUE_WORDS}
        self.words.update(PLAIN_MARKS)
        for flag, adverbs in data["adverbs"].items():
            for word in adverbs.split():
                self.words[word] = 0 if flag == "-" else self.vocabulary.bits[flag]
        for word in _contractions():
            self.words[word[0]] = word[1]
        self.root: dict[str, Any] = {}
        macros: dict[str, str] = {}
        self._read(data, macros, set())
        if more is not None:
            self._read(more, macros, _phrases_of(self.root))

    def _read(self, data: Mapping[str, Any], macros: dict[str, str], replaced: set[tuple[str, ...]]) -> None:
        """Adds the phrases of a file; those in ``replaced`` may get another meaning, once."""
        for name, pattern in data.get("macros", {}).items():
            macros[name] = _substitute(pattern, macros)
        for heading, pattern in data.get("phrases", {}).items():
            meaning = _heading(heading, self.vocabulary)
            for phrase in expand(_substitute(pattern, macros)):
                self._add(phrase, *meaning, replaced)

    def _normalised(self, phrase: tuple[str, ...]) -> Iterator[str]:
        for token in phrase:
            word = self.words.get(token, token)
            if isinstance(word, int):
                raise ValueError(f"the phrase {' '.join(phrase)!r} has {token!r}, which is left out of texts")
            if isinstance(word, tuple):
                yield from word
            else:
                yield word

    def _add(
        self, phrase: tuple[str, ...], handler: str, bits: int, negated: int, replaced: set[tuple[str, ...]]
    ) -> None:
        node = self.root
        tokens = tuple(self._normalised(phrase))
        for token in tokens:
            node = node.setdefault(token, {})
        if node is self.root:
            raise ValueError(f"an empty phrase under {handler!r}")
        old: Entry = node.get("", Entry("", 0, 0, 0))
        if handler == "always":
            node[""] = old._replace(always=old.always | bits)
        elif tokens in replaced:
            replaced.remove(tokens)
            node[""] = Entry(handler, bits, negated, old.always)
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
    for verb in _MODALS:
        yield verb + "'ve", (verb, "have")
    for word, words in _IRREGULAR.items():
        yield word, tuple(words.split())


def _phrases_of(node: Mapping[str, Any], before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every phrase of a trie."""
    found = {before} if "" in node else set()
    for token, child in node.items():
        if token:
            found |= _phrases_of(child, (*before, token))
    return found


def _check_parts(more: Any) -> None:
    """Raises unless a family's file has the form of one."""
    if not isinstance(more, Mapping):
        raise ValueError(f"the file must be a mapping with {', '.join(_PARTS)}, got {more!r:.80}")
    for part, content in more.items():
        if part not in _PARTS:
            raise ValueError(f"{part} is no part of a lexicon; {nearest(part, _PARTS)}")
        if not isinstance(content, _PARTS[part]):
            raise ValueError(f"{part} must be {'text' if _PARTS[part] is str else 'a mapping'}, got {content!r:.80}")


def _heading(heading: str, vocabulary: Vocabulary) -> tuple[str, int, int]:
    """Splits "flag G_FINAL / ABLE" into the handler and its bits, plain and negated."""
    plain, _, negated = heading.partition("/")
    handler, *names = plain.split()
    return handler, _bits(names, vocabulary), _bits(negated.split(), vocabulary)


def _bits(names: list[str], vocabulary: Vocabulary) -> int:
    for name in names:
        if name not in vocabulary.bits and name != "-":
            raise ValueError(f"there is no feature {name}; {nearest(name, vocabulary.bits)}")
    return reduce(or_, (vocabulary.bits[name] for name in names if name != "-"), 0)


def _substitute(pattern: Any, macros: Mapping[str, str]) -> str:
    if not isinstance(pattern, str):
        raise ValueError(f"a pattern must be text, got {pattern!r:.80}")
    for name in re.findall(r"[A-Z][A-Z_]+", pattern):
        if name not in macros:
            raise ValueError(f"there is no macro {name}; {nearest(name, macros)}")
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
            if not sequence:
                raise ValueError("a question mark must follow a word or a choice")
            sequence[-1] = [*sequence[-1], ()]
        else:
            sequence.append([(piece,)])


def load_lexicon(text: str, more: Mapping[str, Any] | None = None) -> Lexicon:
    """The lexicon written in ``text`` (YAML), with what a family adds to it."""
    return Lexicon(parse_yaml(text, "ss_gym/users/lexicon.yaml"), more)
