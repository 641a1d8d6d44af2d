"""Our own forward pass for Llama-architecture models, made for many small steps.

transformers spends 5 to 10 ms of a step on dispatch, more than the arithmetic of a model of a few
million parameters takes. Here a step is a handful of large operations: the new tokens of all rows
go through the linear layers as one packed matrix without padding, rows that read one token share
one attention call (on a processor they get one each where their lengths differ so much that reading
to the end of the longest costs more), and rows that read several are grouped by similar number.

Keys and values of conversations lie in preallocated slots that grow by doubling. Shared prompts
lie in a bank beside them, which all rows attend to in a single matrix product: sharing costs
neither copies nor memory traffic per row.

Shapes: ``N`` new tokens of a step, ``S`` slots that a group attends to, ``Q`` tokens of a group's
longest row, ``H`` query heads, ``KV`` key-value heads, ``d`` head size, ``L`` positions of a slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

from ss_trainers.llama_weights import Layer, is_known, matrix, read_layer

_INITIAL_CAPACITY = 64
# Attention scores computed at once for rows that read several tokens: what a processor core's
# cache holds; elsewhere as many as memory allows (128 MB in fp32), since every call costs a launch.
_MAX_SCORES, _MAX_SCORES_ELSEWHERE = 2**17, 2**25
# On a processor, keys and values that need not be read (bytes, for each row that reads one token) pay for a call
# for each row.
_WORTH_A_CALL = 2**18

_KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that read a similar number of tokens in this step.

    Attributes:
        tokens: (S, Q) index in the step of each token, padded with any; None if the group is the
            whole step, one token a row, in order.
        members: (M,) index in the step of the group's own tokens.
        places: (M,) where those are in the flattened (S, Q).
        slots: (S,) slots attended to, None for the first S.
        bias: (S, 1, 1, Q, bank + L) additive mask.
        bank: the part of the prompt bank attended to.
        length: L, positions of the slots attended to.
        each: slot and positions of each row, if they are attended to one by one; the bias is then that of the bank.
    """

    tokens: Tensor | None
    members: Tensor
    places: Tensor
    slots: Tensor | None
    bias: Tensor
    bank: slice
    length: int
    each: list[tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    target: Tensor  # (N KV,) rows of the flattened cache that the new keys and values go to
    cosine: Tensor  # (N, 1, d)
    sine: Tensor  # (N, 1, d), its first half negated
    groups: list[_Group]


class _Rows:
    """The rows of a step: their slots, how many tokens they read, and where those begin.

    Planning is done in NumPy, whose small operations cost a third of torch's.
    """

    def __init__(self, slots: NDArray[np.int64], counts: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        self.slots = slots
        self.counts = counts
        self.starts = starts  # in the slot
        self.firsts = counts.cumsum() - counts  # in the step


class LlamaDecoder:
    """Keys and values of many conversations, and the forward pass that extends them.

    The weights are copied at construction and whenever ``forget`` is called; LoRA adapters are
    merged into the copy, so they cost nothing here.

    Args:
        model: one that ``supports`` accepts.
        dtype: of the copied weights, and with them of keys and values; the model's own if None.
    """

    def __init__(self, model: PreTrainedModel, dtype: torch.dtype | None = None) -> None:
        config: Any = model.config
        self._model: Any = model
        self._dtype: torch.dtype = dtype or model.dtype
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._head_size: int = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._epsilon: float = config.rms_norm_eps
        self._capacity = _INITIAL_CAPACITY
        # Per slot: tokens in it, and where in the bank the prompt before them begins and ends.
        self._length: list[int] = []
        self._bank_start: list[int] = []
        self._bank_end: list[int] = []
        self.forget()
        self._cache = [self._empty_cache(0, self._capacity) for _ in self._layers]

    @staticmethod
    def supports(model: PreTrainedModel) -> bool:
        """Whether the model is a Llama as this decoder knows it: no biases, SiLU, fixed RoPE, plain LoRA or none."""
        config: Any = model.config
        return (
            isinstance(model, LlamaForCausalLM)
            and is_known(model)
            and not config.attention_bias
            and not config.mlp_bias
            and config.hidden_act == "silu"
            and config.rope_parameters["rope_type"] in ("default", "linear", "llama3")
        )

    @torch.inference_mode()
    def forget(self) -> None:
        """Drop the shared prompts and read the model's weights again."""
        decoder, scale, dtype = self._model.model, self._head_size**-0.5, self._dtype
        self._embedding: Tensor = decoder.embed_tokens.weight.to(dtype)
        self._norm: Tensor = decoder.norm.weight.to(dtype)
        tied = self._model.lm_head.weight is decoder.embed_tokens.weight
        self._head = self._embedding if tied else matrix(self._model.lm_head).to(dtype)
        self._layers = [read_layer(layer, scale, dtype) for layer in decoder.layers]
        self._prompt_starts = [0]
        empty = self._embedding.new_empty(self._kv_heads, 0, self._head_size)
        self._bank: list[_KeysValues] = [(empty, empty) for _ in self._layers]

    @torch.inference_mode()
    def attach(self, slot: int, prompt: int | None, length: int) -> None:
        """Empty a slot, then let it begin with the first ``length`` tokens of a shared prompt."""
        self._reserve(slot + 1, 1)
        start = self._prompt_starts[prompt] if prompt is not None else 0
        self._length[slot], self._bank_start[slot], self._bank_end[slot] = 0, start, start + length

    @torch.inference_mode()
    def share(self, slot: int, prompt: int) -> None:
        """Copy a slot that begins with no shared prompt into the bank, in place of the one of that number, if any."""
        length, starts = self._length[slot], self._prompt_starts
        start, end = starts[prompt], starts[min(prompt + 1, len(starts) - 1)]
        self._bank = [
            (
                torch.cat([keys[:, :start], new_keys[slot, :, :length], keys[:, end:]], 1),
                torch.cat([values[:, :start], new_values[slot, :, :length], values[:, end:]], 1),
            )
            for (keys, values), (new_keys, new_values) in zip(self._bank, self._cache, strict=True)
        ]
        moved = start + length - end  # what lies behind
        starts[prompt + 1 :] = [each + moved for each in starts[prompt + 1 :] or [end]]
        for other, bank_end in enumerate(self._bank_end):
            if bank_end > end:
                self._bank_start[other] += moved
                self._bank_end[other] += moved

    @torch.inference_mode()
    def copy(self, source: int, target: int) -> None:
        """Let a slot hold what another one does."""
        self._reserve(target + 1, 1)
        for values in (self._length, self._bank_start, self._bank_end):
            values[target] = values[source]
        for stored in (stored for layer in self._cache for stored in layer):
            stored[target, :, : self._length[source]] = stored[source, :, : self._length[source]]

    def rewind(self, slot: int, count: int) -> None:
        """Take the last tokens off a slot; none of a shared prompt."""
        self._length[slot] -= count

    @torch.inference_mode()
    def hidden(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens to slots; hidden states (R, D) after the last token of each, in the rows' order."""
        counts = [len(row) for row in tokens]
        starts = [self._length[slot] for slot in slots]
        self._reserve(max(slots) + 1, max(start + count for start, count in zip(starts, counts, strict=True)))
        rows = _Rows(np.array(slots), np.array(counts), np.array(starts))
        step = self._plan(rows)
        hidden = self._embedding[self._to_device(np.array([token for row in tokens for token in row]))]
        for layer, cache, bank in zip(self._layers, self._cache, self._bank, strict=True):
            hidden = self._run_layer(hidden, layer, cache, bank, step)
        for slot, start, count in zip(slots, starts, counts, strict=True):
            self._length[slot] = start + count
        last = hidden if len(hidden) == len(slots) else hidden[self._to_device(rows.firsts + rows.counts - 1)]
        return self._normalize(last, self._norm)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (R, V) of hidden states (R, D)."""
        return functional.linear(hidden, self._head)

    def _plan(self, rows: _Rows) -> _Step:
        """Where each new token goes, its rotation, and who attends to what."""
        row_of = np.repeat(np.arange(len(rows.slots)), rows.counts)
        inside = np.arange(len(row_of)) + (rows.starts - rows.firsts)[row_of]
        head_rows = rows.slots[row_of, None] * self._kv_heads + np.arange(self._kv_heads)
        before = np.array([self._bank_end[slot] - self._bank_start[slot] for slot in rows.slots.tolist()])
        rotary = self._model.model.rotary_emb
        # In float32 whatever the model's precision, as transformers does it.
        positions = self._to_device((inside + before[row_of]).astype(np.float32))
        angles = positions[:, None, None] * rotary.inv_freq.float()
        cosine, sine = angles.cos() * rotary.attention_scaling, angles.sin() * rotary.attention_scaling
        return _Step(
            target=self._to_device((head_rows * self._capacity + inside[:, None]).reshape(-1)),
            cosine=torch.cat([cosine, cosine], -1).to(self._head.dtype),
            sine=torch.cat([-sine, sine], -1).to(self._head.dtype),
            groups=[self._group(rows, members) for members in self._grouped(rows)],
        )

    def _grouped(self, rows: _Rows) -> Iterator[NDArray[np.int64]]:
        # Sizes within a factor of two of each other share a group: at most half of it is padding.
        sizes = np.frexp(rows.counts - 0.5)[1]
        for size in np.unique(sizes).tolist():
            members = (sizes == size).nonzero()[0]
            if size == 0:
                yield members
                continue
            # Longer messages by length of conversation, as many as may have their scores at once.
            ends = rows.starts[members] + rows.counts[members]
            members = members[ends.argsort(kind="stable")]
            area = self._heads * 2**size * int(ends.max() + self._prompt_starts[-1])
            most = _MAX_SCORES if self._head.device.type == "cpu" else _MAX_SCORES_ELSEWHERE
            for start in range(0, len(members), step := max(1, most // area)):
                yield members[start : start + step]

    def _group(self, rows: _Rows, members: NDArray[np.int64]) -> _Group:
        slots = rows.slots[members]
        span = int(slots.max()) + 1
        if self._one_by_one(rows, members, span):
            return self._singles(rows, members)
        # Attending to idle slots is cheaper than copying the busy ones together, unless most are idle.
        dense = span <= 4 * len(slots)
        if dense:
            row_at = np.full(span, members[0])
            row_at[slots] = members
            busy = np.zeros(span, dtype=bool)
            busy[slots] = True
        else:
            row_at, busy = members, np.ones(len(members), dtype=bool)
        counts, starts = rows.counts[row_at, None], rows.starts[row_at, None]
        column = np.arange(counts.max())
        clipped = np.minimum(column, counts - 1)  # (S, Q); padding repeats the row's last token
        tokens = rows.firsts[row_at, None] + clipped
        real = (column < counts) & busy[:, None]

        length = int((starts + counts).max())
        bank, unseen = self._bank_of(rows.slots[row_at])
        hidden = np.empty((*tokens.shape, unseen.shape[1] + length), dtype=bool)
        hidden[..., : unseen.shape[1]] = unseen[:, None]
        hidden[..., unseen.shape[1] :] = np.arange(length) > (starts + clipped)[..., None]
        bias = self._bias(hidden)
        whole = len(tokens) == len(rows.slots) and bool((tokens[:, 0] == np.arange(len(tokens))).all())
        return _Group(
            tokens=None if whole and tokens.shape[1] == 1 else self._to_device(tokens),
            members=self._to_device(tokens[real]),
            places=self._to_device(real.reshape(-1).nonzero()[0]),
            slots=None if dense else self._to_device(slots),
            bias=bias[:, None, None],
            bank=bank,
            length=length,
        )

    def _one_by_one(self, rows: _Rows, members: NDArray[np.int64], span: int) -> bool:
        """Whether rows that read one token spare enough memory traffic by attending to what is theirs alone."""
        if self._head.device.type != "cpu" or int(rows.counts[members].max()) > 1:
            return False
        ends = rows.starts[members] + 1
        spared = span * int(ends.max()) - int(ends.sum())
        return spared * 2 * self._kv_heads * self._head_size * self._head.itemsize > _WORTH_A_CALL * len(members)

    def _singles(self, rows: _Rows, members: NDArray[np.int64]) -> _Group:
        slots, tokens = rows.slots[members], rows.firsts[members]
        bank, unseen = self._bank_of(slots)
        whole = len(tokens) == int(rows.counts.sum())
        return _Group(
            tokens=None if whole else self._to_device(tokens[:, None]),
            members=self._to_device(tokens),
            places=self._to_device(np.arange(len(tokens))),
            slots=None,
            bias=self._bias(unseen)[:, None, None],
            bank=bank,
            length=0,
            each=list(zip(slots.tolist(), (rows.starts[members] + 1).tolist(), strict=True)),
        )

    def _bank_of(self, slots: NDArray[np.int64]) -> tuple[slice, NDArray[np.bool_]]:
        """The part of the bank that slots begin with, and what of it (S, bank) each of them does not."""
        begin = np.array([self._bank_start[slot] for slot in slots.tolist()])[:, None]
        end = np.array([self._bank_end[slot] for slot in slots.tolist()])[:, None]
        bank = slice(int(begin.min()), int(end.max()))
        position = np.arange(bank.start, bank.stop)
        return bank, (position < begin) | (position >= end)

    def _bias(self, hidden: NDArray[np.bool_]) -> Tensor:
        return self._head.new_zeros(hidden.shape).masked_fill_(self._to_device(hidden), -torch.inf)

    def _run_layer(self, hidden: Tensor, layer: Layer, cache: _KeysValues, bank: _KeysValues, step: _Step) -> Tensor:
        heads, kv_heads, size = self._heads, self._kv_heads, self._head_size
        packed = functional.linear(self._normalize(hidden, layer.input_norm), layer.query_key_value)
        packed = packed.view(len(hidden), heads + 2 * kv_heads, size)
        rotated = packed[:, : heads + kv_heads]
        rotated = torch.addcmul(rotated * step.cosine, rotated.roll(size // 2, -1), step.sine)
        for stored, new in zip(cache, (rotated[:, heads:], packed[:, heads + kv_heads :]), strict=True):
            stored.view(-1, size).index_copy_(0, step.target, new.reshape(-1, size))
        queries = rotated[:, :heads]
        if step.groups[0].tokens is None:
            mixed = self._mix(queries[:, None], cache, bank, step.groups[0])
        else:
            mixed = hidden.new_empty(len(hidden), heads * size)
            for group in step.groups:
                mixed[group.members] = self._mix(queries[group.tokens], cache, bank, group)[group.places]
        hidden = torch.addmm(hidden, mixed, layer.output.t())
        gate, up = functional.linear(self._normalize(hidden, layer.post_norm), layer.gate_up).chunk(2, -1)
        return torch.addmm(hidden, functional.silu(gate).mul_(up), layer.down.t())

    def _mix(self, queries: Tensor, cache: _KeysValues, bank: _KeysValues, group: _Group) -> Tensor:
        """Attention of (S, Q, H, d) queries over bank and slots, as (S Q, H d)."""
        if group.each is None:
            return self._attend(queries, cache, bank, group)
        return self._attend_each(queries, cache, bank, group.bank, group.bias, group.each)

    def _attend_each(
        self,
        queries: Tensor,
        cache: _KeysValues,
        bank: _KeysValues,
        part: slice,
        bias: Tensor,
        each: list[tuple[int, int]],
    ) -> Tensor:
        """One query a row: what it sees of its slot is read, and nothing of other slots."""
        kv_heads, size, shared = self._kv_heads, self._head_size, part.stop - part.start
        queries = queries.reshape(len(each), kv_heads, -1, size)
        mixed = torch.empty_like(queries)
        if shared:
            flat = queries.transpose(0, 1).reshape(kv_heads, -1, size)
            bank_scores = torch.bmm(flat, bank[0][:, part].transpose(-1, -2))
            bank_scores = bank_scores.view(kv_heads, len(each), -1, shared).transpose(0, 1).add(bias)
            bank_weights = torch.empty_like(bank_scores)
        for row, (slot, length) in enumerate(each):
            scores = torch.bmm(queries[row], cache[0][slot, :, :length].transpose(-1, -2))
            if shared:
                scores = torch.cat([bank_scores[row], scores], -1)
            weights = torch.softmax(scores, -1)
            torch.bmm(weights[..., shared:], cache[1][slot, :, :length], out=mixed[row])
            if shared:
                bank_weights[row] = weights[..., :shared]
        if shared:
            flat = bank_weights.transpose(0, 1).reshape(kv_heads, -1, shared)
            from_bank = torch.bmm(flat, bank[1][:, part])
            mixed = mixed.add_(from_bank.view(kv_heads, len(each), -1, size).transpose(0, 1))
        return mixed.reshape(len(each), -1)

    def _attend(self, queries: Tensor, cache: _KeysValues, bank: _KeysValues, group: _Group) -> Tensor:
        """All rows of a group at once."""
        rows, width = queries.shape[:2]
        kv_heads, size, shared = self._kv_heads, self._head_size, group.bank.stop - group.bank.start
        repeats = self._heads // kv_heads
        # Query heads that share a key head are rows of one matrix.
        queries = queries.reshape(rows, width, kv_heads, repeats, size).permute(0, 2, 3, 1, 4)
        queries = queries.reshape(rows, kv_heads, repeats * width, size)
        keys, values = (
            stored[:rows, :, : group.length] if group.slots is None else stored[:, :, : group.length][group.slots]
            for stored in cache
        )
        scores = torch.matmul(queries, keys.transpose(-1, -2))
        if shared:
            flat = queries.transpose(0, 1).reshape(kv_heads, -1, size)
            bank_scores = torch.bmm(flat, bank[0][:, group.bank].transpose(-1, -2))
            bank_scores = bank_scores.view(kv_heads, rows, repeats * width, shared).transpose(0, 1)
            scores = torch.cat([bank_scores, scores], -1)
        scores = scores.view(rows, kv_heads, repeats, width, -1).add_(group.bias)
        weights = torch.softmax(scores, -1).view(rows, kv_heads, repeats * width, -1)
        mixed = torch.matmul(weights[..., shared:], values)
        if shared:
            flat = weights[..., :shared].transpose(0, 1).reshape(kv_heads, -1, shared)
            bank_mixed = torch.bmm(flat, bank[1][:, group.bank])
            mixed = mixed.add_(bank_mixed.view(kv_heads, rows, repeats * width, size).transpose(0, 1))
        mixed = mixed.view(rows, kv_heads, repeats, width, size).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows * width, -1)

    def _normalize(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden, weight.shape, weight, self._epsilon)

    def _reserve(self, slots: int, length: int) -> None:
        """Make room for so many slots and so many tokens in each, keeping what is there."""
        missing = slots - len(self._length)
        for values in (self._length, self._bank_start, self._bank_end):
            values.extend([0] * missing)
        held = self._cache[0][0].shape[0]
        if slots <= held and length <= self._capacity:
            return
        while self._capacity < length:
            self._capacity *= 2
        rows = held if slots <= held else max(slots, 2 * held)
        for place, old in enumerate(self._cache):  # one by one, so that only one layer's is there twice
            self._cache[place] = new = self._empty_cache(rows, self._capacity)
            for larger, smaller in zip(new, old, strict=True):
                larger[:held, :, : smaller.shape[2]] = smaller

    def _empty_cache(self, slots: int, capacity: int) -> _KeysValues:
        # Zeros, because masked positions are multiplied by a weight of 0 and NaN would survive that.
        shape = (slots, self._kv_heads, capacity, self._head_size)
        return self._embedding.new_zeros(shape), self._embedding.new_zeros(shape)

    def _to_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self._head.device)
