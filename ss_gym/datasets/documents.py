"""JSON documents that hold a list of conversations, read value by value."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from itertools import chain
from json import JSONDecodeError, JSONDecoder
from typing import IO, Any, NamedTuple

from ss_gym.datasets.formats import is_conversation
from ss_gym.datasets.records import RecordError

# Fields of a document under which such lists stand.
LISTS = ("simulations", "trajectories", "episodes", "conversations", "dialogues", "runs", "records", "data")
_BLANKS = " \t\n\r"
# What some editors put before the first character.
_MARK = "\ufeff"
_decode = JSONDecoder().raw_decode


class Piece(NamedTuple):
    """A value in a document, and where it is.

    Attributes:
        offset: its first byte.
        length: its bytes.
        line: the line where it begins, counted from 1.
        value: what it is; what is wrong where it should be.
    """

    offset: int
    length: int
    line: int
    value: Any | RecordError


def pieces_of(file: IO[bytes], header: dict[str, Any], longest: int, block: int = 2**20) -> Iterator[Piece]:
    """The conversations of a document: its items if it is a list, or those of the list that it holds.

    A document without such a list is one conversation. What is broken ends it, since nobody can tell where the next
    value begins. A second list with conversations is an error, and is passed over; other lists, such as tasks, are not.

    Args:
        file: at its beginning.
        header: gets what the document holds before its list, but for other lists.
        longest: most bytes of one value.
        block: bytes that are read at once.
    """
    text = _Text(file, longest, block)
    try:
        if text.take("["):
            yield from _whole_or_items(text)
        elif text.take("{"):
            yield from _list_of(text, header)
        else:
            raise RecordError("invalid JSON", "a document with conversations begins with [ or {")
        if not text.ends():
            problem = "something follows the document; is this a file with one value a line, for from_jsonl?"
            raise RecordError("invalid JSON", problem)
    except RecordError as error:
        yield Piece(text.offset, 0, text.line, error)


def _whole_or_items(text: _Text) -> Iterator[Piece]:
    """The items of a list that was opened; the list itself if they are messages."""
    items = _items(text)
    first = next(items, None)
    if first is None:
        return
    if _is_message(first.value):
        messages = [first.value, *[item.value for item in items]]
        yield Piece(0, text.offset, first.line, messages)
    else:
        yield first
        yield from items


def _items(text: _Text) -> Iterator[Piece]:
    """The items of a list that was opened."""
    more = not text.take("]")
    while more:
        yield text.value()
        more = text.goes_on("]")


def _list_of(text: _Text, header: dict[str, Any]) -> Iterator[Piece]:
    """The items of the list that an object holds that was opened; else the object itself."""
    whole: dict[str, Any] = {}
    found = ""
    more = not text.take("}")
    while more:
        key = text.value().value
        if not isinstance(key, str):
            raise RecordError("invalid JSON", f"the name of a field should stand where {key!r:.40} does")
        text.expect(":")
        if found:  # what comes after the list was not known when its items were read
            yield from _passed_over(text, found, key)
        elif key in LISTS and text.take("["):
            items = _items(text)
            first = next(items, None)
            if first is None or _is_message(first.value):
                whole[key] = [] if first is None else [first.value, *[item.value for item in items]]
            else:
                found = key
                yield from _others_before(whole, first, key)
                header.update({name: value for name, value in whole.items() if not isinstance(value, list)})
                whole.clear()
                yield from chain((first,), items)
        else:
            whole[key] = text.value().value
        more = text.goes_on("}")
    if not found and not _is_empty(whole):
        yield Piece(0, text.offset, 1, whole)


def _passed_over(text: _Text, found: str, key: str) -> Iterator[Piece]:
    """Passes over a value that comes after the list of conversations; an error if it is another."""
    if not text.take("["):
        text.value()
        return
    told = False
    for item in _items(text):
        if not told and _tells_conversation(key, item.value):
            told = True
            yield Piece(item.offset, 0, item.line, _two_names(found, key))


def _others_before(whole: Mapping[str, Any], first: Piece, found: str) -> Iterator[Piece]:
    """An error for each list with conversations that came before the one that is read."""
    for key, value in whole.items():
        if isinstance(value, list) and any(_tells_conversation(key, item) for item in value):
            yield Piece(first.offset, 0, first.line, _two_names(found, key))


def _tells_conversation(key: str, item: Any) -> bool:
    """Whether an item of a list under this name is a conversation, or a message of one."""
    return is_conversation(item) or is_conversation({key: [item]})


def _two_names(found: str, key: str) -> RecordError:
    problem = f"the document holds conversations under {key!r} besides the list under {found!r}, which alone is read"
    return RecordError("conversations under two names", f"{problem}: give each a file of its own")


def _is_empty(whole: Mapping[str, Any]) -> bool:
    """Whether a document holds a list of conversations in which there are none, and nothing else to read."""
    others = {key: value for key, value in whole.items() if key not in LISTS or value != []}
    return len(others) < len(whole) and not is_conversation(others)


def _is_message(value: Any) -> bool:
    """Whether a value is a message, and no conversation."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


