"""What every completion must be, whoever made it."""

from __future__ import annotations

from math import isfinite
from typing import Any

from ss_gym.types import Completion


def check_completion(completion: Any) -> None:
    """Checks that something is a completion whose parts fit each other.

    Raises:
        AssertionError: saying what does not hold.
    """
    assert isinstance(completion, Completion), f"it must be a Completion, got {type(completion).__name__}"
    assert isinstance(completion.text, str), f"its text must be a str, got {type(completion.text).__name__}"
    ids, logprobs = completion.token_ids, completion.logprobs
    if logprobs is not None:
        assert ids is not None and len(ids) == len(logprobs), "logprobs must be given for exactly the token_ids"
        assert all(isfinite(value) and value <= 0 for value in logprobs), "a log-probability is finite and at most 0"
    assert completion.finish_reason in ("stop", "length"), f"unknown finish_reason {completion.finish_reason!r}"
