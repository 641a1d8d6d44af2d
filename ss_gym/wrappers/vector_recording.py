"""Keeps the episodes of batches; import it from ``ss_gym.wrappers.vector``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorWrapper

from ss_gym.reset_options import as_options
from ss_gym.wrappers.batches import Envs, Rows, Told, VectorStep, added, heard, mask_of, missing
from ss_gym.wrappers.recording import Episode, check_format
from ss_gym.wrappers.trajectories import TrajectoryFile


class RecordTrajectories(VectorWrapper[Any, Any, Any, Any, Any]):
    """Appends every episode of the batch to one file, one JSON line each, in the order of their ends.

    Episodes that the batch began by itself have no seed.
    """

    def __init__(
        self,
        env: Envs,
        path: str | os.PathLike[str],
        format: str = "jsonl",
        keep_partial: bool = False,
        keep_tools: bool = False,
    ) -> None:
        # Gymnasium closes what it has wrapped when it is collected, so all that may be refused comes first.
        check_format(format)
        self._file = TrajectoryFile(path)
        super().__init__(env)
        self._keep_partial, self._keep_tools = keep_partial, keep_tools
        self._rows = Rows(env, None)
        self._episodes: list[Episode | None] = [None] * self.num_envs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The batch's reset; begins a record for each row that is reset."""
        mask = mask_of(options)
        given = {name: value for name, value in as_options(options).items() if name != "reset_mask"}
        observations, infos = self.env.reset(seed=seed, options=options)
        facts = []
        for one in self._rows.begun(mask, observations, infos):
            facts.append((one, self._begin(one, _seed_of(seed, one.row), given)))
        return observations, added(infos, facts, self.num_envs)

    def step(self, actions: Any) -> VectorStep:
        """The batch's step; writes the records of the episodes that end."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        facts = []
        for one in self._rows.stepped(observations, terminated, truncated, infos):
            if one.began:
                facts.append((one, self._begin(one, None, {})))
                continue
            messages, episode = heard(one, actions), self._episodes[one.row]
            facts.append((one, missing(one, messages)))
            if episode is not None:
                episode.add(actions[one.row], float(rewards[one.row]), messages, one.info)
                if one.ended:
                    self._file.append(episode.record(bool(terminated[one.row]), bool(truncated[one.row])))
                    self._episodes[one.row] = None
        return observations, rewards, terminated, truncated, added(infos, facts, self.num_envs)

    def close(self, **kwargs: Any) -> None:
        """Closes the file and the batch."""
        for row in range(self.num_envs):
            self._leave(row)
        self._file.close()
        super().close(**kwargs)

    def _begin(self, one: Told, seed: int | None, options: Mapping[str, Any]) -> dict[str, Any]:
        self._leave(one.row)
        messages = heard(one, None)
        env_id = self.env.spec.id if self.env.spec is not None else ""
        self._episodes[one.row] = Episode(env_id, seed, options, messages, one.info, self._keep_tools)
        return missing(one, messages)

    def _leave(self, row: int) -> None:
        episode, self._episodes[row] = self._episodes[row], None
        if self._keep_partial and episode is not None and episode.steps:
            self._file.append(episode.record(False, False))


def _seed_of(seed: Any, row: int) -> int | None:
    """The seed of a row, as vector environments give them out."""
    if seed is None:
        return None
    if isinstance(seed, int | np.integer):
        return int(seed) + row
    one = seed[row]
    return None if one is None else int(one)
