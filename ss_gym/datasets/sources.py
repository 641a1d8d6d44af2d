"""Where the JSON of conversations comes from: files that stay on the disk, and rows that somebody else holds."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal, Protocol
from weakref import finalize

from ss_gym.datasets.columns import Span
from ss_gym.datasets.documents import pieces_of
from ss_gym.datasets.records import Place, RecordError

Layout = Literal["lines", "document"]
# A value and where it is; what is wrong there, where it is none.
Found = tuple[Span, Any | RecordError]

# What is longer is no conversation: the file has another layout than was said.
LONGEST = 64 * 2**20
_GZIP = b"\x1f\x8b"
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
_BUFFER = 2**20
# A process may not have many files open.
_OPEN = 64


class Source(Protocol):
    """Something that conversations are read from, again and again."""

    def walk(self) -> Iterator[Found]:
        """All values, in order."""
        ...

    def values(self, spans: Iterable[Span]) -> Iterator[Any]:
        """The values at some places, in the order of the places."""
        ...

    def place(self, span: Span) -> Place:
        """A place in words."""
        ...

    def header(self, file: int) -> Mapping[str, Any]:
        """What stands at the head of a file, apart from its conversations."""
        ...


class JsonFiles:
    """Conversations in files: one JSON value a line, or one document that holds a list of them.

    Files that gzip has compressed are unpacked into a temporary folder when they are walked through, since one can't
    begin to unpack in the middle; it is removed when this is no longer in use.

    Args:
        paths: the files.
        layout: ``"lines"`` or ``"document"``.
        cache_dir: where compressed files are unpacked; the system's folder for temporary files if None.

    Raises:
        FileNotFoundError: if one is not there.
        ValueError: if there is none, one is a folder, or one is named twice.
    """

    def __init__(self, paths: Sequence[Path], layout: Layout, cache_dir: str | os.PathLike[str] | None = None) -> None:
        self.paths, self._layout, self._cache_dir = tuple(paths), layout, cache_dir
        _check(self.paths)
        self._headers: dict[int, dict[str, Any]] = {}
        self._stamps: dict[int, tuple[int, int]] = {}
        self._unpacked: dict[int, Path] = {}
        self._damages: dict[int, RecordError] = {}

    def walk(self) -> Iterator[Found]:
        """All values, in order."""
        for number, path in enumerate(self.paths):
            self._stamps[number] = _stamp(path)
            with self._plain(number).open("rb", _BUFFER) as file:
                yield from self._found(number, file)

    def stream(self) -> Iterator[Found]:
        """All values, in order; compressed files are not unpacked."""
        for number, path in enumerate(self.paths):
            plain: Any = gzip.open(path) if _is_compressed(path) else path.open("rb", _BUFFER)
            with plain as file:
                yield from self._found(number, file)

    def values(self, spans: Iterable[Span]) -> Iterator[Any]:
        """The values at some places, in the order of the places.

        Raises:
            ValueError: if a file has changed since it was walked through.
        """
        with ExitStack() as opened:
            files: dict[int, IO[bytes]] = {}
            for span in spans:
                if span.file not in files:
                    if len(files) == _OPEN:
                        opened.close()
                        files.clear()
                    self._check_unchanged(span.file)
                    # Each value is read as a whole, so a buffer would only read what is not wanted.
                    files[span.file] = opened.enter_context(self._plain(span.file).open("rb", buffering=0))
                files[span.file].seek(span.offset)
                yield json.loads(files[span.file].read(span.length))

    def place(self, span: Span) -> Place:
        """A place in words."""
        return Place(str(self.paths[span.file]), span.line)

    def header(self, file: int) -> Mapping[str, Any]:
        """What stands at the head of a document before its list, but for other lists."""
        return self._headers.get(file, {})

    def __getstate__(self) -> dict[str, Any]:
        """A copy unpacks compressed files for itself."""
        return {**self.__dict__, "_unpacked": {}}

    def _found(self, number: int, file: IO[bytes]) -> Iterator[Found]:
        last = 1
        try:
            if self._layout == "lines":
                pieces = _lines(file)
            else:
                self._headers[number] = {}
                pieces = pieces_of(file, self._headers[number], LONGEST)
            for offset, length, line, value in pieces:
                last = line
                yield Span(number, offset, length, line), value
        except _DAMAGE as error:
            self._damages[number] = _damaged(error)
        if number in self._damages:
            yield Span(number, 0, 0, last), self._damages[number]

    def _check_unchanged(self, number: int) -> None:
        if _stamp(self.paths[number]) != self._stamps.get(number):
            raise ValueError(f"'{self.paths[number]}' has changed since the dataset was opened: open it again")

    def _plain(self, number: int) -> Path:
        """A file that is not compressed, with the same content."""
        path, known = self.paths[number], self._unpacked.get(number)
        if known is not None and known.exists():
            return known
        if not _is_compressed(path):
            return path
        folder = tempfile.mkdtemp(prefix="stateset-", dir=self._cache_dir)
        finalize(self, _remove, folder, os.getpid())
        known = Path(folder, "unpacked")
        with gzip.open(path) as packed, known.open("wb") as file:
            try:
                while block := packed.read1(_BUFFER):  # unlike read, it loses nothing that comes before the damage
                    file.write(block)
            except _DAMAGE as error:
                self._damages[number] = _damaged(error)
            except OSError as error:
                raise OSError(f"'{path}' can't be unpacked in '{folder}' ({error}): give another cache_dir") from error
        self._unpacked[number] = known
        return known


class Numbered(Protocol):
    """What gives its items by their numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...


