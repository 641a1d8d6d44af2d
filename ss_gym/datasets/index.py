"""A log that has been read through once: where each conversation is, and what was passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import tee
from typing import Any

from ss_gym.datasets.columns import Columns, GrowingColumns, Span
from ss_gym.datasets.config import OnError
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.formats import FORMATS, conversation_in, format_named, format_of
from ss_gym.datasets.records import RecordError, Skips
from ss_gym.datasets.sources import Found, Source


class LogReader:
    """Reads the conversations of a source, and counts what it passes over.

    Args:
        source: where they are.
        form: the name of their format; that of the first conversation of each file if None.
        on_error: whether what is no conversation raises an error, or is passed over.

    Raises:
        ValueError: if there is no such format.

    Attributes:
        formats: number of each file that was begun -> the name of its format.
        skips: what was passed over, by the reason.
    """

    def __init__(self, source: Source, form: str | None, on_error: OnError) -> None:
        self._source, self._on_error = source, on_error
        self._form = None if form is None else format_named(form)
        self.formats: dict[int, str] = {}
        self.skips: dict[str, Skips] = {}

    def read(self, found: Iterable[Found]) -> Iterator[tuple[Span, LoggedConversation]]:
        """The conversations among what was found in the source, and where they are.

        Raises:
            ValueError: for what is none, unless that is to be passed over.
        """
        for span, value in found:
            try:
                yield span, self._conversation(span, value)
            except RecordError as error:
                where = f"{self._source.place(span)}: {error}"
                if self._on_error == "raise":
                    raise ValueError(f"{where}; on_error='skip' leaves out what is broken, and counts it") from None
                known = self.skips.get(error.reason, Skips(0, where))
                self.skips[error.reason] = known._replace(times=known.times + 1)

    def _conversation(self, span: Span, value: Any) -> LoggedConversation:
        if isinstance(value, RecordError):
            raise value
        if isinstance(value, LoggedConversation):
            return value
        if span.file not in self.formats:
            self.formats[span.file] = (self._form or format_of(value)).name
        return read_value(self._source, self.formats, span, value)


def read_value(source: Source, formats: Mapping[int, str], span: Span, value: Any) -> LoggedConversation:
    """The conversation that was found at a place.

    Args:
        source: where it was found.
        formats: of the source's files.
        span: the place.
        value: what was found.

    Raises:
        RecordError: if it is none.
    """
    if isinstance(value, LoggedConversation):
        return value
    return conversation_in(FORMATS[formats[span.file]], value, source.place(span), source.header(span.file))


@dataclass(frozen=True, slots=True)
class LogIndex:
    """A log that has been read through once.

    Attributes:
        source: where the conversations are.
        formats: number of each file -> the name of its format.
        columns: what is kept in memory of each conversation.
        skips: what was passed over, by the reason.
    """

    source: Source
    formats: Mapping[int, str]
    columns: Columns
    skips: Mapping[str, Skips]

    @classmethod
    def of(cls, source: Source, form: str | None, on_error: OnError) -> LogIndex:
        """Reads a log through; see ``LogReader``.

        Raises:
            ValueError: if there is something else than a conversation, unless it is to be passed over, or no
                conversation at all.
        """
        reader, columns = LogReader(source, form, on_error), GrowingColumns()
        for span, conversation in reader.read(source.walk()):
            columns.append(span, conversation)
        done = columns.done()
        if not len(done):
            told = [f"{reason}, {one.times} times, as in {one.first}" for reason, one in reader.skips.items()]
            raise ValueError(f"there is no conversation in the log{': ' if told else ''}{'; '.join(told)}")
        return cls(source, reader.formats, done, reader.skips)

    def read(self, rows: Iterable[int]) -> Iterator[LoggedConversation]:
        """Conversations by their numbers, in the order of the numbers.

        Raises:
            ValueError: if their file has changed.
        """
        for_values, for_spans = tee(map(self.columns.span, rows))
        for span, value in zip(for_spans, self.source.values(for_values), strict=True):
            yield read_value(self.source, self.formats, span, value)
