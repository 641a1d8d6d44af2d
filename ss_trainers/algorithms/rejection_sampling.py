"""Rejection sampling, a control: imitate one's own attempts that succeeded, and nothing else.

Best-of-n fine-tuning, as in Touvron et al. 2023, "Llama 2", arXiv:2307.09288, section 3.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ss_trainers.algorithms.checks import require_choice
from ss_trainers.algorithms.parts import LogLikelihood, on_actions
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class RejectionSamplingConfig(AlgorithmConfig):
    """Which attempts are imitated.

    Attributes:
        keep: ``"successes"``: all that did the task; ``"best"``: the attempt of each group with the greatest
            return (the first of several), and of groups that tell their attempts apart only.
    """

    keep: Literal["successes", "best"] = "successes"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, keep=("successes", "best"))


class RejectionSampling(PolicyOptimization):
    """Maximum likelihood of the attempts that are kept.

    Args:
        config: which these are.
    """

    name = "rejection_sampling"
    config_class = RejectionSamplingConfig

    def __init__(self, config: RejectionSamplingConfig | None = None) -> None:
        config = config or RejectionSamplingConfig()
        super().__init__(config, advantage=Kept(config.keep), surrogate=LogLikelihood())


@dataclass(frozen=True, slots=True)
class Kept:
    """One on the action tokens of what is imitated.

    Attributes:
        which: see ``RejectionSamplingConfig``.
    """

    which: Literal["successes", "best"]

    def __call__(self, batch: TokenBatch) -> Tensor:
        """(B, T), 0 or 1.

        Raises:
            ValueError: the environment does not tell what succeeded, and successes are asked for.
        """
        if self.which == "successes":
            if batch.successes is None:
                raise ValueError('the environment does not tell what succeeded: set keep="best"')
            return on_actions(batch.successes, batch)
        return on_actions(advantages.best_of_group(batch.returns, batch.group_ids), batch)
