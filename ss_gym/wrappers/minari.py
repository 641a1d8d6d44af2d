"""Recorded episodes as a Minari dataset. Minari is imported when it is needed (the extra ``offline``)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ss_gym.types import Message
from ss_gym.wrappers.trajectories import RecordedTrajectory, read_trajectories


def to_minari(
    trajectories: str | os.PathLike[str] | Iterable[RecordedTrajectory],
    dataset_id: str,
    env: str | EnvSpec | gym.Env[Any, Any] | None = None,
    **settings: Any,
) -> Any:
    """Makes a local Minari dataset of recorded episodes with text.

    Observations are those of an environment of this package: the contents of the messages that were
    new, one below the other. ``success`` is in the infos of each step, True only on the last one of an
    episode that succeeded; an episode that does not tell it has no such infos. Minari marks an episode that
    was left unfinished as truncated. ``scenario_id`` is in the metadata of the episode, where its seed and
    its options are, too.

    An episode can't tell that nobody was paid, nor whose it is: a log that does, with conversations that have
    no rewards or with customers, goes to Minari by ``ConversationDataset.to_minari``.

    To collect from an environment with other observations, such as features, put
    ``minari.DataCollector`` around it; it needs ``minari[create]``.

    Args:
        trajectories: episodes, or the file that holds them.
        dataset_id: the name in Minari, such as ``"stateset/refund/scripted-v0"``.
        env: the environment that they are of, which Minari keeps with them; by default that of their id.
        **settings: of ``minari.create_dataset_from_buffers``, such as ``algorithm_name``.

    Returns:
        The ``minari.MinariDataset``.

    Raises:
        ImportError: if Minari is not installed.
        ValueError: if there is no episode, or they are of different environments and ``env`` does not
            say which.
        TypeError: if an action is no text.
    """
    minari = minari_library()
    if isinstance(trajectories, str | os.PathLike):
        trajectories = read_trajectories(trajectories)
    episodes = [episode for episode in trajectories if episode.actions]
    if not episodes:
        raise ValueError("there is no episode to make a dataset of")
    if env is None:
        ids = sorted({episode.env_id for episode in episodes})
        if len(ids) > 1 or not ids[0]:
            raise ValueError(f"the episodes are of {ids}: pass env=…, the environment that they are of")
        env = ids[0]
    made = gym.make(env) if isinstance(env, str | EnvSpec) else env
    buffers = [_buffer(episode, number) for number, episode in enumerate(episodes)]
    dataset = minari.create_dataset_from_buffers(dataset_id=dataset_id, buffer=buffers, env=made, **settings)
    dataset.storage.update_episode_metadata([_metadata(episode) for episode in episodes])
    return dataset


def _buffer(episode: RecordedTrajectory, number: int) -> Any:
    """An episode as Minari takes it."""
    for action in episode.actions:
        if not isinstance(action, str):
            raise TypeError(f"episode {number} has an action of type {type(action).__name__}: only text can be kept")
    steps = len(episode.actions)
    buffer = import_module("minari.data_collector.episode_buffer").EpisodeBuffer
    return buffer(
        id=number,
        seed=episode.seed,
        options=dict(episode.options) or None,
        observations=_observations(episode),
        actions=list(episode.actions),
        rewards=list(episode.rewards),
        terminations=[False] * (steps - 1) + [episode.terminated],
        truncations=[False] * (steps - 1) + [not episode.terminated],
        # What is not told is left out: False would be taken for a failure.
        infos={} if episode.success is None else {"success": [False] * steps + [bool(episode.success)]},
    )


def _metadata(episode: RecordedTrajectory) -> dict[str, str]:
    """What Minari keeps of an episode besides seed and options."""
    return {"scenario_id": episode.scenario_id} if episode.scenario_id else {}


def _observations(episode: RecordedTrajectory) -> list[str]:
    """What arrived before the first action and after each."""
    own = episode.own_places
    pieces = zip((-1, *own), (*own, len(episode.messages)), strict=True)
    return [_told(episode.messages[begin + 1 : end]) for begin, end in pieces]


def _told(messages: Sequence[Message]) -> str:
    return "\n".join([message["content"] for message in messages if message["role"] != "system"])


def minari_library() -> Any:
    """The library, which is imported when it is needed.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        return import_module("minari")
    except ImportError as error:
        raise ImportError("Minari is not installed: pip install 'stateset-gym[offline]'") from error
