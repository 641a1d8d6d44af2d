"""A configuration that makes no sense is refused in a sentence."""

from typing import Any

import pytest

from ss_gym.datasets import ConversationDatasetConfig


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"on_error": "ignore"}, "on_error must be one of 'raise', 'skip', got 'ignore'"),
        ({"duplicates": True}, "duplicates must be one of 'keep', 'exact', 'text', got True"),
        ({"normalize_rewards": "minmax"}, "normalize_rewards must be one of 'none', 'range', 'std'"),
        ({"min_turns": -1}, "min_turns must be a whole number from 0 up"),
        ({"max_turns": 0}, "max_turns must be a whole number from 1 up, or None, got 0"),
        ({"min_turns": 3, "max_turns": 2}, "max_turns must be a whole number from 3 up"),
        ({"quality_threshold": float("nan")}, "quality_threshold must be a number or None, got nan"),
        ({"return_range": (1, 1)}, "return_range must be the lowest and the highest return, such as"),
        ({"return_range": 1.0}, "return_range must be the lowest and the highest return"),
        ({"discount": 1.01}, "discount must be a number from 0 to 1"),
    ],
)
def test_settings_outside_their_range_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ConversationDatasetConfig(**setting)


def test_a_range_may_come_from_a_file() -> None:
    assert ConversationDatasetConfig(return_range=[-1, 1]).return_range == (-1.0, 1.0)  # type: ignore[arg-type]
