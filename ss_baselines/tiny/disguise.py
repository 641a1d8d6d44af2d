"""Other e-mails, postal codes and goods in a demonstration, so that they can only be copied, not remembered.

The train split has a few dozen towns and goods. A model that sees them ten thousand times completes
"RV" to the code that it knows instead of reading the customer's; on the people of dev it then fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ss_gym.commerce.catalogue import load_catalogue
from ss_gym.streams import Stream

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]+", re.IGNORECASE)
_POSTAL_CODE = re.compile(r"\b[A-Z]{2}\d \d[A-Z]{2}\b")
_ONSETS = "b br c ch cl cr d dr f fl g gr h j k l m n p pl r s sh sp st t th tr v w wh b m p s t".split(" ")
_NUCLEI = "a e i o u a e i o u ea oo ee ai ou oa ie".split(" ")
_CODAS = ",,,n,r,l,t,s,ck,ng,st,ll,rd,nt,m,p,d,ss,sh,x,ve,ke,te,se,ne,le".split(",")
_SUFFIXES = ",,,,ing,er,y,ed,le,en,et,or,ic,al".split(",")
_CONSONANTS, _VOWELS, _LETTERS = "bcdfghjklmnprstvwz", "aeiou", "abcdefghijklmnopqrstuvwxyz"


class Disguise:
    """Replaces the same string by the same other string, throughout one conversation.

    Args:
        stream: the source of randomness.
        titles: titles of goods that are to be replaced.
        pieces: see :func:`made_up_title`.
    """

    def __init__(self, stream: Stream, titles: Iterable[str] = (), pieces: Sequence[str] = ()) -> None:
        self._stream = stream
        self._pieces = pieces
        self._others: dict[str, str] = {}
        alternatives = "|".join(re.escape(title) for title in sorted(titles, key=len, reverse=True))
        self._titles = re.compile(rf"\b(?:{alternatives})\b") if alternatives else None

    def __call__(self, text: str) -> str:
        """The text with all e-mails, postal codes and titles replaced."""
        text = _EMAIL.sub(self._replacer(made_up_email), text)
        text = _POSTAL_CODE.sub(self._replacer(made_up_postal_code), text)
        return self._titles.sub(self._replacer(self._title), text) if self._titles else text

    def _title(self, stream: Stream) -> str:
        return made_up_title(stream, self._pieces)

    def _replacer(self, make: Callable[[Stream], str]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            found = match.group()
            if found not in self._others:
                self._others[found] = make(self._stream)
            return self._others[found]

        return replace


def train_disguise(stream: Stream, pieces: Sequence[str] = ()) -> Disguise:
    """A disguise for a conversation of the train split: all people, and most of the goods.

    Gift cards keep their names, since other rules hold for them.

    Args:
        stream: the source of randomness.
        pieces: see :func:`made_up_title`.
    """
    goods = load_catalogue("train").sellable
    return Disguise(stream, [product.title for product in goods if stream.chance(0.7)], pieces)


def made_up_email(stream: Stream) -> str:
    """An address that nobody has."""
    joint, tail = stream.choice((".", "_", "", "")), str(stream.between(1, 99)) if stream.chance(0.4) else ""
    ending = stream.choice(("com", "org", "net", "example", "example"))
    return f"{_name(stream)}{joint}{_name(stream)}{tail}@{_name(stream)}.{ending}"


def made_up_postal_code(stream: Stream) -> str:
    """A code of the form that the shop uses."""
    area, end = ("".join(stream.choice(_LETTERS).upper() for _ in range(2)) for _ in range(2))
    return f"{area}{stream.between(1, 9)} {stream.below(10)}{end}"


def made_up_title(stream: Stream, pieces: Sequence[str] = ()) -> str:
    """Two words: half of them look like words, the others are made of pieces, if there are any.

    Args:
        stream: the source of randomness.
        pieces: parts of words, at least three or none: a model copies only tokens that it has copied
            before, and rules of spelling do not make all of them.
    """
    if pieces and stream.chance(0.5):
        first, second = ("".join(stream.sample(pieces, stream.between(1, 3))) for _ in range(2))
        return f"{first} {second}"
    word = _noun if stream.chance(0.7) else _syllables
    return f"{word(stream)} {word(stream)}"


def _name(stream: Stream) -> str:
    if stream.chance(0.5):
        return _syllables(stream)
    return "".join(stream.choice(_LETTERS) for _ in range(stream.between(2, 8)))


def _syllables(stream: Stream) -> str:
    """A word of up to three syllables that can be pronounced."""
    count = stream.between(1, 3)
    end = stream.choice(_CONSONANTS) if count == 1 or stream.chance(0.5) else ""
    return "".join(stream.choice(_CONSONANTS) + stream.choice(_VOWELS) for _ in range(count)) + end


def _noun(stream: Stream) -> str:
    """A word that is spelled as English ones are, so that it is cut into the tokens of real goods."""
    syllables = [stream.choice(part) for _ in range(stream.between(1, 2)) for part in (_ONSETS, _NUCLEI, _CODAS)]
    return "".join(syllables) + stream.choice(_SUFFIXES)
