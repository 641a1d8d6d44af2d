"""Servers: an agent behind the OpenAI chat API, and an environment behind sessions."""
