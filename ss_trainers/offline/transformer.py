"""A causal transformer over vectors, whose dropout comes from a generator."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils import skip_init

# Standard deviation of initial weights, as in GPT-2.
_INITIAL_STD = 0.02
EVERY = slice(None)


class CausalTransformer(nn.Module):
    """Layers of attention to what came before and of perceptrons, each of which adds to its normalised input.

    As in GPT-2 (Radford et al. 2019), with ReLU, as Decision Transformer has it. Tokens know of their positions what
    their vectors tell. Dropout is of the tokens and of what attention and perceptrons add, not of attention's weights.

    Args:
        width: E, of a token.
        layers: how many.
        heads: of attention in a layer; they divide the width.
        dropout: share of the numbers that are left out where there is ``noise``.
        initial: where initial weights come from.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, initial: torch.Generator) -> None:
        super().__init__()
        self._dropout = dropout
        self.blocks = nn.ModuleList(_Block(width, heads, dropout, initial) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, tokens: Tensor, mask: Tensor, noise: torch.Generator | None = None, asked: slice = EVERY
    ) -> Tensor:
        """What is made of tokens.

        Args:
            tokens: float (B, T, E).
            mask: bool (B, T); false for padding, which no other token sees.
            noise: where dropout is drawn from; none without.
            asked: tokens whose outputs are needed: the last layer computes these alone.

        Returns:
            float (B, T', E), of those asked for.
        """
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
        up_to = torch.ones_like(itself).tril()
        # Padding sees itself: a row with nothing to attend to would be NaN, and so would all gradients.
        seen = (up_to & mask[:, None, :] | itself)[:, None]
        hidden = dropped(tokens, self._dropout, noise)
        last = len(self.blocks) - 1
        for place, block in enumerate(self.blocks):
            hidden = block(hidden, seen, noise, asked if place == last else EVERY)
        return cast("Tensor", self.norm(hidden))


class _Block(nn.Module):
    """A layer of attention and a perceptron."""

    def __init__(self, width: int, heads: int, dropout: float, initial: torch.Generator) -> None:
        super().__init__()
        self._heads, self._dropout = heads, dropout
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = dense(width, width, initial)
        self.keys_and_values = dense(width, 2 * width, initial)
        self.attended = dense(width, width, initial)
        self.rise, self.fall = dense(width, 4 * width, initial), dense(4 * width, width, initial)

    def forward(self, tokens: Tensor, seen: Tensor, noise: torch.Generator | None, asked: slice) -> Tensor:
        """The tokens that are asked for, one layer on; ``seen`` is bool (B, 1, T, T), from tokens to those they see."""
        normal = self.attention_norm(tokens)
        keys, values = self.keys_and_values(normal).chunk(2, -1)
        queries = self.queries(normal[:, asked])
        by_head = [each.unflatten(-1, (self._heads, -1)).transpose(1, 2) for each in (queries, keys, values)]
        attended = scaled_dot_product_attention(by_head[0], by_head[1], by_head[2], attn_mask=seen[:, :, asked])
        attended = self.attended(attended.transpose(1, 2).flatten(2))
        hidden = tokens[:, asked] + dropped(attended, self._dropout, noise)
        risen = self.rise(self.perceptron_norm(hidden)).relu_()
        return hidden + dropped(self.fall(risen), self._dropout, noise)


def dense(inputs: int, outputs: int, initial: torch.Generator) -> nn.Linear:
    """A linear layer whose weights begin as GPT-2's do."""
    layer = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.normal_(layer.weight, std=_INITIAL_STD, generator=initial)
    nn.init.zeros_(layer.bias)
    return cast("nn.Linear", layer)


def projection(inputs: int, outputs: int, initial: torch.Generator) -> nn.Linear:
    """A linear layer between tokens and what they stand for; it begins uniform within ±1/sqrt(inputs), as PyTorch's do.

    With ``dense``, which has GPT-2's small weights, a token tells hardly more of what it stands for than of its
    position at first.
    """
    layer, bound = skip_init(nn.Linear, inputs, outputs), 1 / math.sqrt(inputs)  # type: ignore[no-untyped-call]
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=initial)
    return cast("nn.Linear", layer)


def table(entries: int, width: int, initial: torch.Generator) -> nn.Embedding:
    """Vectors of things that can be counted, which begin as GPT-2's do."""
    embedding = skip_init(nn.Embedding, entries, width)  # type: ignore[no-untyped-call]
    nn.init.normal_(embedding.weight, std=_INITIAL_STD, generator=initial)
    return cast("nn.Embedding", embedding)


def dropped(values: Tensor, rate: float, noise: torch.Generator | None) -> Tensor:
    """Values of which some are zero, and the others so much greater that the mean stays.

    Srivastava et al. 2014, "Dropout". A byte decides about a number: random bytes cost a fifth of random numbers.

    Args:
        values: float (...).
        rate: share that is zero, in 256ths.
        noise: where it is drawn from; without, all is left as it is.
    """
    cut = min(round(256 * rate), 255)
    if noise is None or not cut:
        return values
    words = torch.empty(-(-values.numel() // 8), dtype=torch.int64, device=values.device)
    # From the least int64 there is, without a bound: else the highest bit of each word would not be random.
    words.random_(torch.iinfo(torch.int64).min, None, generator=noise)
    kept = words.view(torch.uint8)[: values.numel()].view(values.shape) >= cut
    return values * kept.to(values.dtype).mul_(256 / (256 - cut))
