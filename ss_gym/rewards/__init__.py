"""Rewards: the verifiable outcome of a task, and functions of what was said."""

from __future__ import annotations

from ss_gym.rewards.composite import CompositeReward, TurnwiseReward
from ss_gym.rewards.correctness import CorrectnessReward, TaskCompletionReward
from ss_gym.rewards.domains import (
    CustomerServiceReward,
    SalesReward,
    TechnicalSupportReward,
    create_customer_service_reward,
    create_sales_reward,
    create_technical_support_reward,
)
from ss_gym.rewards.function import MissingReward, RewardFunction, RewardResult, reward_function
from ss_gym.rewards.heuristic import (
    ConcisenessReward,
    EngagementReward,
    HelpfulnessReward,
    PolitenessReward,
    SafetyReward,
)
from ss_gym.rewards.judge import JudgeReward
from ss_gym.rewards.multi_objective import MultiObjectiveReward, ParetoFront, pareto_front
from ss_gym.rewards.neural import ConversationScorer, NeuralReward
from ss_gym.rewards.pairwise import PairwiseJudge, Preference

__all__ = [
    "CompositeReward",
    "ConcisenessReward",
    "ConversationScorer",
    "CorrectnessReward",
    "CustomerServiceReward",
    "EngagementReward",
    "HelpfulnessReward",
    "JudgeReward",
    "MissingReward",
    "MultiObjectiveReward",
    "NeuralReward",
    "PairwiseJudge",
    "ParetoFront",
    "PolitenessReward",
    "Preference",
    "RewardFunction",
    "RewardResult",
    "SafetyReward",
    "SalesReward",
    "TaskCompletionReward",
    "TechnicalSupportReward",
    "TurnwiseReward",
    "create_customer_service_reward",
    "create_sales_reward",
    "create_technical_support_reward",
    "pareto_front",
    "reward_function",
]
