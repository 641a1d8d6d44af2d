"""The channel between what a customer means to type and what arrives: slips of the hand."""

from __future__ import annotations

from collections.abc import Set

from ss_gym.streams import Stream

# Shortcuts and sound-alikes that a reader undoes without thinking. No entry changes a fact.
_SHORTCUTS: dict[str, tuple[str, ...]] = {
    "you": ("u", "yuo"),
    "your": ("ur", "you're"),
    "are": ("r",),
    "please": ("pls", "plz", "pleas"),
    "thanks": ("thx", "tnx", "thanx"),
    "because": ("cos", "bc", "becuase"),
    "and": ("n", "adn"),
    "the": ("teh", "th"),
    "with": ("w", "wiht"),
    "what": ("wat", "waht"),
    "know": ("kno",),
    "their": ("there",),
    "there": ("their",),
    "too": ("to",),
    "than": ("then",),
    "its": ("it's",),
    "received": ("recieved", "recived"),
    "receive": ("recieve",),
    "definitely": ("definately",),
    "address": ("adress",),
    "tomorrow": ("tomorow",),
    "which": ("wich",),
    "really": ("realy", "rly"),
    "order": ("oder", "ordr"),
    "code": ("cod", "coed"),
    "something": ("somthing", "smth"),
    "message": ("msg",),
    "number": ("nr", "nubmer"),
    "okay": ("ok", "okey"),
}

# Letters next to each other on a QWERTY keyboard, by row and between rows.
_NEIGHBOURS: dict[str, str] = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo",
    "j": "hk", "k": "jl", "l": "ko", "m": "nj", "n": "bm", "o": "ip", "p": "ol", "q": "wa", "r": "et",
    "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "xa",
}  # fmt: skip

_PUNCTUATION = ".,!?;:"
_SHORTEST_TYPO = 4  # "no", "not" and "yes" must never turn into something else
_SLOPPY = 6.0  # a message loses its capitals and commas with this many times the rate, at most _SLOPPY_CAP
_SLOPPY_CAP = 0.6


def add_noise(text: str, rate: float, stream: Stream, protected: Set[str] = frozenset()) -> str:
    """Mistypes a few words of a message.

    At most ``ceil(rate * words)`` words are misspelt, and ``rate * words`` of them on average or
    fewer where few words can be. Besides, the whole message may lose its capitals, commas and
    full stops. Words that hold a digit, ``@`` or another sign, and protected words, stay as they are.

    Args:
        text: the message; words are separated by single blanks.
        rate: share of the words, in [0, 1]; 0 returns the text unchanged.
        stream: the source of randomness.
        protected: words that must arrive as written, such as those of names and titles.
    """
    if rate <= 0.0:
        return text
    words = text.split(" ")
    budget = rate * len(words)
    slips = int(budget) + stream.chance(budget % 1.0)
    attempts = 3 * slips
    touched: set[int] = set()
    while slips and attempts:
        attempts -= 1
        index = stream.below(len(words))
        if index in touched:
            continue
        slipped = _mistype(words[index], stream, protected)
        if slipped != words[index]:
            words[index] = slipped
            touched.add(index)
            slips -= 1
    if stream.chance(min(_SLOPPY_CAP, _SLOPPY * rate)):
        words = [_careless(word, protected) for word in words]
    return " ".join(words)


def group_digits(digits: str) -> str:
    """Writes a number of five or more digits in two groups: ``"48213"`` as ``"48 213"``."""
    return f"{digits[:-3]} {digits[-3:]}" if len(digits) > 4 and digits.isdecimal() else digits


def _mistype(word: str, stream: Stream, protected: Set[str]) -> str:
    core = word.rstrip(_PUNCTUATION)
    if core in protected or word in protected:
        return word
    end = word[len(core) :]
    shortcuts = _SHORTCUTS.get(core)
    if shortcuts is not None:
        return stream.choice(shortcuts) + end
    if not core.isascii():
        return word
    if "'" in core and core.replace("'", "").isalpha():
        return core.replace("'", "") + end
    if len(core) < _SHORTEST_TYPO or not core.isalpha():
        return word
    return _typo(core, stream.bits()) + end


def _typo(core: str, bits: int) -> str:
    """One slip after the first letter: swapped, dropped, doubled, or the key next to it."""
    bits, kind = divmod(bits, 4)
    bits, offset = divmod(bits, len(core) - 1)
    at = offset + 1
    letter = core[at]
    if kind == 0:
        return f"{core[: at - 1]}{letter}{core[at - 1]}{core[at + 1 :]}" if at > 1 else core[:at] + core[at + 1 :]
    if kind == 1:
        return core[:at] + core[at + 1 :]
    if kind == 2:
        return core[:at] + letter + core[at:]
    near = _NEIGHBOURS.get(letter, letter)
    return core[:at] + near[bits % len(near)] + core[at + 1 :]


def _careless(word: str, protected: Set[str]) -> str:
    if word.islower() and word[-1] not in ",.":
        return word
    core = word.rstrip(_PUNCTUATION)
    if core in protected or word in protected or not core.replace("'", "").isalpha():
        return word
    end = word[len(core) :]
    return core.lower() + ("" if end in (",", ".") else end)
