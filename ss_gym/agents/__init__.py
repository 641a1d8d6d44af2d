"""Agents: a model behind one batched call, whatever serves it."""

from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.agents.backends import Backend, BackendError, ChoosingBackend, Sampling, load_backend
from ss_gym.agents.checkpoint import CheckpointError, load_agent_from_checkpoint
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.agents.tool_agent import ToolAgent, ToolLimits, ToolRoundsError

__all__ = [
    "AgentConfig",
    "Backend",
    "BackendError",
    "CheckpointError",
    "ChoosingBackend",
    "Conversation",
    "MultiTurnAgent",
    "Sampling",
    "ToolAgent",
    "ToolLimits",
    "ToolRoundsError",
    "load_agent_from_checkpoint",
    "load_backend",
]
