"""Agents and models as they are named on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from ss_baselines.agents import AGENTS, Agent, load_agent
from ss_baselines.agents.sb3 import SCHEME, load_sb3
from ss_baselines.commands.library_logs import held_back
from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.backends import split_model_name
from ss_gym.agents.checkpoint import PREVIOUS_SUFFIX, checkpoint_folder, read_manifest

# Models that are named by one word.
_MODEL_WORDS = ("tiny", "smollm2-135m")
# What may be asked of a hub without saying so. Deeper paths, and those with a dot first, are folders.
_OWNER_AND_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Schemes whose models are loaded here, and so can be trained.
_LOCAL_SCHEMES = ("tiny", "hf")


def choose_agent(name: str, temperature: float | None, seed: int) -> Agent:
    """A scripted agent by name, a model, or a policy over a menu (``sb3://``).

    Raises:
        ValueError: if the name is neither.
        CheckpointError: if a checkpoint is damaged.
        FileNotFoundError: if there is no such model.
        ImportError: if a model is asked for and the extra ``train`` is not installed.
    """
    if name in AGENTS:
        return load_agent(name)
    if name.startswith(SCHEME):
        return load_sb3(name)
    check_model_name(name, tuple(AGENTS))
    return load_model(name, temperature, seed)


def check_model_name(name: str, also: Sequence[str] = ()) -> None:
    """Makes sure that a name can be a model's, before anything is loaded.

    Single words that are neither a model of ours nor a folder are not looked for on a hub, which
    takes most of a minute where there is no network: a misspelt name is told at once.

    Args:
        name: as it was typed.
        also: other names that could have been meant.

    Raises:
        ValueError: if it can't be a model.
        FileNotFoundError: if it can only be a folder, and there is none.
    """
    if name in AGENTS:
        raise ValueError(
            f"'{name}' is a scripted agent: it plays whole episodes, but answers no single message and has no "
            "weights to train; name a model, such as tiny"
        )
    if name in _MODEL_WORDS or "://" in name or _is_there(name) or _OWNER_AND_NAME.fullmatch(name):
        return
    if "/" in name:
        raise FileNotFoundError(f"no model '{name}': there is no such folder")
    known = [*also, *_MODEL_WORDS]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}, and folders."
    raise ValueError(f"no {'agent' if also else 'model'} '{name}'; {hint} Models of a hub are written hf://ID.")


def trained_model(name: str) -> str:
    """The model that a trainer loads: what stands after ``hf://``, or the name itself.

    Raises:
        ValueError: if it can't be a model, or none that can be trained.
        FileNotFoundError: if it can only be a folder, and there is none.
    """
    check_model_name(name)
    scheme, location = split_model_name(name)
    if scheme not in _LOCAL_SCHEMES:
        raise ValueError(f"'{name}' cannot be trained: its weights are not here; give tiny, a folder or hf://ID")
    return location or "tiny"


def load_model(name: str, temperature: float | None, seed: int) -> MultiTurnAgent:
    """A language model as an agent, ready to answer.

    Args:
        name: as ``AgentConfig.model_name``, or the folder of a run; a checkpoint's settings are kept.
        temperature: of sampling, 0 for the likeliest token; None keeps the checkpoint's, or 1.
        seed: of sampling.

    Raises:
        ValueError: if the name can't be a model's.
        CheckpointError: if a checkpoint is damaged.
        FileNotFoundError: if there is no such model.
        ImportError: if the extra ``train`` is not installed.
    """
    check_model_name(name)
    folder = checkpoint_folder(name)
    config = replace(read_manifest(folder).agent if folder else AgentConfig(model_name=name), seed=seed)
    agent = MultiTurnAgent(config if temperature is None else replace(config, temperature=temperature))
    if split_model_name(config.model_name)[0] in _LOCAL_SCHEMES:
        with held_back():
            agent.load()
    else:
        agent.load()
    return agent


def accustomed_prompt(name: str) -> str:
    """The ``prompt`` that a model was trained with; empty if it is not known.

    A model that has only seen compact prompts can make nothing of a page of policy, so this is
    what it gets unless ``--prompt`` says otherwise.
    """
    if name == "tiny":
        return "compact"
    folder = checkpoint_folder(name)
    training = read_manifest(folder).provenance.get("training") if folder else None
    keywords = training.get("env_kwargs", {}) if isinstance(training, Mapping) else {}
    return str(keywords.get("prompt", ""))


def _is_there(name: str) -> bool:
    """Whether a name is a file or folder, or a checkpoint whose replacement was interrupted."""
    return bool(name) and (Path(name).exists() or Path(name + PREVIOUS_SUFFIX).is_dir())
