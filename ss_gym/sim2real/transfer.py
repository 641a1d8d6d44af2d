"""From simulated customers to real ones, by a schedule that waits while things get worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ss_gym.spelling import nearest

Schedule = Literal["linear", "cosine", "exponential", "step"]


@dataclass(frozen=True, slots=True)
class SimToRealConfig:
    """Settings of the transfer.

    Attributes:
        transfer_schedule: how the share of simulated customers falls: in a straight line, along half a cosine, ever
            more slowly (by the factor e to the ``decay`` in all, but for the end, which is reached), or in
            ``stages`` equal steps.
        warmup_steps: at the beginning, in which all are simulated.
        total_steps: after which the share is ``final_sim_ratio``, if it never waited.
        final_sim_ratio: of customers who are simulated in the end, from 0 to 1.
        decay: of the exponential schedule; above 0.
        stages: of the step schedule; 1 or more.
        tolerance: how far success may be below the best before the share stops falling, from 0 to 1.
        smoothing: weight of each report in the running mean of success that is compared with its own best, above 0 and
            at most 1. Shares of few episodes are noisy, and the best of many reports is a lucky one.

    Raises:
        ValueError: for a setting that no transfer could mean.
    """

    transfer_schedule: Schedule = "linear"
    warmup_steps: int = 0
    total_steps: int = 1000
    final_sim_ratio: float = 0.0
    decay: float = 5.0
    stages: int = 5
    tolerance: float = 0.05
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        """Refuse settings that no transfer could mean."""
        name = type(self).__name__
        if self.transfer_schedule not in get_args(Schedule):
            hint = nearest(str(self.transfer_schedule), get_args(Schedule))
            raise ValueError(f"{name}.transfer_schedule: there is no {self.transfer_schedule!r:.80}; {hint}")
        if not 0 <= self.warmup_steps < self.total_steps < math.inf:
            told = f"{self.warmup_steps} and {self.total_steps}"
            raise ValueError(f"{name}.warmup_steps must be from 0 to below total_steps, not {told}")
        for field in ("final_sim_ratio", "tolerance"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{name}.{field} must be from 0 to 1, not {getattr(self, field)}")
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"{name}.smoothing must be above 0 and at most 1, not {self.smoothing}")
        if not 0 < self.decay < math.inf:
            raise ValueError(f"{name}.decay must be above 0, not {self.decay}")
        if self.stages < 1 or self.stages % 1:
            raise ValueError(f"{name}.stages must be a whole number, 1 or more, not {self.stages}")


_FALLEN: Mapping[Schedule, Callable[[float, SimToRealConfig], float]] = {
    "linear": lambda done, config: done,
    "cosine": lambda done, config: (1 - math.cos(math.pi * done)) / 2,
    "exponential": lambda done, config: math.expm1(-config.decay * done) / math.expm1(-config.decay),
    "step": lambda done, config: math.floor(done * config.stages + 1e-9) / config.stages,
}


class SimToRealTransfer:
    """Which share of customers is simulated at a step of training, and who is.

    The share follows the schedule. While success, as a running mean of what is reported, is further below its best than
    ``tolerance`` and than three standard errors of the difference, the share stays as it is, and the schedule goes
    on from there once success is back: no move towards what is real while what was learnt is being lost.

    >>> transfer = SimToRealTransfer(SimToRealConfig("linear", warmup_steps=100, total_steps=1100, smoothing=1.0))
    >>> [transfer.get_sim_ratio(step) for step in (0, 100, 600, 1100, 5000)]
    [1.0, 1.0, 0.5, 0.0, 0.0]
    >>> transfer.report(600, 0.8), transfer.report(700, 0.6), transfer.report(900, 0.8)
    (True, False, True)
    >>> transfer.get_sim_ratio(900)  # 200 steps later than scheduled
    0.4

    Args:
        config: the settings.
    """

    def __init__(self, config: SimToRealConfig | None = None) -> None:
        self.config = SimToRealConfig() if config is None else config
        # The running mean of success with the variance that sampling gives it, and the best it was, likewise.
        self._mean: tuple[float, float] | None = None
        self._best: tuple[float, float] | None = None
        self._last = 0
        # Where it waits since, and for how many steps it has waited before.
        self._since: int | None = None
        self._waited = 0

    def get_sim_ratio(self, step: int) -> float:
        """The share of customers who are simulated, from 1 (all) to ``final_sim_ratio``.

        Args:
            step: of training, from 0; any unit that ``total_steps`` has, too.

        Raises:
            ValueError: if it is negative.
        """
        if not 0 <= step < math.inf:
            raise ValueError(f"steps begin with 0, and {step} is none")
        config = self.config
        reached = (step if self._since is None else min(step, self._since)) - self._waited
        done = min(1.0, max(0, reached - config.warmup_steps) / (config.total_steps - config.warmup_steps))
        return 1 - (1 - config.final_sim_ratio) * _FALLEN[config.transfer_schedule](done, config)

    def report(self, step: int, success: float, episodes: int = 200) -> bool:
        """Tells how good the agent is now; the share falls on only while that is not much below the best so far.

        Args:
            step: the present one of training; reports come in order.
            success: on customers who are kept for that, from 0 to 1.
            episodes: how many these were.

        Returns:
            whether the share goes on falling.

        Raises:
            ValueError: if the success is no share, there were no episodes, or the step is before the last report's.
        """
        if episodes < 1:
            raise ValueError(f"success is a share of 1 episode or more, not of {episodes}")
        if not 0 <= success <= 1:
            raise ValueError(f"success must be a share from 0 to 1, not {success}")
        if step < self._last:
            raise ValueError(f"reports come in order: {step} is before the last one, {self._last}")
        self._last = step
        # A share of 0 or 1 of few episodes is not certain either: Laplace's estimate is not.
        share, weight = (success * episodes + 1) / (episodes + 2), self.config.smoothing
        sampled = share * (1 - share) / episodes
        if self._mean is None:
            self._mean = (success, sampled)
        else:
            before, variance = self._mean
            self._mean = ((1 - weight) * before + weight * success, (1 - weight) ** 2 * variance + weight**2 * sampled)
        best = self._mean if self._best is None else self._best
        slack = max(self.config.tolerance, 3 * math.sqrt(best[1] + self._mean[1]))
        falls = self._mean[0] < best[0] - slack
        if falls and self._since is None:
            self._since = step
        elif not falls and self._since is not None:
            self._waited += step - self._since
            self._since = None
        self._best = max(best, self._mean)
        return not falls

    def draw(self, step: int, count: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Which of some customers are simulated.

        The share is kept as nearly as whole numbers can: one more or less is drawn, and who it is, by chance.

        Args:
            step: of training.
            count: how many there are.
            generator: the source of randomness.

        Returns:
            bool (count,).
        """
        wanted = self.get_sim_ratio(step) * count
        simulated = math.floor(wanted) + (generator.random() < wanted % 1)
        drawn: NDArray[np.bool_] = generator.permutation(np.arange(count) < simulated)
        return drawn

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` goes on from; plain numbers."""
        mean, best = (None if pair is None else list(pair) for pair in (self._mean, self._best))
        return {"mean": mean, "best": best, "last": self._last, "since": self._since, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where ``state_dict`` was called.

        Raises:
            KeyError: if something is missing; nothing has changed then.
        """
        mean, best, last, since, waited = (state[name] for name in ("mean", "best", "last", "since", "waited"))
        self._mean, self._best = (None if pair is None else (pair[0], pair[1]) for pair in (mean, best))
        self._last, self._since, self._waited = int(last), since, int(waited)
