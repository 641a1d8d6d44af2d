"""Training in one call: an agent, an environment and a reward in, a trained agent out."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rich.console import Console

from ss_gym.agents import MultiTurnAgent
from ss_gym.agents.checkpoint import checkpoint_folder
from ss_gym.rewards import RewardFunction
from ss_gym.wrappers import RewardWrapper
from ss_trainers.algorithms.registry import algorithm_class, make_algorithm
from ss_trainers.algorithms.settings import AlgorithmConfig, Recipe
from ss_trainers.config import TrainingConfig, TrainingProfile
from ss_trainers.environments import Environment
from ss_trainers.rollout import TextEnv
from ss_trainers.trainer import Trainer

Rewarding = RewardFunction | Callable[..., Any]


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
    algorithm: str = "grpo",
    console: Console | None = None,
) -> MultiTurnAgent:
    """Trains an agent in an environment, in a thread.

    The agent that was given stays as it is. Whether a conversation has one turn or many is for the
    environment to say. A task that is cancelled leaves a checkpoint in ``save_path`` first.

    Args:
        agent: what training begins with; its model must be one that runs here.
        environment: one, or an id, a spec or a function that makes one. An environment is copied.
        reward_fn: rewards what was said, in place of the environment's own reward, where there is one.
        num_episodes: about how many to play; as many as the settings say if None.
        profile: see :meth:`TrainingConfig.from_profile`.
        save_path: folder of the run: metrics, and the checkpoint in ``checkpoint/``.
        resume_from_checkpoint: a run or checkpoint to go on from; its settings are kept but for those of the
            engine in ``config_overrides`` and ``num_episodes``.
        config_overrides: settings of the engine (``TrainingConfig``) and of the algorithm, by name.
        algorithm: by its name in ``ss_trainers.algorithms.registry``.
        console: where the progress bar is drawn; none if None.

    Returns:
        the trained agent.

    Raises:
        TypeError: if the agent's model can't be trained, such as a stub or a server.
        ValueError: for an unknown profile, algorithm or setting, or a value that is wrong.
        CheckpointError: if the checkpoint to go on from is missing or damaged, or the new one can't be saved.
    """
    asked = dict(config_overrides or {})
    own = {entry.name for entry in fields(algorithm_class(algorithm).config_class)}
    settings = {name: asked.pop(name) for name in list(asked) if name in own}
    if num_episodes is not None:
        asked["num_episodes"] = num_episodes
    if save_path is not None:
        asked["output_dir"] = str(save_path)
    training = TrainingConfig.from_profile(profile, **_sampled_as(agent), **asked)
    made = _rewarded(environment, reward_fn)

    def begun() -> Trainer:
        if resume_from_checkpoint is None:
            return Trainer(made, _trained_model(agent), make_algorithm(algorithm, settings), training, console=console)
        # Only what was asked for: the rest is as it was.
        engine = asdict(training)
        changed = {name for name in asked if name != "num_episodes"} | ({"iterations"} if num_episodes else set())
        folder = checkpoint_folder(resume_from_checkpoint) or resume_from_checkpoint
        return Trainer.resume(folder, env=made, training={name: engine[name] for name in changed}, console=console)

    return await _in_thread(begun)


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

    Args:
        algorithm: by its name in ``ss_trainers.algorithms.registry``.
        config: what ``XConfig.from_training_config`` gives, or the algorithm's own settings alone.
        agent: what training begins with.
        environment: one, or an id, a spec or a function that makes one.
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
    made = _rewarded(environment, reward_model)
    return await _in_thread(
        lambda: Trainer(made, _trained_model(agent), chosen(recipe.config), training, console=console)
    )


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
train_with_ppo = _with("ppo")
train_with_reinforce_plus_plus = _with("reinforce_plus_plus")
train_with_rloo = _with("rloo")
train_with_vapo = _with("vapo")


class _Copies:
    """Makes copies of an environment, with a reward in place of its own; it can be sent to other processes."""

    def __init__(self, environment: TextEnv | Callable[[], TextEnv] | EnvSpec | str, reward: Rewarding | None) -> None:
        self._environment, self._reward = environment, reward

    def __call__(self) -> TextEnv:
        given = self._environment
        if isinstance(given, gym.Env):
            env: TextEnv = copy.deepcopy(given)
        elif isinstance(given, str | EnvSpec):
            env = gym.make(given, disable_env_checker=True)
        else:
            env = given()
        return env if self._reward is None else RewardWrapper(env, self._reward, keep=False)


def _rewarded(environment: TextEnv | Environment, reward: Rewarding | None) -> Environment:
    """What the trainer makes environments from."""
    if reward is None and isinstance(environment, gym.Env) and environment.spec is not None:
        return environment.spec
    if reward is None and not isinstance(environment, gym.Env):
        return environment
    return _Copies(environment, reward)


def _trained_model(agent: MultiTurnAgent) -> str:
    """Where the agent's model is loaded from.

    Raises:
        TypeError: if it is none that can be trained.
    """
    name = agent.config.model_name
    if "://" in name and not name.startswith("hf://"):
        raise TypeError(f"the model '{name}' has no weights here to train: use 'tiny', a folder or a hub id")
    return name


def _sampled_as(agent: MultiTurnAgent) -> dict[str, Any]:
    """How the agent samples, where that can be trained with."""
    config = agent.config
    sampled = {"max_new_tokens": config.max_new_tokens, "device": config.device, "seed": config.seed}
    return sampled | ({"temperature": config.temperature} if config.temperature else {})


async def _in_thread(begun: Callable[[], Trainer]) -> MultiTurnAgent:
    """Trains in a thread. If the task is cancelled, the run is stopped as Ctrl-C stops it."""
    stop = threading.Event()

    def work() -> MultiTurnAgent:
        trainer = begun()
        try:
            trainer.train([lambda *_: stop.is_set()])
            return trainer.agent()
        finally:
            if trainer.training.workers > 1:
                trainer.close()

    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise
