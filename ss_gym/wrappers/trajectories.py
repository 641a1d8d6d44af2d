"""Episodes in a file: one JSON line each, appended, read back with errors that name the line."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ss_gym.rewards.function import turns_of
from ss_gym.types import Message, MultiTurnTrajectory

FORMAT = "stateset-trajectory/1"
# Every line begins so: a file that begins otherwise is somebody else's, and is not touched.
_BEGINNING = f'{{"format":"{FORMAT}",'.encode()


@dataclass(frozen=True, slots=True)
class RecordedTokens:
    """What a language model read and sampled in an episode, so that nothing has to be tokenised again.

    Attributes:
        prompt_ids: ids of the rendered system prompt (and tools).
        message_ids: ids of each message after the system message, as the model saw or sampled them; empty
            for those that it never read, such as the user's last words.
        logprobs: for each action, the log-probability of each of its ids under the distribution that they
            were sampled from, nats.
    """

    prompt_ids: tuple[int, ...]
    message_ids: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class RecordedTrajectory:
    """One episode as it was recorded.

    Attributes:
        env_id: the environment's id; empty if it has none.
        scenario_id: which scenario it was; empty if the environment does not tell.
        seed: what ``reset`` was given.
        options: what ``reset`` was given.
        messages: all of them in OpenAI form, the system message first where there is one.
        actions: what ``step`` was given, one a step; text, or numbers under a menu.
        rewards: one a step.
        reward_terms: the components of each reward, by name.
        terminated: whether the conversation ended by itself.
        truncated: whether a limit ended it; if neither, it was left unfinished.
        success: whether the task was done; None where the environment does not tell.
        audit: what was checked.
        tools: function schemas in OpenAI form, where they were recorded.
        tokens: what the agent read and sampled, where that is known.
    """

    env_id: str
    scenario_id: str
    seed: int | None
    options: Mapping[str, Any]
    messages: tuple[Message, ...]
    actions: tuple[Any, ...]
    rewards: tuple[float, ...]
    reward_terms: tuple[Mapping[str, float], ...]
    terminated: bool
    truncated: bool
    success: bool | None = None
    audit: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    tokens: RecordedTokens | None = None

    @property
    def total_reward(self) -> float:
        """The sum of the rewards."""
        return sum(self.rewards)

    @property
    def system_prompt(self) -> str:
        """The content of the system message; empty if there is none."""
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == "system" else ""

    @property
    def own_places(self) -> tuple[int, ...]:
        """Where in ``messages`` the agent's actions are, one a step.

        Raises:
            ValueError: if there are fewer messages of the agent than actions.
        """
        places = [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]
        before = len(places) - len(self.actions)  # an environment may begin with a greeting of the agent's
        if before < 0:
            raise ValueError(f"there are {len(self.actions)} actions and {len(places)} messages of the agent")
        return tuple(places[before:])

    def trajectory(self) -> MultiTurnTrajectory:
        """The episode as trainers take it: turns, each of the agent's with its reward; token ids where there are."""
        turns = turns_of(self.messages)
        system = len(self.messages) - len(turns)  # at most one, and the first
        if self.tokens is not None:
            turns = [replace(turn, token_ids=ids) for turn, ids in zip(turns, self.tokens.message_ids, strict=True)]
        for number, place in enumerate(self.own_places):
            logprobs = self.tokens.logprobs[number] if self.tokens is not None else None
            turns[place - system] = replace(turns[place - system], reward=self.rewards[number], logprobs=logprobs)
        totals: dict[str, float] = {}
        for terms in self.reward_terms:
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value
        return MultiTurnTrajectory(
            turns=tuple(turns),
            system_prompt=self.system_prompt,
            prompt_ids=self.tokens.prompt_ids if self.tokens is not None else None,
            scenario_id=self.scenario_id,
            reward_terms=totals,
            success=self.success,
            terminated=self.terminated,
            truncated=self.truncated,
            info={"audit": dict(self.audit)},
        )


class _Kind(NamedTuple):
    """What a field must be in JSON, and in words."""

    types: tuple[type, ...]
    words: str
    items: tuple[type, ...] = ()


