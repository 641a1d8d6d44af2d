"""Logged conversations as data for offline learning."""

from ss_gym.datasets.config import ConversationDatasetConfig
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.dataset import ConversationDataset, read_conversations
from ss_gym.datasets.statistics import DatasetStatistics

__all__ = [
    "ConversationDataset",
    "ConversationDatasetConfig",
    "DatasetStatistics",
    "LoggedConversation",
    "read_conversations",
]
