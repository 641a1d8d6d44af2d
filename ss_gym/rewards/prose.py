"""What a text is made of: words, sentences, repetition, shape and what it copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from functools import cached_property, lru_cache

from ss_gym.rewards.lexicon import BEFORE_VERBS, DETERMINERS, FINITE, FUNCTION_WORDS, JOINTS, VERBS

_UNHEARD = re.compile(r"<(think|tool_call)>.*?(?:</\1>|\Z)", re.DOTALL)
_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": " - ", "\u00a0": " "})
_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:[.,:]\d+)*", re.IGNORECASE)
_MARKS = frozenset(",;:")
_MARKED_WORDS = re.compile(rf"{_WORDS.pattern}|[,;:](?=\s)", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")
_MARKUP = re.compile(r'[{}\[\]_<>=]|":|",')
_SUFFIXES = ("ing", "ied", "ies", "ed", "es", "ly", "s", "y", "e")
# A reply may quote this much of what it was given: a rule, a name, an address.
QUOTABLE_WORDS = 20
_RUN = 5  # words; a shorter run is common to many texts
_PILE = 6  # content words in a row; prose seldom has more than five
_LONG_SENTENCE = 8  # words; a shorter one may do without a verb ("14 days from delivery.")


class Prose:
    """A text, read once.

    Attributes:
        text: what is heard of it: without notes and tool calls, apostrophes made plain.
        words: in lower case, numbers included.
        sentences: the words of each sentence.
    """

    def __init__(self, text: str) -> None:
        self.text = _UNHEARD.sub(" ", text).translate(_TYPOGRAPHY).strip()
        self._marked = [_MARKED_WORDS.findall(sentence.lower()) for sentence in _SENTENCES.split(self.text)]
        split = [tuple(word for word in words if word not in _MARKS) for words in self._marked]
        self.sentences = tuple(words for words in split if words)
        self.words = tuple(word for words in self.sentences for word in words)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of the words that carry content, numbers included."""
        return frozenset(stem(word) for word in self.words if word not in FUNCTION_WORDS)

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        """Every run of five words."""
        return frozenset(zip(*(self.words[start:] for start in range(_RUN)), strict=False))

    @cached_property
    def shape(self) -> float:
        """How much it is shaped like sentences, 0 to 1: function words where they belong, verbs, no lists, no records.

        Short texts are left alone: “14 days.” has no function word and needs none.
        """
        if not self.words:
            return 0.0
        count = len(self.words)
        if self._is_record():
            return 0.02
        holding = sum(word in FUNCTION_WORDS for word in self.words)
        held = min(1.0, (holding + 1.5) / (0.3 * count)) ** 2
        listed = self.text.count(",") + self.text.count(";") - 2  # two are in every other sentence
        commas = min(1.0, 0.35 * count / listed) if listed > 0 else 1.0
        verbless = sum(len(words) for words in self._marked if len(words) >= _LONG_SENTENCE and not _has_verb(words))
        return held * commas * (1 - 0.8 * verbless / count) * (1 - self._piled() / count) * 0.5 ** self._broken_joints()

    def _is_record(self) -> bool:
        """Whether it is data rather than text."""
        whole = self.text[:1] in ("{", "[") and self.text[-1:] in ("}", "]")
        return whole or len(_MARKUP.findall(self.text)) > 0.15 * len(self.words) + 2

    def _piled(self) -> int:
        """Words in runs of content words without anything that holds them together."""
        piled = 0
        for sentence in self.sentences:
            run = 0
            for word in (*sentence, "the"):
                if word not in FUNCTION_WORDS and word not in FINITE:
                    run += 1
                    continue
                piled += run if run >= _PILE else 0
                run = 0
        return piled

    def _broken_joints(self) -> int:
        """How often an article or its like has nothing to stand before."""
        return sum(
            word in DETERMINERS and (after in JOINTS or after == "")
            for sentence in self.sentences
            for word, after in zip(sentence, (*sentence[1:], ""), strict=True)
        )

    @cached_property
    def novelty(self) -> float:
        """Share of its words that it has not said already, in sentences or runs of three words; 1 if empty."""
        if not self.words:
            return 1.0
        said = Counter(self.sentences)
        again = sum(len(words) * (times - 1) for words, times in said.items())
        triples = Counter(zip(self.words, self.words[1:], self.words[2:], strict=False))
        repeated = sum(times - 1 for times in triples.values())
        return 1.0 - max(again / len(self.words), repeated / max(1, len(self.words) - 2))

    def copied_words(self, runs: Set[tuple[str, ...]]) -> int:
        """How many of its words are part of runs of five that another text has too."""
        copied, end = 0, 0
        for start, run in enumerate(zip(*(self.words[begin:] for begin in range(_RUN)), strict=False)):
            if run in runs:
                copied += start + _RUN - max(end, start)
                end = start + _RUN
        return copied


@lru_cache(maxsize=1024)
def prose(text: str) -> Prose:
    """The text as prose; texts that come again, such as the system prompt, are read once."""
    return Prose(text)


def stem(word: str) -> str:
    """A word without its ending, so that “delivered” and “delivery” are the same.

    >>> stem("delivered") == stem("delivery") == stem("delivers") == "deliver"
    True
    """
    word = word.partition("'")[0]
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


def before(text: str, place: int, ends: str) -> str:
    """What stands before a place since the last of some marks, at most 200 characters."""
    return re.split(f"[{ends}]", text[max(0, place - 200) : place])[-1]


def _has_verb(words: list[str]) -> bool:
    """Whether there is a finite verb, as far as its form and the word before it tell."""
    return any(
        word in FINITE
        or (word in VERBS and (previous in BEFORE_VERBS or previous in _MARKS))
        or (len(word) > 4 and word.endswith("ed") and previous not in DETERMINERS and previous not in JOINTS)
        for previous, word in zip(["to", *words], words, strict=False)
    )
