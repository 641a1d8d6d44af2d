"""Trains an offline algorithm on conversations, and makes an agent of it that speaks."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from rich.console import Console
from torch import Tensor

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CHECKPOINT
from ss_gym.datasets import ConversationDataset
from ss_trainers import causal_lm
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import (
    LoadedModel,
    check_device,
    lasting_location,
    load_model,
    merged,
    weights_fingerprint,
)
from ss_trainers.chat import ChatFormat
from ss_trainers.functional.expectiles import advantage_weights
from ss_trainers.generation import Generator
from ss_trainers.offline.decision_transformer import DecisionTransformerConfig
from ss_trainers.offline.learner import Examples, Setup, Updating
from ss_trainers.offline.loop import Updates
from ss_trainers.offline.registry import name_of
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining, hidden_sizes
from ss_trainers.offline.transitions import Spaces
from ss_trainers.offline_text.backend import RerankingBackend, reply_ends
from ss_trainers.offline_text.candidates import Proposer
from ss_trainers.offline_text.chooser import CriticsChoice
from ss_trainers.offline_text.cloning import CloningLearner, ConversationExamples
from ss_trainers.offline_text.conditioning import ReturnBuckets, with_control_tokens
from ss_trainers.offline_text.examples import CandidateBatch, CandidateExamples, FeatureScaling, Support
from ss_trainers.offline_text.guidance import CriticsGuidance
from ss_trainers.offline_text.logged_experience import LoggedExperience, experience_of
from ss_trainers.offline_text.reading import StepColumns, read_log
from ss_trainers.offline_text.recipes import RECIPES, CandidateCritic, GuidingCritic, TextRecipe
from ss_trainers.offline_text.settings import TextTraining
from ss_trainers.offline_text.stages import Stages
from ss_trainers.offline_text.token_log import LoggedTokens, TokenLog
from ss_trainers.offline_text.token_rows import TokenColumns, TokenExamples, read_tokens
from ss_trainers.token_sampling import SamplingSettings

_LOGGER = logging.getLogger(__name__)

# Settings that the model's weights depend on, and those that its proposals do besides.
_CLONING = ("model", "epochs", "max_updates", "batch_size", "learning_rate", "lora", "max_context")
_PROPOSING = ("candidates", "max_new_tokens", "proposal_temperature")
# The greatest weight of an action that is cloned, of those that a chooser weighs.
_WEIGHT_CAP = 20.0

BatchT = TypeVar("BatchT")
CriticT = TypeVar("CriticT", bound=CandidateCritic)


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What stages leave to those after them.

    Attributes:
        about: all that the clone depends on.
        part: the conversations that critics learn from.
        behavior: the model of the log's policy.
        advantages: float (S,); how much better each step was than usual, where a critic tells.
    """

    about: Mapping[str, Any]
    part: TokenLog
    behavior: LoadedModel
    advantages: Tensor | None


