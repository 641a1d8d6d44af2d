"""Training in one call: an agent, an environment and a reward in, a trained agent out."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rich.console import Console

from ss_gym.agents import MultiTurnAgent
from ss_gym.agents.backends import read_options
from ss_gym.agents.checkpoint import checkpoint_folder
from ss_gym.rewards import RewardFunction
from ss_gym.wrappers import RewardWrapper
from ss_trainers.algorithms.registry import algorithm_class, make_algorithm
from ss_trainers.algorithms.settings import AlgorithmConfig, Recipe
from ss_trainers.backends.huggingface import HuggingFaceOptions
from ss_trainers.backends.token_backend import TokenBackend
from ss_trainers.checkpoint import read_settings
from ss_trainers.config import TrainingConfig, TrainingProfile, config_from_mapping
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.environments import Environment, spec_of
from ss_trainers.populations import Customers
from ss_trainers.rollout import TextEnv
from ss_trainers.trainer import Trainer

Rewarding = RewardFunction | Callable[..., Any]
ResultT = TypeVar("ResultT")


async def train(
    agent: MultiTurnAgent,
    environment: TextEnv | Environment,
    reward_fn: Rewarding | None = None,
    num_episodes: int | None = None,
    profile: TrainingProfile | str = TrainingProfile.BALANCED,
    save_path: str | Path | None = None,
    resume_from_checkpoint: str | Path | None = None,
    config_overrides: Mapping[str, Any] | None = None,
    *,
    algorithm: str | None = None,
    population: Customers | None = None,
    console: Console | None = None,
) -> MultiTurnAgent:
    """Trains an agent in an environment, in a thread.

    The agent that was given stays as it is. Whether a conversation has one turn or many is for the
    environment to say. A task that is cancelled leaves a checkpoint in ``save_path`` first.

    Args:
        agent: what training begins with, and how it samples; its model must be one that runs here.
        environment: one, which is copied, or an id, a spec or a function that makes one.
        reward_fn: rewards what was said, in place of the environment's own reward, where there is one.
        num_episodes: about how many to play in all; as many as the settings say if None.
        profile: see :meth:`TrainingConfig.from_profile`; not of a run that goes on.
        save_path: folder of the run: metrics, and the checkpoint in ``checkpoint/``.
        resume_from_checkpoint: a run or checkpoint to go on from, with the settings that it has but for those
            of the engine in ``config_overrides`` and ``num_episodes``.
        config_overrides: settings of the engine (``TrainingConfig``), of the algorithm and of continual learning
            (``ContinualConfig``), by name.
        algorithm: by its name in ``ss_trainers.algorithms.registry``; GRPO if None.
        population: whom the agent meets in training, or its settings (``make_population``); who the seed draws if None.
            A run that goes on takes up its own, made from its settings; one that was made elsewhere is to be given.
        console: where the progress bar is drawn; none if None.

    Returns:
        the trained agent.

    Raises:
        TypeError: if the agent's model can't be trained, such as a stub or a server.
        ValueError: for an unknown profile, algorithm or setting, a value that is wrong, or another algorithm or
            other settings of it than the run has that goes on.
        CheckpointError: if the checkpoint to go on from is missing or damaged, or the new one can't be saved.
    """
    asked = dict(config_overrides or {})
    if num_episodes is not None:
        asked["num_episodes"] = num_episodes
    if save_path is not None:
        asked["output_dir"] = str(save_path)
    made = Given(environment, reward_fn)
    if resume_from_checkpoint is not None:
        folder = checkpoint_folder(resume_from_checkpoint) or resume_from_checkpoint
        changes = _changes(folder, algorithm, asked)
        return await _in_thread(
            lambda: Trainer.resume(folder, env=made, training=changes, console=console, population=population)
        )
    name = algorithm or "grpo"
    settings, tasks = _taken(asked, name), _own(asked, ContinualConfig)
    continual = config_from_mapping(ContinualConfig, tasks) if tasks else None
    training = TrainingConfig.from_profile(profile, **{**sampled_as(agent), **asked})
    model, chosen = trained_model(agent), make_algorithm(name, settings)
    return await _in_thread(
        lambda: Trainer(made, model, chosen, training, console=console, continual=continual, population=population)
    )


def _taken(asked: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """The settings of the algorithm, which are taken out of what was asked for."""
    return _own(asked, algorithm_class(algorithm).config_class)


def _own(asked: dict[str, Any], config_class: Any) -> dict[str, Any]:
    """The settings of a config, which are taken out of what was asked for."""
    own = {entry.name for entry in fields(config_class)}
    return {name: asked.pop(name) for name in list(asked) if name in own}


def _changes(folder: str | Path, algorithm: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    """What changes in the engine's settings of a run that goes on.

    Raises:
        ValueError: if the run has another algorithm, or other settings of it, than is asked for.
    """
    run = read_settings(folder)
    if algorithm is not None and run["algorithm"] != algorithm:
        raise ValueError(f"the run in '{folder}' trains with {run['algorithm']}, not with {algorithm}")
    for name, value in _taken(asked, run["algorithm"]).items():
        if run["config"][name] != value:
            raise ValueError(f"the run in '{folder}' has {name} = {run['config'][name]}, not {value!r:.80}")
    plain_continual = asdict(ContinualConfig())
    for name, value in _own(asked, ContinualConfig).items():
        kept = {**plain_continual, **(run.get("continual") or {})}[name]
        if _as_list(kept) != _as_list(value):
            raise ValueError(f"the run in '{folder}' has {name} = {kept}, not {value!r:.80}")
    before = config_from_mapping(TrainingConfig, run["training"])
    after = before.changed(**asked)
    names = [entry.name for entry in fields(TrainingConfig)]
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


def _as_list(value: Any) -> Any:
    """What JSON makes of a tuple."""
    return list(value) if isinstance(value, tuple) else value


async def train_with(
    algorithm: str,
    config: Recipe[Any] | AlgorithmConfig,
    agent: MultiTurnAgent,
    environment: TextEnv | Environment,
    reward_model: Rewarding | None = None,
    save_path: str | Path | None = None,
    console: Console | None = None,
) -> MultiTurnAgent:
    """Trains an agent with one algorithm, in a thread; see ``train``.

    How it samples, and where, is the recipe's to say: ``train`` takes that from the agent.

    Args:
        algorithm: by its name in ``ss_trainers.algorithms.registry``.
        config: what ``XConfig.from_training_config`` gives, or the algorithm's own settings alone.
        agent: what training begins with.
        environment: one, which is copied, or an id, a spec or a function that makes one.
        reward_model: rewards what was said, in place of the environment's own reward, where there is one.
        save_path: folder of the run.
        console: where the progress bar is drawn; none if None.

    Raises:
        TypeError: if the agent's model can't be trained, or ``config`` is another algorithm's.
    """
    recipe = config if isinstance(config, Recipe) else Recipe(config, TrainingConfig())
    chosen: Any = algorithm_class(algorithm)
    if not isinstance(recipe.config, chosen.config_class):
        raise TypeError(f"{algorithm} takes a {chosen.config_class.__name__}, not a {type(recipe.config).__name__}")
    training = recipe.training if save_path is None else recipe.training.changed(output_dir=str(save_path))
    if training.system_prompt is None:
        training = training.changed(system_prompt=agent.config.system_prompt)
    made, model = Given(environment, reward_model), trained_model(agent)
    return await _in_thread(lambda: Trainer(made, model, chosen(recipe.config), training, console=console))


def _with(algorithm: str) -> Callable[..., Awaitable[MultiTurnAgent]]:
    async def trained(
        config: Recipe[Any] | AlgorithmConfig, agent: MultiTurnAgent, environment: TextEnv | Environment, **options: Any
    ) -> MultiTurnAgent:
        return await train_with(algorithm, config, agent, environment, **options)

    trained.__name__ = trained.__qualname__ = f"train_with_{algorithm}"
    trained.__doc__ = f"Trains an agent with {algorithm}: ``train_with`` of that name."
    return trained


train_with_cispo = _with("cispo")
train_with_dapo = _with("dapo")
train_with_gepo = _with("gepo")
train_with_grpo = _with("grpo")
train_with_gspo = _with("gspo")
train_with_online_dpo = _with("online_dpo")
train_with_ppo = _with("ppo")
train_with_reinforce_plus_plus = _with("reinforce_plus_plus")
train_with_rlaif = _with("rlaif")
train_with_rloo = _with("rloo")
train_with_vapo = _with("vapo")


class Given:
    """Makes environments from what was given, with a reward in place of its own; it can be sent to other processes.

    Args:
        environment: copied, or made.
        reward: none if None.

    Attributes:
        names: the spec that a checkpoint may name the environment by; None where there is none.
    """

    def __init__(self, environment: TextEnv | Environment, reward: Rewarding | None) -> None:
        self._environment, self._reward = environment, reward
        self.names = None if reward is not None else _spec_of(environment)

    def __call__(self) -> TextEnv:
        """One of the environments."""
        given = self._environment
        if isinstance(given, gym.Env):
            env: TextEnv = copy.deepcopy(given)
        elif isinstance(given, str | EnvSpec):
            env = gym.make(given, disable_env_checker=True)
        else:
            env = given()
        return env if self._reward is None else RewardWrapper(env, self._reward, keep=False)


def _spec_of(environment: TextEnv | Environment) -> EnvSpec | None:
    if isinstance(environment, str):
        return spec_of(environment)
    if isinstance(environment, EnvSpec):
        return environment
    try:
        return environment.spec if isinstance(environment, gym.Env) else None
    except ValueError:  # a wrapper does not keep what it was made with
        return None


def trained_model(agent: MultiTurnAgent) -> str:
    """Where the agent's model is loaded from.

    Raises:
        TypeError: if it is none that can be trained, or has learnt since it was loaded.
    """
    name = agent.config.model_name
    if "://" in name and not name.startswith("hf://"):
        raise TypeError(f"the model '{name}' has no weights here to train: use 'tiny', a folder or a hub id")
    if read_options(agent.config, HuggingFaceOptions).adapter is not None:
        raise TypeError(
            f"an adapter is put on the agent's model '{name}', and '{name}' alone would be trained: save the agent "
            "(agent.save), and train the model in that folder"
        )
    if _has_left(agent, name):
        raise TypeError(
            f"the agent has learnt since '{name}' was loaded: give save_path, and go on from that folder "
            "(resume_from_checkpoint, or load_agent_from_checkpoint and another save_path)"
        )
    return name


def _has_left(agent: MultiTurnAgent, name: str) -> bool:
    """Whether the agent's weights have changed since they were loaded from there."""
    try:
        backend = agent.backend
    except RuntimeError:  # it has none yet
        return False
    loaded = getattr(backend, "loaded", None)
    return isinstance(backend, TokenBackend) and backend.trained and loaded is not None and loaded.location == name


def sampled_as(agent: MultiTurnAgent) -> dict[str, Any]:
    """How the agent samples, where that can be trained with."""
    config = agent.config
    sampled = {
        "max_new_tokens": config.max_new_tokens,
        "device": config.device,
        "seed": config.seed,
        "system_prompt": config.system_prompt,
    }
    return sampled | ({"temperature": config.temperature} if config.temperature else {})


async def _in_thread(begun: Callable[[], Trainer]) -> MultiTurnAgent:
    """Trains in a thread. If the task is cancelled, the run is stopped as Ctrl-C stops it."""

    def work(stop: threading.Event) -> MultiTurnAgent:
        trainer = begun()
        try:
            trainer.train([lambda *_: stop.is_set()])
            return trainer.agent()
        finally:
            trainer.close()

    return await in_stoppable_thread(work)


async def in_stoppable_thread(work: Callable[[threading.Event], ResultT]) -> ResultT:
    """Works in a thread, which is told to stop if the task is cancelled, and is waited for.

    Args:
        work: gets what is set when it is to stop.
    """
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if (error := task.exception()) is not None:
            raise error from None
        raise
