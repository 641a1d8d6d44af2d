"""A run on the disk: the model, the critic, the optimizer and what the algorithm has adapted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ss_gym.agents import AgentConfig
from ss_gym.agents.checkpoint import CheckpointError, locate, write_manifest
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.backends.models import LoadedModel, write_model
from ss_trainers.checkpoint import TrainerState, read_settings, replaced_folder, write_state
from ss_trainers.config import TrainingConfig, config_from_mapping
from ss_trainers.continual.learning import ContinualLearning
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.critic import ValueNetwork, restore, state_of
from ss_trainers.environments import Environment, recalled
from ss_trainers.populations import Customers, resumed_population

_CRITIC = "critic.safetensors"
# Checkpoints had the name of the class once.
_OLDER = {"GRPO": "grpo"}


class Kept(Protocol):
    """A part of a run with files of its own in checkpoints."""

    def write(self, folder: Path) -> None:
        """Writes them."""
        ...


def write_run(
    folder: str | Path,
    loaded: LoadedModel,
    critic: ValueNetwork | None,
    state: TrainerState,
    agent: AgentConfig,
    provenance: Mapping[str, Any],
    besides: Sequence[Kept] = (),
) -> None:
    """Writes a checkpoint, replacing the folder as a whole.

    Args:
        folder: the checkpoint's.
        loaded: the model and its tokenizer.
        critic: the critic, where there is one.
        state: of the trainer.
        agent: how the model is used.
        provenance: how it came to be.
        besides: what else writes files of its own into it.

    Raises:
        CheckpointError: if it cannot be written; what was there before is intact.
    """
    with replaced_folder(folder) as partial:
        write_model(loaded, partial)
        if critic is not None:
            save_file(state_of(critic), partial / _CRITIC)
        write_state(partial, state)
        for part in besides:
            part.write(partial)
        write_manifest(partial, agent, provenance)


def keep_base(folder: str | Path, base_model: str) -> None:
    """Refuses a folder that holds the model that training began with: a reference and adapters need it.

    Raises:
        CheckpointError: if it does.
    """
    if Path(folder).resolve() == Path(base_model).resolve():
        raise CheckpointError(
            f"'{folder}' holds the model that this run began with: go on with that run itself "
            "(resume), or save to another folder"
        )


def run_settings(
    environment: Mapping[str, Any],
    base_model: str,
    algorithm: PolicyOptimization,
    training: TrainingConfig,
    continual: ContinualLearning,
    population: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What a run is made of, as ``recalled_run`` reads it."""
    return {
        **environment,
        "model": base_model,
        "algorithm": algorithm.name,
        "config": asdict(algorithm.config),
        "training": asdict(training),
        **({"continual": asdict(continual.config)} if continual.active else {}),
        **({} if population is None else {"population": dict(population)}),
    }


class RecalledRun(NamedTuple):
    """What a run was made of, as a trainer takes it.

    Attributes:
        env: the environment.
        model: what training began with.
        algorithm: what is minimised.
        training: the engine's settings.
        options: the trainer's other arguments, by name.
    """

    env: Environment
    model: str
    algorithm: PolicyOptimization
    training: TrainingConfig
    options: Mapping[str, Any]


def recalled_run(
    folder: str | Path,
    env: Environment | None,
    training: Mapping[str, Any] | None,
    population: Customers | None,
) -> RecalledRun:
    """What the run was made of that saved a checkpoint.

    Args:
        folder: the checkpoint.
        env: the environment, in place of the one that the settings name.
        training: settings of the engine that are to change.
        population: of runs that were given one that settings can't name.

    Raises:
        CheckpointError: if the checkpoint is missing or damaged, or something of it is not known here, or not named.
        ValueError: if ``training`` has an unknown or wrong setting, or the population is another.
    """
    settings = read_settings(folder)
    try:
        environment, env_kwargs, env_wrappers = recalled(settings, env)
        algorithm = make_algorithm(_OLDER.get(settings["algorithm"], settings["algorithm"]), settings["config"])
        told = settings.get("continual")
        continual = None if told is None else config_from_mapping(ContinualConfig, told)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint '{folder}' can't be resumed: {error}") from error
    options = {
        "env_kwargs": env_kwargs,
        "env_wrappers": env_wrappers,
        "resume_from": folder,
        "continual": continual,
        "population": resumed_population(settings.get("population"), population, folder),
    }
    engine = config_from_mapping(TrainingConfig, {**settings["training"], **(training or {})})
    return RecalledRun(environment, settings["model"], algorithm, engine, options)


def take_up(
    state: TrainerState,
    folder: str,
    optimizer: torch.optim.Optimizer,
    critic: ValueNetwork | None,
    algorithm: PolicyOptimization,
) -> None:
    """Brings optimizer, critic and algorithm to where a checkpoint has them.

    Weight decay and the proportion of the learning rates stay as they are: a run may go on with others.

    Args:
        state: the checkpoint's.
        folder: where it lies.
        optimizer: of the run that goes on.
        critic: likewise.
        algorithm: likewise.

    Raises:
        CheckpointError: if something is missing or does not fit.
    """
    try:
        kept = ("weight_decay", "rate_factor")
        asked = [{name: group[name] for name in kept if name in group} for group in optimizer.param_groups]
        optimizer.load_state_dict(dict(state.optimizer))
        for group, settings in zip(optimizer.param_groups, asked, strict=True):
            group.update(settings)
        if critic is not None:
            restore(critic, load_file(locate(folder) / _CRITIC))
        algorithm.restore(state.algorithm)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"the training state in '{folder}' does not fit: {error!r:.300}") from error
