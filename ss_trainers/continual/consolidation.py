"""Elastic weight consolidation in a run: what holds each weight to where earlier tasks have left it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ss_trainers.functional.continual import ewc_penalty, merged_fisher


@dataclass(frozen=True, slots=True)
class Consolidation:
    """Springs between the weights and where they were after the last task; online EWC, arXiv:1805.06370.

    Attributes:
        anchors: float (...) each; the weights after the last task.
        fisher: float (...) each; how much each mattered to the tasks so far.
    """

    anchors: tuple[Tensor, ...]
    fisher: tuple[Tensor, ...]

    @classmethod
    def after(
        cls, before: Consolidation | None, parameters: Sequence[Tensor], fisher: Sequence[Tensor], decay: float
    ) -> Consolidation:
        """What holds once a further task is over.

        Args:
            before: what held until then; None after the first.
            parameters: as they are now.
            fisher: how much each mattered to the task that is over.
            decay: what is left of how much they mattered to those before.
        """
        kept = list(fisher) if before is None else merged_fisher(before.fisher, fisher, decay)
        return cls(tuple(each.detach().clone() for each in parameters), tuple(kept))

    def pull(self, parameters: Sequence[Tensor], weight: float) -> float:
        """Adds the gradient of the penalty to that of the parameters.

        Args:
            parameters: on the same device as the anchors.
            weight: lambda.

        Returns:
            the penalty.
        """
        penalty = ewc_penalty(parameters, self.anchors, self.fisher, weight)
        penalty.backward()  # type: ignore[no-untyped-call]
        return penalty.item()
