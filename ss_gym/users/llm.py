"""Customers played by a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ss_gym.agents.backends import Backend, Sampling, load_backend
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.users.simulator import UserRequest


class LLMUser:
    """Customers played by a language model.

    Args:
        config: the model and how to sample from it; any backend will do.
        backend: what answers; by default the one that ``config.model_name`` names, loaded at the first use.
    """

    def __init__(self, config: AgentConfig, backend: Backend | None = None) -> None:
        self.config = config
        self._backend = backend

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """One message each, in one call of the model."""
        if not requests:
            return []
        if self._backend is None:
            self._backend = load_backend(self.config)
        conversations = [
            Conversation([{"role": "system", "content": request.briefing}, *request.messages]) for request in requests
        ]
        sampling = Sampling.of(self.config)
        return [completion.text for completion in self._backend.generate(conversations, sampling)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the model, which is loaded again."""
        return type(self), (self.config,)

    def __deepcopy__(self, memo: object) -> LLMUser:
        """Environments that are copied, or built with the same arguments, share the model."""
        return self
