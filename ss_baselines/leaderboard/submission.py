"""The folder that says what an agent did: a manifest, the scores, and every action.

``submission.json`` is written last, so that a folder without it is one that was not finished. It names the sums of the
two other files and its own, and has one spelling only: a changed byte is noticed before anything is played.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ss_baselines.leaderboard.protocol import ENVIRONMENTS, Protocol
from ss_baselines.leaderboard.replay import Replay
from ss_gym.spelling import nearest
from ss_gym.whole_file import whole_file

SCHEMA = 1
MANIFEST, EPISODES, ACTIONS = "submission.json", "episodes.jsonl.gz", "actions.jsonl.gz"
# What is read of a foreign file before it is refused. An episode has at most so many actions of so many characters.
_MANIFEST_BYTES = 1 << 20
_LINE_BYTES = {EPISODES: 1 << 16, ACTIONS: 1 << 24}
# Most characters of a text on a card, by its name, and of any other; and the greatest number.
_LENGTHS, _LENGTH, _GREATEST = {"name": 80}, 2_000, 1e15

Kind = Literal["control", "scripted", "numeric", "model", "other"]
KINDS: tuple[str, ...] = get_args(Kind)


class SubmissionError(ValueError):
    """A submission that is refused; the message says why."""


@dataclass(frozen=True, slots=True)
class AgentCard:
    """Who played, as whoever hands it in says.

    Attributes:
        name: of the agent, on the page.
        kind: ``"control"`` (which a suite that can be fooled would rank high, or ours that must succeed),
            ``"scripted"``, ``"numeric"`` (a menu's features and acts), ``"model"`` (a language model), or ``"other"``.
        description: in a sentence.
        model: which; empty if none.
        model_hash: of its weights; empty if there are none to be had.
        decoding: how it was sampled, such as ``{"temperature": 0.0}``; texts and numbers by name.
        prompt: the form of the policy that it read, ``"full"`` or ``"compact"``; empty if it read none.
        trained_on_env: whether it learnt from episodes of these environments; null if that is not known.
        url: where to read more; empty for nowhere.
    """

    name: str
    kind: Kind = "other"
    description: str = ""
    model: str = ""
    model_hash: str = ""
    decoding: Mapping[str, Any] | None = None
    prompt: str = ""
    trained_on_env: bool | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class RunCard:
    """How it was played, as whoever hands it in says; nothing of it can be verified.

    Attributes:
        command: that plays it again.
        hardware: what it ran on.
        seconds: that it took; null if nobody measured.
        prompt_tokens: that the model read, in all; null if not counted.
        completion_tokens: that it wrote.
        cost_usd: of both.
        versions: of packages, by name.
    """

    command: str = ""
    hardware: str = ""
    seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    versions: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``submission.json`` says.

    Attributes:
        schema_version: of these files.
        package_version: that scored it.
        protocol: what was played.
        tasks: a hash of each environment's tasks, by id.
        users: a hash of how its customers behave, by id.
        agent: who played.
        run: how.
        files: the SHA-256 sum of each of the other files.
        digest: of all the rest.
    """

    schema_version: int
    package_version: str
    protocol: Protocol
    tasks: Mapping[str, Any]
    users: Mapping[str, Any]
    agent: AgentCard
    run: RunCard
    files: Mapping[str, Any]
    digest: str = ""

    def to_bytes(self) -> bytes:
        """It as the file has it."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {"protocol": self.protocol.to_json(), "agent": asdict(self.agent), "run": asdict(self.run)}
        return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def sealed(self) -> Manifest:
        """The same with its digest."""
        bare = replace(self, digest="")
        return replace(bare, digest=hashlib.sha256(bare.to_bytes()).hexdigest())


def write_submission(
    folder: str | Path, manifest: Manifest, replays: Iterable[tuple[Replay, tuple[str, ...]]]
) -> Manifest:
    """Writes a submission.

    Args:
        folder: must not be there yet, or be empty.
        manifest: without sums.
        replays: each episode with its actions, in the protocol's order.

    Returns:
        The manifest with its sums.

    Raises:
        SubmissionError: if the manifest is one that would be refused; before anything is played.
        FileExistsError: if something is in the folder.
        OSError: if it can't be written; without its manifest it is no submission.
    """
    check_manifest(manifest)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"'{folder}' is there already: choose another folder, or delete it")
    with _lines(target / EPISODES) as write_score, _lines(target / ACTIONS) as write_actions:
        for replay, actions in replays:
            write_score(replay.score.line())
            write_actions(action_line(actions, replay.marks))
    files = {name: _sum(target / name) for name in (EPISODES, ACTIONS)}
    manifest = replace(manifest, files=files).sealed()
    with whole_file(target / MANIFEST) as stream:
        stream.write(manifest.to_bytes())
    return manifest


def action_line(actions: Iterable[str], marks: str) -> str:
    """A line of the actions: what an episode's agent wrote, and the marks of what it observed."""
    return json.dumps({"actions": list(actions), "marks": marks})


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a submission, once it is sure that it and the other files are as they were written.

    Raises:
        SubmissionError: if they are not, or were not written by this version of the format.
    """
    try:
        return _read(Path(folder))
    except OSError as error:
        raise SubmissionError(f"it can't be read: {error}") from error


def _read(source: Path) -> Manifest:
    content = _content(source)
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"{MANIFEST} is no JSON: {error}") from None
    manifest = _manifest(told)
    if _spelt(manifest) != content:
        raise SubmissionError(f"{MANIFEST} is not spelt as it was written: it has been edited or damaged")
    if manifest.sealed().digest != manifest.digest:
        raise SubmissionError(f"{MANIFEST} does not have its own digest: it has been edited or damaged")
    if list(manifest.files) != [EPISODES, ACTIONS]:
        raise SubmissionError(f"{MANIFEST} must name the sums of {EPISODES} and {ACTIONS}")
    extra = sorted(path.name for path in source.iterdir() if path.name not in (MANIFEST, EPISODES, ACTIONS))
    if extra:
        raise SubmissionError(f"'{extra[0]}' is no part of a submission")
    for name in (EPISODES, ACTIONS):
        if not (source / name).is_file():
            raise SubmissionError(f"{name} is missing")
        if _sum(source / name) != manifest.files[name]:
            raise SubmissionError(f"{name} does not have the sum that {MANIFEST} says: it has been edited or damaged")
    return manifest


def read_lines(folder: str | Path, name: str) -> Iterator[str]:
    """The lines of one of the two other files.

    Raises:
        SubmissionError: if it can't be read.
    """
    try:
        with gzip.open(Path(folder) / name, "rb") as file:
            number = 0
            while line := file.readline(_LINE_BYTES[name]):
                number += 1
                if not line.endswith(b"\n"):
                    raise SubmissionError(f"{name}, line {number} is not ended, or longer than any episode's")
                yield line[:-1].decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SubmissionError(f"{name} can't be read: {error}") from None


def read_actions(line: str, where: str) -> tuple[tuple[str, ...], str]:
    """The actions and marks of a line.

    Raises:
        SubmissionError: if it does not hold them.
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise SubmissionError(f"{where} is no JSON") from None
    if not isinstance(told, dict) or list(told) != ["actions", "marks"]:
        raise SubmissionError(f"{where} must have actions and marks, in this order")
    actions, marks = told["actions"], told["marks"]
    if not isinstance(actions, list) or not all(isinstance(action, str) for action in actions):
        raise SubmissionError(f"{where}: actions must be a list of texts")
    if not isinstance(marks, str):
        raise SubmissionError(f"{where}: marks must be a text")
    if action_line(actions, marks) != line:
        raise SubmissionError(f"{where} is not spelt as it was written")
    return tuple(actions), marks


def _content(source: Path) -> bytes:
    if not source.is_dir():
        raise SubmissionError(f"'{source}' is no folder: a submission is one, with {MANIFEST}")
    file = source / MANIFEST
    if not file.is_file():
        raise SubmissionError(f"{MANIFEST} is missing: '{source}' is no submission, or was not finished")
    with file.open("rb") as stream:
        content = stream.read(_MANIFEST_BYTES + 1)
    if len(content) > _MANIFEST_BYTES:
        raise SubmissionError(f"{MANIFEST} is longer than {_MANIFEST_BYTES} bytes")
    return content


def check_cards(agent: AgentCard, run: RunCard) -> None:
    """Makes sure that cards can be handed in, before anything is played for them.

    Raises:
        SubmissionError: if they can't.
    """
    check_manifest(Manifest(SCHEMA, "", Protocol((ENVIRONMENTS[0],), 1, 1), {}, {}, agent, run, {}))


def check_manifest(manifest: Manifest) -> None:
    """Makes sure that a manifest without sums is one that could be read again.

    Raises:
        SubmissionError: if it is not.
    """
    try:
        content = manifest.to_bytes()
    except (ValueError, TypeError, RecursionError) as error:
        raise SubmissionError(f"JSON does not have something that the cards say: {error}") from None
    _manifest(json.loads(content))


def _spelt(manifest: Manifest) -> bytes:
    """As the file must have it; nothing if a file can't."""
    try:
        return manifest.to_bytes()
    except ValueError:  # no number, or half of a surrogate pair
        return b""


def _manifest(told: Any) -> Manifest:
    """The manifest that a file holds, each field of it of its type."""
    if not isinstance(told, dict):
        raise SubmissionError(f"{MANIFEST} must hold an object")
    version = told.get("schema_version")
    if version != SCHEMA:
        raise SubmissionError(
            f"{MANIFEST} has schema_version {version!r:.80}: this version of the package reads {SCHEMA}"
        )
    parts = dict(told)
    for name, kind in (("agent", AgentCard), ("run", RunCard)):
        parts[name] = _card(kind, told.get(name), name)
    try:
        parts["protocol"] = Protocol.from_json(told.get("protocol"))
    except ValueError as error:
        raise SubmissionError(f"{MANIFEST}: {error}") from None
    manifest: Manifest = _card(Manifest, parts, "it")
    if manifest.agent.kind not in KINDS:
        raise SubmissionError(
            f"{MANIFEST}: agent.kind must be one of {', '.join(KINDS)}, got {manifest.agent.kind!r:.80}"
        )
    return manifest


def _card(kind: type, told: Any, where: str) -> Any:
    """A dataclass from an object that has exactly its fields."""
    types = get_type_hints(kind)
    if not isinstance(told, dict):
        raise SubmissionError(f"{MANIFEST}: {where} must be an object")
    for name in chain(types, told):
        if name not in told:
            raise SubmissionError(f"{MANIFEST}: {where} lacks {name}")
        if name not in types:
            raise SubmissionError(f"{MANIFEST}: {where} has {name!r:.80}, which is unknown; {nearest(name, types)}")
        if not _fits(told[name], types[name], _LENGTHS.get(name, _LENGTH)):
            raise SubmissionError(f"{MANIFEST}: {where}.{name} can't be {told[name]!a:.80}")
    if kind is AgentCard and not told["name"]:
        raise SubmissionError(f"{MANIFEST}: the agent needs a name (--name)")
    return kind(**told)


def _fits(value: Any, kind: Any, length: int) -> bool:
    """Whether a value of JSON is of a field's type.

    Numbers are finite and not negative; texts are what can be printed in a line, so that none hides, or drives a
    terminal; maps hold texts and numbers alone.
    """
    if isinstance(kind, UnionType):
        return any(_fits(value, part, length) for part in get_args(kind))
    if kind is float:
        return type(value) in (int, float) and 0 <= value <= _GREATEST
    if kind is int:
        return type(value) is int and 0 <= value <= _GREATEST
    if kind is str or get_origin(kind) is Literal:
        return isinstance(value, str) and len(value) <= length and value.isprintable() and value == value.strip()
    if isinstance(kind, type):
        return type(value) is kind
    return isinstance(value, dict) and all(
        _fits(name, str, length) and (each is None or type(each) is bool or _fits(each, str | float, length))
        for name, each in value.items()
    )


@contextmanager
def _lines(path: Path) -> Iterator[Any]:
    """A compressed file that is there complete or not at all; equal lines make equal bytes."""
    with whole_file(path) as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        yield lambda line: packed.write(line.encode() + b"\n")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
