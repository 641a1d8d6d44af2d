"""The model's own forward pass over slots, for any causal language model with a plain cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from ss_trainers import causal_lm

_INITIAL_CAPACITY = 64


class HuggingFaceDecoder:
    """Keys and values of many conversations in slots that the model's forward writes and reads.

    Args:
        model: a transformers causal language model.
        max_context: the most tokens of a conversation.

    Raises:
        ValueError: the model's cache is not one of plain keys and values over that length.
    """

    def __init__(self, model: PreTrainedModel, max_context: int) -> None:
        if not causal_lm.reuses_keys_and_values(model, max_context):
            raise ValueError(
                f"{type(model).__name__} keeps a recurrent state or an attention window shorter than "
                f"{max_context} tokens, which can't be kept per conversation: lower max_context or use another model"
            )
        self._model = model
        self._length: list[int] = []
        self._cache = _SlotCache()
        self._prompts: list[list[tuple[Tensor, Tensor]]] = []

    def forget(self) -> None:
        """Drop the shared prompts; the weights are the model's own."""
        self._prompts = []

    @torch.inference_mode()
    def attach(self, slot: int, prompt: int | None, length: int) -> None:
        """Empty a slot, then copy the first ``length`` tokens of a shared prompt into it."""
        self._length.extend([0] * (slot + 1 - len(self._length)))
        self._length[slot] = length
        if prompt is not None:
            self._cache.reserve(slot + 1, length)
            for stored, shared in zip(self._cache.stored, self._prompts[prompt], strict=True):
                for target, source in zip(stored, shared, strict=True):
                    target[slot, :, :length] = source[:, :length]

    @torch.inference_mode()
    def share(self, slot: int, prompt: int) -> None:
        """Keep a copy of a slot for others to begin with, as the prompt of that number, which may have been another."""
        length = self._length[slot]
        self._prompts[prompt : prompt + 1] = [
            [(keys[slot, :, :length].clone(), values[slot, :, :length].clone()) for keys, values in self._cache.stored]
        ]

    @torch.inference_mode()
    def copy(self, source: int, target: int) -> None:
        """Let a slot hold what another one does."""
        length = self._length[source]
        self._length.extend([0] * (target + 1 - len(self._length)))
        self._length[target] = length
        self._cache.reserve(target + 1, length)
        for stored in (stored for layer in self._cache.stored for stored in layer):
            stored[target, :, :length] = stored[source, :, :length]

    def rewind(self, slot: int, count: int) -> None:
        """Take the last tokens off a slot; none of a shared prompt."""
        self._length[slot] -= count

    @torch.inference_mode()
    def hidden(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens to slots; hidden states (R, D) after the last token of each, in the rows' order."""
        # Rows that read one token would be padded to the longest message: they go by themselves.
        single = [row for row, ids in enumerate(tokens) if len(ids) == 1]
        several = [row for row, ids in enumerate(tokens) if len(ids) > 1]
        parts = [
            (rows, self._run([slots[row] for row in rows], [tokens[row] for row in rows]))
            for rows in (single, several)
            if rows
        ]
        order = torch.tensor([row for rows, _ in parts for row in rows], device=self._model.device)
        return torch.cat([states for _, states in parts])[order.argsort()]

    def _run(self, slots: list[int], tokens: list[Sequence[int]]) -> Tensor:
        device = self._model.device
        width = max(len(ids) for ids in tokens)
        starts = [self._length[slot] for slot in slots]
        span = max(starts) + width
        # Padding is written behind the row's end, where the next tokens overwrite it.
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(width, device=device)
        self._cache.reserve(max(slots) + 1, span)
        self._cache.select(slots, positions, span)
        unseen = torch.arange(span, device=device) > positions[:, None, :, None]
        lowest = torch.finfo(self._model.dtype).min
        bias = torch.zeros(unseen.shape, dtype=self._model.dtype, device=device).masked_fill_(unseen, lowest)
        output = causal_lm.decoder_of(self._model)(
            input_ids=torch.tensor([[*ids, *[ids[-1]] * (width - len(ids))] for ids in tokens], device=device),
            attention_mask=bias,
            # Positions of padding may lie beyond the model's table.
            position_ids=positions.clamp(max=causal_lm.context_length(self._model) - 1),
            past_key_values=self._cache,
            use_cache=True,
        )
        for slot, ids in zip(slots, tokens, strict=True):
            self._length[slot] += len(ids)
        rows = torch.arange(len(slots), device=device)
        last = torch.tensor([len(ids) - 1 for ids in tokens], device=device)
        hidden: Tensor = output.last_hidden_state[rows, last]
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (R, V) of hidden states (R, D)."""
        return causal_lm.logits_of(self._model, hidden)


class _SlotCache(Cache):
    """A transformers cache whose rows are chosen per call among more slots than the batch has."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.stored: list[tuple[Tensor, Tensor]] = []  # per layer (slots, KV, capacity, d)
        self._slots_held = 0
        self._capacity = _INITIAL_CAPACITY
        self._slots: Tensor | None = None
        self._rows = 0
        self._positions = torch.empty(0, 0, dtype=torch.int64)
        self._span = 0

    def select(self, slots: list[int], positions: Tensor, span: int) -> None:
        """Choose what the next forward pass writes and reads.

        Args:
            slots: one per row.
            positions: int64 (R, Q), where in the slots the new keys and values go.
            span: how many positions of the slots attention reads.
        """
        in_order = slots == list(range(len(slots)))
        self._slots = None if in_order else torch.tensor(slots, device=positions.device)
        self._rows, self._positions, self._span = len(slots), positions, span

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new keys and values of a layer; give back all of the chosen rows."""
        if layer_idx == len(self.stored):
            self.stored.append((self._empty(key_states), self._empty(value_states)))
        keys, values = self.stored[layer_idx]
        return self._write(keys, key_states), self._write(values, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions that attention reads before the new ones; masks and positions are given explicitly."""
        return self._span - self._positions.shape[1]

    def reserve(self, slots: int, length: int) -> None:
        """Make room for so many slots and so many tokens in each, keeping what is there."""
        if slots <= self._slots_held and length <= self._capacity:
            return
        while self._capacity < length:
            self._capacity *= 2
        if slots > self._slots_held:
            self._slots_held = max(slots, 2 * self._slots_held)
        self.stored = [(self._grown(keys), self._grown(values)) for keys, values in self.stored]

    def _write(self, stored: Tensor, new: Tensor) -> Tensor:
        rows = self._slots if self._slots is not None else torch.arange(self._rows, device=stored.device)
        stored[rows[:, None], :, self._positions] = new.transpose(1, 2)
        if self._slots is None:
            return stored[: self._rows, :, : self._span]
        return stored[self._slots, :, : self._span]

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros(self._slots_held, like.shape[1], self._capacity, like.shape[3])

    def _grown(self, stored: Tensor) -> Tensor:
        larger = self._empty(stored)
        larger[: stored.shape[0], :, : stored.shape[2]] = stored
        return larger
