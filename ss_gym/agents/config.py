"""What defines an agent: a model and how to sample from it."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    model_name: str
    max_new_tokens: int = 256
    temperature: float = 1.0
    system_prompt: str | None = None
    seed: int = 0
    device: str = "cpu"
    stub_responses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: if one is outside its range.
        """
        # A list, as JSON and YAML give it, would make the config unhashable.
        object.__setattr__(self, "stub_responses", tuple(self.stub_responses))
        if not self.model_name:
            raise ValueError("model_name is empty; give for instance 'tiny', 'stub://demo', a folder or a hub id")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
