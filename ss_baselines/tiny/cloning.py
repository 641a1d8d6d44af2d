"""Behaviour cloning of the tiny agent: cross-entropy on demonstrations, each seen once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ss_baselines.tiny.demonstrations import Example, drill, encode, episodes
from ss_baselines.tiny.disguise import train_disguise
from ss_baselines.tiny.muon import Muon
from ss_baselines.tiny.tokenizer import word_pieces
from ss_gym.streams import Stream
from ss_trainers.chat import ChatFormat

# Drills go on for this share of the demonstrations: until copying and looking up are learnt.
DRILLING = 0.5


@dataclass(frozen=True, slots=True)
class CloningConfig:
    """How the tiny agent is trained.

    Attributes:
        demonstrator: name of the scripted agent that is imitated.
        demonstrations: number of conversations, none of them twice.
        batch_size: sequences a step.
        learning_rate: of Muon on the matrices, at its highest; both rates warm up over 100 steps and
            fall linearly to zero over the second half.
        other_learning_rate: of AdamW on the embeddings and norms, at its highest.
        drill_share: share of the sequences that are drills, during the first half of the steps.
        first_drills: number of drills that come alone, before the first conversation: looking up is learnt
            in a few hundred steps of nothing else, and much more slowly from a mixture.
        read_share: share of the tokens that the agent reads, rather than writes, that are in the loss
            during the first half of the steps.
        hidden_size: width.
        layers: number of layers.
        seed: of the weights and of the order of things.
    """

    demonstrator: str = "demonstrator"
    demonstrations: int = 50_000
    batch_size: int = 8
    learning_rate: float = 3e-3
    other_learning_rate: float = 2e-3
    drill_share: float = 0.4
    first_drills: int = 0
    read_share: float = 0.2
    hidden_size: int = 128
    layers: int = 4
    seed: int = 0


def new_model(tokenizer: PreTrainedTokenizerFast, config: CloningConfig) -> LlamaForCausalLM:
    """A small Llama with random weights, for this tokenizer."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=3 * config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # Drawn again from a generator of our own: the constructor draws from the global one.
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, 0.02, generator=generator)
    return model


def batches(chat: ChatFormat, config: CloningConfig) -> Iterator[list[Example]]:
    """The training sequences, in batches of similar length."""
    stream, pieces = Stream(config.seed, "cloning"), word_pieces(chat.tokenizer)
    source = episodes(config.demonstrator, first_seed=1_000_000 * (config.seed + 1))
    for start in range(0, config.first_drills, config.batch_size):
        yield [drill(stream, chat) for _ in range(start, min(start + config.batch_size, config.first_drills))]
    seen = 0
    drilling_until = DRILLING * config.demonstrations
    while seen < config.demonstrations:
        pool: list[Example] = []
        while len(pool) < 16 * config.batch_size:
            conversation, _ = next(source)
            seen += 1
            pool.append(encode(conversation, chat, train_disguise(stream, pieces)))
            if seen < drilling_until and stream.chance(config.drill_share / (1 - config.drill_share)):
                pool.append(drill(stream, chat))
        pool.sort(key=lambda example: len(example.ids))
        groups = [pool[i : i + config.batch_size] for i in range(0, len(pool), config.batch_size)]
        yield from stream.sample(groups, len(groups))


def tensors(examples: list[Example], pad_id: int, read_share: float, stream: Stream) -> tuple[Tensor, Tensor]:
    """Right-padded ids (B, T), and which of them (B, T) are to be predicted: the agent's own, some of the others."""
    length = max(len(example.ids) for example in examples)
    ids = np.full((len(examples), length), pad_id, dtype=np.int64)
    predicted = np.zeros((len(examples), length), dtype=bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        predicted[row, : len(example.ids)] = [own or stream.chance(read_share) for own in example.own]
    predicted[:, 0] = False
    return torch.from_numpy(ids), torch.from_numpy(predicted)


def cloning_loss(model: LlamaForCausalLM, ids: Tensor, predicted: Tensor) -> Tensor:
    """Mean next-token cross-entropy of the tokens to be predicted, in nats; bfloat16 inside."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state  # padding is on the right
        logits = model.lm_head(hidden[predicted[:, 1:]])  # (N, V)
    return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][predicted[:, 1:]])


def rate_factor(step: int, total: int) -> float:
    """Linear warm-up over 100 steps, constant, linear decay to zero over the second half."""
    return min(1.0, (step + 1) / 100, 2 * (1 - step / total))


def optimizers_for(model: LlamaForCausalLM, config: CloningConfig) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices between the embeddings, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    adamw = torch.optim.AdamW(others, lr=config.other_learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    return Muon(matrices, lr=config.learning_rate), adamw


def take_step(
    model: LlamaForCausalLM,
    optimizers: tuple[torch.optim.Optimizer, ...],
    factor: float,
    ids: Tensor,
    predicted: Tensor,
) -> float:
    """One step of cloning at a factor of the optimizers' own learning rates; the loss before it, in nats."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("highest_lr", group["lr"])
    loss = cloning_loss(model, ids, predicted)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def expected_steps(config: CloningConfig) -> int:
    """How many steps the demonstrations and drills make, nearly."""
    drills = DRILLING * config.demonstrations * config.drill_share / (1 - config.drill_share)
    return math.ceil((config.first_drills + config.demonstrations + drills) / config.batch_size)
