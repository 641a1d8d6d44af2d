"""Settings of continual learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from ss_gym.spelling import nearest
from ss_trainers.replay_buffer import Sampling

# What a strategy is made of.
PARTS = ("replay", "lwf", "ewc")


@dataclass(frozen=True, slots=True)
class ContinualConfig:
    """Which tasks come when, and what is done against forgetting the earlier ones.

    Attributes:
        continual_strategy: ``"none"``, or one or more of ``"replay"`` (attempts at earlier tasks are learnt from
            beside the fresh ones), ``"lwf"`` (a price of saying something else than the policy did before this task)
            and ``"ewc"`` (a price of moving weights that mattered to earlier tasks), as in ``"replay_lwf"``.
        continual_kl_beta: LwF's price of a nat, the mean KL of an action token.
        replay_buffer_size: conversations that are kept.
        replay_ratio: share of an iteration's conversations that is replayed, as far as there is enough. Of what is
            fresh, attempts that taught nothing are left out afterwards, so that replay weighs more where there are
            many.
        replay_sampling: what is kept, and how it is drawn: see :class:`ss_trainers.replay_buffer.ReplayBuffer`.
        ewc_lambda: EWC's price.
        ewc_decay: what is left of how much weights mattered to earlier tasks, with each further task.
        ewc_episodes: that are played at the end of a task to find out how much each weight matters to it.
        task_schedule: names of tasks, in order; empty if the environment alone says what comes when.
        task_switch_steps: iterations of each task but the last, which has those that are left; if None, all have the
            same, as nearly as whole numbers can.
        task_id_key: the reset option that asks the environment for a task of the schedule, and the entry of infos
            that tells which task an episode is of where there is none.

    Raises:
        ValueError: for an unknown strategy, or a value that is wrong.
    """

    continual_strategy: str = "none"
    continual_kl_beta: float = 0.1
    replay_buffer_size: int = 512
    replay_ratio: float = 0.25
    replay_sampling: Sampling = "balanced"
    ewc_lambda: float = 1.0
    ewc_decay: float = 1.0
    ewc_episodes: int = 64
    task_schedule: tuple[str, ...] = ()
    task_switch_steps: int | None = None
    task_id_key: str = "task"

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        _check_strategy(self.continual_strategy)
        if self.replay_sampling not in get_args(Sampling):
            raise ValueError(
                f"there is no replay_sampling {self.replay_sampling!r:.80}; "
                f"{nearest(str(self.replay_sampling), get_args(Sampling))}"
            )
        for name in ("replay_buffer_size", "ewc_episodes", "task_switch_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("continual_kl_beta", "ewc_lambda"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more and finite, not {getattr(self, name)}")
        if not 0 < self.replay_ratio < 1:
            raise ValueError(f"replay_ratio must be above 0 and below 1, not {self.replay_ratio}")
        if not 0 <= self.ewc_decay <= 1:
            raise ValueError(f"ewc_decay must be from 0 to 1, not {self.ewc_decay}")
        tasks: object = self.task_schedule
        plain = not isinstance(tasks, str) and all(isinstance(task, str) and task for task in self.task_schedule)
        if not plain or len(set(self.task_schedule)) < len(self.task_schedule):
            raise ValueError(f"task_schedule must name each task once, in order, not {self.task_schedule!r:.200}")
        if self.parts & {"lwf", "ewc"} and len(self.task_schedule) < 2:
            raise ValueError(
                f"{self.continual_strategy} acts where one task follows another: name them in task_schedule, or take "
                "'replay', which needs no schedule"
            )

    @property
    def parts(self) -> frozenset[str]:
        """What the strategy is made of; nothing of ``"none"``."""
        return frozenset(self.continual_strategy.split("_")) - {"none"}


def _check_strategy(strategy: str) -> None:
    named = strategy.split("_")
    for part in named if named != ["none"] else ():
        if part not in PARTS:
            raise ValueError(
                f"continual_strategy is made of {', '.join(PARTS)}, not of {part!r:.80}; "
                f"{nearest(strategy, ('none', *PARTS, 'replay_lwf', 'replay_ewc', 'lwf_ewc'))}"
            )
    if len(set(named)) < len(named):
        raise ValueError(f"continual_strategy names a part twice: {strategy!r:.80}")
