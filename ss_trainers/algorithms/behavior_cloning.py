"""Behaviour cloning: maximum likelihood of what a demonstrator says and does.

Pomerleau 1991, "Efficient Training of Artificial Neural Networks for Autonomous Navigation". As the start of a run it
teaches a model to speak and to call tools; beside the other algorithms it is a control, which shows what a run gains
from more of the demonstrations alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ss_trainers.algorithms.checks import require_choice
from ss_trainers.algorithms.parts import Aggregate, Aggregation, LogLikelihood, on_actions
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class BehaviorCloningConfig(AlgorithmConfig):
    """Who is imitated, and when.

    Attributes:
        demonstrator: ``"package.module:attribute"`` of an agent, or of what makes one; see
            :func:`ss_trainers.demonstrations.load_demonstrator`.
        keep: ``"all"`` that it does, or ``"successes"``: the episodes in which it did the task.
        aggregation: what weighs the same: every token, or every conversation (``"sequence_mean"``).
    """

    demonstrator: str = "ss_baselines.agents.demonstrator:Demonstrator"
    keep: Literal["all", "successes"] = "all"
    aggregation: Aggregation = "token_mean"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, keep=("all", "successes"), aggregation=("token_mean", "sequence_mean"))


class BehaviorCloning(PolicyOptimization):
    """Maximum likelihood of a demonstrator's turns.

    The demonstrator plays the iteration's episodes, each of a scenario of its own: ``groups_per_iteration`` times
    ``group_size``. Evaluations are the model's. It is made once a process; one that draws random numbers as it goes
    makes a run that can't be resumed exactly.

    Args:
        config: who is imitated.
    """

    name = "behavior_cloning"
    imitates = True
    config_class = BehaviorCloningConfig

    def __init__(self, config: BehaviorCloningConfig | None = None) -> None:
        config = config or BehaviorCloningConfig()
        super().__init__(
            config,
            advantage=Imitated(config.keep == "successes"),
            surrogate=LogLikelihood(),
            aggregate=Aggregate(config.aggregation),
        )
        self.demonstrator = config.demonstrator


@dataclass(frozen=True, slots=True)
class Imitated:
    """One on the action tokens of what is imitated.

    Attributes:
        successes_only: leave out episodes in which the task was not done.
    """

    successes_only: bool

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 or 1.

        Raises:
            ValueError: the environment does not tell what succeeded, and successes are asked for.
        """
        if not self.successes_only:
            return batch.action_mask.to(batch.behavior_logprobs.dtype)
        if batch.successes is None:
            raise ValueError('the environment does not tell what succeeded: set keep="all"')
        return on_actions(batch.successes, batch)
