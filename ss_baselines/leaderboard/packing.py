"""Makes a submission of recorded episodes: every action is played again, and the scores are what comes of that."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ss_baselines.leaderboard.fingerprints import suite_hashes
from ss_baselines.leaderboard.protocol import EpisodeKey, Protocol
from ss_baselines.leaderboard.replay import Replay, Replayer, Score
from ss_baselines.leaderboard.submission import SCHEMA, AgentCard, Manifest, RunCard, SubmissionError, write_submission
from ss_gym import __version__
from ss_gym.wrappers import RecordedTrajectory, read_trajectories

_PACKAGES = ("gymnasium", "numpy", "torch", "transformers")


def pack(
    folder: str | Path,
    agent: AgentCard,
    protocol: Protocol,
    episodes: Iterable[RecordedTrajectory],
    run: RunCard | None = None,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Makes a submission of recorded episodes, whoever played them, with whatever library.

    Args:
        folder: the submission's; must not be there yet, or be empty.
        agent: who played.
        protocol: what there is to play.
        episodes: one for each of the protocol's, in any order, as ``RecordTrajectories`` and ``stateset-agents
            rollout`` write them: ``reset`` was given ``scenario_id`` and, as ``user_seed``, the number of the trial.
        run: how it was played; versions and hardware are filled in.
        progress: is told how many episodes more are done.

    Returns:
        The manifest.

    Raises:
        SubmissionError: if episodes are missing, are there twice, are no whole episodes of the protocol, or come out
            differently here than they were recorded: they were played in another version, or with other keywords.
        FileExistsError: if something is in the folder.
    """
    recorded = _recorded(protocol, episodes)
    told = run or RunCard()
    tasks, users = suite_hashes(protocol.environments)
    manifest = Manifest(
        schema_version=SCHEMA,
        package_version=__version__,
        protocol=protocol,
        tasks=tasks,
        users=users,
        agent=agent,
        run=replace(told, hardware=told.hardware or hardware(), versions=told.versions or versions()),
        files={},
    )
    return write_submission(folder, manifest, _replays(protocol, recorded, progress))


def pack_files(
    folder: str | Path, agent: AgentCard, protocol: Protocol, files: Iterable[str | Path], run: RunCard | None = None
) -> Manifest:
    """Makes a submission of files of episodes.

    Args:
        folder: the submission's.
        agent: who played.
        protocol: what there is to play.
        files: as ``RecordTrajectories`` and ``stateset-agents rollout`` write them.
        run: how it was played.

    Raises:
        SubmissionError: as for ``pack``.
        ValueError: if a file holds something else.
    """
    return pack(folder, agent, protocol, (episode for file in files for episode in read_trajectories(file)), run)


class _Recorded(NamedTuple):
    """What of a recorded episode is kept until it is played again."""

    actions: tuple[str, ...]
    success: bool | None
    reward: float


def _recorded(protocol: Protocol, episodes: Iterable[RecordedTrajectory]) -> dict[EpisodeKey, _Recorded]:
    """Each of the protocol's episodes."""
    wanted = set(protocol)
    found: dict[EpisodeKey, _Recorded] = {}
    for episode in episodes:
        key = _key(episode)
        if key not in wanted:
            raise SubmissionError(f"{key} of {key.env_id or 'no environment'} is no episode of the protocol")
        if key in found:
            raise SubmissionError(f"{key} of {key.env_id} is there twice")
        if not all(isinstance(action, str) for action in episode.actions):
            raise SubmissionError(f"{key} of {key.env_id} has actions that are no text")
        found[key] = _Recorded(tuple(episode.actions), episode.success, episode.total_reward)
    missing = next((key for key in protocol if key not in found), None)
    if missing is not None:
        count = len(protocol) - len(found)
        raise SubmissionError(
            f"{count} of {len(protocol)} episodes are missing, the first of them {missing} of {missing.env_id}"
        )
    return found


def _key(episode: RecordedTrajectory) -> EpisodeKey:
    """Which episode was played; what else was asked of ``reset`` would make it another."""
    others = set(episode.options) - {"scenario_id", "user_seed", "split"}
    if others:
        raise SubmissionError(f"{episode.scenario_id} was played with the reset option {sorted(others)[0]!r}")
    trial = episode.options.get("user_seed", 0)
    if type(trial) is not int:
        raise SubmissionError(
            f"{episode.scenario_id} was played with user_seed {trial!r:.40}, which is no trial's number"
        )
    return EpisodeKey(episode.env_id, episode.scenario_id, trial)


def _replays(
    protocol: Protocol, recorded: dict[EpisodeKey, _Recorded], progress: Callable[[int], None] | None
) -> Iterator[tuple[Replay, tuple[str, ...]]]:
    for env_id in protocol.environments:
        replayer = Replayer(env_id)
        try:
            for key in protocol.episodes(env_id):
                episode = recorded[key]
                replay = replayer.play(key, episode.actions)
                _check_same(replay.score, episode)
                yield replay, episode.actions
                if progress is not None:
                    progress(1)
        finally:
            replayer.close()


def _check_same(score: Score, episode: _Recorded) -> None:
    for name, told, found in (
        ("success", episode.success, score.success),
        ("return", episode.reward, score.reward),
    ):
        if told != found:
            raise SubmissionError(
                f"{score.key} of {score.env_id} was recorded with {name} {told}, and has {found} here: it was "
                "played in another version, with other keywords of the environment, or inside of a wrapper of rewards"
            )


def versions() -> dict[str, str]:
    """Of the packages that a run depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> str:
    """The machine in a few words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
