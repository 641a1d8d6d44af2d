"""Asynchronous rollouts: another process plays the next iterations' episodes while this one updates.

That process has a copy of the model and plays batches ahead, with weights that are some updates old: at most
``rollout_lag``. It gets them by way of snapshots in shared memory, one for each version that a batch under way may
need: while iteration ``i`` waits for its batch, what is played are batches ``i`` to ``i + lag``, with versions
``i - lag`` to ``i``, and the snapshot that is overwritten next belongs to a batch that has arrived. So nothing has to
be locked, and what is played does not depend on which process is the faster, where the lag is fixed.

The snapshots are all there is to remember: batches that were lost, because the run was interrupted or a process ended,
are played again with the same weights, and are the same.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers.backends.models import LoadedModel
from ss_trainers.config import TrainingConfig
from ss_trainers.engine import Engine, EngineSetup
from ss_trainers.feedback import JudgeFailedError
from ss_trainers.processes import WorkerProcess, check_shared_memory, parts, shared
from ss_trainers.rollout import EpisodesFailedError
from ss_trainers.sampling import Sample, sample, sampling_noise

# What is wrong with a batch, not with the process that plays it: told where the batch is needed.
_Failed = EpisodesFailedError | JudgeFailedError | ValueError


class Snapshots:
    """The weights of the last versions, where two processes reach them. A version is a number of updates.

    Args:
        parameters: what is kept of each version; the latest are kept.
        count: how many versions are kept.

    Raises:
        RuntimeError: if there is too little shared memory.
    """

    def __init__(self, parameters: Sequence[Tensor], count: int) -> None:
        size = sum(parameter.numel() for parameter in parameters)
        check_shared_memory(4 * count * size, f"weights of {count} versions need", "set rollout_lag lower")
        self._weights = shared(torch.zeros(count, size))
        # The version in each place. It is written after the weights, and read before them.
        self._versions = shared(torch.full((count,), -1))

    @property
    def versions(self) -> list[int]:
        """The versions that are there, the oldest first."""
        return sorted(version for version in self._versions.tolist() if version >= 0)

    def take(self, version: int, parameters: Sequence[Tensor]) -> None:
        """Keeps the parameters as this version, in the place of the oldest; does nothing if it is there."""
        place = version % len(self._versions)
        if self._versions[place] != version:
            self._versions[place] = -1
            for parameter, part in parts(self._weights[place], parameters):
                part.copy_(parameter.detach())
            self._versions[place] = version

    @torch.no_grad()
    def give(self, version: int, parameters: Sequence[Tensor]) -> None:
        """Sets the parameters to this version."""
        for parameter, part in parts(self[version], parameters):
            parameter.copy_(part)

    def __getitem__(self, version: int) -> Tensor:
        """The weights of a version, float32 (N,)."""
        place = version % len(self._versions)
        assert self._versions[place] == version
        return self._weights[place]


class RolloutsAhead:
    """Has the batches of the next iterations played while this process updates.

    Args:
        setup: what the engine of the other process is made of.
        loaded: the model that is trained; the other process gets a copy.
        training: the engine's settings.
        iteration: iterations done.
        earlier: weights of earlier versions, that batches under way were played with when a checkpoint was made.

    Raises:
        CheckpointError: if the earlier weights are not those of this model.
        RuntimeError: if there is too little shared memory for the snapshots.
    """

    def __init__(
        self,
        setup: EngineSetup,
        loaded: LoadedModel,
        training: TrainingConfig,
        iteration: int = 0,
        earlier: Mapping[int, Tensor] | None = None,
    ) -> None:
        self._setup, self._loaded, self._training = setup, loaded, training
        self._parameters = _trained(loaded)
        self._snapshots = Snapshots(self._parameters, training.rollout_lag + 1)
        self._process: WorkerProcess | None = None
        self._asked = iteration  # the first iteration whose batch has not been asked for
        size = sum(parameter.numel() for parameter in self._parameters)
        for version, weights in sorted((earlier or {}).items()):
            if weights.shape != (size,) or version >= iteration:
                raise CheckpointError(f"the weights of version {version}, for batches under way, do not fit the model")
            if version >= iteration - training.rollout_lag:
                self._snapshots.take(version, [weights])

    def batch_of(self, iteration: int) -> Sample:
        """The batch of an iteration, once it is there; those after it are played from now on.

        Args:
            iteration: iterations done, all of whose batches have been fetched before.

        Raises:
            EpisodesFailedError: if the environment raised in every episode.
            JudgeFailedError: if a judge said nothing of any.
            ValueError: if a prompt is longer than the context, or a setting does not fit what is played.
            WorkerError: if the other process failed or is lost.
        """
        self._snapshots.take(iteration, self._parameters)
        if self._process is None:
            self._process, self._asked = self._started(), iteration
        last = max(iteration, min(iteration + self._training.rollout_lag, self._training.iterations - 1))
        for number in range(self._asked, last + 1):
            self._process.ask(number, self._version_for(number, iteration))
        self._asked = last + 1
        taken: Sample | _Failed = self._process.answer()
        if isinstance(taken, _Failed):
            raise taken
        return taken

    def _started(self) -> WorkerProcess:
        # A plain pickle is a copy, other than what is sent to processes that share the model. It is taken out of
        # its list over there, or it would stay in memory beside the model that was made of it.
        arguments = (self._setup, [pickle.dumps(self._loaded)], self._training, self._snapshots)
        return WorkerProcess(_Player, arguments, "set rollout_lag to 0")

    def earlier(self, iteration: int) -> dict[int, Tensor]:
        """The weights, older than the present ones, that batches under way are played with, by version.

        None where the newest weights are taken, which are others each time; nor for batches beyond the last
        iteration, which nobody asks for.

        Args:
            iteration: iterations done.
        """
        config = self._training
        under_way = range(iteration, min(iteration + config.rollout_lag, config.iterations))
        wanted = {self._version_for(number, iteration) for number in under_way if config.fixed_lag}
        return {version: self._snapshots[version].clone() for version in sorted(wanted) if version < iteration}

    def _version_for(self, number: int, present: int) -> int:
        """The oldest version that the batch of an iteration may be played with; the present one is always there."""
        oldest = number - self._training.rollout_lag
        return min((version for version in self._snapshots.versions if version >= oldest), default=present)

    def close(self) -> None:
        """Ends the other process; it starts again when it is needed, with the batches that are missing."""
        if self._process is not None:
            self._process.stop()
            self._process = None


class _Player:
    """What the other process does.

    The algorithm is a copy: what it adapts from iteration to iteration does not change what is played or kept.
    """

    def __init__(self, setup: EngineSetup, loaded: list[bytes], training: TrainingConfig, snapshots: Snapshots) -> None:
        self._engine = Engine(setup, pickle.loads(loaded.pop()), scores=False)
        self._parameters = _trained(self._engine.loaded)
        self._algorithm, self._training, self._snapshots = setup.algorithm, training, snapshots

    def __call__(self, iteration: int, version: int) -> Sample | _Failed:
        """Plays the batch of an iteration: with the given version, or where the lag is not fixed the newest."""
        config = self._training
        if not config.fixed_lag:
            version = self._snapshots.versions[-1]
        self._snapshots.give(version, self._parameters)
        self._engine.backend.weights_changed()
        try:
            taken = sample(
                iteration,
                config,
                self._algorithm,
                lambda episodes, purpose: self._engine.play(
                    episodes,
                    config.temperature,
                    sampling_noise(config, purpose, iteration)[0],
                    self._algorithm.demonstrator,
                ),
                self._engine.review,
            )
        except (EpisodesFailedError, JudgeFailedError, ValueError) as error:
            return error
        return replace(taken, policy_version=version)


def _trained(loaded: LoadedModel) -> list[Tensor]:
    return [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
