"""A trainer for each algorithm: ``Trainer`` with the algorithm's name in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from gymnasium.envs.registration import WrapperSpec
from rich.console import Console

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.registry import algorithm_class
from ss_trainers.algorithms.settings import Recipe
from ss_trainers.backends.models import TINY
from ss_trainers.config import TrainingConfig
from ss_trainers.continual.settings import ContinualConfig
from ss_trainers.environments import Environment
from ss_trainers.populations import Customers
from ss_trainers.trainer import Trainer


class _NamedTrainer(Trainer):
    """Trains with one algorithm; see :class:`Trainer`.

    Args:
        env: any Gymnasium environment whose observations and actions are strings.
        model: what to train.
        config: the algorithm's, or a recipe with both.
        training: the engine's settings.
        env_kwargs: keyword arguments of the environment, for an id or a spec.
        env_wrappers: what is put around the environment of an id or a spec, outside the spec's own
            wrappers; checkpoints name those of Gymnasium and this package.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint to go on from.
        continual: the tasks that come one after the other; none if None.
        population: whom the agent meets in training, or its settings (``make_population``); who the seed draws if None.
    """

    algorithm_name: ClassVar[str]

    def __init__(
        self,
        env: Environment,
        model: str = TINY,
        config: Any = None,
        training: TrainingConfig | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        env_wrappers: Sequence[WrapperSpec] = (),
        console: Console | None = None,
        resume_from: str | Path | None = None,
        continual: ContinualConfig | None = None,
        population: Customers | None = None,
    ) -> None:
        if isinstance(config, Recipe):
            config, training = config.config, training or config.training
        chosen: Any = algorithm_class(self.algorithm_name)
        super().__init__(
            env,
            model,
            chosen(config),
            training,
            env_kwargs=env_kwargs,
            env_wrappers=env_wrappers,
            console=console,
            resume_from=resume_from,
            continual=continual,
            population=population,
        )

    @classmethod
    def _resumed(cls, env: Environment, model: str, algorithm: PolicyOptimization, *rest: Any, **options: Any) -> Self:
        if algorithm.name != cls.algorithm_name:
            made_by = f"was made by {algorithm.name}, not by {cls.algorithm_name}"
            raise CheckpointError(f"the checkpoint '{options['resume_from']}' {made_by}")
        return cls(env, model, algorithm.config, *rest, **options)


class BehaviorCloningTrainer(_NamedTrainer):
    """Trains by imitation of a demonstrator; see :class:`Trainer`."""

    algorithm_name = "behavior_cloning"


class CISPOTrainer(_NamedTrainer):
    """Trains with clipped importance weights; see :class:`Trainer`."""

    algorithm_name = "cispo"


class CritiqueRevisionTrainer(_NamedTrainer):
    """Trains by imitation of its own replies as a model revised them; see :class:`Trainer`."""

    algorithm_name = "critique_revision"


class DAPOTrainer(_NamedTrainer):
    """Trains with decoupled clip and dynamic sampling; see :class:`Trainer`."""

    algorithm_name = "dapo"


class GEPOTrainer(_NamedTrainer):
    """Trains with group expectation policy optimisation; see :class:`Trainer`."""

    algorithm_name = "gepo"


class GRPOTrainer(_NamedTrainer):
    """Trains with group-relative policy optimisation; see :class:`Trainer`."""

    algorithm_name = "grpo"


class GSPOTrainer(_NamedTrainer):
    """Trains with group sequence policy optimisation; see :class:`Trainer`."""

    algorithm_name = "gspo"


class OnlineDPOTrainer(_NamedTrainer):
    """Trains with direct preference optimisation of its own attempts; see :class:`Trainer`."""

    algorithm_name = "online_dpo"


class PPOTrainer(_NamedTrainer):
    """Trains with proximal policy optimisation and a critic; see :class:`Trainer`."""

    algorithm_name = "ppo"


class ReinforcePlusPlusTrainer(_NamedTrainer):
    """Trains with REINFORCE++; see :class:`Trainer`."""

    algorithm_name = "reinforce_plus_plus"


class RejectionSamplingTrainer(_NamedTrainer):
    """Trains by imitation of attempts that succeeded; see :class:`Trainer`."""

    algorithm_name = "rejection_sampling"


class RLAIFTrainer(_NamedTrainer):
    """Trains on what a judge says of the attempts; see :class:`Trainer`."""

    algorithm_name = "rlaif"


class RLOOTrainer(_NamedTrainer):
    """Trains with a leave-one-out baseline; see :class:`Trainer`."""

    algorithm_name = "rloo"


class VAPOTrainer(_NamedTrainer):
    """Trains with value-based augmented proximal policy optimisation; see :class:`Trainer`."""

    algorithm_name = "vapo"