_NUMBER = (int, float)
_KINDS = {
    "env_id": _Kind((str,), "a string"),
    "scenario_id": _Kind((str,), "a string"),
    "seed": _Kind((int, type(None)), "an integer or null"),
    "options": _Kind((dict,), "an object"),
    "messages": _Kind((list,), "a list of objects", (dict,)),
    "actions": _Kind((list,), "a list"),
    "rewards": _Kind((list,), "a list of numbers", _NUMBER),
    "reward_terms": _Kind((list,), "a list of objects", (dict,)),
    "terminated": _Kind((bool,), "true or false"),
    "truncated": _Kind((bool,), "true or false"),
    "success": _Kind((bool, type(None)), "true, false or null"),
    "audit": _Kind((dict,), "an object"),
    "tools": _Kind((list,), "a list of objects", (dict,)),
}


class TrajectoryFile:
    """A file that episodes are appended to.

    Each episode is one line, written at once and synchronised to the disk, so a crash loses at most the
    episode that was being written. What a crash left of a line is taken off when the file is opened
    again, with a warning. Several objects of one process may share a file; processes may not, since one
    could take for a crash what another is writing.

    Args:
        path: created with its folder if it is not there.
        synchronised: whether to wait for the disk after each episode. If not, a crash of the machine, not of the
            process, may cost more than the last one; the file is synchronised when it is closed.

    Raises:
        ValueError: if the file holds something else.
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronised: bool = True) -> None:
        self.path = Path(path)
        self._synchronised = synchronised
        self._file: FileIO | None = None
        self._open()

    def append(self, trajectory: RecordedTrajectory) -> None:
        """Writes an episode.

        Raises:
            TypeError: if something in it has no JSON form.
            ValueError: if a number is not finite.
            OSError: if it could not be written; what was is taken off with the next one.
        """
        self.append_line(encode_line(trajectory))

    def append_line(self, line: bytes) -> None:
        """Writes an episode that is a line already, such as one with what a log tells besides.

        Args:
            line: of ``encode_line``, or of ``ss_gym.datasets.native.encoded``.

        Raises:
            OSError: as ``append``.
        """
        file = self._file or self._open()
        try:
            if file.write(line) != len(line):
                raise OSError(f"{self.path}: an episode was not written in full; is the disk full?")
            if self._synchronised:
                os.fsync(file.fileno())
        except BaseException:
            self.close()  # so that the next one opens, and repairs, the file
            raise

    def close(self) -> None:
        """Closes the file; another ``append`` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with file:
                if not self._synchronised:
                    os.fsync(file.fileno())

    def __getstate__(self) -> dict[str, Any]:
        """A copy opens the file for itself."""
        return {"path": self.path, "_synchronised": self._synchronised, "_file": None}

    def _open(self) -> FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            _repair(self.path)
        self._file = FileIO(self.path, "ab")
        return self._file


def read_trajectories(path: str | os.PathLike[str], *, skip_cut: bool = False) -> Iterator[RecordedTrajectory]:
    """Reads the episodes of a file, one by one.

    Args:
        path: of a file that ``RecordTrajectories`` wrote.
        skip_cut: whether a last line that was cut short is passed over, as after a crash or while it is
            written.

    Yields:
        The episodes in the order of the file.

    Raises:
        ValueError: for a line that is no episode; names the file and the line.
        FileNotFoundError: if there is no such file.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            if not line.endswith(b"\n"):
                if skip_cut:
                    return
                raise ValueError(
                    f"{where}: the last line was cut short; recording into the file again repairs it, "
                    "skip_cut=True passes over it"
                )
            yield _decoded(line, where)


def encode_line(trajectory: RecordedTrajectory) -> bytes:
    """An episode as a line of JSON, its line break included.

    Raises:
        TypeError: if something in it has no JSON form.
        ValueError: if a number is not finite.
    """
    held = ((one.name, getattr(trajectory, one.name)) for one in fields(trajectory))
    # An episode of an agent without tokens has no such field.
    values = {"format": FORMAT, **{name: value for name, value in held if name != "tokens" or value is not None}}
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError as error:
        raise ValueError(f"the episode can't be recorded: a reward or another number is not finite ({error})") from None
    except TypeError as error:
        raise TypeError(f"the episode can't be recorded: {error}") from None
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 refuses and JSON can escape
        return json.dumps(values, allow_nan=False, separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    """JSON's form of what JSON does not know."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, RecordedTokens):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    raise TypeError(f"{type(value).__name__} {value!r:.80} has no JSON form")


def _decoded(line: bytes, where: str) -> RecordedTrajectory:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: this is no JSON ({error})") from None
    return decoded_values(values, where)


