"""Agents: a model behind one batched call, whatever serves it."""

from ss_gym.agents.agent import MultiTurnAgent
from ss_gym.agents.backends import Backend, ChoosingBackend, Sampling, load_backend
from ss_gym.agents.checkpoint import CheckpointError, load_agent_from_checkpoint
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation

__all__ = [
    "AgentConfig",
    "Backend",
    "CheckpointError",
    "ChoosingBackend",
    "Conversation",
    "MultiTurnAgent",
    "Sampling",
    "load_agent_from_checkpoint",
    "load_backend",
]
