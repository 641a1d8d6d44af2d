"""GRPO on fresh episodes and logged conversations together.

Half of each batch from a log as in RLPD, Ball et al. 2023, arXiv:2302.02948, the less the longer the run goes on. What
was logged has the advantages that an offline algorithm gave it, since a group of fresh attempts tells nothing of it,
and is weighed by truncated importance ratios to the policy that played it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from ss_gym.streams import Stream
from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.checks import require_between, require_choice
from ss_trainers.algorithms.policy_optimization import Reviewed
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.algorithms.wrapping import Wrapping
from ss_trainers.offline_text.logged_experience import LoggedExperience
from ss_trainers.types import TokenBatch

if TYPE_CHECKING:
    from ss_trainers.chat import ChatFormat

_NAMES = {"dt": "decision_transformer"}
_OFFLINE = ("bc", "bcq", "bear", "cql", "decision_transformer", "dt", "ilql", "iql")


@dataclass(frozen=True, slots=True)
class OfflineGRPOConfig(AlgorithmConfig):
    """What a run begins with, and how much of a log is learnt from beside what is played.

    Attributes:
        offline_algorithm: makes the first policy and the advantages of the log: ``"bc"``, ``"bcq"``, ``"bear"``,
            ``"cql"``, ``"iql"``, ``"ilql"`` or ``"dt"``.
        offline_settings: of that algorithm, by name.
        offline_pretrain_steps: updates of the language model, each time that it is cloned, and of the critic where
            there is one, before anything is played. They take the place of the epochs of ``TextTraining`` and
            ``offline_settings``, which count if None.
        online_ratio: share of a batch that is fresh, at the beginning: 1 is GRPO from the first policy.
        anneal: how that share goes on: ``"linear"`` to 1 at the last iteration, or ``"constant"``.
        importance_cap: the greatest weight of a token that was logged.
        objective: name of the algorithm that learns from what is played.
        settings: of the objective, by name.
        seed: of which conversations are taken when.
    """

    offline_algorithm: Literal["bc", "bcq", "bear", "cql", "decision_transformer", "dt", "ilql", "iql"] = "iql"
    offline_settings: dict[str, Any] | None = None
    offline_pretrain_steps: int | None = None
    online_ratio: float = 0.5
    anneal: Literal["linear", "constant"] = "linear"
    importance_cap: float = 2.0
    objective: str = "grpo"
    settings: dict[str, Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, offline_algorithm=_OFFLINE, anneal=("linear", "constant"))
        require_between(self, 1, math.inf, "offline_pretrain_steps")
        if not 0 < self.online_ratio <= 1:
            raise ValueError(f"OfflineGRPOConfig.online_ratio must be above 0 and at most 1, not {self.online_ratio}")
        if not 0 < self.importance_cap < math.inf:
            raise ValueError(f"OfflineGRPOConfig.importance_cap must be positive, not {self.importance_cap}")

    @property
    def algorithm_name(self) -> str:
        """The offline algorithm, by its whole name."""
        return _NAMES.get(self.offline_algorithm, self.offline_algorithm)


class OfflineGRPO(Wrapping):
    """Another algorithm, whose batches have logged conversations as well.

    :class:`ss_trainers.hybrid.OfflineGRPOTrainer` makes it, with a log; elsewhere it can only be the objective alone.

    Args:
        config: how many.
        experience: what was logged; needed where ``online_ratio`` is below 1.
        iterations: of the whole run, over which the share of the log falls.

    Raises:
        TypeError: if the config is another algorithm's.
        ValueError: if the objective learns from others' words or needs a critic, or what was logged is missing.
    """

    name = "offline_grpo"
    mixes_groups = True
    config_class = OfflineGRPOConfig

    def __init__(
        self,
        config: OfflineGRPOConfig | None = None,
        experience: LoggedExperience | None = None,
        iterations: int = 1,
    ) -> None:
        config = config or OfflineGRPOConfig()
        self.check(config)
        super().__init__(config, config.objective, config.settings)
        if self.imitates or self.needs_critic or self.sampling_rounds > 1:
            raise ValueError(f"{config.objective} can't learn from logged conversations beside its own: take 'grpo'")
        if experience is None and config.online_ratio < 1:
            raise ValueError(
                f"offline_grpo with online_ratio={config.online_ratio:g} learns from a log, and there is none here: "
                "train, and go on in the same output_dir, with ss_trainers.OfflineGRPOTrainer, whose train takes "
                "offline_dataset; or set online_ratio to 1, which is the objective alone"
            )
        self._experience, self._iterations, self._done = experience, iterations, 0

    @property
    def online_share(self) -> float:
        """The share of the next batch that is fresh."""
        share = self.config.online_ratio
        if self.config.anneal == "linear":
            share += (1 - share) * min(1.0, self._done / max(1, self._iterations - 1))
        return float(share)

    def reviewed(self, trajectories: tuple[MultiTurnTrajectory, ...], chat: ChatFormat, max_context: int) -> Reviewed:
        """What was played, and beside it conversations of the log."""
        inner = super().reviewed(trajectories, chat, max_context)
        if self._experience is None:
            return inner
        share = self.online_share
        count = min(len(self._experience), round(len(inner.trajectories) * (1 - share) / share))
        # Which are taken follows from the seed and the iteration, so that a run that is resumed goes on exactly.
        order = torch.Generator().manual_seed(Stream(self.config.seed, "logged", self._done).below(2**31))
        places = torch.randperm(len(self._experience), generator=order)[:count].tolist()
        logged = tuple(self._experience.trajectories[place] for place in places)
        metrics = {**inner.metrics, "online_share": share, "logged_episodes": float(count)}
        return replace(inner, metrics=metrics, logged=logged)

    def prepare(self, batch: TokenBatch) -> TokenBatch:
        """The batch with the objective's advantages, and with those of the log for what was logged."""
        prepared, logged = self._inner.prepare(batch), batch.group_ids < 0
        if self._experience is None or not bool(logged.any()):
            return prepared
        advantages = prepared.advantages
        assert advantages is not None
        if self._inner.mixes_groups and not bool(logged.all()):
            # What it compares across groups must not be compared with what others did.
            fresh = (~logged).nonzero()[:, 0]
            alone = self._inner.prepare(batch.select(fresh)).advantages
            assert alone is not None
            advantages = torch.zeros_like(advantages)
            advantages[fresh, : alone.shape[1]] = alone
        own = self._experience.of_tokens(batch.group_ids, batch.turn_ids).to(advantages)
        return replace(prepared, advantages=torch.where(logged[:, None], own, advantages))

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Counts iterations."""
        super().observe(metrics)
        self._done += 1

    def state(self) -> dict[str, float]:
        """Also how many iterations were done."""
        return {**super().state(), "iterations": float(self._done)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up the state of a checkpoint."""
        super().restore({name: value for name, value in state.items() if name != "iterations"})
        self._done = int(state["iterations"])
