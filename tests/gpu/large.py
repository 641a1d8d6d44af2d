"""Speeds of a model of a usual size, with random weights: nothing is downloaded."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ss_trainers import GRPO
from ss_trainers.collate import collate, split_by_length
from ss_trainers.generation import Generator
from ss_trainers.policy import LanguagePolicy
from ss_trainers.token_sampling import SamplingSettings
from ss_trainers.types import BatchCounts, TokenBatch
from tests.benchmarks import learning
from tests.gpu.rows import Row, Setting

# Products of matrices a second in bfloat16, dense, by the maker's data sheet.
_PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
_MICRO_BATCH_TOKENS = 4096


def make_model(setting: Setting) -> LlamaForCausalLM:
    """A Llama of the sizes that were asked for, on the device."""
    sizes = setting.sizes
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.width // 64,
        num_key_value_heads=max(1, sizes.width // 256),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(), torch.device(setting.device):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval().requires_grad_(False)


def large_model(setting: Setting) -> Iterator[Row]:
    """Sampling and training in both precisions."""
    model = make_model(setting)
    embedding = model.get_input_embeddings().weight.numel()
    body = sum(value.numel() for value in model.parameters()) - embedding
    yield Row("parameters", f"{(body + embedding) / 1e6:,.0f} million, vocabulary {setting.sizes.vocabulary:,}")
    for name, dtype in (("float32", None), ("bfloat16", torch.bfloat16)):
        yield _row(setting, f"sampling in {name}", lambda dtype=dtype: _sampling(setting, model, dtype))
    model.requires_grad_(True)
    vocabulary = setting.sizes.vocabulary
    rows = [learning.conversation(random.Random(row), vocabulary) for row in range(setting.sizes.rows)]
    for share in (True, False):
        batch = GRPO().prepare(collate(rows, share_prefix=share))
        for name, half in (("float32", False), ("bfloat16", True)):
            where = "once" if share else "in each row"
            title = f"training in {name}, {len(rows)} × ({learning.PROMPT} + 100) tokens, prompt {where}"
            yield _row(
                setting, title, lambda batch=batch, half=half: _training(setting, model, batch, half, body, embedding)
            )
    batch = GRPO().prepare(collate(rows))
    yield _row(
        setting,
        "training in bfloat16, prompt once, layers computed again",
        lambda: _training(setting, model, batch, True, body, embedding, again=True),
    )
    # Last, since it changes the model. To test this script, no machine code is needed.
    backend = "inductor" if setting.on_cuda else "eager"
    for layer in model.model.layers:
        layer.compile(dynamic=True, backend=backend)
    yield _row(
        setting,
        "training in bfloat16, prompt once, layers compiled",
        lambda: _training(setting, model, batch, True, body, embedding),
    )


def _row(setting: Setting, title: str, measure: Callable[[], str]) -> Row:
    """What is measured, with the memory that it took at most."""
    if not setting.on_cuda:
        return Row(title, measure())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(setting.device)
    figure = measure()
    return Row(title, f"{figure}, peak {torch.cuda.max_memory_allocated(setting.device) / 2**30:.1f} GiB")


def _sampling(setting: Setting, model: Any, dtype: torch.dtype | None) -> str:
    """Replies of a fixed length after a prompt that all share."""
    sizes = setting.sizes
    generator = Generator(model, SamplingSettings((), sizes.reply_tokens), dtype=dtype)
    prompt = [token % sizes.vocabulary for token in range(learning.PROMPT)]

    def replies() -> None:
        sessions = [generator.open([*prompt, row % sizes.vocabulary]) for row in range(sizes.parallel[-1])]
        generator.extend_and_sample(sessions, [[] for _ in sessions])
        for session in sessions:
            generator.close(session)

    replies()
    seconds, _ = learning.timed(replies, setting.clock)
    count = sizes.parallel[-1]
    return f"{count * sizes.reply_tokens / seconds:,.0f} tokens/s, {count} at once"


def _training(
    setting: Setting, model: Any, batch: TokenBatch, half: bool, body: int, embedding: int, again: bool = False
) -> str:
    """Forward and backward passes of GRPO over a batch; layers are computed again if asked for."""
    policy, counts = LanguagePolicy(model, again), BatchCounts.of(batch)
    parts = [part.to(setting.device) for part in split_by_length(batch, _MICRO_BATCH_TOKENS)]
    kind = torch.device(setting.device).type

    def passes() -> None:
        model.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            with policy.prompt_encoded_once(parts) if len(batch.prefix) else nullcontext():
                for part in parts:
                    GRPO().loss(part, policy.logprobs(part), counts).loss.backward()

    passes()
    seconds, _ = learning.timed(passes, setting.clock)
    tokens = len(batch.prefix) + int(batch.lengths.sum())
    # Six operations a weight and token; the head sees action tokens only. Attention is left out.
    work = 6 * (body * tokens + embedding * int(batch.action_mask.sum()))
    peak = next((value for name, value in _PEAKS.items() if setting.on_cuda and name in _card(setting)), None)
    share = f", {work / seconds / peak:.0%} of the peak" if half and peak else ""
    trained = setting.sizes.rows * (learning.PROMPT + learning.HEARD + learning.SAID)
    return f"{trained / seconds:,.0f} tokens/s, {work / seconds / 1e12:.1f} TFLOP/s{share}"


def _card(setting: Setting) -> str:
    return torch.cuda.get_device_name(setting.device)
