"""A file of episodes that is there complete or not at all, and can be gone on with until then."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ss_baselines.commands.folders import write_whole
from ss_gym.datasets import LoggedConversation
from ss_gym.datasets.native import encoded
from ss_gym.wrappers.trajectories import RecordedTrajectory, TrajectoryFile, encode_line, read_trajectories


class PartialRun:
    """Episodes on their way into a file.

    Until ``finish`` they are in ``FILE.partial``, beside their settings in ``FILE.settings.json``: whoever goes on
    must ask for the same. As a context it opens the partial file, and closes it; one without an episode is removed.

    Args:
        file: which they are to become.
        settings: all that they depend on, ready for JSON.

    Attributes:
        partial: where they are until then.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self.partial = file.with_name(f"{file.name}.partial")
        self._file = file
        self._settings_file = file.with_name(f"{file.name}.settings.json")
        self._settings = json.loads(json.dumps(settings))
        self._episodes: TrajectoryFile | None = None

    def check_new(self) -> None:
        """Makes sure that nothing is there that a new run would take the place of.

        Raises:
            ValueError: if the file is there, or a run that was stopped.
        """
        if os.path.lexists(self._file):
            raise ValueError(f"'{self._file}' is there already: choose another file, or delete it")
        if self.partial.exists():
            raise ValueError(f"'{self.partial}' is of a run that was stopped: go on with --resume, or delete it")

    def taken_up(self) -> Iterator[RecordedTrajectory]:
        """The episodes that a run left that was stopped, read one by one.

        Raises:
            ValueError: if there is none, it had other settings, or its file is damaged.
        """
        if not self.partial.is_file():
            reason = f"'{self._file}' is complete" if self._file.exists() else f"there is no '{self.partial}'"
            raise ValueError(f"there is no run to go on with: {reason}; leave out --resume to begin one")
        self._check_settings()
        self._open().close()
        return read_trajectories(self.partial)

    def _check_settings(self) -> None:
        try:
            before = json.loads(self._settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"'{self._settings_file}', which says how the run was made, can't be read: "
                f"delete '{self.partial}' and begin anew"
            ) from error
        for name, asked in self._settings.items():
            if before.get(name) == asked:
                continue
            if name == "checkpoint":
                raise ValueError(f"the checkpoint has changed since the run was stopped: delete '{self.partial}'")
            raise ValueError(
                f"{name} differs from that of the run that was stopped, {before.get(name)!r:.80}, not {asked!r:.80}: "
                f"ask for the same, or delete '{self.partial}'"
            )

    def __enter__(self) -> Self:
        write_whole(self._settings_file, json.dumps(self._settings, indent=2) + "\n")
        self._episodes = self._open()
        return self

    def _open(self) -> TrajectoryFile:
        with warnings.catch_warnings():
            # What a crash left of a line is taken off, and that episode is played again: there is nothing to tell.
            warnings.simplefilter("ignore", RuntimeWarning)
            return TrajectoryFile(self.partial, synchronised=False)

    def append(self, episode: RecordedTrajectory | LoggedConversation) -> None:
        """Adds an episode, with what is known besides if it is a conversation of a log."""
        assert self._episodes is not None
        line = encoded(episode) if isinstance(episode, LoggedConversation) else encode_line(episode)
        self._episodes.append_line(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._episodes is not None
        self._episodes.close()
        if not self.partial.stat().st_size:
            self.partial.unlink()
            self._settings_file.unlink()

    def finish(self) -> None:
        """Makes the episodes the file."""
        self.partial.replace(self._file)
        self._settings_file.unlink()
