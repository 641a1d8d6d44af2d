"""Rows of the ``datasets`` library, which is imported when it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from ss_gym.datasets.sources import Numbered


def rows_of(given: Any, split: str, **options: Any) -> tuple[Numbered, str]:
    """Rows by their number, and what they are called in errors.

    Args:
        given: the id of a dataset of the hub; a ``datasets.Dataset`` or another sequence, whose rows are read as they
            are needed; or any other iterable, whose rows are kept in memory.
        split: of a dataset of the hub, or of several that come by name.
        **options: of ``datasets.load_dataset``.

    Raises:
        ImportError: if an id is given and the library is not installed.
        ValueError: if options are given with something that is there already, or there is no such split.
        TypeError: if it is none of these.
    """
    if isinstance(given, str):
        found = _library().load_dataset(given, split=split, **options)
        name = f"dataset {given}"
    else:
        if options:
            raise ValueError(f"{', '.join(options)} are options of load_dataset: they go with the id of a dataset")
        found, name = given, "rows"
    if isinstance(found, dict):  # a DatasetDict, too
        if split not in found:
            raise ValueError(f"there is no split {split!r}: there are {', '.join(map(repr, found))}")
        found = found[split]
    if hasattr(found, "__len__") and hasattr(found, "__getitem__"):
        return found, name
    if not isinstance(found, Iterable):
        raise TypeError(f"rows are a dataset or an iterable of mappings, got {type(found).__name__} {found!r:.80}")
    return list(found), name


def _library() -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise ImportError("the datasets library is not installed: pip install 'stateset-gym[hub]'") from error
