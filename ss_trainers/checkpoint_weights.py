"""The weights of a model that is trained here, as another engine reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from ss_trainers import causal_lm
from ss_trainers.llama_weights import matrix


def checkpoint_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of a causal language model by the names that its checkpoint has for them, adapters added.

    Each sum of a matrix and its adapter is made when it is asked for, so that one of them is there at a time; where
    names or shapes in memory are not those of the checkpoint, all are there at once.

    Args:
        model: a transformers causal language model, or a ``peft`` model around one.

    Raises:
        ValueError: if it has adapters other than plain LoRA on linear layers.
    """
    inner = causal_lm.underlying(model)
    if not hasattr(model, "peft_config"):
        yield from revert_weight_conversion(inner, inner.state_dict()).items()
    elif getattr(inner, "_weight_conversions", None):
        yield from revert_weight_conversion(inner, dict(_merged(inner))).items()
    else:
        yield from _merged(inner)


def _merged(inner: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights by the names that they had before adapters were put around them."""
    adapted: dict[str, Any] = {name: module for name, module in inner.named_modules() if isinstance(module, LoraLinear)}
    for name, module in adapted.items():
        if module.lora_variant or any(module.lora_bias.values()):
            raise ValueError(f"the adapter of {name} is more than a product of two matrices: train with plain LoRA")
    for name, weight in inner.state_dict().items():
        owner = next((each for each in _owners(name) if each in adapted), None)
        if owner is None:
            if "lora_" in name or "modules_to_save" in name or ".base_layer." in name:
                raise ValueError(f"the adapter that holds {name} is not on a linear layer: train with plain LoRA there")
            yield name, weight
            continue
        part = name.removeprefix(f"{owner}.")
        if part.startswith("base_layer."):
            own = part.removeprefix("base_layer.")
            yield f"{owner}.{own}", matrix(adapted[owner]).detach() if own == "weight" else weight


def _owners(name: str) -> Iterator[str]:
    """The modules around a parameter, the innermost first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
