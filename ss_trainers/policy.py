"""A language model as a policy: log-probabilities of the tokens it emitted, cheaply.

Three things make it cheap. The prompt that all rows share goes through the model once per call,
with gradients, as keys and values that the rows attend to. Only the hidden states that predict
action tokens reach the language-model head. And the head works in chunks that are computed again
in the backward pass, so logits of more than one chunk never exist at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from ss_gym.types import MultiTurnTrajectory
from ss_trainers import causal_lm
from ss_trainers.collate import collate, split_by_length
from ss_trainers.llama_decoder import LlamaDecoder
from ss_trainers.self_check import check_shared_prompt
from ss_trainers.types import TokenBatch

# Logits that exist at a time: 64 MB in fp32.
_MAX_LOGITS = 2**24


class LanguagePolicy:
    """Scores token batches under a Hugging Face causal language model.

    The model is put into evaluation mode: dropout would make the ratio to the sampler random.

    A batch's shared prompt is encoded once where the model's cache of keys and values stands for
    the tokens before (``causal_lm.reuses_keys_and_values``). Where it does not (recurrent states,
    attention windows shorter than the sequence) the prompt is put back in front of every row:
    same result, more work.

    Args:
        model: a transformers causal language model, or a ``peft`` model around one.
        gradient_checkpointing: compute each layer again in the backward pass instead of keeping what it computed
            for the rows (Chen et al. 2016, arXiv:1604.06174): a third more work, a fraction of the memory. The
            shared prompt, which is one row, is kept.

    Raises:
        TypeError: it is no causal language model of transformers.
        ValueError: a few tokens that are tried here do not come out as in the model's own forward pass, or its
            layers can't be computed again.
    """

    def __init__(self, model: nn.Module, gradient_checkpointing: bool = False) -> None:
        self.model = model.eval()
        self._inner = causal_lm.underlying(model)
        self._decoder = causal_lm.decoder_of(self._inner)
        self._recomputed = causal_lm.layers_of(self._decoder) if gradient_checkpointing else []
        self._prompt: _EncodedPrompt | None = None
        if not LlamaDecoder.supports(self._inner):
            check_shared_prompt(model, self._inner, causal_lm.context_length(self._inner), self._logits)

    def logprobs(self, batch: TokenBatch, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of the action tokens, differentiable in the model's parameters.

        Args:
            batch: on the model's device, with at least one row.
            temperature: the one that the tokens were sampled with; greater than 0.

        Returns:
            float (B, T), 0 outside ``batch.action_mask``.

        Raises:
            ValueError: the temperature is not positive, or a sequence is longer than the model's
                context.
            RuntimeError: the model checkpoints gradients, which drops the cache that the shared
                prompt needs.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature}")
        return self.logprobs_of(self.hidden_states(batch), batch, temperature)

    def logprobs_of(self, hidden: Tensor, batch: TokenBatch, temperature: float = 1.0) -> Tensor:
        """What ``logprobs`` gives, of hidden states that are there.

        Args:
            hidden: (N, D), of ``hidden_states``.
            batch: which they are of.
            temperature: greater than 0.
        """
        return on_action_tokens(self._score(hidden, batch.input_ids[batch.action_mask], temperature), batch)

    def logits(self, hidden: Tensor) -> Tensor:
        """Float (N, V), in float32 at least, of hidden states (N, D)."""
        logits = causal_lm.logits_of(self._inner, hidden)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @property
    def vocabulary(self) -> int:
        """V, how many tokens there are."""
        return int(causal_lm.head_of(self._inner).weight.shape[0])

    def hidden_states(self, batch: TokenBatch) -> Tensor:
        """What the model knows before each action token, differentiable: (N, D) of N action tokens, row by row.

        Args:
            batch: on the model's device, with at least one row.

        Raises:
            ValueError: a sequence is longer than the model's context.
            RuntimeError: as for ``logprobs``.
        """
        rows, columns = batch.action_mask.nonzero(as_tuple=True)
        return self._hidden(batch.prefix, batch.input_ids)[rows, columns - 1]

    @contextmanager
    def prompt_encoded_once(self, micro_batches: Sequence[TokenBatch]) -> Iterator[None]:
        """Within it, ``logprobs`` of these micro-batches encode their shared prompt no more.

        The prompt goes through the model on entry. What each ``backward`` inside sends to the
        prompt's keys and values adds up there, and goes on to the parameters on exit::

            with policy.prompt_encoded_once(micro_batches):
                for batch in micro_batches:
                    algorithm.loss(batch, policy.logprobs(batch), counts).loss.backward()

        Gradients are complete only after the block. If it raises, the prompt's share is dropped.
        Scores without gradients (of a reference with its adapters off, say) encode the prompt
        anew. Without a shared prompt, or for a model that can't reuse it, nothing changes.
        """
        prefix = micro_batches[0].prefix if micro_batches else torch.empty(0)
        longest = len(prefix) + max((batch.input_ids.shape[1] for batch in micro_batches), default=0)
        if not len(prefix) or not causal_lm.reuses_keys_and_values(self._inner, longest):
            yield
            return
        encoded = self._encode(prefix)
        self._prompt = _EncodedPrompt(prefix, [(_leaf(keys), _leaf(values)) for keys, values in encoded])
        leaves = [tensor for layer in self._prompt.layers for tensor in layer]
        try:
            yield
        finally:
            self._prompt = None
        sources = [tensor for layer in encoded for tensor in layer]
        used = [(source, leaf.grad) for source, leaf in zip(sources, leaves, strict=True) if leaf.grad is not None]
        if used:
            torch.autograd.backward([source for source, _ in used], [gradient for _, gradient in used])

    def _logits(self, prefix: Tensor, input_ids: Tensor) -> Tensor:
        return causal_lm.logits_of(self._inner, self._hidden(prefix, input_ids))

    def _hidden(self, prefix: Tensor, input_ids: Tensor) -> Tensor:
        """Hidden states (B, T, D) of rows (B, T), after the shared prompt (P,)."""
        shared, (rows, width) = len(prefix), input_ids.shape
        limit = causal_lm.context_length(self._inner)
        if shared + width > limit:
            raise ValueError(
                f"the longest sequence has {shared + width} tokens, but the model's context is {limit}: "
                "sample with max_context, or drop the longest trajectories"
            )
        # No pass needs a padding mask: padding is on the right, where no action looks.
        if not shared:
            return self._decoded(input_ids)
        if not causal_lm.reuses_keys_and_values(self._inner, shared + width):
            return self._decoded(torch.cat([prefix.expand(rows, -1), input_ids], 1))[:, shared:]
        prompt = self._prompt if torch.is_grad_enabled() else None
        known = prompt is not None and torch.equal(prompt.ids, prefix)
        layers = prompt.layers if prompt and known else self._encode(prefix)
        return self._decoded(input_ids, causal_lm.prompt_cache(layers, rows))

    def _decoded(self, input_ids: Tensor, cache: DynamicCache | None = None) -> Tensor:
        with causal_lm.recomputed(self._recomputed if torch.is_grad_enabled() else []):
            output = self._decoder(input_ids=input_ids, past_key_values=cache, use_cache=cache is not None)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _encode(self, prompt: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values (1, KV, P, d) of each layer, differentiable."""
        if causal_lm.checkpoints_gradients(self._inner):
            raise RuntimeError(
                "transformers drops the key-value cache under gradient checkpointing, and the shared prompt needs it: "
                "call model.gradient_checkpointing_disable(), or collate with share_prefix=False"
            )
        cache = self._decoder(input_ids=prompt[None], past_key_values=DynamicCache(), use_cache=True).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _score(self, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """Log-probabilities (N,) of targets (N,) given hidden states (N, D)."""

        def chunk_scores(states: Tensor, ids: Tensor) -> Tensor:
            logits = self.logits(states)
            if temperature != 1.0:
                logits = logits / temperature
            return logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0]

        size = max(1, _MAX_LOGITS // self.vocabulary)
        chunks = list(zip(torch.split(hidden, size), torch.split(targets, size), strict=True))
        if len(chunks) == 1:
            return chunk_scores(*chunks[0])
        return torch.cat([checkpoint(chunk_scores, states, ids, use_reentrant=False) for states, ids in chunks])


def on_action_tokens(values: Tensor, batch: TokenBatch) -> Tensor:
    """Values (N,) of the action tokens, row by row, where those are: (B, T), 0 elsewhere."""
    return values.new_zeros(batch.action_mask.shape).index_put(batch.action_mask.nonzero(as_tuple=True), values)


@torch.no_grad()
def scored_actions(
    trajectories: Sequence[MultiTurnTrajectory],
    score: Callable[[TokenBatch], Tensor],
    micro_batch_tokens: int,
    device: torch.device,
) -> list[Tensor]:
    """Log-probabilities of each trajectory's action tokens, in order, float (N,) on the processor.

    Args:
        trajectories: such as ``collate`` takes; they are scored together, sorted by length.
        score: gives those of a batch on the device, (B, T).
        micro_batch_tokens: most tokens that go through the model at once.
        device: of the model.
    """
    batch = collate([replace(each, group_id=place) for place, each in enumerate(trajectories)])
    found = dict[int, Tensor]()
    for part in split_by_length(batch, micro_batch_tokens):
        logprobs = score(part.to(device)).float().cpu()
        for row, place in enumerate(part.group_ids.tolist()):
            found[place] = logprobs[row, part.action_mask[row]]
    return [found[place] for place in range(len(trajectories))]


@dataclass(frozen=True, slots=True)
class _EncodedPrompt:
    ids: Tensor  # (P,)
    layers: list[tuple[Tensor, Tensor]]  # keys and values (1, KV, P, d), leaves that collect gradients


def _leaf(tensor: Tensor) -> Tensor:
    # Adapters on some of the projections leave the keys or values of the first layer without gradient.
    return tensor.detach().requires_grad_(tensor.requires_grad)
