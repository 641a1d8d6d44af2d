"""The offline loop: take a batch of the log, take a step, again."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ss_trainers.interruption import postponed
from ss_trainers.offline.learner import Examples, Updating
from ss_trainers.reporter import Reporter


class Updates:
    """The updates of a run, one after the other.

    In each epoch all examples come, in an order which follows from the seed and the epoch alone; the last batch of an
    epoch has those that are left. So a run that is resumed goes on exactly.

    Args:
        seed: of the order.
        batch_size: examples of a batch.
        device: where the examples are.
        done: updates that were done before.

    Attributes:
        done: updates that were done.
    """

    def __init__(self, seed: int, batch_size: int, device: torch.device, done: int = 0) -> None:
        self._seed, self._size, self._device, self.done = seed, batch_size, device, done

    def of_epochs(self, examples: int, epochs: int, most: int | None = None) -> int:
        """The updates that so many epochs of so many examples take, and no more than the most."""
        whole = epochs * -(-examples // self._size)
        return whole if most is None else min(whole, most)

    def run(
        self,
        learner: Updating[Any],
        examples: Examples[Any],
        total: int,
        reporter: Reporter,
        save: Callable[[], None],
        report_every: int,
        save_every: int | None = None,
    ) -> None:
        """Does the updates that are left.

        Args:
            learner: takes the steps.
            examples: what it learns from.
            total: updates of the whole run.
            reporter: is told the means of the metrics.
            save: keeps the run as it is.
            report_every: updates that are averaged into one line.
            save_every: updates from one time to the next; not before the end if None.

        Raises:
            FloatingPointError: if a metric or a weight is not finite any more; after Ctrl-C, too.
            KeyboardInterrupt: after Ctrl-C, between two updates; metrics and weights are finite.
        """
        sums = _Sums()
        try:
            with postponed() as interrupted:
                for batch in self._batches(examples, total):
                    sums.add(learner.update(batch, self.done))
                    self.done += 1
                    if self.done % report_every == 0 or self.done == total:
                        reporter.report(self.done, sums.means())
                        sums = _Sums()
                    if save_every and self.done % save_every == 0 and self.done < total:
                        _check_sound(sums, learner)
                        save()
                    interrupted()
        except KeyboardInterrupt:
            # Whoever catches it keeps the run as it is.
            _check_sound(sums, learner)
            raise
        _check_sound(sums, learner)

    def _batches(self, examples: Examples[Any], total: int) -> Iterator[Any]:
        """The examples of the updates that are left, epoch after epoch."""
        per_epoch = -(-len(examples) // self._size)
        while self.done < total:
            epoch, first = divmod(self.done, per_epoch)
            order = torch.randperm(len(examples), generator=self._order(epoch)).to(self._device)
            yield from examples.batches(
                order[first * self._size : (first + total - self.done) * self._size], self._size
            )

    def _order(self, epoch: int) -> torch.Generator:
        digest = hashlib.blake2b(f"{self._seed}/order/{epoch}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def _check_sound(sums: _Sums, learner: Updating[Any]) -> None:
    """Refuses to keep a run that came to no numbers: what was saved before is the better one.

    Metrics tell which it was; where the last step alone went wrong, they are from before it, and only weights tell.

    Raises:
        FloatingPointError: if a metric or a weight is not finite.
    """
    sums.means()
    if not all(bool(parameter.isfinite().all()) for parameter in learner.modules.parameters()):
        raise FloatingPointError("weights are not finite any more; lower learning_rate or reward_scale")


class _Sums:
    """Metrics of some updates, not all of which need have the same; on the device until their means are asked for."""

    def __init__(self) -> None:
        self._counts, self._sums = Counter[tuple[str, ...]](), dict[tuple[str, ...], Tensor]()

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Adds those of an update."""
        names, values = tuple(metrics), torch.stack([*metrics.values()])
        self._counts[names] += 1
        self._sums[names] = self._sums[names] + values if names in self._sums else values

    def means(self) -> dict[str, float]:
        """The means.

        Raises:
            FloatingPointError: if one is not finite.
        """
        counts, sums = Counter[str](), dict[str, float]()
        for names, values in self._sums.items():
            for name, value in zip(names, values.tolist(), strict=True):
                counts[name] += self._counts[names]
                sums[name] = sums.get(name, 0.0) + value
        wrong = [name for name, value in sums.items() if not math.isfinite(value)]
        if wrong:
            raise FloatingPointError(f"not finite any more: {', '.join(wrong)}; lower learning_rate or reward_scale")
        return {name: value / counts[name] for name, value in sums.items()}
