"""A log of conversations as a dataset: small in memory, random access, parts, order."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ss_gym.datasets.columns import JUDGED, SUCCESS
from ss_gym.datasets.config import ConversationDatasetConfig, OnError
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.fingerprints import key_of, mixed
from ss_gym.datasets.groups import TIES, Tie, group_keys, part_of
from ss_gym.datasets.hub import rows_of
from ss_gym.datasets.index import LogIndex, LogReader
from ss_gym.datasets.minari import MinariEpisodes, minari_dataset
from ss_gym.datasets.native import conversation_of, encoded, episode_of
from ss_gym.datasets.records import Place, RecordError
from ss_gym.datasets.report import write_report
from ss_gym.datasets.selection import Selection, quality_of, selected
from ss_gym.datasets.sources import JsonFiles, Layout, Rows, Source
from ss_gym.datasets.statistics import DatasetStatistics, statistics_of
from ss_gym.types import MultiTurnTrajectory
from ss_gym.whole_file import whole_file
from ss_gym.wrappers.trajectories import RecordedTrajectory

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class ConversationDataset:
    """Logged conversations, in order, by their number, and in parts.

    It is made by ``from_jsonl`` and its siblings, which read the log through once, keep about a hundred bytes of each
    conversation, and leave the rest where it is: a conversation is read when it is asked for. ``dataset[i]`` is a
    ``LoggedConversation``; a slice is a dataset, and so is everything that ``select``, ``filter``, ``split`` and
    ``shuffled`` give. They share the log with the dataset that they were made of. A dataset can be pickled, and
    used in several processes.

    Attributes:
        config: what it was opened with.
        reward_scale: what rewards are multiplied by; the same in all parts.
    """

    def __init__(
        self, index: LogIndex, config: ConversationDatasetConfig, selection: Selection, rows: NDArray[np.int64]
    ) -> None:
        self._index, self.config, self._selection, self._rows = index, config, selection, rows
        self.reward_scale = selection.reward_scale

    @classmethod
    def from_jsonl(
        cls, path: Paths, config: ConversationDatasetConfig | None = None, *, format: str | None = None
    ) -> ConversationDataset:
        """Opens files with one conversation a line, plain or compressed by gzip.

        Args:
            path: a file, or several.
            config: what of it is taken, and what is done with broken lines.
            format: ``stateset`` (what ``RecordTrajectories`` and ``stateset-agents rollout`` write), ``openai``,
                ``sharegpt``, ``tau_bench``, ``tau2_bench`` or ``sgd``; that of each file's first conversation if None.

        Raises:
            FileNotFoundError: if a file is not there.
            ValueError: for a line that is no conversation, which is named; if there is none, or none is left.
        """
        return cls._from_files(path, config, format, "lines")

    @classmethod
    def from_json(
        cls, path: Paths, config: ConversationDatasetConfig | None = None, *, format: str | None = None
    ) -> ConversationDataset:
        """Opens files that are one JSON document each: a list of conversations, an object that holds one, or one.

        They are read value by value, too. See ``from_jsonl``.
        """
        return cls._from_files(path, config, format, "document")

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Iterable[RecordedTrajectory | MultiTurnTrajectory | LoggedConversation],
        config: ConversationDatasetConfig | None = None,
    ) -> ConversationDataset:
        """A dataset of trajectories in memory, which it keeps.

        Args:
            trajectories: recorded ones, those of trainers, or conversations of other datasets.
            config: what of them is taken.

        Raises:
            TypeError: for something else.
            ValueError: for one that can't be learned from; if there is none, or none is left.
        """
        rows = [_conversation(given, number) for number, given in enumerate(trajectories, 1)]
        return cls._opened(Rows(rows, "trajectories", "number"), config, None)

    @classmethod
    def from_minari(cls, dataset: Any, config: ConversationDatasetConfig | None = None) -> ConversationDataset:
        """Opens a Minari dataset with text; see ``MinariEpisodes`` for what it has and what it has not.

        Args:
            dataset: a ``minari.MinariDataset``, or the id of a local one.
            config: what of it is taken.

        Raises:
            ImportError: if Minari is not installed.
            ValueError: if there is no text in it, no conversation, or none is left.
        """
        episodes = MinariEpisodes(dataset)
        return cls._opened(Rows(episodes, episodes.name, "episode"), config, None)

    @classmethod
    def from_huggingface(
        cls,
        dataset: Any,
        config: ConversationDatasetConfig | None = None,
        *,
        split: str = "train",
        format: str | None = None,
        **options: Any,
    ) -> ConversationDataset:
        """Opens a dataset of the ``datasets`` library, or other rows.

        Args:
            dataset: an id of the hub; a ``datasets.Dataset`` or another sequence of mappings, read when they are
                needed; or an iterable of mappings, which are kept in memory.
            config: what of it is taken.
            split: which split of a dataset of the hub, or of a ``DatasetDict``.
            format: as in ``from_jsonl``.
            **options: of ``datasets.load_dataset``.

        Raises:
            ImportError: if an id is given and the library is not installed (extra ``hub``).
            ValueError: as in ``from_jsonl``.
        """
        rows, name = rows_of(dataset, split, **options)
        return cls._opened(Rows(rows, name), config, format)

    @classmethod
    def _from_files(
        cls, path: Paths, config: ConversationDatasetConfig | None, form: str | None, layout: Layout
    ) -> ConversationDataset:
        files = JsonFiles(_paths(path), layout, (config or ConversationDatasetConfig()).cache_dir)
        return cls._opened(files, config, form)

    @classmethod
    def _opened(cls, source: Source, config: ConversationDatasetConfig | None, form: str | None) -> ConversationDataset:
        config = config or ConversationDatasetConfig()
        index = LogIndex.of(source, form, config.on_error)
        selection = selected(index.columns, config)
        return cls(index, config, selection, selection.rows)

    def __len__(self) -> int:
        """How many conversations there are."""
        return len(self._rows)

    def __repr__(self) -> str:
        """How many there are, and how many in the log."""
        return f"ConversationDataset({len(self):,} of {len(self._index.columns):,} conversations)"

    def __iter__(self) -> Iterator[LoggedConversation]:
        """The conversations in order, read one by one."""
        for conversation in self._index.read(map(int, self._rows)):
            yield replace(conversation, reward_scale=self.reward_scale, discount=self.config.discount)

    @overload
    def __getitem__(self, number: int) -> LoggedConversation: ...
    @overload
    def __getitem__(self, number: slice) -> ConversationDataset: ...
    def __getitem__(self, number: int | slice) -> LoggedConversation | ConversationDataset:
        """A conversation by its number, or a dataset of those of a slice."""
        if isinstance(number, slice):
            return self._with(self._rows[number])
        return next(iter(self._with(self._rows[[number]])))

    @property
    def returns(self) -> NDArray[np.float64]:
        """Float64 (N,); the sum of each conversation's rewards, times the scale."""
        return np.asarray(self._index.columns.total[self._rows] * self.reward_scale)

    @property
    def successes(self) -> NDArray[np.float64]:
        """Float64 (N,); 1 or 0, NaN where the log does not tell."""
        columns = self._index.columns
        told = np.where(columns.holds(JUDGED), columns.holds(SUCCESS).astype(float), np.nan)
        return np.asarray(told[self._rows])

    @property
    def quality(self) -> NDArray[np.float64]:
        """Float64 (N,); see ``ConversationDatasetConfig.quality_threshold``; NaN where it is not known."""
        return quality_of(self._index.columns, self._rows, self._selection.return_range)

    @property
    def turns(self) -> NDArray[np.uint32]:
        """Uint32 (N,); how often the agent said something to the customer."""
        return self._index.columns.turns[self._rows]

    @property
    def steps(self) -> NDArray[np.uint32]:
        """Uint32 (N,); how many actions there are."""
        return self._index.columns.steps[self._rows]

    def groups(self, together: Sequence[Tie] = TIES) -> NDArray[np.uint64]:
        """A key of each conversation's group, uint64 (N,): what ``split`` does not part, and clusters of a bootstrap.

        Args:
            together: what makes conversations belong together, as for ``split``.
        """
        return group_keys(self._index.columns, together)[self._rows]

    def select(self, which: Sequence[int] | NDArray[Any]) -> ConversationDataset:
        """The conversations of some numbers, in their order; or those where an array of bool is True.

        Raises:
            IndexError: if there is no such number.
        """
        return self._with(self._rows[np.asarray(which, dtype=np.int64 if len(which) == 0 else None)])

    def filter(self, keep: Callable[[LoggedConversation], bool]) -> ConversationDataset:
        """Those that a function wants to keep; it is given each, read from the log.

        What ``returns``, ``successes``, ``quality`` and ``turns`` tell is had faster by ``select``:
        ``dataset.select(dataset.successes == 1)``.
        """
        return self.select(np.fromiter((bool(keep(one)) for one in self), bool, len(self)))

    def shuffled(self, seed: int = 0, epoch: int = 0) -> ConversationDataset:
        """The same conversations in an order that follows from the seed and the epoch, on every machine."""
        drawn = mixed(np.arange(len(self), dtype=np.uint64), key_of(f"order {seed} {epoch}"))
        return self._with(self._rows[np.argsort(drawn, kind="stable")])

    def split(
        self, shares: Mapping[str, float], seed: int = 0, *, together: Sequence[Tie] = TIES
    ) -> dict[str, ConversationDataset]:
        """Parts that have nothing in common that a model could remember from one to the other.

        All conversations of a customer, all attempts at a scenario and at its twin, and all that have the same words
        are in the same part, and so is what hangs together by these. In which part a group is depends on its key,
        the seed and the shares alone: it stays there when data are added, unless they tie it to another group or
        tell a customer of it where none was known. So the shares are met on average only, and badly by few groups.

        >>> from ss_gym.datasets.messages import logged
        >>> said = [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Yes?"}]
        >>> log = [logged(said, customer=f"customer {number}") for number in range(100)]
        >>> dataset = ConversationDataset.from_trajectories(log)
        >>> parts = dataset.split({"train": 0.8, "test": 0.2}, together=["customer"])
        >>> len(parts["train"]), len(parts["test"])
        (81, 19)

        Args:
            shares: of each part, by its name; they add up to 1.
            seed: other seeds give other parts.
            together: what is kept together: ``customer``, ``scenario``, ``text``.

        Returns:
            The parts by their names.

        Raises:
            ValueError: for other shares, or if a part would be empty.
        """
        groups = self.groups(together)
        parts = {name: self._with(self._rows[kept]) for name, kept in part_of(groups, shares, seed).items()}
        for name, part in parts.items():
            if not len(part):
                _, sizes = np.unique(groups, return_counts=True)
                raise ValueError(
                    f"the part {name!r} would be empty: what belongs together is not parted, and the {len(self)} "
                    f"conversations are {len(sizes)} groups, the largest of {sizes.max()}; try other shares or another "
                    "seed, or keep less together"
                )
        return parts

    def statistics(self) -> DatasetStatistics:
        """What there is, in numbers; read from memory."""
        return statistics_of(self._index, self._rows, self._selection)

    def report(self, path: str | os.PathLike[str], *, title: str = "Conversations", examples: int = 0) -> Path:
        """Writes the statistics as a page with plots, one file that needs no other.

        Args:
            path: the file; folders above it are made.
            title: of the page.
            examples: how many conversations are shown, the worst and the best among them. They are on the page as they
                were said: mind whom you give it.

        Returns:
            The file.

        Raises:
            OSError: if it can't be written; what was there before is as it was.
        """
        return write_report(self.statistics(), path, title, self._examples(examples))

    def to_jsonl(self, path: str | os.PathLike[str]) -> Path:
        """Writes the conversations as they were logged, one a line, in the form that ``RecordTrajectories`` writes.

        What a log tells besides (customer, score …) is kept in the lines, too, and ``read_trajectories`` passes over
        it. A name that ends in ``.gz`` is compressed.

        Returns:
            The file.

        Raises:
            OSError: if it can't be written; what was there before is as it was.
            ValueError: if a number is not finite.
        """
        with whole_file(path) as file:
            packed = str(path).endswith(".gz")
            with gzip.GzipFile("", "wb", 6, file, 0) if packed else nullcontext(file) as lines:
                for conversation in self._index.read(map(int, self._rows)):
                    lines.write(encoded(conversation))
        return Path(path)

    def to_minari(self, dataset_id: str, env: Any = None, **settings: Any) -> Any:
        """Makes a local Minari dataset; see ``ss_gym.wrappers.to_minari``, which it is made by, in memory.

        Its episodes keep what a split and a trainer must know: scenario, customer, id, score, and whether there are
        rewards. ``from_minari`` reads that.
        """
        return minari_dataset(self._index.read(map(int, self._rows)), dataset_id, env, **settings)

    def trajectories(self) -> Iterator[MultiTurnTrajectory]:
        """The conversations as trainers take them, one by one; those with token ids go through ``collate``."""
        return (conversation.trajectory() for conversation in self)

    def _examples(self, count: int) -> list[LoggedConversation]:
        """So many conversations, evenly from the worst to the best, in that order."""
        if count < 0:
            raise ValueError(f"examples must be a whole number from 0 up, got {count}")
        order = np.argsort(np.nan_to_num(self.quality, nan=0.5), kind="stable")
        places = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)
        return list(self.select(order[places]))

    def _with(self, rows: NDArray[np.int64]) -> ConversationDataset:
        return ConversationDataset(self._index, self.config, self._selection, rows)


