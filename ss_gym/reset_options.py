"""The options of a reset: what may be passed, and what is said of what may not."""

from __future__ import annotations

from collections.abc import Mapping, Set
from difflib import get_close_matches
from typing import Any


def as_options(options: Any) -> dict[str, Any]:
    """The options of a reset as a dictionary of their own, and so are mappings among them.

    >>> as_options(None)
    {}

    Args:
        options: a mapping with names as keys, or None.

    Raises:
        TypeError: for anything else.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        got = f"{type(options).__name__} {options!r:.80}"
        raise TypeError(f"the reset options must be a mapping such as {{'split': 'dev'}}, got {got}")
    for name in options:
        if not isinstance(name, str):
            raise TypeError(f"the names of reset options must be str, got {type(name).__name__} {name!r:.80}")
    # Whoever gave them may go on changing theirs, and an episode is its options and its actions.
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in options.items()}


def check_names(options: Mapping[str, Any], known: Set[str]) -> None:
    """Checks that the environment knows every option.

    Raises:
        ValueError: for one that it does not; names the nearest.
    """
    for name in options:
        if name not in known:
            nearest = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it knows {', '.join(sorted(known)) or 'none'}"
            raise ValueError(f"unknown reset option {name!r}; {hint}")
