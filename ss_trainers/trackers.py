"""Experiment trackers: where else the metrics of a run go. Each is a package of its own, and an extra of this one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

RUN_ID_FILE = "run_id"
_PROJECT = "stateset-gym"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The run that trackers are told of.

    Attributes:
        id: of the run in every tracker; one that is resumed keeps it.
        directory: the run's folder; None if it has none.
        settings: how the run was set up, as plain values.
    """

    id: str
    directory: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def begun(cls, directory: Path | None, iteration: int, settings: Mapping[str, Any]) -> TrackedRun:
        """A new run or, where iterations have been done, the one whose folder it is.

        Args:
            directory: the run's folder, which keeps the id. Without one, every run is new.
            iteration: iterations that were done before.
            settings: how the run was set up.
        """
        if directory is None:
            return cls(_new_id(), None, settings)
        file = directory / RUN_ID_FILE
        known = file.read_text(encoding="utf-8").strip() if iteration and file.is_file() else ""
        run = cls(known or _new_id(), directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        file.write_text(run.id + "\n", encoding="utf-8")
        return run

    @property
    def name(self) -> str:
        """What people know it by: its folder's name and its id."""
        return f"{self.directory.resolve().name}-{self.id}" if self.directory is not None else self.id


class Tracker(Protocol):
    """Takes the metrics of a run, and shows them somewhere."""

    def report(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Records finite metrics of an iteration, counted from 1."""
        ...

    def close(self, failed: bool = False) -> None:
        """Ends the run, or this part of it.

        Args:
            failed: whether something was raised, Ctrl-C included.
        """
        ...


class TrackioTracker:
    """``trackio``: a dashboard on this machine or in a Space, as its own environment variables say.

    The project is that of ``TRACKIO_PROJECT``, else ``stateset-gym``.

    Args:
        run: what is tracked.
    """

    def __init__(self, run: TrackedRun) -> None:
        project = os.environ.get("TRACKIO_PROJECT", _PROJECT)
        trackio: Any = import_module("trackio")
        self._run = trackio.init(project, name=run.name, config=dict(run.settings), resume="allow")

    def report(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        self._run.log(dict(metrics), step=iteration)

    def close(self, failed: bool = False) -> None:
        """See ``Tracker``."""
        self._run.finish()


class WandbTracker:
    """Weights & Biases, on its servers or offline, as its own environment variables say.

    The project is that of ``WANDB_PROJECT``, else ``stateset-gym``. Its files go into the run's folder.

    Args:
        run: what is tracked.
    """

    def __init__(self, run: TrackedRun) -> None:
        wandb: Any = import_module("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            id=run.id,
            name=run.name,
            config=dict(run.settings),
            dir=run.directory,
            resume="allow",
            # A run that the caller has begun himself stays as it is.
            reinit="create_new",
        )
        # Its own steps can't be taken back, as a run must that goes on from an earlier checkpoint.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def report(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        self._run.log({"iteration": iteration, **metrics})

    def close(self, failed: bool = False) -> None:
        """See ``Tracker``."""
        self._run.finish(exit_code=int(failed))


# By name, which is that of the package and of the extra, too.
TRACKERS: Mapping[str, Callable[[TrackedRun], Tracker]] = {"trackio": TrackioTracker, "wandb": WandbTracker}


def check_trackers(names: Iterable[str]) -> None:
    """Refuses trackers whose packages are not installed; imports none.

    Args:
        names: as in ``TRACKERS``.

    Raises:
        ImportError: if one is missing; the message names the extra.
    """
    for name in names:
        spec = find_spec(name)
        # A folder of that name, such as the one that wandb itself leaves, looks like a package without a file.
        if spec is None or spec.origin is None:
            raise ImportError(
                f"the tracker '{name}' is not installed: pip install 'stateset-gym[{name}]', "
                "or leave it out of trackers"
            )


def _new_id() -> str:
    return secrets.token_hex(4)
