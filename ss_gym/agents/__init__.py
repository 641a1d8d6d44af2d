"""Agents: a model behind one batched call, whatever serves it."""

from ss_gym.agents.agent import MultiTurnAgent, load_agent_from_checkpoint
from ss_gym.agents.backends import Backend, BackendError, ChoosingBackend, Sampling, load_backend
from ss_gym.agents.checkpoint import CheckpointError
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation, UnanswerableError
from ss_gym.agents.planners import HeuristicPlanner
from ss_gym.agents.planning import Plan, PlanningConfig, Step
from ss_gym.agents.tool_agent import ToolAgent, ToolLimits, ToolRoundsError

__all__ = [
    "AgentConfig",
    "Backend",
    "BackendError",
    "CheckpointError",
    "ChoosingBackend",
    "Conversation",
    "HeuristicPlanner",
    "MultiTurnAgent",
    "Plan",
    "PlanningConfig",
    "Sampling",
    "Step",
    "ToolAgent",
    "ToolLimits",
    "ToolRoundsError",
    "UnanswerableError",
    "load_agent_from_checkpoint",
    "load_backend",
]