class Rows:
    """Conversations in something that gives them by their number, such as a list or a ``datasets.Dataset``.

    Args:
        rows: that.
        name: what it is called in errors.
        unit: what one of them is called.
    """

    def __init__(self, rows: Numbered, name: str, unit: str = "row") -> None:
        self._rows, self._name, self._unit = rows, name, unit

    def walk(self) -> Iterator[Found]:
        """All values, in order."""
        for number in range(len(self._rows)):
            try:
                value = self._rows[number]
            except RecordError as error:
                value = error
            yield Span(0, number, 0, number + 1), value

    def values(self, spans: Iterable[Span]) -> Iterator[Any]:
        """The values at some places, in the order of the places."""
        return (self._rows[span.offset] for span in spans)

    def place(self, span: Span) -> Place:
        """A place in words."""
        return Place(self._name, span.line, self._unit)

    def header(self, file: int) -> Mapping[str, Any]:
        """Nothing: rows have no head."""
        return {}


def _lines(file: IO[bytes]) -> Iterator[tuple[int, int, int, Any]]:
    """The values of a file with one a line, and where they are; blank lines are passed over."""
    begin = number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        end = begin + len(line)
        if len(line) > LONGEST:
            advice = "; is this one document, for from_json?" if number == 1 else ""
            problem = f"the line is longer than {LONGEST // 2**20} MB{advice}"
            yield begin, 0, number, RecordError("line too long", problem)
            while line and not line.endswith(b"\n"):  # reads on to its end, and keeps nothing of it
                line = file.readline(_BUFFER)
                end += len(line)
        elif not line.isspace():
            yield begin, len(line), number, _value(line, number)
        begin = end


def _value(line: bytes, number: int) -> Any:
    """The value of a line, or what is wrong with it."""
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        return RecordError("not UTF-8", f"the line is not in UTF-8 ({error.reason})")
    except (ValueError, RecursionError) as error:  # also for numbers that are too long
        told = f"{error.msg}, character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
        if not line.endswith(b"\n") and number > 1:
            return RecordError("cut short", f"the last line was cut short ({told})")
        advice = "; a file that is one JSON document is read by from_json" if number == 1 else ""
        return RecordError("invalid JSON", f"the line is no JSON ({told}){advice}")


def _check(paths: Sequence[Path]) -> None:
    if not paths:
        raise ValueError("there is no file to read: give a path or a list of them")
    for path in paths:
        if path.is_dir():
            raise ValueError(f"'{path}' is a folder: give the files in it, such as sorted(Path('{path}').glob('*'))")
        if not path.exists():
            raise FileNotFoundError(f"there is no file '{path}'")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("a file is named twice, and each of its conversations would count twice")


def _remove(folder: str, process: int) -> None:
    """Removes a folder, unless this is a child of the process that made it, which may still need it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _damaged(error: Exception) -> RecordError:
    return RecordError("damaged gzip", f"the compressed data are damaged or were cut short ({error})")
