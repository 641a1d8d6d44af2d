"""Several processes that train one model: they share its memory, and each does a part of the work.

On two cores, two processes with one thread each do more than one process with two threads: sampling
is many small steps that threads cannot divide. The parameters lie in shared memory, so that an
optimizer step of the first process is seen by all, and each of the others adds its gradient into a
shared buffer that the first process reads. Parts are assigned and added in a fixed order: a run with
the same number of processes gives the same numbers.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import traceback
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor, nn

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import Reviewed
from ss_trainers.backends.models import LoadedModel
from ss_trainers.critic import ValueNetwork
from ss_trainers.engine import Engine, EngineSetup
from ss_trainers.rollout import Episode, Rollouts
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch

_SHARED_MEMORY = Path("/dev/shm")
# How long one process may take over its part before the run is given up as hung.
_PATIENCE_SECONDS = 3600.0


class WorkerError(RuntimeError):
    """A process that shares the work has failed or vanished."""


class Workers:
    """An engine in this process and more of them in others; works like one engine.

    Args:
        setup: what the engines are made of.
        loaded: the model; its memory is shared from now on.
        count: processes, this one included.
        critic: the network of the critic, for algorithms that need one; its memory is shared, too.

    Attributes:
        engine: of this process.
        count: processes.

    Raises:
        RuntimeError: if there is too little shared memory for the model.
    """

    def __init__(self, setup: EngineSetup, loaded: LoadedModel, count: int, critic: ValueNetwork | None = None) -> None:
        self.engine = Engine(setup, loaded, critic)
        self.count = count
        self._helpers: list[_Helper] = []
        if count > 1:
            networks = [loaded.model, *([] if critic is None else [critic])]
            _check_shared_memory(networks, count)
            for network in networks:
                network.share_memory()
            self._helpers = [_Helper(setup, loaded, critic, self.engine) for _ in range(count - 1)]

    def play(
        self, episodes: Sequence[Episode], temperature: float, seeds: Sequence[int], demonstrator: str | None = None
    ) -> Rollouts:
        """Plays the episodes; see :meth:`Engine.play`.

        Args:
            episodes: what to play; neighbours are played by the same process.
            temperature: of the sampling.
            seeds: of the sampling noise, one a process.
            demonstrator: who plays, by name; the policy if None.
        """
        size = -(-len(episodes) // (1 + len(self._helpers)))
        parts = [episodes[start : start + size] for start in range(0, len(episodes), size)]
        parts += [()] * (1 + len(self._helpers) - len(parts))
        for helper, part, seed in zip(self._helpers, parts[1:], seeds[1:], strict=True):
            helper.ask("play", part, temperature, seed, demonstrator)
        own = self.engine.play(parts[0], temperature, seeds[0], demonstrator)
        return Rollouts.joined([own, *(helper.answer() for helper in self._helpers)])

    def review(self, trajectories: tuple[MultiTurnTrajectory, ...]) -> Reviewed:
        """What the algorithm makes of episodes; see :meth:`Engine.review`."""
        return self.engine.review(trajectories)

    def score(
        self, micro_batches: Sequence[TokenBatch], temperature: float, wanted: Collection[str]
    ) -> list[dict[str, Tensor]]:
        """What is to be known of micro-batches before the update; see :meth:`Engine.score`."""
        shares = 1 + len(self._helpers)
        for index, helper in enumerate(self._helpers, 1):
            helper.ask("score", micro_batches[index::shares], temperature, tuple(wanted))
        results: list[dict[str, Tensor]] = [{} for _ in micro_batches]
        results[::shares] = self.engine.score(micro_batches[::shares], temperature, wanted)
        for index, helper in enumerate(self._helpers, 1):
            results[index::shares] = helper.answer()
        return results

    def accumulate(
        self, micro_batches: Sequence[TokenBatch], counts: BatchCounts, temperature: float, critic_only: bool = False
    ) -> list[LossOutput]:
        """Adds the gradient of the micro-batches' losses; see :meth:`Engine.accumulate`."""
        shares = 1 + len(self._helpers)
        for index, helper in enumerate(self._helpers, 1):
            helper.ask("accumulate", micro_batches[index::shares], counts, temperature, critic_only)
        outputs = self.engine.accumulate(micro_batches[::shares], counts, temperature, critic_only)
        for helper in self._helpers:
            outputs += helper.answer()
            helper.add_gradient(self.engine)
        return outputs

    def weights_changed(self) -> None:
        """Makes every process forget what it computed with the old weights."""
        for helper in self._helpers:
            helper.ask("weights_changed")
        self.engine.backend.weights_changed()
        for helper in self._helpers:
            helper.answer()

    def close(self) -> None:
        """Ends the other processes and closes the environments."""
        for helper in self._helpers:
            helper.stop()
        self._helpers.clear()
        self.engine.close()


