"""A trainer for each offline algorithm: ``OfflineTrainer`` with the algorithm's name in front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers.offline.registry import make_config, name_of
from ss_trainers.offline.settings import OfflineConfig, OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer

if TYPE_CHECKING:
    from ss_trainers.offline_text.settings import TextTraining


class _NamedTrainer(OfflineTrainer):
    """Trains one algorithm; see :class:`OfflineTrainer`.

    Args:
        config: the algorithm's; if None, that of the run that goes on, or the defaults.
        training: the engine's settings; if None, those of the run that goes on, or the defaults.
        console: where the progress bar is drawn; none if None.
        resume_from: a checkpoint to go on from.
        text: the language model that learns from conversations; the defaults if None.
    """

    algorithm_name: ClassVar[str]

    def __init__(
        self,
        config: OfflineConfig | None = None,
        training: OfflineTraining | None = None,
        *,
        console: Console | None = None,
        resume_from: str | Path | None = None,
        text: TextTraining | None = None,
    ) -> None:
        if config is not None and name_of(config) != self.algorithm_name:
            given, wanted = type(config).__name__, type(self._default_config()).__name__
            raise TypeError(f"{type(self).__name__} takes a {wanted}, not a {given}")
        super().__init__(config, training, console=console, resume_from=resume_from, text=text)

    @classmethod
    def _check_algorithm(cls, config: OfflineConfig, path: str | Path) -> None:
        if name_of(config) != cls.algorithm_name:
            made_by = f"was made by {name_of(config)}, not by {cls.algorithm_name}"
            raise CheckpointError(f"the checkpoint '{path}' {made_by}")

    @classmethod
    def _default_config(cls) -> OfflineConfig:
        return make_config(cls.algorithm_name, {})


class BCTrainer(_NamedTrainer):
    """Trains by behaviour cloning; see :class:`OfflineTrainer`."""

    algorithm_name = "bc"


class BCQTrainer(_NamedTrainer):
    """Trains with batch-constrained Q-learning; see :class:`OfflineTrainer`."""

    algorithm_name = "bcq"


class BEARTrainer(_NamedTrainer):
    """Trains with bootstrapping error accumulation reduction; see :class:`OfflineTrainer`."""

    algorithm_name = "bear"


class CQLTrainer(_NamedTrainer):
    """Trains with conservative Q-learning; see :class:`OfflineTrainer`."""

    algorithm_name = "cql"


class DecisionTransformerTrainer(_NamedTrainer):
    """Trains a Decision Transformer; see :class:`OfflineTrainer`."""

    algorithm_name = "decision_transformer"


class ILQLTrainer(_NamedTrainer):
    """Trains with implicit language Q-learning, on conversations alone; see :class:`OfflineTrainer`."""

    algorithm_name = "ilql"


class IQLTrainer(_NamedTrainer):
    """Trains with implicit Q-learning; see :class:`OfflineTrainer`."""

    algorithm_name = "iql"
