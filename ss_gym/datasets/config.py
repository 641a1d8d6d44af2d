"""What of a log becomes a dataset, and how its rewards are taken."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

from ss_gym.rewards.function import is_finite

OnError = Literal["raise", "skip"]
Duplicates = Literal["keep", "exact", "text"]
Normalization = Literal["none", "range", "std"]


@dataclass(frozen=True)
class ConversationDatasetConfig:
    """What of a log becomes a dataset, and how its rewards are taken.

    What is left out is left out in the order of the fields, and counted: see ``DatasetStatistics``.

    Attributes:
        on_error: what is done with a part of a log that is no conversation: ``"raise"`` an error that names the
            file and the line, or ``"skip"`` it and count it by its reason.
        min_turns: conversations in which the agent said less often something to the customer are left out; tool
            calls are no turns.
        max_turns: so are those in which it did more often; None for no limit. They are not cut: a part of a
            conversation has another return than the one that was logged.
        duplicates: ``"keep"`` all, or keep the first of those that are ``"exact"`` copies (messages, actions,
            rewards and success), or of those with the same ``"text"`` but for capitals, punctuation and blanks
            (what was said and which tools were called; rewards may differ).
        quality_threshold: conversations of a lower quality are left out, and those of which it is not known. The
            quality is the score that the log itself gives, else the return as a share of the range of returns: 0
            for the lowest, 1 for the highest. What is left shows what is good, as cloning needs it; algorithms that
            learn from rewards need what is bad, too.
        return_range: the lowest and highest return of that range, and of ``normalize_rewards="range"``; by default
            those of the log, so that they may change when data are added.
        normalize_rewards: what rewards are divided by: nothing, the ``"range"`` of the returns, or their standard
            deviation (``"std"``), in conversations of any quality. Nothing is subtracted: it would be paid once a
            step, and so make long conversations better or worse than they were.
        discount: γ of the dataset's ``LoggedConversation.returns_to_go``. Returns, quality and normalisation are not
            discounted, and trainers have a γ of their own, the ``gamma`` of their config: they do not ask for this one.
        cache_dir: folder in which compressed files are unpacked, for as long as the dataset is in use; the
            system's folder for temporary files by default.
    """

    on_error: OnError = "raise"
    min_turns: int = 0
    max_turns: int | None = None
    duplicates: Duplicates = "keep"
    quality_threshold: float | None = None
    return_range: tuple[float, float] | None = None
    normalize_rewards: Normalization = "none"
    discount: float = 0.99
    cache_dir: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: if one is of another kind or outside its range.
        """
        _check_choice("on_error", self.on_error, OnError)
        _check_choice("duplicates", self.duplicates, Duplicates)
        _check_choice("normalize_rewards", self.normalize_rewards, Normalization)
        if not _is_whole(self.min_turns) or self.min_turns < 0:
            raise ValueError(f"min_turns must be a whole number from 0 up, got {self.min_turns!r:.80}")
        if self.max_turns is not None and (not _is_whole(self.max_turns) or self.max_turns < max(1, self.min_turns)):
            least = max(1, self.min_turns)
            raise ValueError(f"max_turns must be a whole number from {least} up, or None, got {self.max_turns!r:.80}")
        if self.quality_threshold is not None and not is_finite(self.quality_threshold):
            raise ValueError(f"quality_threshold must be a number or None, got {self.quality_threshold!r:.80}")
        if self.return_range is not None:
            object.__setattr__(self, "return_range", _range(self.return_range))
        if not is_finite(self.discount) or not 0 <= self.discount <= 1:
            raise ValueError(f"discount must be a number from 0 to 1, got {self.discount!r:.80}")


def _range(given: Any) -> tuple[float, float]:
    ends = tuple(given) if isinstance(given, tuple | list) else ()
    if len(ends) != 2 or not all(map(is_finite, ends)) or not ends[0] < ends[1]:
        raise ValueError(f"return_range must be the lowest and the highest return, such as (0, 1), got {given!r:.80}")
    return float(ends[0]), float(ends[1])


def _check_choice(name: str, given: Any, choices: Any) -> None:
    if given not in get_args(choices):
        known = ", ".join(map(repr, get_args(choices)))
        raise ValueError(f"{name} must be one of {known}, got {given!r:.80}")


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
