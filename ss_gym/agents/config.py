"""What defines an agent: a model and how to sample from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from numbers import Integral, Real
from typing import Any

from ss_gym.agents.planning import read_planning


@dataclass(frozen=True)
class AgentConfig:
    """A model and how to sample from it.

    Attributes:
        model_name: which model: ``stub://NAME``, ``tiny``, a folder or hub id of a Hugging Face
            causal language model, or ``SCHEME://…`` of an installed backend.
        max_new_tokens: most tokens of one completion.
        temperature: softmax temperature; 0 takes the most likely token.
        system_prompt: instructions for conversations that bring none of their own.
        seed: of the sampling noise.
        device: where a local model runs, e.g. ``"cpu"`` or ``"cuda:0"``.
        stub_responses: what ``stub://`` says, one a turn, from the start again after the last.
        top_p: only the likeliest tokens that together have at least this probability are drawn; 1 draws all.
        stop: texts that end a completion; none of them is part of it.
        trim_history: whether the oldest exchanges of a conversation that is too long for the model are left out (see
            :func:`ss_gym.agents.history.trimmed`); else it ends where it is full. Needs a backend that measures.
        backend_options: what the backend has of its own, by name, such as ``timeout`` of ``openai://…``.
        enable_planning: whether the agent keeps a plan for each conversation that has an id, and reads it.
        planning_config: how, by name: the fields of :class:`ss_gym.agents.planning.PlanningConfig`.
        dtype: what a local model is loaded and computed in, such as ``"bfloat16"``; as its backend does by default if
            None. It is the same as the backend option of that name.
        adapter: folder of a LoRA adapter that is put on the model. Backends without adapters refuse it, as they do
            ``dtype``.
    """

    model_name: str
    max_new_tokens: int = 256
    temperature: float = 1.0
    system_prompt: str | None = None
    seed: int = 0
    device: str = "cpu"
    stub_responses: tuple[str, ...] = ()
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    trim_history: bool = False
    backend_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    enable_planning: bool = False
    planning_config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    dtype: str | None = None
    adapter: str | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: if one is of another kind or outside its range.
            TypeError: if a model or an adapter is named by something other than a text or a path.
        """
        for name in ("model_name", "adapter"):  # a folder may be given as a path
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(given))
        if not self.model_name:
            raise ValueError("model_name is empty; give for instance 'tiny', 'stub://demo', a folder or a hub id")
        # A list, as JSON and YAML give it, would make the config unhashable.
        for name in ("stop", "stub_responses"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        if "" in self.stop:
            raise ValueError("stop has an empty text, which would end every completion at once")
        if not _is(self.max_new_tokens, Integral) or self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be a whole number of at least 1, got {self.max_new_tokens!r:.80}")
        if not _is(self.seed, Integral):
            raise ValueError(f"seed must be a whole number, got {self.seed!r:.80}")
        if not _is(self.temperature, Real) or not 0 <= self.temperature < inf:
            raise ValueError(f"temperature must be a number from 0 up, got {self.temperature!r:.80}")
        if not _is(self.top_p, Real) or not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be a number above 0 and at most 1, got {self.top_p!r:.80}")
        if not isinstance(self.backend_options, Mapping):
            raise ValueError(f"backend_options is a mapping of options by name, got {self.backend_options!r:.80}")
        read_planning(self.planning_config)


def _texts(name: str, given: Any) -> tuple[str, ...]:
    texts = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
    if texts is None or not all(isinstance(each, str) for each in texts):
        raise ValueError(f"{name} is a list of texts, got {given!r:.80}")
    return texts


def _is(value: object, kind: type) -> bool:
    """Whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
