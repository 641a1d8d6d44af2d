"""Customers played by a language model."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from weakref import WeakValueDictionary

from ss_gym.agents.backends import Backend, ConcurrentBackend, Sampling, load_backend
from ss_gym.agents.config import AgentConfig
from ss_gym.agents.conversation import Conversation
from ss_gym.users.simulator import UserRequest


class LLMUser:
    """Customers played by a language model; environments in several threads may share it.

    Args:
        config: the model and how to sample from it; any backend will do.
        backend: what answers; by default the one that ``config.model_name`` names, loaded at the first use.
    """

    def __init__(self, config: AgentConfig, backend: Backend | None = None) -> None:
        self.config = config
        self._backend = backend
        self._lock = threading.Lock()

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        """One message each, in one call of the model."""
        if not requests:
            return []
        with self._lock:
            backend = self._backend = self._backend or load_backend(self.config)
        conversations = [
            Conversation([{"role": "system", "content": request.briefing}, *request.messages]) for request in requests
        ]
        with nullcontext() if isinstance(backend, ConcurrentBackend) else self._lock:
            completions = backend.generate(conversations, Sampling.of(self.config))
        return [completion.text for completion in completions]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles without the model, which is loaded again."""
        return type(self), (self.config,)

    def __deepcopy__(self, memo: object) -> LLMUser:
        """Environments that are copied, or built with the same arguments, share the model."""
        return self


_SHARED: WeakValueDictionary[str, LLMUser] = WeakValueDictionary()


def shared_user(model_name: str) -> LLMUser:
    """Customers played by a model that is named only: the same for all who have them, so that it is loaded once.

    Args:
        model_name: as agents take it.
    """
    return _SHARED.setdefault(model_name, LLMUser(AgentConfig(model_name)))
