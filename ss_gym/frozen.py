"""JSON data that everybody may hold because nobody can change it.

The tools of an environment are the same in every episode of a process. To copy their schemas for each
info would add a seventh to the time of a reset, and to share them as they are would let whoever changes
one change it for every environment.
"""

from __future__ import annotations

from typing import Any, NoReturn

_ADVICE = "it is shared by all environments and can't be changed: copy.deepcopy gives a plain copy that can"


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(_ADVICE)


class FrozenDict(dict[str, Any]):
    """A ``dict`` that can't be changed; copies and pickles are plain dictionaries."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return dict, (dict(self),)


class FrozenList(list[Any]):
    """A ``list`` that can't be changed; copies and pickles are plain lists."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return list, (list(self),)


def freeze(value: Any) -> Any:
    """The same JSON value with every dictionary and list in it frozen.

    >>> freeze({"enum": ["a", "b"]}) == {"enum": ["a", "b"]}
    True
    """
    if isinstance(value, dict):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return FrozenList(map(freeze, value))
    return value
