"""What the configs of algorithms refuse: settings that no run could mean."""

from __future__ import annotations

import math
from typing import Any


def require_choice(config: Any, **allowed: tuple[str, ...]) -> None:
    """Each named setting is one of those allowed.

    Raises:
        ValueError: names the setting.
    """
    for name, choices in allowed.items():
        if getattr(config, name) not in choices:
            raise ValueError(f"{_name(config, name)} must be one of {choices}, not {getattr(config, name)!r}")


def require_not_negative(config: Any, *names: str) -> None:
    """Each named setting is a number that is not negative, or is not there.

    Raises:
        ValueError: names the setting.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not value >= 0:
            raise ValueError(f"{_name(config, name)} must not be negative, but is {value}")


def require_between(config: Any, low: float, high: float, *names: str) -> None:
    """Each named setting is a number within bounds, or is not there.

    Raises:
        ValueError: names the setting.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            bounds = f"at least {low}" if math.isinf(high) else f"from {low} to {high}"
            raise ValueError(f"{_name(config, name)} must be {bounds}, not {value}")


def require_max_length(config: Any) -> None:
    """``max_length`` is there where the aggregation is ``"constant"``, and only there.

    Raises:
        ValueError: otherwise.
    """
    if (config.aggregation == "constant") != (config.max_length is not None):
        name = _name(config, "max_length")
        raise ValueError(f'{name} belongs to aggregation="constant": give both or neither')
    if config.max_length is not None and config.max_length < 1:
        raise ValueError(f"{_name(config, 'max_length')} must be at least 1 token, not {config.max_length}")


def _name(config: Any, setting: str) -> str:
    return f"{type(config).__name__}.{setting}"