class _Helper:
    """Another process, seen from the first one."""

    def __init__(self, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None, engine: Engine) -> None:
        size = sum(parameter.numel() for parameter in engine.trainable)
        self._gradient = torch.zeros(size)
        self._gradient.share_memory_()  # type: ignore[no-untyped-call]
        context = torch.multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, setup, loaded, critic, self._gradient), daemon=True
        )
        self._process.start()
        theirs.close()

    def ask(self, name: str, *arguments: Any) -> None:
        """Starts a piece of work."""
        try:
            # Plain pickles: torch would open a file in shared memory for each tensor sent.
            self._connection.send_bytes(pickle.dumps((name, arguments)))
        except OSError as error:
            raise self._lost() from error

    def answer(self) -> Any:
        """Waits for the result of the work that was asked for.

        Raises:
            WorkerError: if it failed, or the process is lost or hangs.
        """
        try:
            if not self._connection.poll(_PATIENCE_SECONDS):
                raise WorkerError(f"worker process {self._process.pid} has not answered for {_PATIENCE_SECONDS:.0f} s")
            good, result = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if not good:
            raise WorkerError(f"worker process {self._process.pid} failed:\n{result}")
        return result

    def add_gradient(self, engine: Engine) -> None:
        """Adds the process's gradient to this one's."""
        for parameter, part in _parts(self._gradient, engine):
            parameter.grad = part.clone() if parameter.grad is None else parameter.grad.add_(part)

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.terminate()
        self._process.join()
        self._connection.close()

    def _lost(self) -> WorkerError:
        self._process.join(timeout=1)
        return WorkerError(
            f"worker process {self._process.pid} has ended with exit code {self._process.exitcode}; "
            "if the machine ran out of memory, set workers to 1"
        )


def _serve(
    connection: Connection, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None, gradient: Tensor
) -> None:
    """The life of another process: does what it is asked until the first process is gone."""
    # Ctrl-C reaches every process of the terminal; the first one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engine = Engine(setup, loaded, critic)
    for parameter, part in _parts(gradient, engine):
        parameter.grad = part
    while True:
        try:
            name, arguments = pickle.loads(connection.recv_bytes())
        except EOFError:
            os._exit(0)
        try:
            result = True, _work(engine, gradient, name, arguments)
        except Exception:
            result = False, traceback.format_exc()
        connection.send_bytes(pickle.dumps(result))


def _work(engine: Engine, gradient: Tensor, name: str, arguments: Any) -> Any:
    if name == "play":
        return engine.play(*arguments)
    if name == "score":
        return engine.score(*arguments)
    if name == "accumulate":
        gradient.zero_()
        return engine.accumulate(*arguments)
    return engine.backend.weights_changed()


def _parts(flat: Tensor, engine: Engine) -> list[tuple[nn.Parameter, Tensor]]:
    """Each trainable parameter with its part of a flat buffer."""
    sizes = [parameter.numel() for parameter in engine.trainable]
    return [
        (parameter, part.view_as(parameter))
        for parameter, part in zip(engine.trainable, torch.split(flat, sizes), strict=True)
    ]


def _check_shared_memory(networks: Sequence[nn.Module], count: int) -> None:
    """Too little of it ends a process without a word, so it is checked beforehand."""
    if not _SHARED_MEMORY.is_dir():
        return
    parameters = [parameter for network in networks for parameter in network.parameters()]
    model = sum(parameter.nbytes for parameter in parameters)
    gradient = sum(parameter.nbytes for parameter in parameters if parameter.requires_grad)
    needed, free = model + (count - 1) * gradient, shutil.disk_usage(_SHARED_MEMORY).free
    if needed > free:
        raise RuntimeError(
            f"{count} workers need {needed / 2**20:.0f} MiB of shared memory, but {_SHARED_MEMORY} has "
            f"{free / 2**20:.0f} MiB free: set workers to 1, or give the machine more shared memory"
        )
