"""Whether a model computes here what its own forward pass computes, found out on a few tokens.

transformers has hundreds of causal language models. Most take a mask, positions and a cache of keys
and values as Llama does; some do not, and a few of those go on without a word and give other
numbers. Sampling and training that disagree with the model would go unnoticed, so every model
that is not known from tests is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ss_trainers.decoder import Decoder

_TOKENS = 10
# Nats. Rounding stays far below (in half precision too), a wrong mask, position or scale above.
_LIMIT, _HALF_LIMIT = 1e-2, 0.2


class _OtherNumbersError(ValueError):
    """What is computed here is not what the model computes."""


def check_kept_past(
    model: nn.Module,
    inner: PreTrainedModel,
    max_context: int,
    decoder: Decoder,
) -> None:
    """Compares logits over kept keys and values with those of whole sequences.

    Args:
        model: as the user gave it, with its wrapper.
        inner: the transformers model in it.
        max_context: the most tokens of a conversation.
        decoder: a new one of the model.

    Raises:
        ValueError: if they differ, or the model can't run that way.
    """
    rows = _rows(inner, max_context)
    # Messages of different length, single tokens at different places, and messages after those.
    cuts = ((0, 4, 5, len(rows[0])), (0, 2, 3, len(rows[1])))
    with _as_in_use(model, inner, "sampled from") as (expected, compare):
        whole = [expected(row) for row in rows]
        for slot in range(len(rows)):
            decoder.attach(slot, None, 0)
        for step in range(3):
            parts = [row[cut[step] : cut[step + 1]] for row, cut in zip(rows, cuts, strict=True)]
            slots = [slot for slot, part in enumerate(parts) if part]
            if not slots:
                break
            logits = decoder.logits(decoder.hidden(slots, [parts[slot] for slot in slots]))
            ends = [min(cuts[slot][step + 1], len(rows[slot])) for slot in slots]
            compare(logits, torch.stack([whole[slot][end - 1] for slot, end in zip(slots, ends, strict=True)]))


def check_shared_prompt(
    model: nn.Module, inner: PreTrainedModel, max_context: int, logits_of: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Compares logits of rows after a shared prompt with those of whole sequences.

    Args:
        model: as the user gave it, with its wrapper.
        inner: the transformers model in it.
        max_context: the most tokens that the model takes.
        logits_of: logits (B, T, V) of padded rows (B, T) after a prompt (P,).

    Raises:
        ValueError: if they differ, or the model can't run that way.
    """
    longer, shorter = _rows(inner, max_context)
    prompt = longer[: len(longer) // 2]
    rows = [longer[len(prompt) :], shorter[: max(1, len(longer) - len(prompt) - 2)]]
    padded = [[*row, *[row[-1]] * (len(rows[0]) - len(row))] for row in rows]
    with _as_in_use(model, inner, "trained") as (expected, compare):
        given = logits_of(torch.tensor(prompt, device=inner.device), torch.tensor(padded, device=inner.device))
        for logits, row in zip(given, rows, strict=True):
            compare(logits[: len(row)], expected([*prompt, *row])[len(prompt) :])


def _rows(inner: PreTrainedModel, max_context: int) -> tuple[list[int], list[int]]:
    """Two rows of different length; padding is left out, since some models do not look at it."""
    config: Any = inner.config.get_text_config(decoder=True)
    known = [token for token in range(config.vocab_size) if token != config.pad_token_id][:1000]
    ids = [known[(5 + 7 * place) % len(known)] for place in range(2 * _TOKENS)]
    length = min(_TOKENS, max_context)
    return ids[:length], ids[_TOKENS : _TOKENS + max(1, length * 6 // 10)]


@contextmanager
def _as_in_use(
    model: nn.Module, inner: PreTrainedModel, use: str
) -> Iterator[tuple[Callable[[list[int]], Tensor], Callable[[Tensor, Tensor], None]]]:
    """The model's own logits (T, V) of a row, and what refuses others; without dropout, and with a clear error."""
    name, modes = type(inner).__name__, [(module, module.training) for module in model.modules()]

    def expected(row: list[int]) -> Tensor:
        logits: Tensor = model(input_ids=torch.tensor([row], device=inner.device), use_cache=False).logits[0]
        return logits

    def compare(logits: Tensor, whole: Tensor) -> None:
        limit = _LIMIT if torch.finfo(inner.dtype).bits >= 32 else _HALF_LIMIT
        ours, theirs = logits.double().log_softmax(-1), whole.double().log_softmax(-1)
        # The difference that a sampled token has on average.
        difference = (theirs.exp() * (ours - theirs).abs()).sum(-1).max().item()
        if not difference <= limit:
            raise _OtherNumbersError(
                f"{name} can't be {use} here: with kept keys and values its log-probabilities are "
                f"{difference:.2g} nats from those of its own forward pass; use another model"
            )

    model.eval()
    try:
        with torch.no_grad():
            yield expected, compare
    except (_OtherNumbersError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Models raise whatever they run into.
        raise ValueError(
            f"{name} can't be {use} here: it does not take a mask, positions and a cache of keys and values "
            f"as other models do ({type(error).__name__}: {error}); use another model"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
