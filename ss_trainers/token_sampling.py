"""How the next token of a reply is drawn from a model's logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How replies are sampled.

    Attributes:
        eos_ids: ids that end a reply; they are part of it.
        max_new_tokens: the most tokens of one reply.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_p: only the likeliest tokens that together have at least this probability are drawn (Holtzman et al. 2020,
            arXiv:1904.09751, section 3.1); 1 draws all of them.
        ends: says of the ids of a reply so far whether it ends here, beside ``eos_ids``.
        own_logprobs: tell the model's own log-probabilities, in place of those of the distribution that is drawn from.
    """

    eos_ids: tuple[int, ...]
    max_new_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    ends: Callable[[Sequence[int]], bool] | None = None
    own_logprobs: bool = False

    def __post_init__(self) -> None:
        """Refuse settings under which nothing can be sampled."""
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be 0 (greedy) or a positive number, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def ended(self, ids: Sequence[int]) -> bool:
        """Whether a reply is over with the last of its ids, however many there may be."""
        return bool(ids) and (ids[-1] in self.eos_ids or (self.ends is not None and self.ends(ids)))


def draw(
    logits: Tensor, settings: Sequence[SamplingSettings], noise: Sequence[torch.Generator]
) -> tuple[list[int], list[float]]:
    """A token for each row, and its log-probability.

    Args:
        logits: (R, V).
        settings: how each row is sampled.
        noise: where the draws of each row come from, on the processor; rows that share a generator draw in order.

    Returns:
        The ids, and the log-probability of each, in nats, under the distribution that it was drawn from (after
        temperature and ``top_p``). At temperature 1, without ``top_p``, where a row asks for the model's own, and at
        temperature 0.
    """
    logits = given = logits.to(torch.promote_types(logits.dtype, torch.float32))
    temperatures = [row.temperature or 1.0 for row in settings]
    if any(temperature != 1.0 for temperature in temperatures):
        logits = logits / logits.new_tensor(temperatures)[:, None]
    logprobs = torch.log_softmax(logits, -1)
    greedy = [row.temperature == 0 for row in settings]
    if all(greedy):
        chosen = logprobs.argmax(-1)
    else:
        cut = [place for place, row in enumerate(settings) if row.top_p < 1 and row.temperature]
        if cut:
            logprobs[cut] = _nucleus(logprobs[cut], logprobs.new_tensor([settings[place].top_p for place in cut]))
        chosen = _sampled(logprobs, greedy, noise)
    told = logprobs.gather(-1, chosen[:, None])[:, 0]
    own = [place for place, row in enumerate(settings) if row.own_logprobs]
    if own:
        told[own] = torch.log_softmax(given[own], -1).gather(-1, chosen[own, None])[:, 0]
    return chosen.tolist(), told.tolist()


def _nucleus(logprobs: Tensor, top_p: Tensor) -> Tensor:
    """The log-probabilities (R, V) of the likeliest tokens alone; -inf for the others."""
    ordered, order = logprobs.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1, dtype=torch.float64) - ordered.exp()
    left_out = torch.zeros_like(logprobs, dtype=torch.bool).scatter(-1, order, before >= top_p[:, None])
    # The likeliest one stays in any case.
    left_out.scatter_(-1, order[:, :1], value=False)
    return torch.log_softmax(logprobs.masked_fill(left_out, -torch.inf), -1)


def _sampled(logprobs: Tensor, greedy: Sequence[bool], noise: Sequence[torch.Generator]) -> Tensor:
    """Inverse transform sampling; the likeliest token where a row is greedy.

    The sums need more digits than float32 has, or the tail of a large vocabulary is lost; a draw is below the total,
    so what it lands on has probability above 0.
    """
    cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
    shares = torch.zeros(len(logprobs), 1, dtype=torch.float64)
    rows_of: dict[int, list[int]] = {}
    for row, generator in enumerate(noise):
        if not greedy[row]:
            rows_of.setdefault(id(generator), []).append(row)
    for rows in rows_of.values():
        shares[rows] = torch.rand(len(rows), 1, dtype=torch.float64, generator=noise[rows[0]])
    draws = shares.to(logprobs.device) * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, draws, right=True)[:, 0].clamp_(max=logprobs.shape[-1] - 1)
    if any(greedy):
        chosen = torch.where(torch.tensor(greedy, device=chosen.device), logprobs.argmax(-1), chosen)
    return chosen
