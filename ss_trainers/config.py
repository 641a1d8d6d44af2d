"""How to train: the engine's settings, and reading settings from files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from ss_gym.spelling import nearest
from ss_trainers.trackers import TRACKERS

ConfigT = TypeVar("ConfigT")


class TrainingProfile(StrEnum):
    """How much a run may risk; see :meth:`TrainingConfig.from_profile`."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"
    EXPERIMENTAL = "experimental"


_PROFILES: Mapping[TrainingProfile, Mapping[str, Any]] = {
    TrainingProfile.CONSERVATIVE: {"learning_rate": 5e-5, "group_size": 16},
    TrainingProfile.BALANCED: {},
    TrainingProfile.AGGRESSIVE: {"learning_rate": 5e-4, "epochs": 2},
    TrainingProfile.EXPERIMENTAL: {
        "learning_rate": 5e-4,
        "epochs": 2,
        "minibatches": 2,
        "schedule": "cosine",
        "mismatch": "truncate",
        "max_grad_norm": 0.5,
    },
}


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters: the model stays as it is, and small matrices beside it are trained.

    Attributes:
        rank: inner dimension of each adapter.
        alpha: adapters are scaled by ``alpha / rank``.
        target_modules: names of the layers that get one; ``"all-linear"`` takes every linear layer
            but the language-model head.
    """

    rank: int = 16
    alpha: int = 32
    target_modules: str | tuple[str, ...] = "all-linear"

    def __post_init__(self) -> None:
        _refuse_booleans(self)
        _require(self.rank >= 1, f"lora.rank must be at least 1, got {self.rank}")
        _require(self.alpha > 0, f"lora.alpha must be positive, got {self.alpha}")


@dataclass(frozen=True)
class TrainingConfig:
    """The engine: rollouts, batches, optimizer, evaluation and checkpoints.

    What is minimised is the algorithm's own config, such as ``GRPOConfig``.

    Attributes:
        iterations: how many times to roll out and update.
        groups_per_iteration: scenarios that one iteration plays.
        group_size: attempts at each scenario.
        epochs: how often the same episodes are gone through.
        minibatches: optimizer steps of one epoch, each on its share of the episodes.
        learning_rate: AdamW's, at its highest.
        schedule: how the learning rate goes on after the warm-up: stays, or falls to zero along a
            line or half a cosine.
        warmup_iterations: iterations over which the learning rate rises from zero; at most all.
        critic_learning_rate: AdamW's for the critic, where the algorithm has one; that of the policy if None.
        weight_decay: AdamW's, on matrices only.
        max_grad_norm: the gradient is scaled down to this norm where it is longer.
        micro_batch_tokens: most tokens, padding included, that go through the model at once; it
            bounds memory and does not change the gradient.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed:
            a third more work for a fraction of the memory.
        mismatch: what is done where the trainer computes another probability of a token than the sampler
            did: ``"none"``; ``"truncate"`` weighs each token by the ratio of the two, up to
            ``mismatch_cap``; ``"mask"`` leaves out tokens whose ratio is above that. Both cost a forward
            pass more, and ratios are then against the trainer's probabilities.
        mismatch_cap: the greatest weight.
        rollout_lag: how many iterations rollouts may run ahead of the update: another process plays them, with
            its own copy of the model and its own environments, while this one trains. A batch is then played
            with weights that are up to so many iterations old, and the first ones with those that the run
            begins with: give it ``mismatch="truncate"``, for the decoupled objective (Hilton et al. 2021,
            arXiv:2110.00641; AReaL, arXiv:2505.24298). 0 for rollouts and updates in turn, as it must be
            under a launcher.
        fixed_lag: exactly so many iterations, whichever process is the faster: the run can be repeated, and
            resumed exactly. If False, the newest weights that there are when a batch is begun.
        sampler: what samples in rollouts and evaluations: ``"builtin"``, this package's own generator, or ``"vllm"``
            (an extra), an engine of vLLM beside the model, on the same device, that gets its weights after each
            update. It needs one worker, and no launcher.
        sampler_options: those of the sampler, by name: :class:`ss_trainers.backends.vllm.VLLMOptions`. ``dtype`` and
            ``max_context`` follow from the settings of those kinds.
        temperature: of the sampling in rollouts.
        max_new_tokens: most tokens of one completion.
        max_context: most tokens of a conversation; the model's own limit if None. One that is full ends there,
            without success; the instructions are never cut, and must leave room.
        system_prompt: instructions for conversations whose environment brings none.
        train_options: options of ``env.reset`` in training.
        eval_options: options of ``env.reset`` in evaluation, e.g. ``{"split": "dev"}``.
        eval_episodes: episodes of one evaluation.
        eval_every: iterations between evaluations; 0 for none.
        save_every: iterations between checkpoints; 0 for one at the end only.
        seed: of scenarios and sampling. Same seed, ``workers`` and ``threads``: same run on a
            processor. A GPU adds in an order that changes, so there a run repeats nearly, not exactly.
        lora: train adapters instead of the model.
        device: where the model plays and is trained, e.g. ``"cpu"`` or ``"cuda:0"``.
        precision: ``"float32"``, or ``"bfloat16"``: sampling with rounded weights, and matrix products of
            the training in it; the weights that are trained stay in float32. Sampler and trainer then
            disagree in the second digit of a log-probability: see ``mismatch``.
        threads: threads of one process for tensor arithmetic.
        workers: processes of this machine that share the work; under ``torchrun`` or ``accelerate launch``
            their processes do, and this must be 1. More than one needs ``device="cpu"``. They, and
            ``rollout_lag``, need a script whose main part stands under ``if __name__ == "__main__":``.
        parallel_episodes: conversations that one process plays at once.
        output_dir: folder of metrics and checkpoints; nothing is written if None.
        trackers: experiment trackers that the metrics also go to, ``"trackio"`` or ``"wandb"``; each is an
            extra. A run that is resumed in its ``output_dir`` goes on there, too.
    """

    iterations: int = 50
    groups_per_iteration: int = 8
    group_size: int = 8
    epochs: int = 1
    minibatches: int = 1
    learning_rate: float = 2e-4
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_iterations: int = 0
    critic_learning_rate: float | None = None
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 8192
    gradient_checkpointing: bool = False
    mismatch: Literal["none", "truncate", "mask"] = "none"
    mismatch_cap: float = 2.0
    rollout_lag: int = 0
    fixed_lag: bool = True
    sampler: Literal["builtin", "vllm"] = "builtin"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    max_new_tokens: int = 128
    max_context: int | None = None
    system_prompt: str | None = None
    train_options: Mapping[str, Any] = field(default_factory=dict)
    eval_options: Mapping[str, Any] = field(default_factory=dict)
    eval_episodes: int = 100
    eval_every: int = 0
    save_every: int = 0
    seed: int = 0
    lora: LoraSettings | None = None
    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: int = 1
    workers: int = 1
    parallel_episodes: int = 64
    output_dir: str | None = None
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            ValueError: if a value is outside its range; the message names it.
        """
        _refuse_booleans(self)
        for name in (
            "iterations groups_per_iteration group_size epochs minibatches micro_batch_tokens max_new_tokens "
            "eval_episodes threads workers parallel_episodes"
        ).split():
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup_iterations", "weight_decay", "rollout_lag", "eval_every", "save_every"):
            _require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("learning_rate", "critic_learning_rate", "max_grad_norm", "mismatch_cap", "temperature"):
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, f"{name} must be positive, got {value}")
        _require(
            self.warmup_iterations <= self.iterations,
            f"warmup_iterations must be at most iterations, which is {self.iterations}, got {self.warmup_iterations}",
        )
        _require(
            self.max_context is None or self.max_context >= 2,
            f"max_context must have room for a prompt and a reply, at least 2, got {self.max_context}; "
            "leave it out for the model's own limit",
        )
        _require(self.workers == 1 or self.device == "cpu", "several workers share the processor: set device to 'cpu'")
        _require(
            self.sampler == "builtin" or self.workers == 1,
            "several workers would run an engine of vLLM each: set workers to 1, or sampler to 'builtin'",
        )
        _require(
            self.sampler != "builtin" or not self.sampler_options,
            f"the sampler 'builtin' has no options, got {', '.join(self.sampler_options)}",
        )
        _require(not isinstance(self.trackers, str), f"trackers must be a list of names, got {self.trackers!r:.80}")
        for name in self.trackers:
            _require(name in TRACKERS, f"there is no tracker {name!r:.80}; {nearest(name, TRACKERS.keys())}")

    @classmethod
    def from_profile(cls, profile: TrainingProfile | str = "balanced", **changes: Any) -> TrainingConfig:
        """Settings that go together, by how much a run may risk.

        Args:
            profile: ``"conservative"``: small steps, large groups; ``"balanced"``: the defaults;
                ``"aggressive"``: larger steps, several of them on the same episodes; ``"experimental"``:
                the most of both, with what keeps them in check.
            **changes: see ``changed``.

        Raises:
            ValueError: for an unknown profile or setting, or a value that is wrong.
        """
        known = [each.value for each in TrainingProfile]
        if profile not in known:
            raise ValueError(f"there is no profile {profile!r:.80}; {nearest(str(profile), known)}")
        return cls().changed(**{**_PROFILES[TrainingProfile(profile)], **changes})

    def changed(self, **changes: Any) -> TrainingConfig:
        """These settings with others in their place.

        Args:
            **changes: by name; ``num_outer_iterations`` is another name of ``iterations``, and
                ``num_episodes`` asks for as many iterations as play so many episodes.

        Raises:
            ValueError: for an unknown setting, or a value that is wrong.
        """
        values = dict(changes)
        if "num_outer_iterations" in values:
            values["iterations"] = values.pop("num_outer_iterations")
        if "num_episodes" in values:
            wanted = values.pop("num_episodes")
            groups, size = (values.get(name, getattr(self, name)) for name in ("groups_per_iteration", "group_size"))
            if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
                raise ValueError(f"num_episodes must be a whole number of at least 1, got {wanted!r:.80}")
            values["iterations"] = math.ceil(wanted / (groups * size))
        own = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        _check_names(type(self), values, "")
        return config_from_mapping(TrainingConfig, {**own, **values})

    def learning_rate_at(self, iteration: int) -> float:
        """The learning rate of an iteration, counted from 0.

        >>> config = TrainingConfig(iterations=4, learning_rate=1.0, schedule="linear")
        >>> [config.learning_rate_at(iteration) for iteration in range(4)]
        [1.0, 0.75, 0.5, 0.25]
        """
        if iteration < self.warmup_iterations:
            return self.learning_rate * (iteration + 1) / self.warmup_iterations
        remaining = self.iterations - self.warmup_iterations
        done = min((iteration - self.warmup_iterations) / remaining, 1.0) if remaining > 0 else 0.0
        factor = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[self.schedule]
        return self.learning_rate * factor


