"""Things that are named by a string, ``"package.module:attribute"``, and found when they are used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def named_attribute(name: str, kind: str) -> Any:
    """What a name stands for.

    >>> named_attribute("math:pi", "number")
    3.141592653589793

    Args:
        name: ``"package.module:attribute"``, or ``"package.module:Class.attribute"``.
        kind: what it is called in messages.

    Raises:
        ValueError: if the name is of another form.
        ImportError: if the module can't be imported, or has no such attribute.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"a {kind} is named 'package.module:attribute', not {name!r:.80}")
    found: Any = import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ImportError(f"the {kind} {name!r} is not there: {module} has no {attribute!r}")
        found = getattr(found, part)
    return found


def named_object(name: str, kind: str, fits: Callable[[Any], bool]) -> Any:
    """The object of a name, or what the class or function of that name makes without arguments.

    Args:
        name: as in ``named_attribute``.
        kind: what it is called in messages.
        fits: whether an object is one of the kind.

    Raises:
        ValueError: if the name is of another form, or what it stands for neither fits nor makes what does.
        ImportError: as ``named_attribute``.
    """
    found = named_attribute(name, kind)
    if not isinstance(found, type) and fits(found):
        return found
    made = found() if callable(found) else found
    if not fits(made):
        raise ValueError(f"{name!r} is no {kind} and makes none: it gave a {type(made).__name__}")
    return made