def read_conversations(
    path: Paths, *, format: str | None = None, on_error: OnError = "raise"
) -> Iterator[LoggedConversation]:
    """Reads the conversations of files one by one, without an index; compressed files are not unpacked.

    For a look at a log, or one pass over it. Files whose name ends in ``.json`` or ``.json.gz`` are documents (see
    ``ConversationDataset.from_json``), all others have a conversation a line.

    Args:
        path: a file, or several.
        format: as in ``ConversationDataset.from_jsonl``.
        on_error: whether what is broken raises an error, or is passed over.

    Yields:
        The conversations in the order of the files.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: for what is no conversation.
    """
    for one in _paths(path):
        name = one.name.removesuffix(".gz")
        files = JsonFiles([one], "document" if name.endswith(".json") else "lines")
        for _, conversation in LogReader(files, format, on_error).read(files.stream()):
            yield conversation


def _paths(given: Paths) -> list[Path]:
    return [Path(given)] if isinstance(given, str | os.PathLike) else [Path(one) for one in given]


def _conversation(given: Any, number: int) -> LoggedConversation | RecordError:
    """What was given as a trajectory, or why it is none to learn from."""
    if isinstance(given, LoggedConversation):
        return given
    place = Place("trajectories", number, "number")
    try:
        if isinstance(given, MultiTurnTrajectory):
            given = episode_of(given)
        if isinstance(given, RecordedTrajectory):
            return conversation_of(given, place)
    except RecordError as error:
        return error
    raise TypeError(f"trajectory {number} is {type(given).__name__}: give RecordedTrajectory or MultiTurnTrajectory")
