"""Several processes that train one model: they share its memory, and each does a part of the work.

On two cores, two processes with one thread each do more than one process with two threads: sampling
is many small steps that threads cannot divide. The parameters lie in shared memory, so that an
optimizer step of the first process is seen by all, and each of the others adds its gradient into a
shared buffer that the first process reads. Parts are assigned and added in a fixed order: a run with
the same number of processes gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import Reviewed
from ss_trainers.backends.models import LoadedModel
from ss_trainers.critic import ValueNetwork
from ss_trainers.engine import Engine, EngineSetup
from ss_trainers.processes import WorkerProcess, check_shared_memory, parts, shared
from ss_trainers.rollout import Episode, Rollouts
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch


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

    def hold(self, weights: Tensor) -> None:
        """Keeps an earlier policy that this one is held to; see :meth:`Engine.hold`."""
        for helper in self._helpers:
            helper.ask("hold", weights)
        self.engine.hold(weights)
        for helper in self._helpers:
            helper.answer()

    def fisher(self, trajectories: Sequence[MultiTurnTrajectory], temperature: float) -> list[Tensor]:
        """How much each parameter mattered to what was said; see :meth:`Engine.fisher`."""
        return self.engine.fisher(trajectories, temperature)

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


class _Helper(WorkerProcess):
    """Another process, seen from the first one."""

    def __init__(self, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None, engine: Engine) -> None:
        self._gradient = shared(torch.zeros(sum(parameter.numel() for parameter in engine.trainable)))
        super().__init__(_Share, (setup, loaded, critic, self._gradient), "set workers to 1")

    def add_gradient(self, engine: Engine) -> None:
        """Adds the process's gradient to this one's."""
        for parameter, part in parts(self._gradient, engine.trainable):
            parameter.grad = part.clone() if parameter.grad is None else parameter.grad.add_(part)


class _Share:
    """What another process does of the work."""

    def __init__(self, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None, gradient: Tensor) -> None:
        self._engine, self._gradient = Engine(setup, loaded, critic), gradient
        for parameter, part in parts(gradient, self._engine.trainable):
            parameter.grad = part

    def __call__(self, name: str, *arguments: Any) -> Any:
        if name == "play":
            return self._engine.play(*arguments)
        if name == "score":
            return self._engine.score(*arguments)
        if name == "accumulate":
            self._gradient.zero_()
            return self._engine.accumulate(*arguments)
        if name == "hold":
            return self._engine.hold(*arguments)
        return self._engine.backend.weights_changed()


def _check_shared_memory(networks: Sequence[nn.Module], count: int) -> None:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    model = sum(parameter.nbytes for parameter in parameters)
    gradient = sum(parameter.nbytes for parameter in parameters if parameter.requires_grad)
    check_shared_memory(model + (count - 1) * gradient, f"{count} workers need", "set workers to 1")
