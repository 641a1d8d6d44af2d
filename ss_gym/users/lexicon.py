"""The dictionary of what agents say: the phrases of ``lexicon.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from ss_gym.scenario_files import parse_yaml
from ss_gym.spelling import nearest
from ss_gym.users.automaton import Automaton
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


class _Meaning(NamedTuple):
    """What a heading gives its phrases, and whether it is one of all families."""

    handler: str
    bits: int
    negated: int
    common: bool


class Lexicon:
    """Phrases as a graph, and the words that are rewritten or left out before matching.

    Args:
        data: macros, adverbs and phrases of every family.
        more: macros and phrases of one family, which go before those of ``data``, the names that they use
            (see ``ss_gym.users.vocabulary.named``), the ``wishes`` that they are about, the grounds that it is
            ``without``, and whether the ``dates`` that are told lie ``ahead``.

    Attributes:
        vocabulary: what the features mean.
        words: a token's feature bits if it is left out, the tokens that replace it if it is a
            contraction or a mark, the token itself if a value may start there.
        root: where phrases begin; a node holds the nodes after it by token, and its ``Entry`` under "".
    """

    __slots__ = ("_meanings", "root", "vocabulary", "words")

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
        macros: dict[str, str] = {}
        self._meanings: list[_Meaning] = []
        automaton = Automaton()
        self._read(automaton, data, macros, common=True)
        if more is not None:
            self._read(automaton, more, macros, common=False)
        self.root = automaton.graph(self._entry)

    def _read(self, automaton: Automaton, data: Mapping[str, Any], macros: dict[str, str], common: bool) -> None:
        """Adds the phrases of a file."""
        for name, pattern in data.get("macros", {}).items():
            macros[name] = _substitute(pattern, macros)
        for heading, pattern in data.get("phrases", {}).items():
            self._meanings.append(_Meaning(*_heading(heading, self.vocabulary), common))
            automaton.add(_substitute(pattern, macros), self._tokens)

    def _tokens(self, word: str) -> Sequence[str]:
        """What a word of a pattern is in a text."""
        tokens = self.words.get(word, word)
        if isinstance(tokens, int):
            raise ValueError(f"a phrase has {word!r}, which is left out of texts")
        return (tokens,) if isinstance(tokens, str) else tokens

    def _entry(self, phrase: str, patterns: Sequence[int]) -> Entry:
        """What a phrase does that is under some headings; a family may give one of everybody's another meaning."""
        entry, common = Entry("", 0, 0, 0), True
        for meaning in [self._meanings[number] for number in patterns]:
            handler, bits, negated, _ = meaning
            if not phrase:
                raise ValueError(f"an empty phrase under {handler!r}")
            if handler == "always":
                entry = entry._replace(always=entry.always | bits)
                continue
            replaces = common and not meaning.common
            if entry.handler and entry[:3] != meaning[:3] and not replaces:
                raise ValueError(f"the phrase {phrase!r} is under {handler!r} and under {entry.handler!r}")
            entry, common = Entry(handler, bits, negated, entry.always), meaning.common
        return entry


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


def load_lexicon(text: str, more: Mapping[str, Any] | None = None) -> Lexicon:
    """The lexicon written in ``text`` (YAML), with what a family adds to it."""
    return Lexicon(parse_yaml(text, "ss_gym/users/lexicon.yaml"), more)
