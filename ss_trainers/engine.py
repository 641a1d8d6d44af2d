"""What one process does of an iteration: it plays episodes, and adds up gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Self

import gymnasium as gym
import torch
from gymnasium.envs.registration import EnvSpec
from torch import Tensor, nn

from ss_gym.agents import AgentConfig, Sampling
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization, Reviewed
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel, load_model
from ss_trainers.collate import collate
from ss_trainers.config import TrainingConfig
from ss_trainers.continual.holding import PreviousPolicy
from ss_trainers.critic import Critic, ValueNetwork, trainable
from ss_trainers.demonstrations import DemonstrationPlayer, Demonstrator, load_demonstrator
from ss_trainers.functional.continual import diagonal_fisher
from ss_trainers.policy import LanguagePolicy
from ss_trainers.rollout import Episode, Rollouts, TextEnv, rollout
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch

if TYPE_CHECKING:
    from ss_trainers.backends.vllm import VLLMBackend


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
        precision: what matrix products are computed in.
        threads: threads of this process for tensor arithmetic.
        system_prompt: for conversations whose environment brings none.
        gradient_checkpointing: whether layers are computed again in the backward pass.
        sampler: what samples: ``"builtin"`` or ``"vllm"``.
        sampler_options: those of the sampler.
        continual_kl_beta: what it costs to say something else than the policy did before the task.
    """

    environment: EnvSpec | Callable[[], TextEnv]
    env_kwargs: Mapping[str, Any]
    algorithm: PolicyOptimization
    base_model: str
    parallel_episodes: int
    max_new_tokens: int
    max_context: int | None
    device: str
    precision: Literal["float32", "bfloat16"]
    threads: int
    system_prompt: str | None = None
    gradient_checkpointing: bool = False
    sampler: Literal["builtin", "vllm"] = "builtin"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    continual_kl_beta: float = 0.0

    @classmethod
    def of(
        cls,
        training: TrainingConfig,
        device: str,
        environment: EnvSpec | Callable[[], TextEnv],
        env_kwargs: Mapping[str, Any],
        algorithm: PolicyOptimization,
        base_model: str,
        continual_kl_beta: float = 0.0,
    ) -> Self:
        """The engine that settings ask for, on this process's own device; see the attributes."""
        return cls(
            environment=environment,
            env_kwargs=env_kwargs,
            algorithm=algorithm,
            base_model=base_model,
            parallel_episodes=training.parallel_episodes,
            max_new_tokens=training.max_new_tokens,
            max_context=training.max_context,
            device=device,
            precision=training.precision,
            threads=training.threads,
            system_prompt=training.system_prompt,
            gradient_checkpointing=training.gradient_checkpointing,
            sampler=training.sampler,
            sampler_options=training.sampler_options,
            continual_kl_beta=continual_kl_beta,
        )


