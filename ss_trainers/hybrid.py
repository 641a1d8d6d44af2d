"""From a log to the world: an offline algorithm makes the first policy, which then learns from both."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from rich.console import Console

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CHECKPOINT, CheckpointError, checkpoint_folder, write_agent
from ss_gym.datasets import ConversationDataset
from ss_gym.whole_file import whole_file
from ss_trainers.algorithms.offline_grpo import OfflineGRPO, OfflineGRPOConfig
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.backends.models import LoadedModel, weights_fingerprint
from ss_trainers.callbacks import Callback
from ss_trainers.config import TrainingConfig
from ss_trainers.environments import Environment, naming
from ss_trainers.offline.registry import make_config
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining
from ss_trainers.offline_text.settings import TextTraining
from ss_trainers.offline_text.trainer import ConversationTrainer
from ss_trainers.populations import Customers, lasting_settings
from ss_trainers.rollout import TextEnv
from ss_trainers.trainer import Trainer
from ss_trainers.training import Given, Rewarding, sampled_as, trained_model

_OFFLINE, _START, _RECORD = "offline", "start", "hybrid.json"
# Settings that a run may go on with others of: how long it is, what is measured and kept, and where and how the same is
# computed. Models are told apart by the weights of the start, whatever they are called.
_FREE = {
    TrainingConfig: (
        "iterations eval_options eval_episodes eval_every save_every output_dir trackers device threads workers "
        "parallel_episodes micro_batch_tokens gradient_checkpointing"
    ).split(),
    OfflineTraining: ["output_dir", "device", "report_every", "save_every"],
    TextTraining: ["model", "micro_batch_tokens"],
}
# So many differences are named.
_SHOWN = 6


class OfflineGRPOTrainer:
    """Trains offline on a log, and then online on fresh episodes and the log together.

    The same run in the same ``output_dir`` goes on where it was left, offline or online. It may be longer, measured
    otherwise, or computed elsewhere; what it was made of is kept in ``hybrid.json``, and another run is refused.

    Args:
        config: what the run begins with, and how much of the log is learnt from; the defaults if None.
        training: the engine's settings of the online part, of which ``mismatch`` and ``mismatch_cap`` follow from the
            config. If None, the defaults, and how the agent samples: its ``max_new_tokens``, ``temperature``,
            ``device`` and ``seed``. The system prompt is the agent's where there is none here.
        offline: those of the offline part's critic; ``output_dir``, ``device`` and ``seed`` follow from ``training``.
        text: how the language model learns from the log; ``model`` is the agent's.
        console: where progress bars are drawn; none if None.

    Attributes:
        config: as above.
        training: as above, before anything is taken from an agent.

    Raises:
        ValueError: if rollouts are to run ahead of the updates, which the log's part can't.
    """

    def __init__(
        self,
        config: OfflineGRPOConfig | None = None,
        training: TrainingConfig | None = None,
        *,
        offline: OfflineTraining | None = None,
        text: TextTraining | None = None,
        console: Console | None = None,
    ) -> None:
        self.config, self.training = config or OfflineGRPOConfig(), training or TrainingConfig()
        self._as_agent = training is None
        if self.training.rollout_lag:
            raise ValueError("what is logged joins the episodes of its iteration: set rollout_lag to 0")
        self._offline, self._text = offline or OfflineTraining(), text or TextTraining()
        self._console = console
        # A folder for what the online part begins with, where the run keeps none.
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def train(
        self,
        agent: MultiTurnAgent,
        environment: TextEnv | Environment,
        reward_fn: Rewarding | None = None,
        *,
        offline_dataset: ConversationDataset,
        callbacks: Sequence[Callback] = (),
        population: Customers | None = None,
    ) -> MultiTurnAgent:
        """Trains an agent; the one that was given stays as it is.

        Args:
            agent: what training begins with; its model must be one that runs here.
            environment: one, which is copied, or an id, a spec or a function that makes one.
            reward_fn: rewards what was said, in place of the environment's own reward; the log keeps its own.
            offline_dataset: the log.
            callbacks: as of :meth:`ss_trainers.trainer.Trainer.train`.
            population: whom the agent meets online, or its settings, as of :class:`ss_trainers.trainer.Trainer`.

        Returns:
            the trained agent.

        Raises:
            CheckpointError: if something that was kept is damaged, or can't be written.
            KeyboardInterrupt: after Ctrl-C, once what was done is kept.
            TypeError: if the agent's model can't be trained.
            ValueError: if the algorithm can't learn from such a log, or what is kept is of another run.
        """
        folder, training = self._folder(), self._training(agent)
        parts = self._offline_parts(trained_model(agent), training, folder)
        record, told = folder / _RECORD, self._told(*parts, training, _named(environment, reward_fn, population))
        kept = None if training.output_dir is None else checkpoint_folder(folder / CHECKPOINT)
        if kept is not None:
            # Before the offline part, which may be long, and again with what comes of it.
            _refuse_another(record, told, kept)
        before = ConversationTrainer(*parts, self._console).train(offline_dataset)
        loaded = before.actor()
        told["start"] = {"weights": weights_fingerprint(loaded.model)}
        if kept is not None:
            _refuse_another(record, told, kept)
        if kept is None or checkpoint_folder(folder / _START) is None:
            self._write_start(folder / _START, loaded, agent.config)
        if kept is None and training.output_dir is not None:
            with whole_file(record) as file:
                file.write((json.dumps(told, indent=1) + "\n").encode())
        algorithm = OfflineGRPO(
            self.config, before.experience() if self.config.online_ratio < 1 else None, training.iterations
        )
        given, start = Given(environment, reward_fn), str(folder / _START)
        trainer = Trainer(
            given, start, algorithm, training, console=self._console, resume_from=kept, population=population
        )
        trainer.train(callbacks)
        made = trainer.agent()
        trainer.close()
        return made

    def _training(self, agent: MultiTurnAgent) -> TrainingConfig:
        """The settings of the online part."""
        training = self.training.changed(**sampled_as(agent)) if self._as_agent else self.training
        if training.system_prompt is None:
            training = training.changed(system_prompt=agent.config.system_prompt)
        return training.changed(mismatch="truncate", mismatch_cap=self.config.importance_cap)

    def _offline_parts(
        self, model: str, training: TrainingConfig, folder: Path
    ) -> tuple[OfflineConfig, OfflineTraining, TextTraining]:
        """The settings of the offline part: of its algorithm, of the critic and of the language model."""
        steps, chosen = self.config.offline_pretrain_steps, dict(self.config.offline_settings or {})
        text = replace(self._text, model=model)
        offline = replace(self._offline, output_dir=str(folder / _OFFLINE), device=training.device, seed=training.seed)
        if steps is not None:
            # An epoch has at least one update, so that there are never too few of them.
            text, offline = replace(text, epochs=steps, max_updates=steps), replace(offline, max_updates=steps)
            chosen["num_epochs"] = steps
        return make_config(self.config.algorithm_name, chosen), offline, text

    def _told(
        self,
        algorithm: OfflineConfig,
        offline: OfflineTraining,
        text: TextTraining,
        training: TrainingConfig,
        environment: Mapping[str, Any],
    ) -> dict[str, Any]:
        """All that the run is made of but for the log, as JSON has it."""
        config = {**asdict(self.config), "offline_algorithm": self.config.algorithm_name}
        del config["offline_settings"]  # told complete
        settings: dict[str, Any] = {"training": training, "offline_training": offline, "text": text}
        told = {
            "config": config,
            "environment": dict(environment),
            "offline_settings": asdict(algorithm),
            **{name: _without(asdict(each), _FREE[type(each)]) for name, each in settings.items()},
        }
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain

    def _write_start(self, start: Path, loaded: LoadedModel, agent: AgentConfig) -> None:
        """Writes the model that the online part begins with."""
        config = replace(agent, adapter=None)
        told: Mapping[str, Any] = {"algorithm": self.config.algorithm_name, "config": asdict(self.config)}
        write_agent(start, config, HuggingFaceBackend("", config, loaded), told)

    def _folder(self) -> Path:
        if self.training.output_dir is not None:
            return Path(self.training.output_dir)
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="offline_grpo_")
        return Path(self._scratch.name)


def _without(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _named(
    environment: TextEnv | Environment, reward: Rewarding | None, population: Customers | None
) -> dict[str, Any]:
    """What is played, and with whom, as far as it can be named; functions by their names alone."""
    told = naming(Given(environment, None), {}, ())
    if told["env"] is None:
        told["env"] = environment.id if isinstance(environment, EnvSpec) else _kind(environment)
    if population is not None:
        told["population"] = lasting_settings(population) if isinstance(population, Mapping) else _kind(population)
    return {**told, "reward": None if reward is None else _kind(reward)}


def _kind(given: Any) -> str:
    inner = given.unwrapped if isinstance(given, gym.Env) else given
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _refuse_another(record: Path, told: Mapping[str, Mapping[str, Any]], kept: Path) -> None:
    """Refuses to go on from a checkpoint that is of another run.

    Args:
        record: what tells what the checkpoint's run was made of.
        told: what this one is made of, as far as is known yet.
        kept: the checkpoint.

    Raises:
        CheckpointError: if the record is damaged.
        ValueError: if it is of another run, or there is none.
    """
    remedy = "take another output_dir"
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
        pairs = {
            f"{part}.{name}": (before[part].get(name), told[part].get(name))
            for part in told
            for name in {**before[part], **told[part]}
        }
    except FileNotFoundError as error:
        raise ValueError(
            f"'{kept}' is of another run: there is no '{record}', which an OfflineGRPOTrainer writes; {remedy}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"'{record}', which tells what '{kept}' was made of, is damaged ({error!r:.200}); {remedy}"
        ) from error
    changed = [f"{name} was {old!r:.80} and is {new!r:.80}" for name, (old, new) in pairs.items() if old != new]
    if changed:
        more = f", and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise ValueError(
            f"'{kept}' is of another run: {', '.join(changed[:_SHOWN])}{more}; {remedy}, or what it was made of: the "
            "same settings, model, log and environment"
        )