# Most tokens of one completion, by kind of conversation: what is called and said in one step there.
_TASKS = {"customer_service": 128, "conversation": 192, "sales": 192, "technical_support": 256, "tool_use": 256}


def get_config_for_task(task: str = "customer_service", model_name: str = "tiny", **changes: Any) -> TrainingConfig:
    """The engine's settings for a kind of conversation and a model.

    The tiny model is trained as a whole; any other one by adapters beside it, with fewer tokens at a time.

    Args:
        task: ``"customer_service"``, ``"conversation"``, ``"sales"``, ``"technical_support"`` or ``"tool_use"``.
        model_name: what is to be trained.
        **changes: see :meth:`TrainingConfig.changed`.

    Raises:
        ValueError: for an unknown task or setting, or a value that is wrong.
    """
    if task not in _TASKS:
        raise ValueError(f"there are no settings for the task {task!r:.80}; {nearest(task, _TASKS)}")
    config = TrainingConfig(max_new_tokens=_TASKS[task])
    if model_name != "tiny":
        config = config.changed(lora=LoraSettings(), learning_rate=1e-4, micro_batch_tokens=2048, parallel_episodes=16)
    return config.changed(**changes)


def config_from_mapping(config_class: type[ConfigT], values: Mapping[str, Any], source: str = "") -> ConfigT:
    """A config dataclass from plain values, such as a part of a YAML file.

    Args:
        config_class: the dataclass; its types are checked and, where that loses nothing, converted.
        values: value by field name; what is left out has its default.
        source: where the values come from, for messages.

    Raises:
        ValueError: for an unknown name (the message suggests the nearest), a wrong type or a value
            out of range.
    """
    where = f"{source}: " if source else ""
    _check_names(config_class, values, where)
    _check_booleans(config_class, values, where)
    try:
        return TypeAdapter(config_class).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if isinstance(part, str) and part.isidentifier())
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{where}{place}: {message}" if place else f"{where}{message}") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file; an empty file holds none.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a YAML mapping; the message names the line where it can.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no config file at '{file}'")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"'{file}'{line} is not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"'{file}' must hold settings as 'name: value' lines, not a {type(content).__name__}")
    return content


def _check_names(config_class: type, values: Mapping[str, Any], where: str) -> None:
    known = [entry.name for entry in fields(config_class)]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}unknown setting '{name}' of {config_class.__name__}; {nearest(name, known)}")
    for name, hint in get_type_hints(config_class).items():
        nested = next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), None)
        if isinstance(nested, type) and isinstance(values.get(name), Mapping):
            _check_names(nested, values[name], where)


def _check_booleans(config_class: type, values: Mapping[str, Any], where: str) -> None:
    # They would be read as 1 and 0.
    for name, hint in get_type_hints(config_class).items():
        kinds, value = (hint, *get_args(hint)), values.get(name)
        inside = {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, Mapping) else {}
        if bool not in kinds and (int in kinds or float in kinds):
            for place, entry in (inside or {name: value}).items():
                if isinstance(entry, bool):
                    raise ValueError(f"{where}{place} must be a number, got {entry}")
        nested = next((kind for kind in kinds if is_dataclass(kind)), None)
        if isinstance(nested, type) and isinstance(value, Mapping):
            _check_booleans(nested, value, where)


def _refuse_booleans(config: Any) -> None:
    _check_booleans(type(config), {entry.name: getattr(config, entry.name) for entry in fields(config)}, "")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
