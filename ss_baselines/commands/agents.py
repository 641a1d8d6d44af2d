"""Agents and models as they are named on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from ss_baselines.agents import AGENTS, Agent, load_agent
from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import MANIFEST, read_manifest

# Models that are named by one word; any other model has a slash in its name.
_MODEL_WORDS = ("tiny", "smollm2-135m")
# A run keeps its metrics beside the checkpoint, in the folder that --save names.
CHECKPOINT = "checkpoint"


def choose_agent(name: str, temperature: float | None, seed: int) -> Agent | str:
    """A scripted agent by name, or a model.

    Other single words are not looked for on a model hub, so that a misspelt name is told at once.

    Raises:
        ValueError: if the name is neither.
        CheckpointError: if a checkpoint is damaged.
        FileNotFoundError: if there is no such model.
        ImportError: if a model is asked for and the extra ``train`` is not installed.
    """
    if name in AGENTS:
        return load_agent(name)
    if name in _MODEL_WORDS or "/" in name or Path(name).is_dir():
        return load_model(name, temperature, seed)
    near = get_close_matches(name, [*AGENTS, *_MODEL_WORDS], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join([*AGENTS, *_MODEL_WORDS])}"
    raise ValueError(f"no agent '{name}'; {hint} Models of a hub are written hf://ID.")


def load_model(name: str, temperature: float | None, seed: int) -> MultiTurnAgent:
    """A language model as an agent, ready to answer.

    Args:
        name: as ``AgentConfig.model_name``, or the folder of a run; a checkpoint's settings are kept.
        temperature: of sampling, 0 for the likeliest token; None keeps the checkpoint's, or 1.
        seed: of sampling.

    Raises:
        CheckpointError: if a checkpoint is damaged.
        FileNotFoundError: if there is no such model.
        ImportError: if the extra ``train`` is not installed.
    """
    folder = checkpoint_folder(name)
    config = replace(read_manifest(folder).agent if folder else AgentConfig(model_name=name), seed=seed)
    agent = MultiTurnAgent(config if temperature is None else replace(config, temperature=temperature))
    agent.load()
    return agent


def checkpoint_folder(name: str) -> Path | None:
    """The checkpoint that ``name`` is, or that the run in the folder ``name`` saved; None if neither."""
    candidates = (Path(name), Path(name) / CHECKPOINT)
    return next((folder for folder in candidates if (folder / MANIFEST).is_file()), None)


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
