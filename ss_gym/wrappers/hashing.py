"""Text as a vector without a model: signed feature hashing of word n-grams."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_WORD = re.compile(r"\w+")


class HashingEncoder:
    """Signed feature hashing of word n-grams, L2-normalised.

    φᵢ(x) = Σ_{g: h(g)=i} ξ(g)·count of g in x, divided by ‖φ(x)‖₂, where h gives an index and ξ a sign
    (Weinberger et al. 2009, definition 1). Both come from BLAKE2b, so vectors are equal on every
    platform and with every ``PYTHONHASHSEED``. N-grams do not cross line breaks; a text without a word
    is the zero vector.

    >>> encoder = HashingEncoder(dimensions=64)
    >>> apple, same, other = encoder(["A red apple", "a RED apple!", "Where is my parcel?"])
    >>> bool((apple == same).all()), float(apple @ apple).__round__(6), float(apple @ other) < 0.9
    (True, 1.0, True)

    Args:
        dimensions: the length of the vectors.
        ngrams: the longest n-gram, in words.

    Raises:
        ValueError: if one of them is less than 1.
    """

    def __init__(self, dimensions: int = 256, ngrams: int = 2) -> None:
        for name, value in (("dimensions", dimensions), ("ngrams", ngrams)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.dimensions = int(dimensions)
        self.ngrams = int(ngrams)

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """The vectors of some texts, ``(len(texts), dimensions)``."""
        counts = np.zeros((len(texts), self.dimensions))
        for row, text in zip(counts, texts, strict=True):
            self.add(row, text)
        return unit(counts)

    def add(self, counts: npt.NDArray[np.float64], text: str) -> None:
        """Adds the signed counts of a text's n-grams to a vector, so that a growing text is hashed once.

        Args:
            counts: ``(dimensions,)``, not normalised; changed in place.
            text: the new lines.
        """
        for line in text.splitlines():
            words = _WORD.findall(line.casefold())
            for size in range(1, self.ngrams + 1):
                for start in range(len(words) - size + 1):
                    place, sign = _place(" ".join(words[start : start + size]))
                    counts[place % self.dimensions] += sign


def unit(vectors: npt.NDArray[np.floating]) -> FloatArray:
    """Vectors divided by their L2 norm; zero stays zero.

    Args:
        vectors: ``(n, d)``.
    """
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: FloatArray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0).astype(np.float32)
    return scaled


@lru_cache(maxsize=1 << 16)
def _place(gram: str) -> tuple[int, float]:
    """Where an n-gram goes, and with which sign."""
    bits = int.from_bytes(blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return bits >> 1, 1.0 if bits & 1 else -1.0
