"""The backend for Hugging Face causal language models: conversations in, sampled tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import read_options
from ss_gym.agents.dialects import DIALECTS, Dialect
from ss_trainers import causal_lm
from ss_trainers.backends.lengths import encoded_ids
from ss_trainers.backends.models import TINY, LoadedModel, end_ids, load_model, write_model
from ss_trainers.backends.token_backend import TokenBackend, first_ids
from ss_trainers.chat import ChatFormat
from ss_trainers.generation import Generator
from ss_trainers.sessions import Session
from ss_trainers.token_sampling import SamplingSettings

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class HuggingFaceOptions:
    """``AgentConfig.backend_options`` of this backend.

    Attributes:
        max_context: most tokens of a conversation; the model's own limit if None.
        dtype: what the model is loaded and computed in, such as ``"bfloat16"``; float32 if None. A model that is
            loaded already is rounded to it for sampling, and stays as it is.
        dialect: how the model writes calls, one of ``ss_gym.agents.dialects.DIALECTS``; by default as its chat
            template shows.
        adapter: folder of a ``peft`` adapter that is put on the model.
        turn_prefix: a token that stands at the beginning of each of the agent's turns, such as one that asks for a
            return of a model that was trained so.
    """

    max_context: int | None = None
    dtype: str | None = None
    dialect: Dialect | None = None
    adapter: str | None = None
    turn_prefix: str | None = None

    def __post_init__(self) -> None:
        """Refuses precisions that no model computes in."""
        for name, known in (("dtype", _DTYPES), ("dialect", DIALECTS)):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r:.80}")


class Guidance(Protocol):
    """Changes what a model says, token by token, and is saved beside it."""

    def __call__(self, hidden: Tensor, logits: Tensor, /) -> Tensor:
        """Logits (R, V) of hidden states (R, D) and the model's logits."""
        ...

    def write(self, folder: Path) -> None:
        """Writes what it is made of into the folder of a checkpoint."""
        ...


class HuggingFaceBackend(TokenBackend[Session]):
    """Answers conversations with a causal language model.

    Args:
        location: which model, as in :func:`ss_trainers.backends.models.load_model`; ``"tiny"`` if
            empty.
        config: the agent's; device, seed and sampling are read, and ``dtype``, ``adapter`` and ``backend_options`` as
            :class:`HuggingFaceOptions`.
        loaded: the model, where it is loaded already.
        max_context: in place of the option.
        dtype: in place of the option.
        guidance: changes the logits before tokens are drawn; they stay as they are if None.

    Attributes:
        loaded: the model and its tokenizer.
        guidance: as above.
    """

    def __init__(
        self,
        location: str,
        config: AgentConfig,
        loaded: LoadedModel | None = None,
        max_context: int | None = None,
        dtype: torch.dtype | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        options = read_options(config, HuggingFaceOptions)
        chosen = _DTYPES.get(options.dtype or "") if dtype is None else dtype
        self.loaded = loaded or load_model(location or TINY, config.device, options.adapter, chosen or torch.float32)
        model, rng = self.loaded.model, torch.Generator().manual_seed(config.seed)
        ends = end_ids(causal_lm.underlying(model).generation_config)
        generator = Generator(
            model,
            SamplingSettings(ends),
            max_context=options.max_context if max_context is None else max_context,
            rng=rng,
            dtype=chosen,
        )
        generator.guide = self.guidance = guidance
        chat = ChatFormat(self.loaded.tokenizer, _ids_of(self.loaded, options.turn_prefix))
        super().__init__(chat, generator, ends, rng, Sampling.of(config), options.dialect)

    def save(self, folder: Path) -> Mapping[str, Any]:
        """See ``SavingBackend``."""
        if self.guidance is not None:
            self.guidance.write(folder)
        return write_model(self.loaded, folder, self.trained)

    @torch.inference_mode()
    def choice_logprobs(self, conversations: Sequence[Conversation], choices: Sequence[str]) -> list[list[float]]:
        """See ``ChoosingBackend``: of each choice, the log-probability of its first token, as the model is guided.

        Raises:
            ValueError: if two choices begin with the same token.
            UnanswerableError: if a conversation is longer than the context.
        """
        first = first_ids(self.chat, choices)
        model, rows = causal_lm.underlying(self.loaded.model), []
        most = causal_lm.context_length(model)
        for conversation in conversations:
            ids = torch.tensor([encoded_ids(self.chat, conversation, most)], device=model.device)
            hidden = causal_lm.decoder_of(model)(input_ids=ids).last_hidden_state[:, -1]
            logits = causal_lm.logits_of(model, hidden)
            guided = logits if self.guidance is None else self.guidance(hidden, logits)
            logprobs = guided[0].float().log_softmax(-1)
            rows.append([float(logprobs[token]) for token in first])
        return rows


def _ids_of(loaded: LoadedModel, token: str | None) -> tuple[int, ...]:
    """The id of a token.

    Raises:
        ValueError: if the tokenizer has no such token.
    """
    if token is None:
        return ()
    vocabulary = loaded.tokenizer.get_vocab()
    if token not in vocabulary:
        raise ValueError(f"the tokenizer of '{loaded.location}' has no token {token!r:.80} to begin turns with")
    return (vocabulary[token],)
