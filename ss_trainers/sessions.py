"""A conversation that a model takes part in, and what it says there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from ss_trainers.token_sampling import SamplingSettings


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """One reply.

    Attributes:
        token_ids: the sampled ids, the end-of-turn id included.
        logprobs: log-probability of each under the distribution it was sampled from (after
            temperature and ``top_p``), in nats; the model's own for greedy replies and where settings ask for it.
        finish_reason: ``"length"`` if ``max_new_tokens`` or the context cut it, which leaves
            ``token_ids`` empty when the context had no room for even one.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]


@dataclass(eq=False, slots=True)
class Session:
    """One conversation: which tokens the model has seen, and what it is to do next.

    Attributes:
        length: tokens of the conversation so far, whether already encoded or not.
        copies: how many replies are drawn that begin alike so far.
        origin: the session that was extended, which may be this one: where its replies part, each has a session.
    """

    length: int = 0
    copies: int = 1
    origin: Session | None = None
    _slot: int = -1
    _prompt: int | None = None
    _unread: list[int] = field(default_factory=list)
    _settings: SamplingSettings | None = None
    _noise: torch.Generator | None = None
    _ids: list[int] = field(default_factory=list)
    _logprobs: list[float] = field(default_factory=list)

    @property
    def reply_ids(self) -> Sequence[int]:
        """The ids of the reply so far, or of the last one."""
        return self._ids
