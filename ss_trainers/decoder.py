"""What sampling needs of a model: a forward pass over slots, each with the keys and values of one conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

# Hidden states (R, D) and the model's logits (R, V) -> logits (R, V).
Guide = Callable[[Tensor, Tensor], Tensor]


class Decoder(Protocol):
    """Runs the model over slots, each of which holds the keys and values of one conversation."""

    def hidden(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens to slots; hidden states (R, D) after the last token of each."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (R, V) of hidden states (R, D)."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Let a slot hold what another one does."""
        ...

    def rewind(self, slot: int, count: int) -> None:
        """Take the last tokens off a slot; none of a shared prompt."""
        ...

    def share(self, slot: int, prompt: int) -> None:
        """Keep a slot's content for other slots to begin with, as the shared prompt of that number.

        It is the number of a prompt that no slot in use begins with, whose place it takes, or the next one.
        """
        ...

    def attach(self, slot: int, prompt: int | None, length: int) -> None:
        """Empty a slot, then let it begin with the first ``length`` tokens of a shared prompt."""
        ...

    def forget(self) -> None:
        """Drop the shared prompts and, when the weights changed, whatever was derived from them."""
        ...
