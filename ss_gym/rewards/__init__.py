"""Rewards: the verifiable outcome of a conversation."""