class Engine:
    """Plays episodes with a model, and adds up the gradients of an algorithm's loss.

    Args:
        setup: what it is made of.
        loaded: the model. Its trainable parameters are those that require gradients.
        critic: the network of the critic, for algorithms that need one.
        scores: whether it scores and trains, too; one that only plays needs no reference.
    """

    def __init__(
        self, setup: EngineSetup, loaded: LoadedModel, critic: ValueNetwork | None = None, scores: bool = True
    ) -> None:
        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._device = setup.device
        self.loaded = loaded
        self.policy = LanguagePolicy(loaded.model, setup.gradient_checkpointing)
        self._critic = None if critic is None else Critic(critic, setup.gradient_checkpointing)
        self._vllm = _vllm(setup, loaded) if setup.sampler == "vllm" else None
        self.backend = self._vllm or _builtin(setup, loaded)
        self._environments: list[TextEnv] = []
        self._demonstrators: dict[str, Demonstrator] = {}
        self._reference = self._reference_policy() if scores and setup.algorithm.needs_reference else None
        self._previous: PreviousPolicy | None = None

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that are trained, in the model's order, and the critic's."""
        policy = [parameter for parameter in self.loaded.model.parameters() if parameter.requires_grad]
        return policy + trainable(self._critic.network if self._critic is not None else None)

    def play(
        self, episodes: Sequence[Episode], temperature: float, seed: int, demonstrator: str | None = None
    ) -> Rollouts:
        """Plays the episodes.

        Args:
            episodes: what to play.
            temperature: of the sampling; 0 takes the most likely token.
            seed: of the sampling noise.
            demonstrator: who plays, by name; the policy if None.
        """
        if not episodes:
            return Rollouts(())
        while len(self._environments) < min(len(episodes), self._setup.parallel_episodes):
            self._environments.append(self._make())
        self.backend.seed(seed)
        self.backend.set_sampling(Sampling(self._setup.max_new_tokens, temperature))
        player = self.backend if demonstrator is None else self._demonstrating(demonstrator)
        return rollout(player, self._environments, episodes, self._setup.system_prompt)

    def review(self, trajectories: tuple[MultiTurnTrajectory, ...]) -> Reviewed:
        """What the algorithm makes of episodes before they become a batch."""
        return self._setup.algorithm.reviewed(trajectories, self.backend.chat, self.backend.max_context)

    def _demonstrating(self, demonstrator: str) -> DemonstrationPlayer:
        if demonstrator not in self._demonstrators:
            self._demonstrators[demonstrator] = load_demonstrator(demonstrator)
        return DemonstrationPlayer(self._demonstrators[demonstrator], self.backend.chat, self.backend.max_context)

    @torch.no_grad()
    def score(
        self, micro_batches: Sequence[TokenBatch], temperature: float, wanted: Collection[str]
    ) -> list[dict[str, Tensor]]:
        """What is to be known of micro-batches before the update.

        Args:
            micro_batches: rows to score.
            temperature: the one that was sampled with.
            wanted: names of fields: ``old_logprobs``, ``reference_logprobs``, ``values``.

        Returns:
            for each micro-batch the fields, float (B, T) each, on the processor.
        """
        with self._computing():
            return [
                {name: self._score(name, batch, temperature).cpu() for name in wanted}
                for batch in (batch.to(self._device) for batch in micro_batches)
            ]

    def _score(self, name: str, batch: TokenBatch, temperature: float) -> Tensor:
        if name == "old_logprobs":
            return self.policy.logprobs(batch, temperature)
        if name == "values":
            assert self._critic is not None
            return self._critic.values(batch)
        assert self._reference is not None
        with self._without_adapters():
            return self._reference.logprobs(batch, temperature)

    def accumulate(
        self, micro_batches: Sequence[TokenBatch], counts: BatchCounts, temperature: float, critic_only: bool = False
    ) -> list[LossOutput]:
        """Adds the gradient of the micro-batches' losses to that of the parameters.

        Args:
            micro_batches: prepared by the algorithm.
            counts: of the whole batch that they were cut from.
            temperature: the one that was sampled with.
            critic_only: leave the policy as it is.
        """
        outputs = []
        batches = [batch.to(self._device) for batch in micro_batches]
        with ExitStack() as prompts:
            with self._computing():
                if not critic_only:
                    prompts.enter_context(self.policy.prompt_encoded_once(batches))
                if self._critic is not None:
                    prompts.enter_context(self._critic.prompt_encoded_once(batches))
            for batch in batches:
                with self._computing():
                    hidden = None if critic_only else self.policy.hidden_states(batch)
                    logprobs = None if hidden is None else self.policy.logprobs_of(hidden, batch, temperature)
                    values = None if self._critic is None else self._critic.values(batch)
                output = self._setup.algorithm.loss(batch, logprobs, counts, values)
                if self._previous is not None and hidden is not None:
                    output = self._held(output, self._previous, hidden, batch, counts)
                output.loss.backward()  # type: ignore[no-untyped-call]
                outputs.append(replace(output, loss=output.loss.detach()))
        return outputs

    def _held(
        self, output: LossOutput, previous: PreviousPolicy, hidden: Tensor, batch: TokenBatch, counts: BatchCounts
    ) -> LossOutput:
        """The loss with the price of saying something else than an earlier policy."""
        with self._computing():
            price = previous.price(self.policy, hidden, batch, self._setup.continual_kl_beta, counts.tokens)
        return LossOutput(output.loss + price, {**output.metrics, "lwf_loss": price.item()})

    def hold(self, weights: Tensor) -> None:
        """Keeps a copy of the policy, with these weights, that the policy is held to from now on.

        Args:
            weights: float32 (N,), of the trainable parameters, one after the other.
        """
        self._previous = PreviousPolicy(self.loaded.model, weights)

    def fisher(self, trajectories: Sequence[MultiTurnTrajectory], temperature: float) -> list[Tensor]:
        """How much each trained parameter of the policy mattered to what it said: :func:`diagonal_fisher`.

        Args:
            trajectories: each a sample; what the policy as it is now has played.
            temperature: the one that was sampled with.
        """
        parameters = [parameter for parameter in self.loaded.model.parameters() if parameter.requires_grad]

        def gradients() -> Iterator[Sequence[Tensor]]:
            for trajectory in trajectories:
                batch = collate([trajectory], share_prefix=False).to(self._device)
                with self._computing():
                    said = self.policy.logprobs(batch, temperature).sum()
                yield torch.autograd.grad(said, parameters, materialize_grads=True)

        return diagonal_fisher(gradients())

    def _computing(self) -> AbstractContextManager[None]:
        """Where matrix products are computed in the precision that was asked for."""
        if self._setup.precision == "float32":
            return nullcontext()
        context: AbstractContextManager[None] = torch.autocast(torch.device(self._device).type, torch.bfloat16)
        return context

    def close(self) -> None:
        """Closes the environments, and ends an engine that samples; they start again when they are needed."""
        if self._vllm is not None:
            self._vllm.shutdown()
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


def check_sampler(sampler: str) -> None:
    """Refuses a sampler whose package is not installed; imports none.

    Raises:
        ImportError: if it is missing; the message names the extra.
    """
    if sampler == "vllm" and find_spec("vllm") is None:
        raise ImportError(
            "the sampler 'vllm' is not installed: pip install 'stateset-gym[vllm]', or set sampler to 'builtin'"
        )


def _builtin(setup: EngineSetup, loaded: LoadedModel) -> HuggingFaceBackend:
    config = AgentConfig(loaded.location, max_new_tokens=setup.max_new_tokens, device=setup.device)
    dtype = torch.bfloat16 if setup.precision == "bfloat16" else None
    return HuggingFaceBackend(loaded.location, config, loaded, setup.max_context, dtype)


def _vllm(setup: EngineSetup, loaded: LoadedModel) -> VLLMBackend:
    from ss_trainers.backends.vllm import VLLMBackend  # takes seconds, and is not installed everywhere

    options = {"dtype": setup.precision, "max_context": setup.max_context, **setup.sampler_options}
    config = AgentConfig(f"vllm://{loaded.location}", max_new_tokens=setup.max_new_tokens, backend_options=options)
    return VLLMBackend(loaded.location, config, loaded)
