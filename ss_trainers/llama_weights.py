"""The weights of a Llama as our decoder reads them, and what kinds of module it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers import LlamaForCausalLM
from transformers.activations import ACT2FN
from transformers.models.llama import modeling_llama as llama

# What a Llama is made of. Anything else in it (other adapters, quantized layers) is someone's change.
_PARTS = frozenset(
    {
        LlamaForCausalLM,
        llama.LlamaModel,
        llama.LlamaDecoderLayer,
        llama.LlamaAttention,
        llama.LlamaMLP,
        llama.LlamaRMSNorm,
        llama.LlamaRotaryEmbedding,
        type(ACT2FN["silu"]),
        nn.Embedding,
        nn.Linear,
        nn.ModuleList,
    }
)


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer, those that read the same input stacked."""

    input_norm: Tensor
    query_key_value: Tensor  # ((H + 2 KV) d, D); the queries' rows carry the attention scale
    output: Tensor
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor


def is_known(module: nn.Module) -> bool:
    """Whether all parts of a module are those of a Llama, with plain LoRA around linear layers."""
    if type(module) is LoraLinear:
        # Variants, such as DoRA, compute something else than a sum of two products.
        return not module.lora_variant and not any(module.lora_bias.values()) and is_known(module.get_base_layer())
    return type(module) in _PARTS and all(is_known(part) for part in module.children())


def read_layer(layer: Any, scale: float, dtype: torch.dtype) -> Layer:
    """The weights of a decoder layer, its adapters added and the queries multiplied by a scale."""
    attention, mlp = layer.self_attn, layer.mlp
    projections = [matrix(attention.q_proj) * scale, matrix(attention.k_proj), matrix(attention.v_proj)]
    return Layer(
        input_norm=layer.input_layernorm.weight.to(dtype),
        query_key_value=torch.cat(projections).to(dtype),
        output=matrix(attention.o_proj).to(dtype),
        post_norm=layer.post_attention_layernorm.weight.to(dtype),
        gate_up=torch.cat([matrix(mlp.gate_proj), matrix(mlp.up_proj)]).to(dtype),
        down=matrix(mlp.down_proj).to(dtype),
    )


def matrix(linear: Any) -> Tensor:
    """The matrix that a linear layer stands for, its active LoRA adapters added."""
    if not hasattr(linear, "get_base_layer"):
        weight: Tensor = linear.weight
        return weight
    weight = linear.get_base_layer().weight
    if linear.disable_adapters or linear.merged:
        return weight
    for name in linear.active_adapters:
        if name in linear.lora_A:
            # Adapters are in single precision where the model is in half precision.
            weight = weight + linear.get_delta_weight(name).to(weight.dtype)
    return weight
