"""What a mistyped name was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: object, known: Collection[str]) -> str:
    """The end of an error about a name that is not known.

    >>> nearest("refnd", ["refund", "exchange"])
    "did you mean 'refund'?"
    >>> nearest("x", ["refund", "exchange"])
    'known: refund, exchange'
    """
    near = get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(list(known)[:40])}"
