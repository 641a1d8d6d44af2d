"""From a log to the world: an offline algorithm makes the first policy, which then learns from both."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.checkpoint import CHECKPOINT, checkpoint_folder, write_agent
from ss_gym.datasets import ConversationDataset
from ss_trainers.algorithms.offline_grpo import OfflineGRPO, OfflineGRPOConfig
from ss_trainers.backends.huggingface import HuggingFaceBackend
from ss_trainers.callbacks import Callback
from ss_trainers.config import TrainingConfig
from ss_trainers.environments import Environment
from ss_trainers.offline.registry import make_config
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline_text.settings import TextTraining
from ss_trainers.offline_text.trainer import ConversationTrainer
from ss_trainers.rollout import TextEnv
from ss_trainers.trainer import Trainer
from ss_trainers.training import Given, Rewarding, trained_model

_OFFLINE, _START = "offline", "start"


class OfflineGRPOTrainer:
    """Trains offline on a log, and then online on fresh episodes and the log together.

    The same run in the same ``output_dir`` goes on where it was left, offline or online.

    Args:
        config: what the run begins with, and how much of the log is learnt from; the defaults if None.
        training: the engine's settings of the online part, of which ``mismatch`` and ``mismatch_cap`` follow from the
            config; the defaults if None.
        offline: those of the offline part's critic; ``output_dir``, ``device`` and ``seed`` follow from ``training``.
        text: how the language model learns from the log; ``model`` is the agent's.
        console: where progress bars are drawn; none if None.

    Attributes:
        config: as above.
        training: as above.

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
    ) -> MultiTurnAgent:
        """Trains an agent; the one that was given stays as it is.

        Args:
            agent: what training begins with; its model must be one that runs here.
            environment: one, which is copied, or an id, a spec or a function that makes one.
            reward_fn: rewards what was said, in place of the environment's own reward; the log keeps its own.
            offline_dataset: the log.
            callbacks: as of :meth:`ss_trainers.trainer.Trainer.train`.

        Returns:
            the trained agent.

        Raises:
            CheckpointError: if something that was kept is damaged, or can't be written.
            KeyboardInterrupt: after Ctrl-C, once what was done is kept.
            TypeError: if the agent's model can't be trained.
            ValueError: if the algorithm can't learn from such a log, or what is kept is of another run.
        """
        folder, steps = self._folder(), self.config.offline_pretrain_steps
        text = replace(self._text, model=trained_model(agent))
        offline = replace(
            self._offline, output_dir=str(folder / _OFFLINE), device=self.training.device, seed=self.training.seed
        )
        if steps is not None:
            text, offline = replace(text, max_updates=steps), replace(offline, max_updates=steps)
        settings = make_config(self.config.algorithm_name, self.config.offline_settings or {})
        before = ConversationTrainer(settings, offline, text, self._console).train(offline_dataset)
        start = self._start(before, folder, agent.config)
        experience = before.experience() if self.config.online_ratio < 1 else None
        return self._online(Given(environment, reward_fn), start, experience, callbacks)

    def _online(self, given: Given, start: Path, experience: Any, callbacks: Sequence[Callback]) -> MultiTurnAgent:
        training = self.training.changed(mismatch="truncate", mismatch_cap=self.config.importance_cap)
        algorithm = OfflineGRPO(self.config, experience, training.iterations)
        kept = None if training.output_dir is None else checkpoint_folder(Path(training.output_dir) / CHECKPOINT)
        trainer = Trainer(given, str(start), algorithm, training, console=self._console, resume_from=kept)
        trainer.train(callbacks)
        made = trainer.agent()
        trainer.close()
        return made

    def _start(self, before: ConversationTrainer, folder: Path, agent: AgentConfig) -> Path:
        """The folder of the model that the online part begins with."""
        start = folder / _START
        loaded = before.actor()
        config = replace(agent, adapter=None)
        told: Mapping[str, Any] = {"algorithm": self.config.algorithm_name, "config": asdict(self.config)}
        write_agent(start, config, HuggingFaceBackend("", config, loaded), told)
        return start

    def _folder(self) -> Path:
        if self.training.output_dir is not None:
            return Path(self.training.output_dir)
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="offline_grpo_")
        return Path(self._scratch.name)
