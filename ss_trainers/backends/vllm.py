"""The backend for models that vLLM runs: an agent's, and a player of rollouts whose weights a trainer hands over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import read_options
from ss_gym.agents.dialects import DIALECTS, Dialect
from ss_gym.spelling import nearest
from ss_trainers.backends.lengths import encoded_ids
from ss_trainers.backends.models import (
    TINY,
    LoadedModel,
    LocatedModel,
    end_ids,
    load_model,
    locate_model,
    merged,
    write_model,
)
from ss_trainers.backends.token_backend import TokenBackend, first_ids
from ss_trainers.backends.vllm_engine import VLLMGenerator, VLLMSession, started
from ss_trainers.causal_lm import context_of, underlying
from ss_trainers.chat import ChatFormat
from ss_trainers.checkpoint_weights import checkpoint_weights
from ss_trainers.context_length import limited_context

_DTYPES = ("float32", "float16", "bfloat16")
_Shapes = tuple[dict[str, tuple[int, ...]], set[str]]


@dataclass(frozen=True, slots=True)
class VLLMOptions:
    """``AgentConfig.backend_options`` of this backend.

    Attributes:
        max_context: most tokens of a conversation; the model's own limit if None.
        dtype: what the model is computed in, such as ``"bfloat16"``; what its weights are stored in if None.
        dialect: how the model writes calls, one of ``ss_gym.agents.dialects.DIALECTS``; by default as its chat
            template shows.
        adapter: folder of a ``peft`` adapter that is put on the model.
        gpu_memory_utilization: share of a GPU's memory that vLLM takes for weights, keys and values; beside a trainer
            on the same GPU it has to be small.
        kv_cache_gib: memory for keys and values in GiB, in place of what is left of that share; 1 by default where
            vLLM runs on a processor.
        max_num_seqs: most conversations that go on in one step; vLLM's own choice if None.
        tensor_parallel_size: GPUs that share each layer.
        enforce_eager: whether the model is run as it is, instead of compiled and recorded first; by default on a
            processor only.
        enable_prefix_caching: whether keys and values are kept for conversations that begin alike, or go on.
    """

    max_context: int | None = None
    dtype: str | None = None
    dialect: Dialect | None = None
    adapter: str | None = None
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float | None = None
    max_num_seqs: int | None = None
    tensor_parallel_size: int = 1
    enforce_eager: bool | None = None
    enable_prefix_caching: bool = True

    def __post_init__(self) -> None:
        """Refuses what no engine could be started with."""
        for name, known in (("dtype", _DTYPES), ("dialect", DIALECTS)):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r:.80}")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(f"gpu_memory_utilization must be above 0 and at most 1, got {self.gpu_memory_utilization}")
        if self.kv_cache_gib is not None and not self.kv_cache_gib > 0:
            raise ValueError(f"kv_cache_gib must be above 0, got {self.kv_cache_gib}")
        for name in ("max_num_seqs", "tensor_parallel_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class VLLMBackend(TokenBackend[VLLMSession]):
    """Answers conversations with a causal language model that vLLM runs in this process.

    Ids, log-probabilities, stop texts and the conversation's way from ids to ids are those of
    :class:`ss_trainers.backends.huggingface.HuggingFaceBackend`. It runs where vLLM was built for, whatever the
    agent's device. There is one engine in a process.

    Args:
        location: which model, as in :func:`ss_trainers.backends.models.load_model`; ``"tiny"`` if empty. Adapters
            are added to the weights of their base model, which then stays in this process's memory, too.
        config: the agent's; seed and sampling are read, and ``dtype``, ``adapter`` and ``backend_options`` as
            :class:`VLLMOptions`.
        loaded: a model in this process that the engine follows: it starts when it is needed, and takes the weights
            anew after each ``weights_changed``.

    Attributes:
        loaded: as above; None where vLLM has loaded the weights itself.
        generator: samples the replies.

    Raises:
        BackendError: if vLLM can't run the model, or runs another one in this process.
        FileNotFoundError: if there is no such model.
        ValueError: if an option is not known or out of range.
    """

    generator: VLLMGenerator

    def __init__(self, location: str, config: AgentConfig, loaded: LoadedModel | None = None) -> None:
        options = read_options(config, VLLMOptions)
        location = location or TINY
        self.loaded = loaded
        model = locate_model(location) if loaded is None and options.adapter is None else None
        if model is None:
            followed = self.loaded = loaded or merged(load_model(location, adapter=options.adapter))
            model = _described(followed)
        self._config = model.config
        self._shapes: _Shapes | None = None
        most = limited_context(options.max_context, context_of(model.config))
        rng = torch.Generator().manual_seed(config.seed)
        start = partial(_started, model, options, most)
        weights = None if self.loaded is None else partial(checkpoint_weights, self.loaded.model)
        generator = VLLMGenerator(start, most, rng, weights)
        super().__init__(ChatFormat(model.tokenizer), generator, model.ends, rng, Sampling.of(config), options.dialect)
        if loaded is None:
            generator.begin()

    def choice_logprobs(self, conversations: Sequence[Conversation], choices: Sequence[str]) -> list[list[float]]:
        """See ``ChoosingBackend``: of each choice, the model's log-probability of its first token.

        Raises:
            ValueError: if two choices begin with the same token.
            UnanswerableError: if a conversation is longer than the context.
        """
        first = first_ids(self.chat, choices)
        prompts = [encoded_ids(self.chat, conversation, self.max_context) for conversation in conversations]
        return self.generator.next_logprobs(prompts, first)

    def save(self, folder: Path) -> Mapping[str, Any] | None:
        """See ``SavingBackend``; the model is here where the engine follows one.

        Raises:
            OSError: if it can't be written, or the engine alone has the weights that were given to it.
        """
        if self.loaded is not None:
            return write_model(self.loaded, folder, self.trained)
        if self.trained:
            raise OSError("vLLM does not give back the weights that it was given: save the model that they are of")
        return None

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Gives the model other weights, as a trainer does after each update; open conversations are read anew.

        :func:`ss_trainers.checkpoint_weights.checkpoint_weights` gives those of a model in this process, its adapters
        added.

        Args:
            weights: all of the model's, by the names of its checkpoint; they are rounded to what it is computed in.

        Raises:
            RuntimeError: if the engine follows a model in this process.
            ValueError: if one is missing, unknown or of another shape; the engine then keeps those that it has.
        """
        given = dict(weights)
        self._check(given)
        self.weights_changed()
        self.generator.load_weights(given.items())

    def shutdown(self) -> None:
        """Ends the engine and frees its memory; conversations that wait for a reply are given up.

        It starts again when it is needed, with the weights that it began with.
        """
        for session in list(self._sessions):
            self._drop(session)
        self.generator.shutdown()

    def _check(self, given: dict[str, Tensor]) -> None:
        """Refuses weights of which vLLM would load a part."""
        shapes, tied = self._shapes = self._shapes or _shapes(self._config)
        for name, weight in given.items():
            if name not in shapes:
                raise ValueError(f"the model has no weight {name!r:.80}; {nearest(name, list(shapes))}")
            if tuple(weight.shape) != shapes[name]:
                raise ValueError(f"{name} must have the shape {shapes[name]}, got {tuple(weight.shape)}")
        for name in shapes:
            if name not in given and name not in tied:
                raise ValueError(f"the weight {name} is missing: give all of them")


def _shapes(config: PreTrainedConfig) -> _Shapes:
    """Of each weight of a checkpoint the shape, and the names of those that are others once more."""
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return {name: tuple(weight.shape) for name, weight in checkpoint_weights(empty)}, set(empty.all_tied_weights_keys)


def _described(loaded: LoadedModel) -> LocatedModel:
    """What there is to know of a model in this process."""
    inner = underlying(loaded.model)
    return LocatedModel("", inner.config, end_ids(inner.generation_config), loaded.tokenizer)


def _started(model: LocatedModel, options: VLLMOptions, max_context: int) -> Any:
    """An engine for a model, without its weights where it lies nowhere."""
    arguments = {
        "model": model.source,
        "dtype": options.dtype or model.config.get_text_config(decoder=True).dtype or "auto",
        "max_model_len": max_context,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "max_num_seqs": options.max_num_seqs,
        "tensor_parallel_size": options.tensor_parallel_size,
        "enable_prefix_caching": options.enable_prefix_caching,
    }
    if model.source:
        return started(arguments, options.kv_cache_gib, options.enforce_eager)
    with TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        arguments |= {"model": folder, "load_format": "dummy"}
        return started(arguments, options.kv_cache_gib, options.enforce_eager)
