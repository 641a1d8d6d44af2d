"""Judges without a model: simulated feedback, to try out what learns from it."""

from __future__ import annotations

from ss_gym.rewards.function import Context, MissingReward, RewardFunction, Turns
from ss_gym.streams import Stream


class AuditJudge(RewardFunction):
    """Says whether the task was done, and is wrong about it now and then.

    It stands in for people or a model where learning from preferences is tried out, as in Christiano et al. 2017
    (arXiv:1706.03741, section 3.1.3). It reads the environment's own audit, so what is learnt from it
    shows the learning and says nothing of judges. The same conversation always gets the same grade.

    Args:
        wrong: share of the conversations that get the other grade.
        seed: of the mistakes.

    Raises:
        ValueError: if the share is not from 0 to 1.
        MissingReward: when it is computed, if the environment does not tell what succeeded.
    """

    def __init__(self, wrong: float = 0.1, seed: int = 0) -> None:
        if not 0 <= wrong <= 1:
            raise ValueError(f"wrong must be from 0 to 1, got {wrong}")
        super().__init__(self._audited, "audit")
        self._wrong, self._seed = wrong, seed

    def _audited(self, turns: Turns, context: Context = None) -> float:
        success = (context or {}).get("success")
        if success is None:
            raise MissingReward("the environment does not tell what succeeded")
        said = "\n".join(turn.content for turn in turns)
        return float(bool(success) != Stream(self._seed, "mistake", said).chance(self._wrong))
