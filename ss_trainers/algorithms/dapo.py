"""DAPO: clip-higher, dynamic sampling, a loss of tokens, and soft punishment of length.

Yu et al. 2025, "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arXiv:2503.14476.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ss_trainers.algorithms.checks import require_between, require_not_negative
from ss_trainers.algorithms.parts import Clip, GroupRelative
from ss_trainers.algorithms.policy_optimization import PolicyOptimization
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.functional import advantages, shaping
from ss_trainers.types import TokenBatch


@dataclass(frozen=True, slots=True)
class DAPOConfig(AlgorithmConfig):
    """The loss and the sampling of DAPO.

    Attributes:
        clip_low: how far a token's ratio may fall below 1 before its gradient stops.
        clip_high: how far it may rise above 1: "clip-higher" leaves unlikely tokens room to become likely.
        sampling_rounds: how often scenarios are played, at most, until ``groups_per_iteration`` of them
            have attempts that succeeded and attempts that failed; 1 plays once and fills nothing up.
        overlong_length: tokens of an episode from which on the penalty is 1; no penalty if None.
        overlong_buffer: over how many tokens before that it grows.
        std_floor: the least that deviations are divided by; see ``GRPOConfig``.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    sampling_rounds: int = 4
    overlong_length: int | None = None
    overlong_buffer: int | None = None
    std_floor: float = 0.1

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_not_negative(self, "clip_low", "clip_high", "std_floor")
        require_between(self, 1, float("inf"), "sampling_rounds", "overlong_length", "overlong_buffer")
        if (self.overlong_length is None) != (self.overlong_buffer is None):
            raise ValueError("DAPOConfig.overlong_length and overlong_buffer belong together: give both or neither")
        if self.overlong_buffer is not None and self.overlong_buffer > (self.overlong_length or 0):
            raise ValueError("DAPOConfig.overlong_buffer must not be greater than overlong_length")


class DAPO(PolicyOptimization):
    """Decoupled clip and dynamic sampling policy optimisation.

    Args:
        config: the loss and the sampling.
    """

    name = "dapo"
    config_class = DAPOConfig

    def __init__(self, config: DAPOConfig | None = None) -> None:
        config = config or DAPOConfig()
        super().__init__(
            config,
            advantage=GroupRelative(std_floor=config.std_floor),
            surrogate=Clip(config.clip_low, config.clip_high),
        )
        self.sampling_rounds = config.sampling_rounds

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with returns less the penalty of length, and advantages."""
        if self.config.overlong_length is not None:
            lengths = batch.action_mask.sum(1)
            penalty = shaping.overlong_penalty(lengths, self.config.overlong_length, self.config.overlong_buffer)
            batch = replace(batch, returns=batch.returns + penalty.to(batch.returns.dtype))
        return super().prepare(batch)

    def keeps(self, batch: TokenBatch) -> Tensor:
        """Which rows belong to a scenario that some attempts settled and some did not: bool (B,).

        Where the environment has no notion of success, the returns must differ. (The paper filters by
        success; by returns, penalties of a hundredth would keep every group.)
        """
        outcome = batch.returns if batch.successes is None else batch.successes.to(batch.returns.dtype)
        return advantages.varied_groups(outcome, batch.group_ids)
