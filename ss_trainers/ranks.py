"""Several machines or GPUs that train one model: data parallelism under a launcher.

Every process that ``torchrun`` or ``accelerate launch`` starts runs the same script with a model of its own. Each
plays its share of the episodes and hands them to the others, so that all have the whole batch and the same
advantages; each adds up the gradients of its share of the micro-batches, their sum is taken over all processes, and
each takes the same step. :class:`ss_trainers.distributed.Workers` does the same on one machine's processor, with
less: there the processes share the model's memory.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.distributed
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import Reviewed
from ss_trainers.backends.models import LoadedModel
from ss_trainers.config import TrainingConfig
from ss_trainers.critic import ValueNetwork
from ss_trainers.engine import Engine, EngineSetup
from ss_trainers.rollout import Episode, Rollouts
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch


def launched() -> int:
    """How many processes a launcher has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes files and draws progress bars."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(device: str) -> str:
    """The GPU of this process, where a launcher has started several and ``"cuda"`` names none."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and launched() > 1 else device


def check_launcher(training: TrainingConfig) -> None:
    """Refuses processes of the trainer's own, or of its sampler, beside those of a launcher.

    Raises:
        ValueError: if the settings ask for some under a launcher.
    """
    for name, alone in (("workers", 1), ("rollout_lag", 0)):
        if launched() > 1 and getattr(training, name) > alone:
            raise ValueError(f"a launcher has started several processes, which share the work: set {name} to {alone}")
    if launched() > 1 and training.sampler != "builtin":
        raise ValueError(
            "a launcher has started several processes, which vLLM takes for its own: set sampler to 'builtin'"
        )


class Ranks:
    """The engine of this process among those of a launcher; works like one engine.

    Args:
        setup: what the engine is made of.
        loaded: the model of this process.
        critic: the network of the critic, for algorithms that need one.

    Attributes:
        engine: of this process.
        count: processes.
    """

    def __init__(self, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None = None) -> None:
        self._state = PartialState(cpu=torch.device(setup.device).type == "cpu")
        self.engine = Engine(setup, loaded, critic)
        self.count: int = self._state.num_processes

    def play(
        self, episodes: Sequence[Episode], temperature: float, seeds: Sequence[int], demonstrator: str | None = None
    ) -> Rollouts:
        """Plays the episodes, each process its share; see :meth:`Engine.play`.

        Args:
            episodes: what to play; neighbours are played by the same process.
            temperature: of the sampling.
            seeds: of the sampling noise, one a process.
            demonstrator: who plays, by name; the policy if None.
        """
        rank, size = self._state.process_index, -(-len(episodes) // self.count)
        share = episodes[rank * size : (rank + 1) * size]
        own = self.engine.play(share, temperature, seeds[rank], demonstrator)
        return Rollouts.joined(gather_object([own]))

    def review(self, trajectories: tuple[MultiTurnTrajectory, ...]) -> Reviewed:
        """What the algorithm makes of episodes: the first process is asked, so that a judge is paid once.

        Raises:
            RuntimeError: in the other processes, if it failed in the first one.
        """
        told: list[Reviewed | str] = [""]
        failed: Exception | None = None
        if self._state.process_index == 0:
            try:
                told[0] = self.engine.review(trajectories)
            except Exception as error:
                # The others are waiting. What is raised may not survive being sent, so they get its text.
                told[0], failed = f"{type(error).__name__}: {error}", error
        (result,) = broadcast_object_list(told)
        if failed is not None:
            raise failed
        if not isinstance(result, Reviewed):
            raise RuntimeError(f"the first process could not review the episodes: {result}")
        return result

    def score(
        self, micro_batches: Sequence[TokenBatch], temperature: float, wanted: Collection[str]
    ) -> list[dict[str, Tensor]]:
        """What is to be known of micro-batches before the update; see :meth:`Engine.score`."""
        return self._in_turn(micro_batches, self.engine.score(self._own(micro_batches), temperature, wanted))

    def accumulate(
        self, micro_batches: Sequence[TokenBatch], counts: BatchCounts, temperature: float, critic_only: bool = False
    ) -> list[LossOutput]:
        """Adds the gradient of the micro-batches' losses, over all processes; see :meth:`Engine.accumulate`."""
        outputs = self.engine.accumulate(self._own(micro_batches), counts, temperature, critic_only)
        parameters = self.engine.trainable
        gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [value.numel() for value in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        return self._in_turn(micro_batches, outputs)

    def hold(self, weights: Tensor) -> None:
        """Keeps an earlier policy that this one is held to; see :meth:`Engine.hold`."""
        self.engine.hold(weights)

    def fisher(self, trajectories: Sequence[MultiTurnTrajectory], temperature: float) -> list[Tensor]:
        """How much each parameter mattered to what was said; see :meth:`Engine.fisher`.

        The first process computes it, and the others take it over: what they would come to differs in the last digit
        on GPUs, and they would drift apart.
        """
        found = self.engine.fisher(trajectories, temperature)
        for each in found:
            torch.distributed.broadcast(each, 0)
        return found

    def weights_changed(self) -> None:
        """Forgets what was computed with the old weights."""
        self.engine.backend.weights_changed()

    def wait(self) -> None:
        """Returns once all processes have come here."""
        self._state.wait_for_everyone()

    def close(self) -> None:
        """Closes the environments."""
        self.engine.close()

    def _own(self, micro_batches: Sequence[TokenBatch]) -> Sequence[TokenBatch]:
        return micro_batches[self._state.process_index :: self.count]

    def _in_turn(self, micro_batches: Sequence[TokenBatch], own: list[Any]) -> list[Any]:
        """The results of all processes in the order of the micro-batches."""
        results: list[Any] = [None] * len(micro_batches)
        for rank, part in enumerate(gather_object([own])):
            results[rank :: self.count] = part
        return results
