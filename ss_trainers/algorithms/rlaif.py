"""RLAIF: what another model says of the attempts is their reward.

Lee et al. 2023, "RLAIF vs. RLHF", arXiv:2309.00267; principles as in Bai et al. 2022, "Constitutional AI",
arXiv:2212.08073. With a judge that grades in the loop this is their direct RLAIF; with a reward model that was trained
on preferences (:mod:`ss_trainers.reward_model`) it is the two-stage form. Comparing in the loop is nearer to Guo et al.
2024, arXiv:2402.04792.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from ss_gym.types import MultiTurnTrajectory
from ss_trainers.algorithms.checks import require_between, require_choice, require_not_negative
from ss_trainers.algorithms.policy_optimization import Reviewed
from ss_trainers.algorithms.settings import AlgorithmConfig
from ss_trainers.algorithms.wrapping import Wrapping
from ss_trainers.feedback import Feedback, Judge, JudgeFailedError, agreement, rewarded
from ss_trainers.judges import load_judge

if TYPE_CHECKING:
    from ss_trainers.chat import ChatFormat


@dataclass(frozen=True, slots=True)
class RLAIFConfig(AlgorithmConfig):
    """Who judges, how, and what is maximised then.

    Attributes:
        judge: a model name as in ``AgentConfig`` (``"openai://host:port/model"``, a folder, a hub id); a learned
            reward, ``"reward_model://folder"``; or ``"package.module:attribute"`` of a reward function or of what
            makes one. The default reads words only: it needs no model, and is no judge.
        feedback: ``"pairs"``: attempts at the same scenario are compared, in both orders where a model does it;
            ``"grades"``: each gets a grade by itself.
        comparisons: neighbours on either side that each attempt is compared with; half of the group or more
            compares all pairs.
        constitution: principles, for a language model as judge: pairs are judged under one each, in turn; grades
            tell how well all of them are kept.
        environment_share: what the environment's own reward is multiplied by and added; 0 leaves it out.
        objective: name of the algorithm that maximises the judged return.
        settings: of the objective, by name.
        judge_options: of the judge, such as ``device``, ``timeout`` or ``temperature``; see
            :func:`ss_trainers.judges.load_judge`.
    """

    judge: str = "ss_gym.rewards:create_customer_service_reward"
    feedback: Literal["pairs", "grades"] = "pairs"
    comparisons: int = 3
    constitution: tuple[str, ...] = ()
    environment_share: float = 0.0
    objective: str = "grpo"
    settings: dict[str, Any] | None = None
    judge_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no run could mean."""
        require_choice(self, feedback=("pairs", "grades"))
        require_between(self, 1, math.inf, "comparisons")
        require_not_negative(self, "environment_share")


class RLAIF(Wrapping):
    """Another algorithm, with returns that a judge gives.

    An attempt of which the judge says nothing has no return: it is dropped and counted. Metrics of the
    environment's own reward and success stay as they are, and ``feedback/agreement`` tells how often the judge
    prefers the attempt that they prefer.

    Args:
        config: who judges, and what is maximised.
        judge: judges in place of the config's; a run that is resumed has that of the config.

    Raises:
        ImportError: if the judge's module can't be imported.
        ValueError: if the judge can't have what is asked for, or the objective learns from others' words.
    """

    name = "rlaif"
    config_class = RLAIFConfig

    def __init__(self, config: RLAIFConfig | None = None, judge: Judge | None = None) -> None:
        config = config or RLAIFConfig()
        self.check(config)
        super().__init__(config, config.objective, config.settings)
        if self.imitates:
            raise ValueError(f"{config.objective} learns what others say, not what a judge thinks of the attempts")
        self._judge = judge or load_judge(
            config.judge, config.feedback, config.comparisons, config.constitution, config.judge_options
        )

    def reviewed(self, trajectories: tuple[MultiTurnTrajectory, ...], chat: ChatFormat, max_context: int) -> Reviewed:
        """The attempts with the judge's score in place of their reward.

        Raises:
            JudgeFailedError: if the judge said nothing of any attempt.
        """
        if not trajectories:
            return Reviewed(trajectories)
        feedback = self._judge(trajectories)
        if all(math.isnan(score) for score in feedback.scores):
            raise JudgeFailedError(
                f"the judge {self.config.judge!r} said nothing of any of {len(trajectories)} attempts: "
                f"{feedback.reason or 'it gave no reason'}"
            )
        share = self.config.environment_share
        judged = tuple(rewarded(*pair, share) for pair in zip(trajectories, feedback.scores, strict=True))
        inner = super().reviewed(judged, chat, max_context)
        return Reviewed(inner.trajectories, {**_told(trajectories, feedback), **inner.metrics})


def _told(trajectories: Sequence[MultiTurnTrajectory], feedback: Feedback) -> dict[str, float]:
    given = [score for score in feedback.scores if not math.isnan(score)]
    metrics = {
        **feedback.metrics,
        "feedback/score": fmean(given),
        "feedback/missing": 1.0 - len(given) / len(feedback.scores),
    }
    agreed = agreement(trajectories, feedback.scores)
    return metrics if math.isnan(agreed) else {**metrics, "feedback/agreement": agreed}
