"""Numbers that stand for texts: equal on every machine, and for equal texts only, but for one chance in 10^19."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MARKS = str.maketrans(dict.fromkeys(string.punctuation + "’‘“”–—…", " "))


def key_of(text: str) -> int:
    """A number of 64 bits for a text; never 0, which stands for no text.

    >>> key_of("refund/train/0001")
    877024197362155219
    """
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def plain_words(texts: Iterable[str]) -> list[str]:
    """The words of some texts without capitals, punctuation and blanks, and in one form of each character.

    >>> plain_words(["Hello,  THERE!", "Order #17?"])
    ['hello', 'there', 'order', '17']
    """
    text = "\n".join(texts)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return text.casefold().translate(_MARKS).split()


def mixed(keys: Keys, seed: int) -> Keys:
    """Keys as random numbers: uniform, different for each seed, and the same on every machine (SplitMix64).

    The function is one-to-one, so that different keys never give the same number. Source: Steele, Lea and Flood
    2014, *Fast Splittable Pseudorandom Number Generators*.

    Args:
        keys: uint64 (N,).
        seed: any integer of 64 bits.
    """
    with np.errstate(over="ignore"):
        state = keys + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
