"""What defines an agent: a model and how to sample from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
            ValueError: if one is outside its range.
        """
        # A list, as JSON and YAML give it, would make the config unhashable.
        for name in ("stop", "stub_responses"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"{name} is a list of texts, got the text {given!r:.80}: put it into a list")
            object.__setattr__(self, name, tuple(given))
        if not self.model_name:
            raise ValueError("model_name is empty; give for instance 'tiny', 'stub://demo', a folder or a hub id")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not all(self.stop):
            raise ValueError("stop has an empty text, which would end every completion at once")
        read_planning(self.planning_config)
