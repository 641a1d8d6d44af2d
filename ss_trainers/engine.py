"""What one process does of an iteration: it plays episodes, and adds up gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import gymnasium as gym
import torch
from gymnasium.envs.registration import EnvSpec
from torch import Tensor, nn

from ss_gym.agents import AgentConfig, Sampling
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel, load_model
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import Episode, Rollouts, TextEnv, rollout
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch


class Algorithm(Protocol):
    """What is minimised: ``ss_trainers.algorithms`` has the implementations."""

    @property
    def config(self) -> Any:
        """The frozen dataclass of its settings."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether ``loss`` reads the batch's ``reference_logprobs``."""
        ...

    def advantages(self, batch: TokenBatch) -> Tensor:
        """The advantage of every token of a whole batch: (B, T)."""
        ...

    def loss(self, batch: TokenBatch, logprobs: Tensor, counts: BatchCounts | None = None) -> LossOutput:
        """The loss of a micro-batch, normalised by the counts of the whole batch."""
        ...


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is made of, apart from the model; it can be sent to another process.

    Attributes:
        environment: makes one environment: a spec, or a function without arguments.
        env_kwargs: keyword arguments for environments that a spec makes.
        algorithm: what is minimised.
        base_model: where the model that training began with is loaded from: the reference.
        parallel_episodes: conversations that are played at once.
        max_new_tokens: most tokens of one completion.
        max_context: most tokens of a conversation; the model's own limit if None.
        device: where the model is.
        threads: threads of this process for tensor arithmetic.
    """

    environment: EnvSpec | Callable[[], TextEnv]
    env_kwargs: Mapping[str, Any]
    algorithm: Algorithm
    base_model: str
    parallel_episodes: int
    max_new_tokens: int
    max_context: int | None
    device: str
    threads: int


class Engine:
    """Plays episodes with a model, and adds up the gradients of an algorithm's loss.

    Args:
        setup: what it is made of.
        loaded: the model. Its trainable parameters are those that require gradients.
    """

    def __init__(self, setup: EngineSetup, loaded: LoadedModel) -> None:
        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._device = setup.device
        self.loaded = loaded
        self.policy = LanguagePolicy(loaded.model)
        config = AgentConfig(loaded.location, max_new_tokens=setup.max_new_tokens, device=setup.device)
        self.backend = HuggingFaceBackend(loaded.location, config, loaded, setup.max_context)
        self._environments: list[TextEnv] = []
        self._reference = self._reference_policy() if setup.algorithm.needs_reference else None

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that are trained, in the model's order."""
        return [parameter for parameter in self.loaded.model.parameters() if parameter.requires_grad]

    def play(self, episodes: Sequence[Episode], temperature: float, seed: int) -> Rollouts:
        """Plays the episodes.

        Args:
            episodes: what to play.
            temperature: of the sampling; 0 takes the most likely token.
            seed: of the sampling noise.
        """
        if not episodes:
            return Rollouts(())
        while len(self._environments) < min(len(episodes), self._setup.parallel_episodes):
            self._environments.append(self._make())
        self.backend.seed(seed)
        self.backend.set_sampling(Sampling(self._setup.max_new_tokens, temperature))
        return rollout(self.backend, self._environments, episodes)

    def accumulate(
        self, micro_batches: Sequence[TokenBatch], counts: BatchCounts, temperature: float
    ) -> list[LossOutput]:
        """Adds the gradient of the micro-batches' losses to that of the parameters.

        Args:
            micro_batches: with advantages.
            counts: of the whole batch that they were cut from.
            temperature: the one that was sampled with.
        """
        outputs = []
        batches = [batch.to(self._device) for batch in micro_batches]
        with self.policy.prompt_encoded_once(batches):
            for batch in batches:
                if self._reference is not None:
                    with torch.no_grad(), self._without_adapters():
                        batch = replace(batch, reference_logprobs=self._reference.logprobs(batch, temperature))
                output = self._setup.algorithm.loss(batch, self.policy.logprobs(batch, temperature), counts)
                output.loss.backward()  # type: ignore[no-untyped-call]
                outputs.append(replace(output, loss=output.loss.detach()))
        return outputs

    def close(self) -> None:
        """Closes the environments."""
        while self._environments:
            self._environments.pop().close()

    def _make(self) -> TextEnv:
        if isinstance(self._setup.environment, EnvSpec):
            return gym.make(self._setup.environment, disable_env_checker=True, **self._setup.env_kwargs)
        return self._setup.environment()

    def _reference_policy(self) -> LanguagePolicy:
        """The model that training began with: adapters can be switched off, else it is loaded again."""
        if hasattr(self.loaded.model, "disable_adapter"):
            return self.policy
        return LanguagePolicy(load_model(self._setup.base_model, self._device).model)

    def _without_adapters(self) -> AbstractContextManager[None]:
        disable = getattr(self.loaded.model, "disable_adapter", None)
        context: AbstractContextManager[None] = nullcontext() if disable is None else disable()
        return context