def decoded_values(values: Any, where: str) -> RecordedTrajectory:
    """The episode that the JSON value of a line stands for.

    Args:
        values: what ``encode_line`` has written, without the JSON around it.
        where: the file and the line, for the error.

    Raises:
        ValueError: if it is no episode.
    """
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = repr(values.get("format")) if isinstance(values, dict) else "none"
        raise ValueError(f"{where}: this is no recorded episode: its format is {found:.80}, expected {FORMAT!r}")
    given: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if name not in values:
            raise ValueError(f"{where}: {name!r} is missing")
        value = values[name]
        if not _is(value, kind.types) or (kind.items and not all(_is(item, kind.items) for item in value)):
            raise ValueError(f"{where}: {name!r} must be {kind.words}, got {value!r:.80}")
        given[name] = tuple(value) if isinstance(value, list) else value
    lengths = {name: len(given[name]) for name in ("actions", "rewards", "reward_terms")}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{where}: there must be one action, reward and reward terms a step, got {lengths}")
    for message in given["messages"]:
        if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            raise ValueError(f"{where}: a message has a role and a content, both strings, got {message!r:.80}")
        if not isinstance(message.get("tool_calls", []), list):
            raise ValueError(f"{where}: tool_calls of a message must be a list, got {message['tool_calls']!r:.80}")
    tokens = _tokens(values["tokens"], lengths["actions"], where) if "tokens" in values else None
    recorded = RecordedTrajectory(**{**given, "rewards": tuple(map(float, given["rewards"]))}, tokens=tokens)
    if tokens is not None and len(tokens.message_ids) != len(turns_of(recorded.messages)):
        raise ValueError(f"{where}: there must be token ids, or an empty list, for each message after the system's")
    return recorded


def _tokens(values: Any, actions: int, where: str) -> RecordedTokens:
    """What an episode has of token ids."""
    named = values if isinstance(values, dict) else {}
    found: list[Any] = [named.get(one.name) for one in fields(RecordedTokens)]
    prompt, messages, logprobs = found
    if not _are(prompt, int):
        raise ValueError(f"{where}: 'tokens' must have prompt_ids, a list of integers, got {values!r:.80}")
    for name, rows, kind in (("message_ids", messages, int), ("logprobs", logprobs, float)):
        if not isinstance(rows, list) or not all(_are(row, kind) for row in rows):
            raise ValueError(f"{where}: 'tokens' must have {name}, a list of lists of numbers, got {rows!r:.80}")
    if len(logprobs) != actions:
        raise ValueError(f"{where}: there must be log-probabilities for each of {actions} actions, got {len(logprobs)}")
    return RecordedTokens(tuple(prompt), tuple(map(tuple, messages)), tuple(map(tuple, logprobs)))


def _are(values: Any, kind: type) -> bool:
    """Whether this is a list of items of just that kind."""
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _is(value: Any, types: tuple[type, ...]) -> bool:
    """Whether a JSON value is of one of some types; True is an int to Python, and no number to anybody else."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _repair(path: Path) -> None:
    """Takes what a crash left of a line off the end of a file, or ends the line if it is whole.

    Raises:
        ValueError: if the file is none of ours.
    """
    with open(path, "r+b") as file:
        first = file.read(len(_BEGINNING))
        if first != _BEGINNING[: len(first)]:
            raise ValueError(f"{path} holds something else than recorded episodes: record into another file")
        size = file.seek(0, os.SEEK_END)
        start = _last_line(file, size)
        if start == size:
            return
        file.seek(start)
        rest = file.read()
        try:
            _decoded(rest, f"{path}, the last line")
        except ValueError:
            file.truncate(start)
            done = f"removed its {len(rest)} bytes; the episodes before it are whole"
        else:
            file.write(b"\n")
            done = "the episode is whole, only the line break was missing"
        os.fsync(file.fileno())
    warnings.warn(f"{path}: the last line was cut short, as by a crash: {done}", RuntimeWarning, stacklevel=5)


def _last_line(file: Any, size: int, block: int = 1 << 16) -> int:
    """Where the line begins that is not ended; the file's size if there is none."""
    end = size
    while end > 0:
        begin = max(0, end - block)
        file.seek(begin)
        place = file.read(end - begin).rfind(b"\n")
        if place >= 0:
            return int(begin + place + 1)
        end = begin
    return 0
