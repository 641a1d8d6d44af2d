"""An algorithm around another one: it changes what the other is given, and leaves the rest to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.policy_optimization import PolicyOptimization, Reviewed
from ss_trainers.types import BatchCounts, LossOutput, TokenBatch

if TYPE_CHECKING:
    from ss_trainers.chat import ChatFormat


class Wrapping(PolicyOptimization):
    """Passes everything on to an inner algorithm; subclasses change what it is given.

    Args:
        config: of the algorithm outside.
        inner: name of the algorithm inside.
        settings: its config, by name of the setting.

    Raises:
        TypeError: if the config is another algorithm's.
        ValueError: for an unknown inner algorithm or setting, or a value that is wrong.
    """

    def __init__(self, config: Any, inner: str, settings: Mapping[str, Any] | None) -> None:
        from ss_trainers.algorithms.registry import make_algorithm

        self.check(config)
        self.config = config
        self._inner = make_algorithm(inner, settings or {})
        self.needs_critic = self._inner.needs_critic
        self.critic_iterations = self._inner.critic_iterations
        self.sampling_rounds = self._inner.sampling_rounds
        self.demonstrator, self.imitates = self._inner.demonstrator, self._inner.imitates
        self.mixes_groups = type(self).mixes_groups or self._inner.mixes_groups

    @property
    def needs_reference(self) -> bool:
        """Whether the inner algorithm does."""
        return self._inner.needs_reference

    def reviewed(self, trajectories: tuple[MultiTurnTrajectory, ...], chat: ChatFormat, max_context: int) -> Reviewed:
        """What the inner algorithm makes of them."""
        return self._inner.reviewed(trajectories, chat, max_context)

    def keeps(self, batch: TokenBatch) -> Tensor:
        """Which rows the inner algorithm keeps."""
        return self._inner.keeps(batch)

    def worth_training(self, batch: TokenBatch) -> Tensor:
        """As the inner algorithm has it."""
        return self._inner.worth_training(batch)

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """What the inner algorithm prepares."""
        return self._inner.prepare(batch)

    def loss(
        self,
        batch: TokenBatch,
        logprobs: Tensor | None,
        counts: BatchCounts | None = None,
        values: Tensor | None = None,
    ) -> LossOutput:
        """The inner algorithm's."""
        return self._inner.loss(batch, logprobs, counts, values)

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Tells the inner algorithm."""
        self._inner.observe(metrics)

    def state(self) -> dict[str, float]:
        """What changes in the inner algorithm."""
        return self._inner.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up the state of a checkpoint."""
        self._inner.restore(state)
