"""StateSet Gym: conversations over a real back end as Gymnasium environments.

Importing this package registers the environment ids; everything else is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ss_gym.registration import register_environments

if TYPE_CHECKING:
    from ss_gym.actions import parse_action as parse_action
    from ss_gym.agents import AgentConfig as AgentConfig
    from ss_gym.agents import Conversation as Conversation
    from ss_gym.agents import MultiTurnAgent as MultiTurnAgent
    from ss_gym.agents import ToolAgent as ToolAgent
    from ss_gym.agents import load_agent_from_checkpoint as load_agent_from_checkpoint
    from ss_gym.conversation import ConversationEnvironment as ConversationEnvironment
    from ss_gym.customer_service import CustomerServiceEnvironment as CustomerServiceEnvironment
    from ss_gym.environment import Conclusion as Conclusion
    from ss_gym.environment import Opening as Opening
    from ss_gym.environment import Response as Response
    from ss_gym.environment import TextEnvironment as TextEnvironment
    from ss_gym.multi_task import MultiTaskEnvironment as MultiTaskEnvironment
    from ss_gym.remote import RemoteEnvironment as RemoteEnvironment
    from ss_gym.rewards import CompositeReward as CompositeReward
    from ss_gym.rewards import ConcisenessReward as ConcisenessReward
    from ss_gym.rewards import CorrectnessReward as CorrectnessReward
    from ss_gym.rewards import CustomerServiceReward as CustomerServiceReward
    from ss_gym.rewards import EngagementReward as EngagementReward
    from ss_gym.rewards import HelpfulnessReward as HelpfulnessReward
    from ss_gym.rewards import JudgeReward as JudgeReward
    from ss_gym.rewards import MissingReward as MissingReward
    from ss_gym.rewards import MultiObjectiveReward as MultiObjectiveReward
    from ss_gym.rewards import NeuralReward as NeuralReward
    from ss_gym.rewards import PairwiseJudge as PairwiseJudge
    from ss_gym.rewards import PolitenessReward as PolitenessReward
    from ss_gym.rewards import RewardFunction as RewardFunction
    from ss_gym.rewards import RewardResult as RewardResult
    from ss_gym.rewards import SafetyReward as SafetyReward
    from ss_gym.rewards import SalesReward as SalesReward
    from ss_gym.rewards import TaskCompletionReward as TaskCompletionReward
    from ss_gym.rewards import TechnicalSupportReward as TechnicalSupportReward
    from ss_gym.rewards import create_customer_service_reward as create_customer_service_reward
    from ss_gym.rewards import reward_function as reward_function
    from ss_gym.spaces import Utterance as Utterance
    from ss_gym.task import TaskEnvironment as TaskEnvironment
    from ss_gym.tools import Money as Money
    from ss_gym.tools import ToolError as ToolError
    from ss_gym.tools import Toolkit as Toolkit
    from ss_gym.tools import tool as tool
    from ss_gym.tools import toolkit_of as toolkit_of
    from ss_gym.types import Completion as Completion
    from ss_gym.types import ConversationTurn as ConversationTurn
    from ss_gym.types import MultiTurnTrajectory as MultiTurnTrajectory
    from ss_gym.vector import TextVectorEnv as TextVectorEnv

__version__ = "0.1.0"

# Public name -> module that holds it.
_EXPORTS = {
    "AgentConfig": "ss_gym.agents",
    "Completion": "ss_gym.types",
    "CompositeReward": "ss_gym.rewards",
    "ConcisenessReward": "ss_gym.rewards",
    "Conclusion": "ss_gym.environment",
    "Conversation": "ss_gym.agents",
    "ConversationEnvironment": "ss_gym.conversation",
    "ConversationTurn": "ss_gym.types",
    "CorrectnessReward": "ss_gym.rewards",
    "CustomerServiceEnvironment": "ss_gym.customer_service",
    "CustomerServiceReward": "ss_gym.rewards",
    "EngagementReward": "ss_gym.rewards",
    "HelpfulnessReward": "ss_gym.rewards",
    "JudgeReward": "ss_gym.rewards",
    "MissingReward": "ss_gym.rewards",
    "Money": "ss_gym.tools",
    "MultiObjectiveReward": "ss_gym.rewards",
    "MultiTaskEnvironment": "ss_gym.multi_task",
    "MultiTurnAgent": "ss_gym.agents",
    "MultiTurnTrajectory": "ss_gym.types",
    "NeuralReward": "ss_gym.rewards",
    "Opening": "ss_gym.environment",
    "PairwiseJudge": "ss_gym.rewards",
    "PolitenessReward": "ss_gym.rewards",
    "RemoteEnvironment": "ss_gym.remote",
    "Response": "ss_gym.environment",
    "RewardFunction": "ss_gym.rewards",
    "RewardResult": "ss_gym.rewards",
    "SafetyReward": "ss_gym.rewards",
    "SalesReward": "ss_gym.rewards",
    "TaskCompletionReward": "ss_gym.rewards",
    "TaskEnvironment": "ss_gym.task",
    "TechnicalSupportReward": "ss_gym.rewards",
    "TextEnvironment": "ss_gym.environment",
    "TextVectorEnv": "ss_gym.vector",
    "ToolAgent": "ss_gym.agents",
    "ToolError": "ss_gym.tools",
    "Toolkit": "ss_gym.tools",
    "Utterance": "ss_gym.spaces",
    "create_customer_service_reward": "ss_gym.rewards",
    "load_agent_from_checkpoint": "ss_gym.agents",
    "parse_action": "ss_gym.actions",
    "reward_function": "ss_gym.rewards",
    "tool": "ss_gym.tools",
    "toolkit_of": "ss_gym.tools",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


register_environments()
