"""Keeps the episodes that are played; ``ss_gym.wrappers.vector`` has it for batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.reset_options import as_options
from ss_gym.types import Message
from ss_gym.wrappers.following import Resuming, opening_messages, step_messages, with_messages
from ss_gym.wrappers.trajectories import RecordedTrajectory, TrajectoryFile


class RecordTrajectories(Resuming, RecordConstructorArgs):
    """Appends every episode that is played to a file, one JSON line each.

    ``read_trajectories`` reads them back. An episode is written when it ends. A crash loses no more than
    the episode that was being played; what it left of a line is taken off when the file is opened again.
    Rewards, terms and messages are those of the environment that it is put around: put it outside of
    what is to be recorded. An episode whose state was set is not written, since its rewards are not
    known. Wrappers of one process may share a file; each process needs one of its own.

    >>> import ss_gym, tempfile
    >>> from ss_gym.wrappers import read_trajectories
    >>> path = tempfile.mkdtemp() + "/episodes.jsonl"
    >>> env = RecordTrajectories(gym.make("StateSet/Conversation-v0", max_turns=1), path)
    >>> _ = env.reset(seed=1), env.step("Hello!")
    >>> env.close()
    >>> [(episode.seed, episode.actions, episode.truncated) for episode in read_trajectories(path)]
    [(1, ('Hello!',), True)]

    Args:
        env: any environment with text.
        path: the file; created with its folder if it is not there, appended to if it is.
        format: ``"jsonl"``. For Minari see ``ss_gym.wrappers.minari.to_minari``.
        keep_partial: whether an episode that was begun and not finished is written too, when the next
            one begins or the environment is closed; neither terminated nor truncated.
        keep_tools: whether the schemas of the tools are written with each episode.

    Raises:
        ValueError: for another format, or a file that holds something else.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        path: str | os.PathLike[str],
        format: str = "jsonl",
        keep_partial: bool = False,
        keep_tools: bool = False,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, path=os.fspath(path), format=format, keep_partial=keep_partial, keep_tools=keep_tools
        )
        super().__init__(env)
        check_format(format)
        self._file = TrajectoryFile(path)
        self._keep_partial, self._keep_tools = keep_partial, keep_tools
        self._episode: Episode | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The environment's reset; begins a record."""
        self._leave()
        observation, info = self.env.reset(seed=seed, options=options)
        messages = opening_messages(observation, info)
        env_id = self.env.spec.id if self.env.spec is not None else ""
        self._episode = Episode(env_id, seed, as_options(options), messages, info, self._keep_tools)
        return observation, with_messages(info, messages)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The environment's step; the last one writes the record."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        messages = step_messages(action, observation, info)
        if self._episode is not None:
            self._episode.add(action, float(reward), messages, info)
            if terminated or truncated:
                self._file.append(self._episode.record(terminated, truncated))
                self._episode = None
        return observation, float(reward), terminated, truncated, with_messages(info, messages)

    def close(self) -> None:
        """Closes the file and the environment."""
        self._leave()
        self._file.close()
        super().close()

    def _leave(self) -> None:
        """Writes an episode that was not finished, if it is wanted."""
        episode, self._episode = self._episode, None
        if self._keep_partial and episode is not None and episode.steps:
            self._file.append(episode.record(False, False))

    def _resume(self, messages: list[Message], running: bool) -> None:
        self._leave()


class Episode:
    """A record in the making.

    Args:
        env_id: the environment's id; empty if it has none.
        seed: what ``reset`` was given.
        options: what ``reset`` was given.
        messages: what ``reset`` told, the system message first where there is one.
        info: of ``reset``.
        keep_tools: whether the tools are part of the record.
    """

    def __init__(
        self,
        env_id: str,
        seed: int | None,
        options: Mapping[str, Any],
        messages: Sequence[Message],
        info: Mapping[str, Any],
        keep_tools: bool,
    ) -> None:
        self._env_id, self._seed, self._options = env_id, seed, deepcopy(dict(options))
        self._messages = deepcopy(list(messages))
        self._tools = tuple(info.get("tools") or ()) if keep_tools else ()
        self._scenario_id = str(info.get("scenario_id", ""))
        self._actions: list[Any] = []
        self._rewards: list[float] = []
        self._terms: list[Mapping[str, float]] = []
        self._success: bool | None = None
        self._audit: Mapping[str, Any] = {}

    @property
    def steps(self) -> int:
        """How many there were."""
        return len(self._actions)

    def add(self, action: Any, reward: float, messages: Sequence[Message], info: Mapping[str, Any]) -> None:
        """One step."""
        self._actions.append(action)
        self._rewards.append(reward)
        self._messages.extend(deepcopy(list(messages)))
        self._terms.append(dict(info.get("reward_terms", {})))
        success = info.get("success")
        self._success = None if success is None else bool(success)
        self._audit = deepcopy(dict(info.get("audit", {})))
        self._scenario_id = str(info.get("scenario_id", self._scenario_id))

    def record(self, terminated: bool, truncated: bool) -> RecordedTrajectory:
        """The episode as it is now."""
        return RecordedTrajectory(
            env_id=self._env_id,
            scenario_id=self._scenario_id,
            seed=None if self._seed is None else int(self._seed),
            options=self._options,
            messages=tuple(self._messages),
            actions=tuple(self._actions),
            rewards=tuple(self._rewards),
            reward_terms=tuple(self._terms),
            terminated=bool(terminated),
            truncated=bool(truncated),
            success=self._success,
            audit=self._audit,
            tools=self._tools,
        )


def check_format(format: str) -> None:
    """Checks the format of a file.

    Raises:
        ValueError: if it is not ``"jsonl"``.
    """
    if format == "minari":
        raise ValueError("format must be 'jsonl': ss_gym.wrappers.minari.to_minari makes a Minari dataset of the file")
    if format != "jsonl":
        raise ValueError(f"format must be 'jsonl', got {format!r:.80}")
