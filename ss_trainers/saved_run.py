"""A run on the disk: the model, the critic, the optimizer and what the algorithm has adapted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ss_gym.agents import AgentConfig
from ss_gym.agents.checkpoint import CheckpointError, locate, write_manifest
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.backends.models import LoadedModel, write_model
from ss_trainers.checkpoint import TrainerState, replaced_folder, write_state
from ss_trainers.critic import ValueNetwork, restore, state_of

_CRITIC = "critic.safetensors"


def write_run(
    folder: str | Path,
    loaded: LoadedModel,
    critic: ValueNetwork | None,
    state: TrainerState,
    agent: AgentConfig,
    provenance: Mapping[str, Any],
) -> None:
    """Writes a checkpoint, replacing the folder as a whole.

    Args:
        folder: the checkpoint's.
        loaded: the model and its tokenizer.
        critic: the critic, where there is one.
        state: of the trainer.
        agent: how the model is used.
        provenance: how it came to be.

    Raises:
        CheckpointError: if it cannot be written; what was there before is intact.
    """
    with replaced_folder(folder) as partial:
        write_model(loaded, partial)
        if critic is not None:
            save_file(state_of(critic), partial / _CRITIC)
        write_state(partial, state)
        write_manifest(partial, agent, provenance)


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
