"""Offline learning from conversations: agents that speak, from logs of what others said."""
