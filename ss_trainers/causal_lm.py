"""What generation and training need to know of a Hugging Face causal language model's insides."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_layers import GradientCheckpointingLayer


def underlying(model: nn.Module) -> PreTrainedModel:
    """The transformers model itself, with the adapters that ``peft`` put in but not its wrapper.

    Raises:
        TypeError: it is neither a transformers model nor a ``peft`` model around one.
        ValueError: it has adapters of ``peft`` that are no part of the model itself.
    """
    wrapper: Any = model
    for name, adapter in (getattr(model, "peft_config", None) or {}).items():
        if getattr(adapter, "is_prompt_learning", False):
            raise ValueError(
                f"the adapter '{name}' is a learned prompt ({adapter.peft_type.value}), which peft puts before the "
                "tokens from outside of the model: use adapters inside of it, such as LoRA"
            )
    inner = wrapper.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(inner, PreTrainedModel) or head_of(inner) is None:
        raise TypeError(
            f"{type(model).__name__} is not a Hugging Face causal language model "
            "(a transformers model with a language-model head, or a peft model around one)"
        )
    return inner


def decoder_of(model: Any) -> Any:
    """The part that turns token ids into hidden states, without the language-model head."""
    return model.get_decoder()


def head_of(model: Any) -> Any:
    """The language-model head, the module that turns hidden states into logits; None without one."""
    return model.get_output_embeddings()


def logits_of(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits (..., V) of hidden states (..., D), as the model's own forward computes them."""
    config: Any = model.config
    logits: Tensor = head_of(model)(hidden)
    # Some families change the logits after the head; each names its constant in the config.
    for name in ("logit_scale", "lm_head_multiplier"):  # Cohere, Falcon-H1
        if getattr(config, name, None) is not None:
            logits = logits * getattr(config, name)
    scaling = getattr(config, "logits_scaling", None)  # Granite divides by it
    if scaling is not None:
        logits = logits * scaling if config.model_type == "hyperclovax" else logits / scaling
    for name in ("final_logit_softcapping", "logits_soft_cap"):  # Gemma, RecurrentGemma
        cap = getattr(config, name, None)
        if cap is not None:
            logits = (logits / cap).tanh() * cap
    return logits


def reuses_keys_and_values(model: PreTrainedModel, length: int) -> bool:
    """Whether a plain cache of keys and values stands for the tokens before.

    False for models with a recurrent state (Mamba and hybrids) and for attention windows shorter
    than ``length`` tokens: their caches drop or compress the past.
    """
    config: Any = model.config.get_text_config(decoder=True)
    if model._is_stateful:
        return False
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        return False
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    chunk = getattr(config, "attention_chunk_size", None)
    # GPT-Neo's name for it.
    local = getattr(config, "window_size", None) if "local" in getattr(config, "attention_layers", ()) else None
    return all(size is None or size >= length for size in (window, chunk, local))


def context_length(model: PreTrainedModel) -> int:
    """The most tokens that the model can attend to, from its config; ``sys.maxsize`` if it has no limit."""
    return context_of(model.config)


def context_of(config: PreTrainedConfig) -> int:
    """The most tokens that models of a config can attend to; ``sys.maxsize`` if there is no limit."""
    text: Any = config.get_text_config(decoder=True)
    return int(getattr(text, "max_position_embeddings", None) or sys.maxsize)


def checkpoints_gradients(model: PreTrainedModel) -> bool:
    """Whether layers throw their activations, and with them any cache, away in training."""
    return model.training and any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


class _PromptLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer's keys and values of a prompt; what follows it is seen once, and not kept.

    A layer that is computed again in the backward pass finds here what it found the first time.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys: Tensor = keys
        self.values: Tensor = values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keys and values of the prompt and of what follows it."""
        return torch.cat([self.keys, key_states], -2), torch.cat([self.values, value_states], -2)


def prompt_cache(layers: Sequence[tuple[Tensor, Tensor]], rows: int) -> DynamicCache:
    """A prompt's keys and values (1, KV, P, d) of each layer, for so many rows that follow it."""
    cache = DynamicCache()
    cache.layers = [_PromptLayer(*(each.expand(rows, -1, -1, -1) for each in layer)) for layer in layers]
    return cache


def layers_of(decoder: nn.Module) -> list[nn.Module]:
    """The layers that can be computed again in the backward pass.

    Raises:
        ValueError: there are none.
    """
    layers: list[nn.Module] = [*filter(lambda each: isinstance(each, GradientCheckpointingLayer), decoder.modules())]
    if not layers:
        name = type(decoder).__name__
        raise ValueError(f"the layers of {name} can't be computed again: set gradient_checkpointing to false")
    return layers


@contextmanager
def recomputed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Within it, these layers keep their input only, and are computed again in the backward pass.

    transformers' own switch drops the cache, and with it the shared prompt.
    """
    for layer in layers:
        # Nothing in a layer is random: dropout is off.
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
