"""Text as a vector, without a model."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

_WORDS = re.compile(r"\w+|[^\w\s]").findall


def embed(text: str, dimensions: int = 256) -> npt.NDArray[np.float32]:
    """A signed hash embedding of the words and word pairs of a text, of length 1 (0 for an empty text).

    The feature hashing of Weinberger et al. 2009: each feature adds its sign at its place. Equal on every
    platform.

    Args:
        text: any text.
        dimensions: length of the vector.

    Returns:
        A vector ``(dimensions,)``.
    """
    words = _WORDS(text.lower())
    vector = np.zeros(dimensions, np.float32)
    for feature in (*words, *map(" ".join, pairwise(words))):
        place, sign = _slot(feature, dimensions)
        vector[place] += sign
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


@lru_cache(maxsize=65_536)
def _slot(feature: str, dimensions: int) -> tuple[int, float]:
    number = int.from_bytes(blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return (number >> 1) % dimensions, 1.0 if number & 1 else -1.0