class _Text:
    """A file as characters, of which no more than one value is held at a time.

    Attributes:
        offset: bytes before the next character.
        line: the line that it is in, counted from 1.
    """

    def __init__(self, file: IO[bytes], longest: int, block: int) -> None:
        self._file, self._longest, self._block = file, longest, block
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False
        self.offset, self.line = 0, 1

    def take(self, character: str) -> bool:
        """Passes over blanks, and over a character if it is the next."""
        self._skip()
        if not self._text.startswith(character, self._at):
            return False
        self._advance(self._at + 1)
        return True

    def expect(self, character: str) -> None:
        """Passes over blanks and a character.

        Raises:
            RecordError: if another is the next.
        """
        if not self.take(character):
            found = self._text[self._at : self._at + 20]
            if not found:
                raise RecordError("cut short", f"the file ends where {character!r} should stand: it was cut short")
            raise RecordError("invalid JSON", f"{character!r} should stand where {found!r} does")

    def goes_on(self, closing: str) -> bool:
        """Passes over a comma, or over what closes a list or an object; whether it goes on.

        Raises:
            RecordError: if there is neither.
        """
        if self.take(closing):
            return False
        self.expect(",")
        return True

    def ends(self) -> bool:
        """Whether nothing but blanks is left."""
        self._skip()
        return self._at == len(self._text)

    def value(self) -> Piece:
        """Passes over blanks and a value.

        Raises:
            RecordError: if there is none.
        """
        self._skip()
        offset, line, size = self.offset, self.line, self._block
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except (ValueError, RecursionError) as error:  # also for numbers that are too long
                if self._ended or len(self._text) - self._at > self._longest:
                    raise self._broken(error) from None
            else:
                # A number near the end of the text may go on in the next block, as 1 does in 1e+5.
                if end <= len(self._text) - len("e+5") or self._ended:
                    self._advance(end)
                    return Piece(offset, self.offset - offset, line, value)
            self._more(size)
            size *= 2

    def _broken(self, error: ValueError | RecursionError) -> RecordError:
        told = error.msg if isinstance(error, JSONDecodeError) else str(error)
        if not self._ended:
            size = f"{self._longest / 2**20:.0f} MB"
            return RecordError("invalid JSON", f"the value here is broken, or longer than {size} ({told})")
        if self._at == len(self._text):
            return RecordError("cut short", "the file ends where a value should stand: it was cut short")
        return RecordError("invalid JSON", f"the value here is broken, or was cut short ({told})")

    def _skip(self) -> None:
        while True:
            at, text = self._at, self._text
            while at < len(text) and (text[at] in _BLANKS or (text[at] == _MARK and self.offset == 0)):
                at += 1
            self._advance(at)
            if at < len(text) or self._ended:
                return
            self._more(self._block)

    def _advance(self, end: int) -> None:
        passed = self._text[self._at : end]
        self.offset += len(passed) if passed.isascii() else len(passed.encode())
        self.line += passed.count("\n")
        self._at = end

    def _more(self, size: int) -> None:
        """Reads on; what was passed over is forgotten."""
        block = self._file.read(size)
        self._ended = not block
        try:
            read = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            self._ended = True
            raise RecordError("not UTF-8", f"the file is not in UTF-8 ({error.reason})") from None
        self._text, self._at = self._text[self._at :] + read, 0