class ConversationTrainer:
    """Trains an offline algorithm on a log of conversations.

    A run has stages, each of which is kept in a folder of ``output_dir``: the language model is cloned from the log; it
    reads the log and proposes what it would have said; a critic learns from that. The same run in the same folder goes
    on exactly (on a processor) where it was left, and other algorithms share the stages that they have in common.

    Args:
        config: of the algorithm, such as ``CQLConfig()``. ``num_epochs`` counts the critic's.
        training: the engine's settings; ``batch_size``, ``max_updates`` and ``hidden_layers`` are the critic's.
        text: those of the language model.
        console: where progress bars are drawn; none if None.

    Attributes:
        config: as above.
        training: as above.
        text: as above.

    Raises:
        ValueError: if there is no such device, or control tokens are to be learnt by adapters or from successes alone.
    """

    def __init__(
        self,
        config: OfflineConfig,
        training: OfflineTraining | None = None,
        text: TextTraining | None = None,
        console: Console | None = None,
    ) -> None:
        self.config, self.training, self.text = config, training or OfflineTraining(), text or TextTraining()
        check_device(self.training.device)
        self._device = torch.device(self.training.device)
        self._recipe: TextRecipe = RECIPES[name_of(config)]
        if self._recipe.conditioned and self.text.lora is not None:
            raise ValueError(
                f"{type(config).__name__} asks by control tokens, which begin all alike and which adapters do not "
                "learn: set TextTraining.lora to None"
            )
        if self._recipe.conditioned and self.text.clone != "all":
            raise ValueError(
                f"{type(config).__name__} learns what was said for high returns and for low ones alike: set "
                "TextTraining.clone to 'all'"
            )
        if unheeded := self._recipe.unheeded(config):
            _LOGGER.warning(
                "%s.%s: without effect on conversations, where the language model's settings are those of TextTraining",
                type(config).__name__,
                ", ".join(unheeded),
            )
        self._stages = Stages(self.training, console)
        self._updates: Updates | None = None
        self._loaded: LoadedModel | None = None
        self._buckets: ReturnBuckets | None = None
        self._choice: CriticsChoice | None = None
        self._guidance: CriticsGuidance | None = None
        self._learnt: _Learnt | None = None

    def train(self, dataset: ConversationDataset) -> Self:
        """Goes through the stages that are not done yet.

        Raises:
            CheckpointError: if what is kept of a stage is damaged, or it can't be written.
            FloatingPointError: if a metric is not finite any more.
            FileNotFoundError: if there is no such model.
            KeyboardInterrupt: after Ctrl-C, once what was done is kept.
            ValueError: if the algorithm can't learn from such a log, or what is kept is of another log or settings.
        """
        loaded = self._base_model()
        log = self._encoded(dataset, loaded)
        cloned = log.successes() if self.text.clone == "successes" else log
        made_of = {"log": cloned.fingerprint, "weights": weights_fingerprint(loaded.model)}
        about = {**made_of, "seed": self.training.seed, **self._told(*_CLONING)}
        if self._recipe.conditioned:
            self._buckets = ReturnBuckets.of(log, loaded, self.text.return_buckets, self.config.gamma)
            told = {**about, **self._told("return_buckets"), "gamma": self.config.gamma}
            loaded = self._cloned("conditioned", told, loaded, log)
        else:
            loaded = self._cloned("clone", about, loaded, cloned)
            about |= {"whole_log": log.fingerprint} if cloned is not log else {}
        part, behavior, advantages = self._part(log), loaded, None
        if self._recipe.chooser is not None:
            columns = self._read(about, loaded, part)
            critic, scaling, examples = self._criticised(about, columns, self._recipe.chooser)
            hidden = hidden_sizes(self.config, self.training)
            margin = self.text.support_margin
            self._choice = CriticsChoice(self.config, hidden, critic, scaling, margin, self._device)
            advantages = self._of_steps(critic.advantages, examples)
        if self._recipe.weigher is not None:
            columns = self._read(about, loaded, part)
            weigher, _, examples = self._criticised(about, columns, self._recipe.weigher)
            loaded = self._weighed(about, part, behavior, self._of_steps(weigher.weights, examples))
            advantages = self._of_steps(weigher.advantages, examples)
        if self._recipe.guide is not None:
            self._guidance, advantages = self._guided(about, loaded, part, self._recipe.guide)
        self._loaded, self._learnt = loaded, _Learnt(about, part, behavior, advantages)
        if self.training.output_dir is not None:
            self.agent().save(Path(self.training.output_dir) / CHECKPOINT)
        return self

    def agent(self, target_return: float | None = None) -> MultiTurnAgent:
        """An agent that does what was learnt; it takes the likeliest tokens, or the best of what it draws.

        Args:
            target_return: what it is to earn from each step on, of an algorithm that asks for it; if None, that of
                its config, or as much as the best steps of the log.

        Raises:
            RuntimeError: if nothing was learnt yet.
            TypeError: if the algorithm does not ask for a return.
        """
        if self._loaded is None:
            raise RuntimeError("there is no agent yet: call train(dataset) first")
        if target_return is not None and self._buckets is None:
            raise TypeError(f"an agent of {type(self.config).__name__} can't be asked for a return")
        options: dict[str, Any] = {}
        if self.text.max_context is not None:
            options["max_context"] = self.text.max_context
        if self._buckets is not None:
            options["turn_prefix"] = self._buckets.token_of(self._target if target_return is None else target_return)
        config = AgentConfig(
            self.text.model if self._choice is None and self._guidance is None else "offline://",
            self.text.max_new_tokens,
            temperature=0.0 if self._choice is None else self.text.proposal_temperature,
            backend_options=options,
            device=self.training.device,
            seed=self.training.seed,
        )
        agent = MultiTurnAgent(config, self._backend(config, self._loaded))
        base = lasting_location(self.text.model)
        told = {"algorithm": name_of(self.config), "base_model": base, **self._settings()}
        agent.provenance = {**told, "config": asdict(self.config)}
        return agent

    def actor(self) -> LoadedModel:
        """A language model that does by itself what was learnt, to be trained further.

        Where a critic chooses among candidates or guides the model, that is cloned once more, from the actions that the
        critic finds better than usual the more: advantage-weighted regression, Peng et al. 2019, arXiv:1910.00177.
        Where it is told what to earn, its chat template asks for what ``agent`` would.

        Raises:
            RuntimeError: if nothing was learnt yet.
        """
        learnt, loaded = self._done()
        if self._recipe.weigher is None and learnt.advantages is not None:
            scaled = learnt.advantages / learnt.advantages.std(correction=0).clamp(min=1e-6)
            weights = advantage_weights(scaled, 1.0, _WEIGHT_CAP)
            loaded = self._weighed(learnt.about, learnt.part, learnt.behavior, weights)
        if self._buckets is not None:
            asked = self._buckets.token_of(self._target)
            tokenizer = copy.deepcopy(loaded.tokenizer)  # the agent has the same, and asks by itself
            template = ChatFormat(tokenizer).template
            tokenizer.chat_template = template + "{%- if add_generation_prompt %}" + asked + "{%- endif %}"
            loaded = replace(loaded, tokenizer=tokenizer)
        return loaded

    def experience(self) -> LoggedExperience:
        """The conversations that were learnt from, for an algorithm that goes on from ``actor``.

        Advantages are the critic's, of tokens added up over each step; without one, how much more a conversation earned
        than the mean. The policy that played them is the log's own where it tells log-probabilities, else the cloned
        model.

        Raises:
            RuntimeError: if nothing was learnt yet.
        """
        learnt, _ = self._done()
        advantages, most = learnt.advantages, self.text.micro_batch_tokens
        if advantages is None:
            earned = [float(each.rewards.sum()) for each in learnt.part for _ in each.actions]
            advantages = torch.tensor(earned)
        given = (learnt.part, advantages, learnt.behavior, most)
        if self._buckets is None:
            return experience_of(*given)
        return experience_of(*given, read=self._buckets.written, written=self._buckets.asked)

    @property
    def updates(self) -> int:
        """How many updates the last stage has done: the critic's, or the language model's where that comes last."""
        return 0 if self._updates is None else self._updates.done

    @property
    def _target(self) -> float | None:
        return self.config.target_return if isinstance(self.config, DecisionTransformerConfig) else None

    def _done(self) -> tuple[_Learnt, LoadedModel]:
        if self._loaded is None or self._learnt is None:
            raise RuntimeError("nothing has been learnt yet: call train(dataset) first")
        return self._learnt, self._loaded

    def _backend(self, config: AgentConfig, loaded: LoadedModel) -> Any:
        if self._choice is None:
            return HuggingFaceBackend("", config, loaded, guidance=self._guidance)
        return RerankingBackend(loaded, self._choice, self.text.candidates, config)

    def _base_model(self) -> LoadedModel:
        loaded = merged(load_model(self.text.model, self.training.device))
        return with_control_tokens(loaded, self.text.return_buckets) if self._recipe.conditioned else loaded

    def _encoded(self, dataset: ConversationDataset, loaded: LoadedModel) -> TokenLog:
        """The log in the model's tokens, if the algorithm can learn from it."""
        prefix = (len(loaded.tokenizer) - 1,) if self._recipe.conditioned else ()
        model = causal_lm.underlying(loaded.model)
        limit, rows = causal_lm.context_length(model), int(causal_lm.head_of(model).weight.shape[0])
        most = limit if self.text.max_context is None else min(limit, self.text.max_context)
        log = TokenLog.of(dataset, ChatFormat(loaded.tokenizer, prefix), most, rows)
        if log.skipped:
            _LOGGER.warning("left out of %d conversations: %s", len(dataset), log.told_skipped)
        if self._recipe != TextRecipe():
            log.check_rewards(type(self.config).__name__)
        return log

    def _part(self, log: TokenLog) -> TokenLog:
        """The conversations that critics learn from."""
        most = self.text.critic_conversations
        if most is None or most >= len(log):
            return log
        order = torch.randperm(len(log), generator=torch.Generator().manual_seed(self.training.seed))
        return log.part(sorted(order[:most].tolist()))

    def _cloned(
        self,
        name: str,
        about: Mapping[str, Any],
        loaded: LoadedModel,
        log: TokenLog,
        weights: Tensor | None = None,
    ) -> LoadedModel:
        """The model after it has learnt from the log."""
        written = LoggedTokens.trajectory if self._buckets is None else self._buckets.written
        examples = ConversationExamples(log, self._device, weights, written)
        updates = Updates(self.training.seed, self.text.batch_size, self._device)
        total = updates.of_epochs(len(log), self.text.epochs, self.text.max_updates)
        self._updates = updates
        learner = CloningLearner(loaded, self.text, total, self.training.seed)
        self._stages.learnt(name, about, learner, examples, updates, total, self._noise())
        learner.loaded.model.requires_grad_(False)
        return learner.loaded

    def _read(self, about: Mapping[str, Any], loaded: LoadedModel, log: TokenLog) -> StepColumns:
        """The log as the model reads it, with what it would have said where candidates are asked for."""

        def make() -> dict[str, Tensor]:
            most, temperature = self.text.max_new_tokens, self.text.proposal_temperature
            settings = SamplingSettings(reply_ends(loaded), most, temperature, own_logprobs=True)
            noise = torch.Generator().manual_seed(self.training.seed)
            generator = Generator(loaded.model, settings, max_context=self.text.max_context, rng=noise)
            proposer = Proposer(generator, self.text.candidates) if proposing else None
            with self._stages.progress("reading", len(log)) as progress:
                return read_log(log, generator, proposer, progress).tensors()

        proposing = self._recipe.chooser is not None
        told = {**about, **self._told("critic_conversations", *(_PROPOSING if proposing else ()))}
        columns = StepColumns(**self._stages.made("proposals" if proposing else "reading", told, make))
        if proposing and not (columns.candidate_mask.sum(1) > 1).any():
            _LOGGER.warning(
                "the model proposes a single reply in each state of the log, so there is nothing to choose among: "
                "draw more candidates, or log agents that differ"
            )
        return columns

    def _criticised(
        self, about: Mapping[str, Any], columns: StepColumns, make: Callable[[Any, Setup], CriticT]
    ) -> tuple[CriticT, FeatureScaling, CandidateExamples]:
        """The critic, how hidden states are scaled for it, and what it has learnt from."""
        training, scaling = self.training, FeatureScaling.of(columns)
        support = Support.of(self.config, self.text.support_margin)
        examples = CandidateExamples(columns, scaling, support, training.reward_scale, self._device)
        size = columns.states.shape[1]
        critic = make(self.config, self._setup(Spaces(size, size, False)))
        told = {**about, **self._told("critic_conversations", "support_margin", *_PROPOSING)}
        self._learn(told, critic, examples, training.batch_size, len(columns.last) / int(columns.last.sum()))
        return critic, scaling, examples

    def _guided(
        self, about: Mapping[str, Any], loaded: LoadedModel, log: TokenLog, make: Callable[[Any, Setup], GuidingCritic]
    ) -> tuple[CriticsGuidance, Tensor]:
        """What guides the model, and how much better each step was than usual, (S,)."""

        def read() -> dict[str, Tensor]:
            with self._stages.progress("reading", len(log)) as progress:
                return read_tokens(log, loaded, self.text.micro_batch_tokens, progress).tensors()

        told = {**about, **self._told("critic_conversations")}
        columns = TokenColumns(**self._stages.made("tokens", told, read))
        scaling = FeatureScaling.across(columns.states)
        examples = TokenExamples(columns, scaling, self.training.reward_scale, self._device)
        vocabulary = causal_lm.head_of(causal_lm.underlying(loaded.model)).weight.shape[0]
        critic = make(self.config, self._setup(Spaces(columns.states.shape[1], vocabulary, True)))
        # Whole conversations, as many as have a batch's steps on average.
        size = max(1, round(self.training.batch_size * len(log) / log.steps))
        # The form of the loss; what is kept of another can't be gone on with.
        self._learn({**told, "pull": "others"}, critic, examples, size, len(columns.tokens) / len(log))
        batches = examples.batches(torch.arange(len(examples), device=self._device), size)
        advantages = columns.summed(torch.cat([critic.advantages(batch) for batch in batches]).cpu())
        hidden = hidden_sizes(self.config, self.training)
        return CriticsGuidance(self.config, hidden, critic, scaling.to(self._device), vocabulary), advantages

    def _learn(
        self, told: Mapping[str, Any], critic: Updating[BatchT], examples: Examples[BatchT], size: int, length: float
    ) -> None:
        """The updates of a critic, each from so many examples; a conversation has ``length`` values on average."""
        updates = Updates(self.training.seed, size, self._device)
        total = updates.of_epochs(len(examples), self.config.num_epochs, self.training.max_updates)
        self._updates = updates
        rate = getattr(self.config, "target_rate", 1.0)
        reach = total * rate
        # The last step is told of its reward without any bootstrapping.
        if self.config.gamma > 0 and reach < length - 1:
            _LOGGER.warning(
                "in %d updates at a target_rate of %g rewards come back about %.1f %s, and conversations have %.1f on "
                "average: raise num_epochs or target_rate, else what comes first in them is valued by chance",
                total,
                rate,
                reach,
                "tokens" if self._recipe.guide is not None else "steps",
                length,
            )
        about = {**told, **self._settings()}
        self._stages.learnt(f"critic-{name_of(self.config)}", about, critic, examples, updates, total, self._noise())

    def _of_steps(self, figure: Callable[[CandidateBatch], Tensor], examples: CandidateExamples) -> Tensor:
        """What a critic says of each step, (S,), on the processor."""
        batches = examples.batches(torch.arange(len(examples), device=self._device), self.training.batch_size)
        return torch.cat([figure(batch) for batch in batches]).cpu()

    def _weighed(self, about: Mapping[str, Any], part: TokenLog, behavior: LoadedModel, weights: Tensor) -> LoadedModel:
        """The cloned model after it has learnt what critics have learnt from once more, as much as steps weigh."""
        start = merged(replace(behavior, model=copy.deepcopy(behavior.model)))
        told = {**about, **self._told("critic_conversations", "support_margin", *_PROPOSING), **self._settings()}
        return self._cloned(f"policy-{name_of(self.config)}", told, start, part, weights)

    def _setup(self, spaces: Spaces) -> Setup:
        initial = torch.Generator().manual_seed(self.training.seed)
        hidden, scale = hidden_sizes(self.config, self.training), self.training.reward_scale
        return Setup(spaces, hidden, initial, self._noise(), self._device, scale)

    def _noise(self) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(self.training.seed)

    def _told(self, *names: str) -> dict[str, Any]:
        """Settings of the language model by name."""
        settings = asdict(self.text)
        return {name: settings[name] for name in names}

    def _settings(self) -> dict[str, Any]:
        """What a critic depends on beside the log as it was read."""
        engine, config = ("batch_size", "hidden_layers", "max_updates", "reward_scale"), asdict(self.config)
        return {
            "algorithm": name_of(self.config),
            "config": {name: value for name, value in config.items() if name not in self._recipe.free},
            "engine": {name: getattr(self.training, name) for name in engine},
        }
