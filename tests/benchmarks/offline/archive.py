"""The logs that the committed results have learnt from, in one small file.

Agents that are trained anew on another processor play other episodes, so whoever runs a cell of the study again needs
these logs and not some like them. An observation that is the next one's as well is kept once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ss_gym.whole_file import whole_file
from ss_trainers.offline.transitions import Transitions

_SEEN, _PLAIN = "seen", ("actions", "rewards", "terminals", "timeouts")
_OF_THE_SPACE = ("action_count", "action_low", "action_high")


def pack(logs: dict[str, Transitions], path: Path) -> None:
    """Writes logs by name; the file is replaced as a whole.

    Raises:
        ValueError: if a log's next observations are not those that follow.
    """
    columns: dict[str, Any] = {}
    for name, log in logs.items():
        ends = log.terminals | log.timeouts
        # Each episode's last observation comes after its steps.
        places = np.flatnonzero(ends) + 1
        seen = np.insert(log.observations, places, log.next_observations[ends], axis=0)
        columns[f"{name}/{_SEEN}"] = seen
        columns |= {f"{name}/{column}": getattr(log, column) for column in _PLAIN}
        known = {f"{name}/{column}": getattr(log, column) for column in _OF_THE_SPACE}
        columns |= {key: value for key, value in known.items() if value is not None}
        if not np.array_equal(_observations(seen, ends)[1], log.next_observations):
            raise ValueError(f"the log '{name}' has next observations that are not those that follow")
    with whole_file(path) as stream:
        np.savez_compressed(stream, **columns)


def unpack(path: Path) -> dict[str, Transitions]:
    """The logs by name, as they were.

    Raises:
        FileNotFoundError: if there are none.
    """
    with np.load(path, allow_pickle=False) as file:
        columns = {key: file[key] for key in file}
    logs = {}
    for name in sorted({key.rpartition("/")[0] for key in columns}):
        plain = {column: columns[f"{name}/{column}"] for column in _PLAIN}
        space: dict[str, Any] = {column: columns.get(f"{name}/{column}") for column in _OF_THE_SPACE}
        if space["action_count"] is not None:
            space["action_count"] = int(space["action_count"])
        before, after = _observations(columns[f"{name}/{_SEEN}"], plain["terminals"] | plain["timeouts"])
        logs[name] = Transitions(observations=before, next_observations=after, **plain, **space)
    return logs


def _observations(seen: npt.NDArray[Any], ends: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Observations and next ones of steps, of all that was seen."""
    last = np.flatnonzero(ends) + 1 + np.arange(ends.sum())
    first = np.concatenate([[0], last[:-1] + 1])
    return np.delete(seen, last, axis=0), np.delete(seen, first, axis=0)
