"""A language model as a policy: log-probabilities of the tokens it emitted, cheaply.

Three things make it cheap. The prompt that all rows share goes through the model once per call,
with gradients, as keys and values that the rows attend to. Only the hidden states that predict
action tokens reach the language-model head. And the head works in chunks that are computed again
in the backward pass, so logits of more than one chunk never exist at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from ss_trainers import causal_lm
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
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()
        self._inner = causal_lm.underlying(model)
        self._decoder: Any = causal_lm.decoder_of(self._inner)

    def logprobs(self, batch: TokenBatch, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of the action tokens, differentiable in the model's parameters.

        Args:
            batch: on the model's device.
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
        rows, columns = batch.action_mask.nonzero(as_tuple=True)
        result = batch.behavior_logprobs.new_zeros(batch.action_mask.shape, dtype=self._inner.dtype)
        if not len(rows):
            # Connected to the parameters, so that a batch without actions has gradient 0.
            return result + 0.0 * self._inner.get_output_embeddings().weight.flatten()[0]
        hidden = self._hidden(batch)[rows, columns - 1]
        scores = self._score(hidden, batch.input_ids[rows, columns], temperature)
        return result.index_put((rows, columns), scores)

    def _hidden(self, batch: TokenBatch) -> Tensor:
        """Hidden states (B, T, D) of the rows, after the shared prompt."""
        shared, (rows, width) = len(batch.prefix), batch.input_ids.shape
        limit = causal_lm.context_length(self._inner)
        if shared + width > limit:
            raise ValueError(
                f"the longest sequence has {shared + width} tokens, but the model's context is {limit}: "
                "sample with max_context, or drop the longest trajectories"
            )
        # Neither pass needs a padding mask: padding is on the right, where no action looks.
        if not shared:
            hidden: Tensor = self._decoder(input_ids=batch.input_ids, use_cache=False).last_hidden_state
            return hidden
        prompt = batch.prefix[None]
        if not causal_lm.reuses_keys_and_values(self._inner, shared + width):
            whole = torch.cat([prompt.expand(rows, -1), batch.input_ids], 1)
            hidden = self._decoder(input_ids=whole, use_cache=False).last_hidden_state
            return hidden[:, shared:]
        if self._inner.is_gradient_checkpointing and self._inner.training:
            raise RuntimeError(
                "transformers drops the key-value cache under gradient checkpointing, and the shared prompt needs it: "
                "call model.gradient_checkpointing_disable(), or collate with share_prefix=False"
            )
        cache = self._decoder(input_ids=prompt, past_key_values=DynamicCache(), use_cache=True).past_key_values
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)
        hidden = self._decoder(input_ids=batch.input_ids, past_key_values=cache, use_cache=True).last_hidden_state
        return hidden

    def _score(self, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """Log-probabilities (N,) of targets (N,) given hidden states (N, D)."""

        def chunk_scores(states: Tensor, ids: Tensor) -> Tensor:
            logits = causal_lm.logits_of(self._inner, states) / temperature
            return logits.gather(-1, ids[:, None])[:, 0] - logits.logsumexp(-1)

        vocabulary = self._inner.get_output_embeddings().weight.shape[0]
        size = max(1, _MAX_LOGITS // vocabulary)
        if len(hidden) <= size or not torch.is_grad_enabled():
            chunks = zip(hidden.split(size), targets.split(size), strict=True)
            return torch.cat([chunk_scores(states, ids) for states, ids in chunks])
        chunks = zip(hidden.split(size), targets.split(size), strict=True)
        return torch.cat([checkpoint(chunk_scores, states, ids, use_reentrant=False) for states, ids in chunks])
