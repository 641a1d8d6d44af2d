"""Rewards: the verifiable outcome of a task, and functions of what was said.

Each is loaded when it is used: environments need the outcome only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ss_gym.rewards.composite import CompositeReward as CompositeReward
    from ss_gym.rewards.composite import TurnwiseReward as TurnwiseReward
    from ss_gym.rewards.correctness import CorrectnessReward as CorrectnessReward
    from ss_gym.rewards.correctness import TaskCompletionReward as TaskCompletionReward
    from ss_gym.rewards.domains import CustomerServiceReward as CustomerServiceReward
    from ss_gym.rewards.domains import SalesReward as SalesReward
    from ss_gym.rewards.domains import TechnicalSupportReward as TechnicalSupportReward
    from ss_gym.rewards.domains import create_customer_service_reward as create_customer_service_reward
    from ss_gym.rewards.domains import create_sales_reward as create_sales_reward
    from ss_gym.rewards.domains import create_technical_support_reward as create_technical_support_reward
    from ss_gym.rewards.function import MissingReward as MissingReward
    from ss_gym.rewards.function import RewardFunction as RewardFunction
    from ss_gym.rewards.function import RewardResult as RewardResult
    from ss_gym.rewards.function import reward_function as reward_function
    from ss_gym.rewards.heuristic import ConcisenessReward as ConcisenessReward
    from ss_gym.rewards.heuristic import EngagementReward as EngagementReward
    from ss_gym.rewards.heuristic import HelpfulnessReward as HelpfulnessReward
    from ss_gym.rewards.heuristic import PolitenessReward as PolitenessReward
    from ss_gym.rewards.heuristic import SafetyReward as SafetyReward
    from ss_gym.rewards.judge import JudgeReward as JudgeReward
    from ss_gym.rewards.multi_objective import MultiObjectiveReward as MultiObjectiveReward
    from ss_gym.rewards.multi_objective import ParetoFront as ParetoFront
    from ss_gym.rewards.multi_objective import pareto_front as pareto_front
    from ss_gym.rewards.neural import ConversationScorer as ConversationScorer
    from ss_gym.rewards.neural import NeuralReward as NeuralReward
    from ss_gym.rewards.pairwise import PairwiseJudge as PairwiseJudge
    from ss_gym.rewards.pairwise import Preference as Preference
    from ss_gym.rewards.revision import Reviser as Reviser
    from ss_gym.rewards.revision import Revision as Revision

# Public name -> module that holds it.
_EXPORTS = {
    "CompositeReward": "ss_gym.rewards.composite",
    "ConcisenessReward": "ss_gym.rewards.heuristic",
    "ConversationScorer": "ss_gym.rewards.neural",
    "CorrectnessReward": "ss_gym.rewards.correctness",
    "CustomerServiceReward": "ss_gym.rewards.domains",
    "EngagementReward": "ss_gym.rewards.heuristic",
    "HelpfulnessReward": "ss_gym.rewards.heuristic",
    "JudgeReward": "ss_gym.rewards.judge",
    "MissingReward": "ss_gym.rewards.function",
    "MultiObjectiveReward": "ss_gym.rewards.multi_objective",
    "NeuralReward": "ss_gym.rewards.neural",
    "PairwiseJudge": "ss_gym.rewards.pairwise",
    "ParetoFront": "ss_gym.rewards.multi_objective",
    "PolitenessReward": "ss_gym.rewards.heuristic",
    "Preference": "ss_gym.rewards.pairwise",
    "Reviser": "ss_gym.rewards.revision",
    "Revision": "ss_gym.rewards.revision",
    "RewardFunction": "ss_gym.rewards.function",
    "RewardResult": "ss_gym.rewards.function",
    "SafetyReward": "ss_gym.rewards.heuristic",
    "SalesReward": "ss_gym.rewards.domains",
    "TaskCompletionReward": "ss_gym.rewards.correctness",
    "TechnicalSupportReward": "ss_gym.rewards.domains",
    "TurnwiseReward": "ss_gym.rewards.composite",
    "create_customer_service_reward": "ss_gym.rewards.domains",
    "create_sales_reward": "ss_gym.rewards.domains",
    "create_technical_support_reward": "ss_gym.rewards.domains",
    "pareto_front": "ss_gym.rewards.multi_objective",
    "reward_function": "ss_gym.rewards.function",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
