"""Plays every action of a submission again, without any model: its scores are what comes of that, or it is refused."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from ss_baselines.leaderboard.fingerprints import task_hash, user_hash
from ss_baselines.leaderboard.protocol import EpisodeKey
from ss_baselines.leaderboard.replay import MARK, Replay, Replayer, ReplayError, Score
from ss_baselines.leaderboard.submission import (
    ACTIONS,
    EPISODES,
    Manifest,
    SubmissionError,
    read_actions,
    read_lines,
    read_manifest,
)
from ss_gym.families import import_packages

# Episodes that a process takes at once, and most characters of them.
_CHUNK, _CHUNK_LENGTH = 400, 1 << 24


class Recorded(NamedTuple):
    """An episode as a submission has it.

    Attributes:
        key: which it must be.
        score: the line of its score.
        actions: the line of its actions.
        number: which line of each file it is, counted from 1.
    """

    key: EpisodeKey
    score: str
    actions: str
    number: int


@dataclass(frozen=True)
class Verified:
    """A submission that was played again with the same result.

    Attributes:
        manifest: of it.
        scores: of the episodes, in the protocol's order.
        steps: that were played.
        seconds: processor time that playing took, of all processes together.
    """

    manifest: Manifest
    scores: tuple[Score, ...]
    steps: int
    seconds: float


def verify(folder: str | Path, workers: int = 1, progress: Callable[[int], None] | None = None) -> Verified:
    """Plays a submission again.

    Args:
        folder: the submission's.
        workers: processes.
        progress: is told how many episodes more have been played.

    Raises:
        SubmissionError: if anything of it is not as it must be: a file is damaged, it is of another suite, episodes
            are missing, or one comes out differently; the message says where first.
        ValueError: if there are fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    manifest = read_manifest(folder)
    check_suite(manifest)
    scores: list[Score] = []
    seconds = 0.0
    for replayed, spent in _played(_recorded(folder, manifest), workers):
        scores += replayed
        seconds += spent
        if progress is not None:
            progress(len(replayed))
    return Verified(manifest, tuple(scores), sum(score.steps for score in scores), seconds)


def check_suite(manifest: Manifest) -> None:
    """Makes sure that a submission is of the tasks and customers that are installed here.

    Raises:
        SubmissionError: if it is not.
    """
    for name, told, known in (("tasks", manifest.tasks, task_hash), ("customers", manifest.users, user_hash)):
        if list(told) != list(manifest.protocol.environments):
            raise SubmissionError(f"the hashes of its {name} are not those of the protocol's environments")
        for env_id, found in told.items():
            if found != known(env_id):
                raise SubmissionError(
                    f"it was played on other {name} of {env_id}, {found!r:.40}, than there are here, {known(env_id)}: "
                    f"it says that it was scored by version {manifest.package_version!r:.40} of the package"
                )


def _recorded(folder: str | Path, manifest: Manifest) -> Iterator[Recorded]:
    scores, actions = read_lines(folder, EPISODES), read_lines(folder, ACTIONS)
    count = len(manifest.protocol)
    for number, key in enumerate(manifest.protocol, start=1):
        score, acted = next(scores, None), next(actions, None)
        if score is None or acted is None:
            name = EPISODES if score is None else ACTIONS
            raise SubmissionError(f"{name} ends before line {number} of {count}: {key} is missing")
        yield Recorded(key, score, acted, number)
    for name, lines in ((EPISODES, scores), (ACTIONS, actions)):
        if next(lines, None) is not None:
            raise SubmissionError(f"{name} has more than the protocol's {count} lines")


def _chunks(episodes: Iterator[Recorded]) -> Iterator[tuple[Recorded, ...]]:
    chunk: list[Recorded] = []
    length = 0
    for episode in episodes:
        chunk.append(episode)
        length += len(episode.score) + len(episode.actions)
        if len(chunk) >= _CHUNK or length >= _CHUNK_LENGTH:
            yield tuple(chunk)
            chunk, length = [], 0
    if chunk:
        yield tuple(chunk)


def _played(episodes: Iterator[Recorded], workers: int) -> Iterator[tuple[list[Score], float]]:
    """Each chunk of the episodes played again, in their order."""
    chunks = _chunks(episodes)
    if workers == 1:
        yield from map(play_again, chunks)
        return
    # Spawned, not forked: a forked process inherits the locks of torch's threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[tuple[list[Score], float]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(play_again, chunk))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def play_again(episodes: tuple[Recorded, ...]) -> tuple[list[Score], float]:
    """Plays episodes, and compares what comes of them with what is told.

    Raises:
        SubmissionError: for the first that differs.
    """
    import_packages()  # a process that was spawned knows no ids but ours
    start = time.process_time()
    scores: list[Score] = []
    replayer: Replayer | None = None
    env_id = ""
    try:
        for episode in episodes:
            if replayer is None or episode.key.env_id != env_id:
                if replayer is not None:
                    replayer.close()
                env_id = episode.key.env_id
                replayer = Replayer(env_id)
            scores.append(_same(episode, replayer))
    finally:
        if replayer is not None:
            replayer.close()
    return scores, time.process_time() - start


def _same(episode: Recorded, replayer: Replayer) -> Score:
    where = f"{ACTIONS}, line {episode.number} ({episode.key})"
    actions, marks = read_actions(episode.actions, where)
    try:
        replay = replayer.play(episode.key, actions)
    except ReplayError as error:
        raise SubmissionError(f"{ACTIONS}, line {episode.number}: {error}") from None
    if replay.marks != marks:
        raise SubmissionError(f"{where}: {_first_difference(replay, marks)}")
    if replay.score.line() != episode.score:
        raise SubmissionError(
            f"{EPISODES}, line {episode.number} ({episode.key}): {_difference(replay, episode.score)}"
        )
    return replay.score


def _first_difference(replay: Replay, marks: str) -> str:
    """Where what is observed begins to be something else."""
    found = replay.marks
    if len(marks) != len(found):
        return f"{len(marks) / MARK:g} observations are marked, and there are {len(found) // MARK}"
    place = next(at for at in range(0, len(found), MARK) if found[at : at + MARK] != marks[at : at + MARK]) // MARK
    after = f"after action {place}" if place else "at the beginning"
    return f"{after}, something else is observed than was recorded"


def _difference(replay: Replay, told: str) -> str:
    """What of a score is other than what comes of the actions."""
    try:
        claimed = json.loads(told)
    except (ValueError, RecursionError):
        return "it is no JSON"
    found = json.loads(replay.score.line())
    if not isinstance(claimed, dict) or list(claimed) != list(found):
        return f"it must have {', '.join(found)}, in this order"
    for name, value in found.items():
        if claimed[name] != value or type(claimed[name]) is not type(value):
            return f"{name} is told as {claimed[name]!r:.80}; playing the actions again gives {value!r:.80}"
    return "it is not spelt as it was written"
