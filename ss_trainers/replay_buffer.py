"""A memory of earlier tasks to train on again, of a bounded size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np

from ss_gym.spelling import nearest

ItemT = TypeVar("ItemT")
TaskId = str | int
Sampling = Literal["uniform", "balanced", "reservoir"]


class ReplayBuffer(Generic[ItemT]):
    """Holds items of several tasks, and gives some of them back by chance.

    What an item is makes no difference. For reinforcement learning it is a trajectory with the log-probabilities that
    it was sampled with: the policy has changed since, so weigh what is replayed, for instance by
    :func:`ss_trainers.functional.ratios.truncated_importance_weight`.

    Once it is full, ``sampling`` says what stays, and how it is drawn from:

    * ``"uniform"``: the newest ``size`` items, in a ring; every item is drawn as likely as any other. It is the replay
      memory of off-policy reinforcement learning (Lin 1992; Mnih et al. 2015): a long task pushes out all before it.
    * ``"reservoir"``: an even sample of *all* items that were ever added, each kept with probability size / added
      (algorithm R: Vitter 1985, "Random Sampling with a Reservoir"; Chaudhry et al. 2019, arXiv:1902.10486); drawn as
      above. A task has a share like its share of the stream.
    * ``"balanced"``: as many items of each task as of any other, as far as they exist (class-balancing reservoir
      sampling: Chrysakis and Moens 2020, "Online Continual Learning from Imbalanced Data", algorithm 1). An item of a
      task that has room takes the place of a random one of the task with the most items, the first that was seen of
      several. A task that has none left is a reservoir of its own: what is kept of it is an even sample of all its
      items. So a task that has less than the largest minus 1 has lost nothing, and how many each has follows from the
      order of the tasks, not from chance. Tasks are drawn evenly, and items evenly within a task.

    What is kept does not depend on how often anything was drawn: two generators of its own see to either.

    Args:
        size: the most items that it holds.
        sampling: as above.
        seed: what the generators begin with, 0 or more.

    Attributes:
        size: as above.
        sampling: as above.

    Raises:
        TypeError: if the size or the seed is not a whole number.
        ValueError: if the size is below 1, the seed is negative, or there is no such sampling.

    >>> buffer = ReplayBuffer(4, "balanced")
    >>> for number in range(6):
    ...     buffer.add(f"refund {number}", "refund")
    >>> buffer.add("exchange 0", "exchange")
    >>> buffer.counts
    {'refund': 3, 'exchange': 1}
    >>> sorted(task for _, task in buffer.sample(2))
    ['exchange', 'refund']
    """

    def __init__(self, size: int, sampling: Sampling = "balanced", seed: int = 0) -> None:
        if index(size) < 1:
            raise ValueError(f"size must be at least 1, not {size}: it is the most items that are held")
        if sampling not in get_args(Sampling):
            raise ValueError(f"there is no sampling {sampling!r:.80}; {nearest(sampling, get_args(Sampling))}")
        if index(seed) < 0:
            raise ValueError(f"seed must be 0 or more, not {seed}")
        self.size, self.sampling = index(size), sampling
        self._items: list[ItemT] = []
        self._tasks: list[TaskId] = []
        # How many of each task were ever added, in the order in which tasks were first seen.
        self._seen: dict[TaskId, int] = {}
        self._keeping, self._drawing = (np.random.Generator(np.random.PCG64([index(seed), each])) for each in range(2))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def counts(self) -> dict[TaskId, int]:
        """How many items are held of each task that was ever seen, in the order in which they first were."""
        held = Counter(self._tasks)
        return {task: held[task] for task in self._seen}

    @property
    def items(self) -> tuple[ItemT, ...]:
        """What is held, in the order of its places: what ``load_state_dict`` takes beside the state."""
        return tuple(self._items)

    def add(self, item: ItemT, task_id: TaskId) -> None:
        """Offers an item, which is kept or not, perhaps in place of another.

        Args:
            item: anything.
            task_id: the task that it is of.

        Raises:
            TypeError: if the task's id is neither a text nor a whole number, which a state could not hold.
        """
        if not isinstance(task_id, str | int):
            raise TypeError(f"task_id must be a str or an int, not {type(task_id).__name__}")
        self._seen[task_id] = self._seen.get(task_id, 0) + 1
        if len(self._items) < self.size:
            self._items.append(item)
            self._tasks.append(task_id)
            return
        place = self._place(task_id)
        if place is not None:
            self._items[place], self._tasks[place] = item, task_id

    def sample(self, count: int, without: TaskId | None = None) -> list[tuple[ItemT, TaskId]]:
        """Draws different items, in random order; they stay in the buffer.

        ``"balanced"`` gives each task the same number of them, as far as it has so many; what can't be divided goes to
        tasks by chance.

        Args:
            count: from 0 to the number of items held.
            without: a task of which none is drawn.

        Returns:
            ``(item, task_id)`` each.

        Raises:
            TypeError: if the count is not a whole number.
            ValueError: if there are not so many.
        """
        if index(count) < 0:
            raise ValueError(f"count must be 0 or more, not {count}")
        if count and not self._items:
            raise ValueError("the replay buffer is empty: add items before you draw some")
        held = {task: number for task, number in self.counts.items() if task != without}
        if count > sum(held.values()):
            of = "" if without is None else f" that are not of {without!r:.80}"
            raise ValueError(
                f"{count} items were asked for, and the replay buffer holds {sum(held.values())}{of}: ask for no more"
            )
        if self.sampling == "balanced":
            places = [
                place
                for task, share in _even_shares(index(count), held, self._drawing).items()
                for place in self._drawing.permutation(self._places(task))[:share].tolist()
            ]
        else:
            places = [place for place, task in enumerate(self._tasks) if task != without]
        return [
            (self._items[place], self._tasks[place]) for place in self._drawing.permutation(places).tolist()[:count]
        ]

    def state_dict(self) -> dict[str, Any]:
        """All but the items: plain lists, texts and whole numbers (of up to 128 bits), which JSON can hold.

        How an item is written is its owner's to know: write ``items`` beside this, in their order.
        """
        return {
            "size": self.size,
            "sampling": self.sampling,
            "tasks": list(self._tasks),
            # Pairs, since JSON would make texts of the keys of a mapping.
            "seen": [[task, count] for task, count in self._seen.items()],
            "keeping": self._keeping.bit_generator.state,
            "drawing": self._drawing.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any], items: Sequence[ItemT]) -> None:
        """Goes on exactly where another buffer was; what this one held is gone, and its seed no longer counts.

        Args:
            state: of ``state_dict``.
            items: that buffer's ``items``, in the same order.

        Raises:
            ValueError: if the state is of a buffer of another size or sampling, is not one, or is of other items. The
                buffer stays as it was.
        """
        try:
            settings = (state["size"], state["sampling"])
            tasks, seen = list(state["tasks"]), {task: index(count) for task, count in state["seen"]}
            generators = [_generator(state[name]) for name in ("keeping", "drawing")]
            fits = len(tasks) == min(sum(seen.values()), settings[0]) and not Counter(tasks) - Counter(seen)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"this is no state of a replay buffer ({error!r:.200}): give one of state_dict") from error
        if settings != (self.size, self.sampling):
            raise ValueError(
                f"the state is of a replay buffer with size {settings[0]} and sampling {settings[1]!r}, and this one "
                f"has {self.size} and {self.sampling!r}: make it with the same"
            )
        if not fits:
            raise ValueError("the state of the replay buffer contradicts itself: it was changed after it was written")
        if len(items) != len(tasks):
            raise ValueError(
                f"the state is of {len(tasks)} items, and {len(items)} were given: give those of the same moment"
            )
        self._items, self._tasks, self._seen = list(items), tasks, seen
        self._keeping, self._drawing = generators

    def _places(self, task_id: TaskId) -> list[int]:
        return [place for place, task in enumerate(self._tasks) if task == task_id]

    def _place(self, task_id: TaskId) -> int | None:
        """Where a new item goes that is counted already, while the buffer is full; None if nowhere."""
        added = sum(self._seen.values())
        if self.sampling == "uniform":
            return (added - 1) % self.size
        if self.sampling == "reservoir":
            drawn = int(self._keeping.integers(added))
            return drawn if drawn < self.size else None
        counts, seen = self.counts, self._seen[task_id]
        # The first of several: the order is that in which the tasks were seen.
        largest = max(counts, key=counts.__getitem__)
        # A task that has lost an item was among the largest then. It is within 1 of them ever after, since no task
        # grows beyond the largest; from then on it is a sample of what was seen of it.
        if counts[task_id] == counts[largest] or counts[task_id] < seen - 1:
            drawn = int(self._keeping.integers(seen))
            return self._places(task_id)[drawn] if drawn < counts[task_id] else None
        return self._places(largest)[int(self._keeping.integers(counts[largest]))]


def _even_shares(count: int, held: Mapping[TaskId, int], generator: np.random.Generator) -> dict[TaskId, int]:
    """How many items to draw of each task: the same of all, as far as they have so many; the rest by chance."""
    shares = dict.fromkeys(held, 0)
    left = count
    while left:
        open_tasks = [task for task in held if shares[task] < held[task]]
        each = left // len(open_tasks)
        if not each:
            for place in generator.permutation(len(open_tasks))[:left].tolist():
                shares[open_tasks[place]] += 1
            break
        for task in open_tasks:
            more = min(each, held[task] - shares[task])
            shares[task] += more
            left -= more
    return shares


def _generator(state: Any) -> np.random.Generator:
    bits = np.random.PCG64(0)
    bits.state = state
    return np.random.Generator(bits)
